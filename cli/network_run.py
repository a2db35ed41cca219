"""`coco network start`, `stop` and `status`: all nodes of a network that are on this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import click

from cli.errors import WrongUse
from cli.local_nodes import LocalNode, local_nodes
from cli.network_start import Started, launch_detached, peer_address, read_genesis, remember, start_nodes
from cli.node_waiting import request_file
from cli.options import json_option
from cli.output import note, print_fields, print_json, print_table, progress
from cli.restart_files import read_waiting
from cli.store import ClientStore, Store
from core.errors import CocoError

if TYPE_CHECKING:
    from enclave_sim.status import Status

NOT_RUNNING = 3
CONNECT_NOTES = {
    "ethereum": """
Connect with web3.py:
  from web3 import Web3
  token = open("{token}").read().strip()
  options = {{"headers": {{"Authorization": "Bearer " + token}}, "verify": "{ca}"}}
  w3 = Web3(Web3.HTTPProvider("{url}", request_kwargs=options))
For tools that cannot send a token or pin a certificate: coco proxy""",
    "sawtooth": """
For Sawtooth's clients and tools, over ZeroMQ and REST: coco proxy --zmq-port 4004 --port 8008
Without it: the REST API is at {url}/sawtooth, with the header Authorization: Bearer, and the token in
{token}""",
}

HOST_ONLY_NOTE = """
This machine is no client of network {name}: nothing was pinned here. Clients keep a copy of {ca}
in their own clients/{name}/front-end-ca.pem, of {root}
in clients/{name}/platform-root.pem, and the url in clients/{name}/url."""


@click.command()
@click.argument("name", required=False)
@click.option("--foreground", is_flag=True, help="Stay, print the host's log, and stop with Ctrl-C.")
@json_option
@click.pass_obj
def start(store: Store, name: str | None, foreground: bool, as_json: bool) -> None:
    """Start a network's nodes that are on this machine, and print how to connect.

    The first node starts the network; the others join it, by what their members sign and vote for with the keys that
    are on this machine.
    """
    chosen, directory = store.host_directory(name)
    nodes = local_nodes(directory)
    client = store.client(chosen) if store.is_client(chosen) else None
    if foreground:
        _run_in_foreground(chosen, nodes, client, as_json)
    elif len(nodes) == 1 and not peer_address(nodes[0]):
        _start_one(chosen, nodes[0], client, as_json)
    else:
        _start_several(chosen, nodes, client, as_json)


@click.command()
@click.argument("name", required=False)
@click.pass_obj
def stop(store: Store, name: str | None) -> None:
    """Stop a network's nodes that are on this machine. Everything they have acknowledged is on disk."""
    chosen, directory = store.host_directory(name)
    running = [node for node in local_nodes(directory) if running_pid(node) is not None]
    if not running:
        note(f"Network {chosen} is not running.")
        return
    with progress(f"stopping network {chosen}"):
        stop_nodes(running)
    click.echo(f"Network {chosen} is stopped.")


@click.command()
@click.argument("name", required=False)
@json_option
@click.pass_obj
def status(store: Store, name: str | None, as_json: bool) -> None:
    """Show whether a network's nodes run on this machine; exits with 3 when none does."""
    chosen, directory = store.host_directory(name)
    nodes = local_nodes(directory)
    states = [node_state(node) for node in nodes]
    if len(nodes) == 1:
        shown = {"network": chosen, **{key: value for key, value in states[0].items() if key != "slot"}}
    else:
        all_running = all(one["state"] == "running" for one in states)
        none_running = all(one["state"] == "stopped" for one in states)
        state = "running" if all_running else "stopped" if none_running else "partly running"
        shown = {"network": chosen, "state": state, "host_directory": str(directory), "nodes": states}
    if as_json:
        print_json(shown)
    else:
        _show_status(shown, states)
    if not any(one["state"] == "running" for one in states):
        raise click.exceptions.Exit(NOT_RUNNING)


def node_state(node: LocalNode) -> dict[str, Any]:
    """Return what this machine knows of a node, without asking it."""
    from enclave_sim.status import read_status

    pid, found = running_pid(node), read_status(node.directory)
    state = "stopped" if pid is None else "starting" if found is None else "running"
    shown: dict[str, Any] = {"slot": node.slot, "state": state, "host_directory": str(node.directory), "pid": pid}
    if (request := request_file(node)) is not None:
        shown |= {"state": "waits for a ticket", "ticket_request": str(request)}
    if found is not None:
        shown |= {"url": found.url, "started_at": found.started_at, "processes": found.pids}
        shown |= {"less_isolation": found.less_isolation}
    elif (waiting := read_waiting(node)) is not None:
        shown |= {"state": "waiting", "waits_for": waiting.describe()}
    return shown


def running_pid(node: LocalNode) -> int | None:
    """Return the process id of a node's host, None when it does not run."""
    from enclave_sim.status import running_pid as pid_of

    return pid_of(node.directory)


def stop_nodes(nodes: Sequence[LocalNode]) -> None:
    """Stop nodes, all at once: while one drains what it accepted, the others still commit it. Raises NodeStopped."""
    from enclave_sim.host import stop as stop_host

    with ThreadPoolExecutor(max_workers=len(nodes)) as pool:
        for stopping in [pool.submit(stop_host, node.directory) for node in nodes]:
            stopping.result()


def _show_status(shown: Mapping[str, Any], states: Sequence[Mapping[str, Any]]) -> None:
    if "nodes" not in shown:
        print_fields({**shown, "processes": _processes(shown), "less_isolation": None, "waits_for": None})
    else:
        print_fields({key: value for key, value in shown.items() if key != "nodes"})
        rows = [(one["slot"], one["state"], one.get("url") or "-", _processes(one) or "-") for one in states]
        print_table(("node", "state", "url", "processes"), rows)
    for one in states:
        warn_of_less_isolation(one.get("less_isolation", {}))
        if "waits_for" in one:
            what = one["waits_for"]["waits_for"]
            note(f"{one['slot']} waits for {what}: coco node restart show --node {one['slot']}")


def _processes(shown: Mapping[str, Any]) -> str | None:
    return ", ".join(f"{role} {number}" for role, number in shown.get("processes", {}).items()) or None


def warn_of_less_isolation(less_isolation: Mapping[str, Sequence[str]]) -> None:
    """Say for whom the kernel lacks what keeps an enclave's process in."""
    missing: dict[str, list[str]] = {}
    for process, reasons in less_isolation.items():
        for reason in reasons:
            missing.setdefault(reason, []).append(process)
    for reason, processes in missing.items():
        note(f"WARNING: less isolation of {', '.join(processes)}: {reason}. See docs/operating.md#isolation.")


def _run_in_foreground(name: str, nodes: Sequence[LocalNode], client: ClientStore | None, as_json: bool) -> None:
    import asyncio

    from enclave_sim.host import run_host

    if len(nodes) > 1:
        raise WrongUse(
            f"{len(nodes)} nodes of network {name} are here, and one stays in the foreground",
            hint=f"Start each by itself: coco node start {nodes[0].slot} --foreground",
        )
    note(f"Starting network {name}; Ctrl-C stops it.")
    asyncio.run(
        run_host(
            nodes[0].directory,
            foreground=True,
            on_running=lambda found: _tell_started(name, [Started(nodes[0], found)], client, as_json),
        )
    )


def _start_one(name: str, node: LocalNode, client: ClientStore | None, as_json: bool) -> None:
    from enclave_sim.host import stop as stop_host

    with progress(f"starting network {name}") as tell:
        found = launch_detached(node, tell)
    try:
        _tell_started(name, [Started(node, found)], client, as_json)
    except CocoError:
        stop_host(node.directory)
        raise


def _start_several(name: str, nodes: Sequence[LocalNode], client: ClientStore | None, as_json: bool) -> None:
    from enclave_sim.status import AlreadyRunning

    if all(running_pid(node) is not None for node in nodes):
        raise AlreadyRunning(f"network {name} is already running", hint="Stop it first: coco network stop")
    with progress(f"starting network {name}") as tell:
        started = start_nodes(nodes, client, tell)
    _tell_started(name, started, client, as_json)


def _tell_started(name: str, started: Sequence[Started], client: ClientStore | None, as_json: bool) -> None:
    """Pin the front-end CA, remember the addresses, and say how to connect.

    A machine that is no client of the network pins nothing, and says what its clients need.
    """
    from enclave_sim.host_config import NodePaths

    first = started[0]
    paths = NodePaths(first.node.directory)
    if client is not None:
        for one in reversed(started):
            remember(client, one)
    certificate = paths.front_end_ca if client is None else client.ca_file
    identities = [] if client is None else client.identities()
    shown: dict[str, Any] = {
        "network": name, "url": first.status.url, "certificate": str(certificate), "log": str(paths.log),
    }  # fmt: skip
    for one in started:
        warn_of_less_isolation(one.status.less_isolation)
    if as_json:
        nodes = [_described(one) for one in started] if len(started) > 1 else []
        print_json(
            shown
            | {"identities": identities, "less_isolation": first.status.less_isolation}
            | ({"nodes": nodes} if nodes else {})
        )
        return
    print_fields(shown | {"identities": ", ".join(identities) or None})
    if len(started) > 1:
        rows = [(one.node.slot, "was running" if one.was_running else "started", one.status.url) for one in started]
        print_table(("node", "state", "url"), rows)
    if client is None:
        note(HOST_ONLY_NOTE.format(name=name, ca=certificate, root=paths.evidence / "root.pem"))
    else:
        for adapter in read_genesis(first.node).adapters:
            if adapter in CONNECT_NOTES:
                token = _token_file(client)
                note(CONNECT_NOTES[adapter].format(url=first.status.url, ca=certificate, token=token))


def _described(started: Started) -> dict[str, Any]:
    from enclave_sim.host_config import NodePaths

    found: Status = started.status
    return {
        "slot": started.node.slot,
        "url": found.url,
        "pid": found.pid,
        "log": str(NodePaths(started.node.directory).log),
        "was_running": started.was_running,
        "less_isolation": found.less_isolation,
    }


def _token_file(client: ClientStore) -> str:
    """Return where the token of the default identity is, of any when none is chosen."""
    chosen = client.defaults().identity or next(iter(client.identities()), "IDENTITY")
    return str(client.directory / "identities" / chosen / "token")
