"""`coco node`: what the node says about itself."""

from __future__ import annotations

from typing import Any

import click

from cli.options import identity_option, json_option, network_option, open_connection
from cli.output import print_fields, print_json
from cli.store import Store


@click.group()
def node() -> None:
    """Ask the node about itself."""


@node.command()
@network_option
@identity_option
@json_option
@click.pass_obj
def status(store: Store, network: str | None, identity: str | None, as_json: bool) -> None:
    """Show the node's state: measurement, view, sequence numbers, adapters.

    The node is asked over TLS with the pinned certificate; exits with 7 when it does not answer.
    """
    client = store.client(network)
    connection = open_connection(client, identity)
    shown: dict[str, Any] = {
        "network": client.network,
        "url": connection.url,
        "node": connection.get("/node/status"),
        "service": connection.get("/node/network"),
    }
    connection.close()
    if as_json:
        print_json(shown)
        return
    print_fields(
        {"network": client.network, "url": connection.url} | flatten(shown["node"]) | flatten(shown["service"])
    )


def flatten(document: object, prefix: str = "") -> dict[str, object]:
    """Return a JSON document's leaves by dotted names; lists of plain values stay on one line."""
    if isinstance(document, dict):
        leaves: dict[str, object] = {}
        for name, value in document.items():
            leaves |= flatten(value, f"{prefix}.{name}" if prefix else str(name))
        return leaves
    if isinstance(document, list):
        if not any(isinstance(item, dict | list) for item in document):
            return {prefix: ", ".join(map(str, document)) or "none"}
        leaves = {}
        for index, item in enumerate(document):
            label = item.get("name", index) if isinstance(item, dict) else index
            leaves |= flatten(item, f"{prefix}.{label}")
        return leaves
    if isinstance(document, str) and "\n" in document:
        return {}  # A certificate or another long text: --json has it.
    return {prefix: document}
