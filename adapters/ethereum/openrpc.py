"""The OpenRPC document of what is served, made from the table of methods. Source: the OpenRPC specification 1.2.6."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.ethereum.methods import Method
from adapters.ethereum.schemas import COMPONENTS

OPENRPC_VERSION = "1.2.6"


def openrpc_document(table: Mapping[str, Method], version: str) -> dict[str, Any]:
    """Return the document, as a JSON value. version: of the adapter."""
    return {
        "openrpc": OPENRPC_VERSION,
        "info": {
            "title": "Coco: Ethereum JSON-RPC",
            "description": "What may not be seen answers as if it did not exist.",
            "version": version,
            "license": {"name": "Apache-2.0"},
        },
        "methods": [_describe(name, method) for name, method in sorted(table.items())],
        "components": {"schemas": dict(COMPONENTS)},
    }


def _describe(name: str, method: Method) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": name,
        "summary": method.summary,
        "paramStructure": "by-position",
        "params": [
            {"name": parameter.name, "required": index < method.required, "schema": parameter.schema}
            for index, parameter in enumerate(method.parameters)
        ],
        "result": {"name": f"{name} result", "schema": method.result},
    }
    if method.on_sockets:
        described["x-transport"] = "websocket"
    return described
