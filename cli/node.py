"""`coco node`: what the node says about itself, and what its quote says about it."""

from __future__ import annotations

import base64
from typing import Any

import click

from cli.options import identity_option, json_option, network_option, open_connection
from cli.output import print_fields, print_json
from cli.store import Store
from core.errors import AuthenticationFailed


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
    with open_connection(client, identity) as connection:
        url = connection.url
        state, service = connection.get("/node/status"), connection.get("/node/network")
    evidence = read_evidence(service)
    known = client.defaults().constitution
    if known is not None and service.get("constitution_digest") != known:
        raise AuthenticationFailed(
            f"the node runs under another constitution than network {client.network} was made with",
            hint="It is another network, or its ledger was made anew. Do not use it before you know which.",
        )
    if as_json:
        print_json({"network": client.network, "url": url, "node": state, "service": service, "evidence": evidence})
        return
    brief = {name: value for name, value in service.items() if name != "quote" and name not in state}
    print_fields({"network": client.network, "url": url} | flatten(state) | flatten(brief) | flatten(evidence))


def read_evidence(service: Any) -> dict[str, object]:
    """Return what the node's quote says of its manager enclave; raises AuthenticationFailed, also for a foreign quote.

    A simulated quote proves who knows the platform's fuses, and not what hardware runs.
    """
    from enclave_sim.platform.cpu import unpack_quote
    from enclave_sim.platform.measurement import measure

    try:
        quote = base64.b64decode(service["quote"], validate=True)
        node_id = bytes.fromhex(service["node_id"])
    except (KeyError, TypeError, ValueError):
        raise AuthenticationFailed("the node shows no quote", hint="Is it of another version?") from None
    claims = unpack_quote(quote)
    if claims.report_data != node_id.ljust(len(claims.report_data), b"\0"):
        raise AuthenticationFailed("the node's quote is about another node", hint="Do not use this node.")
    return {
        "measurement": claims.measurement.hex(),
        "same_code_as_here": claims.measurement == measure("manager"),
        "security_version": claims.security_version,
        "platform": claims.platform,
        "tee": claims.tee,
        "simulated": claims.simulated,
    }


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
