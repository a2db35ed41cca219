"""`coco node`: what the node says about itself, and what its quote says about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import msgspec

from cli.evidence import describe_verdict, verify_service
from cli.local_nodes import local_nodes
from cli.node_overview import HEADINGS, overview, read_peers, table_row, url_of
from cli.node_restart import restart
from cli.node_run import join, start, stop
from cli.node_tickets import delegate, ticket
from cli.node_votes import approve, remove
from cli.options import identity_option, json_option, network_option, open_connection
from cli.output import note, print_fields, print_json, print_table, progress
from cli.restart_files import waiting_nodes
from cli.store import Store
from core.errors import AuthenticationFailed

if TYPE_CHECKING:
    from core.governance.constitution import Constitution

_LONG = ("quote", "code", "collateral", "signers")
"""Parts of the service's information that --json has."""
SNAPSHOT_SECONDS_MAX = 600.0


@click.group()
def node() -> None:
    """Look after single nodes: ask them, start, stop and join them."""


for _command in (start, stop, join, approve, remove, ticket, delegate, restart):
    node.add_command(_command)


@node.command()
@network_option
@identity_option
@click.option("--node", "slot", metavar="SLOT", help="Which node. Default: the first that answers, and a list of all.")
@json_option
@click.pass_obj
def status(store: Store, network: str | None, identity: str | None, slot: str | None, as_json: bool) -> None:
    """Show a node's state, and verify its attestation: measurement, view, sequence numbers, adapters.

    Of a network of several nodes, all are listed: role, view, and how far each is. The node is asked over TLS with the
    pinned certificate; exits with 7 when it does not answer. Its quote is verified under the root pinned when the
    network first started here, and against the constitution's manifests where this machine hosts the network; one that
    is refused ends the command.
    """
    from cli.genesis import read_constitution

    client = store.client(network)
    _say_who_waits(store, client.network)
    with open_connection(client, identity) as connection:
        if slot is not None:
            connection.url, connection.others = url_of(store, client, connection, slot), ()
        state, service = connection.get("/node/status"), connection.get("/node/network")
        url = connection.url
        is_alone = len(client.urls()) == 1 and not read_peers(store, client.network)
        nodes = [] if is_alone or slot is not None else overview(store, client, connection)
    evidence = read_evidence(service, client.pinned_root(), read_constitution(store, client.network))
    known = client.defaults().constitution
    if known is not None and service.get("constitution_digest") != known:
        raise AuthenticationFailed(
            f"the node runs under another constitution than network {client.network} was made with",
            hint="It is another network, or its ledger was made anew. Do not use it before you know which.",
        )
    if as_json:
        shown = {"network": client.network, "url": url, "node": state, "service": service, "evidence": evidence}
        print_json(shown | ({"nodes": msgspec.to_builtins(nodes)} if nodes else {}))
        return
    brief = {name: value for name, value in service.items() if name not in (*_LONG, *state)}
    print_fields({"network": client.network, "url": url} | flatten(state) | flatten(brief) | flatten(evidence))
    if nodes:
        click.echo()
        print_table(HEADINGS, [table_row(one) for one in nodes])


def _say_who_waits(store: Store, network: str) -> None:
    """Say which nodes of this machine wait for a restart: they answer nobody meanwhile."""
    for one in waiting_nodes(local_nodes(store.network_directory(network))):
        note(f"{one.node.slot} waits for {one.state.waits_for}: coco node restart show --node {one.node.slot}")


@node.command()
@click.argument("network", required=False)
@json_option
@click.pass_obj
def snapshot(store: Store, network: str | None, as_json: bool) -> None:
    """Have the node of a network on this machine write a snapshot of its state now, and show its file.

    It goes on answering meanwhile. The next start takes the snapshot and only what the ledger holds after it.
    """
    from enclave_sim.snapshot_request import request_snapshot

    chosen, directory = store.host_directory(network)
    with progress(f"network {chosen} writes a snapshot"):
        file = request_snapshot(directory, SNAPSHOT_SECONDS_MAX)
    fields = {"network": chosen, "file": str(file), "bytes": file.stat().st_size}
    (print_json if as_json else print_fields)(fields)


def read_evidence(service: Any, root_pem: bytes | None, constitution: Constitution | None) -> dict[str, object]:
    """Verify the node's quote, and return what it says; raises AuthenticationFailed. root_pem: as pinned.

    constitution: whose manifests must admit the node; None where this machine does not host the network.
    A simulated quote proves who knows the machine's secrets, and not what hardware runs.
    """
    from enclave_sim.platform.measurement import measure_node

    verdict = verify_service(service, root_pem, constitution=constitution)
    manager, worker = measure_node()
    code = service.get("code", {})
    shown = code.get("worker", {})
    return describe_verdict(verdict) | {
        "admitted_by_constitution": "unknown here" if constitution is None else True,
        "signers": {kind: _signed_by(one) for kind, one in service.get("signers", {}).items()},
        "same_code_as_here": verdict.measurement == manager.mrenclave,
        "worker_measurement": shown.get("measurement"),
        "worker_same_code_as_here": shown.get("measurement") == worker.mrenclave.hex(),
        "adapters": {one["name"]: one["sha256"] for one in shown.get("adapters", [])},
    }


def _signed_by(shown: dict[str, Any]) -> str:
    return f"{shown.get('signer')}{' (development)' if shown.get('development') else ''}"


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
