"""`coco node start`, `stop` and `join`: one node of several, on this machine."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.errors import NotFound, WrongUse
from cli.files import read_file, write_private
from cli.genesis import write_node
from cli.ledger_disk import find_ledger
from cli.local_nodes import LocalNode, find_node, local_nodes, node_directory
from cli.membership import AUTHORIZATION_FILE, read_authorization
from cli.network_run import node_state, running_pid
from cli.network_start import Started, configure, launch_detached, prepare_joining, read_node_config, remember
from cli.network_start import running_status as status_of
from cli.node_waiting import DEFAULT_HOURS, HOURS_MAX, WaitsForTicket, describe, give_ticket, request_file
from cli.options import json_option, network_option
from cli.output import note, print_fields, print_json, progress
from cli.store import ClientStore, Store, check_name
from core.errors import CocoError

if TYPE_CHECKING:
    from core.governance.constitution import Constitution
    from enclave_sim.host_config import HostConfig
    from enclave_sim.status import Status

_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)


class NothingToJoin(CocoError):
    """A node that can only join its network, and knows nobody to ask."""


@click.command()
@click.argument("slot")
@click.option("--authorization", type=_FILE, help="What its member signed for it. Default: as the last time.")
@click.option("--contact", multiple=True, metavar="HOST:PORT", help="A node to ask; repeatable. Default: as last time.")
@click.option("--begin", is_flag=True, help="If it has no ledger yet, begin the network with it.")
@click.option("--foreground", is_flag=True, help="Stay, print the host's log, and stop with Ctrl-C.")
@network_option
@json_option
@click.pass_obj
def start(store: Store, /, slot: str, network: str | None, foreground: bool, as_json: bool, **options: Any) -> None:
    """Start one node of this machine: it joins its network by its member's delegation.

    Where no node of the network runs and all are on this machine: coco network start.
    """
    name, directory = store.host_directory(network)
    nodes = local_nodes(directory)
    node = find_node(name, nodes, slot)
    if options["authorization"] is not None:
        signed = read_file(options["authorization"])
        read_authorization(signed)
        write_private(node.directory / AUTHORIZATION_FILE, signed)
    client = store.client(name) if store.is_client(name) else None
    prepare(nodes, node, client, contacts=options["contact"], begin=options["begin"])
    _run(name, node, client, foreground, as_json)


@click.command()
@click.argument("slot")
@network_option
@click.pass_obj
def stop(store: Store, slot: str, network: str | None) -> None:
    """Stop one node of this machine; the network goes on while a majority of its nodes runs."""
    from enclave_sim.host import stop as stop_host

    name, directory = store.host_directory(network)
    node = find_node(name, local_nodes(directory), slot)
    if running_pid(node) is None:
        note(f"Node {slot} of network {name} is not running.")
        return
    with progress(f"stopping {slot}"):
        stop_host(node.directory)
    click.echo(f"Node {slot} of network {name} is stopped.")


@click.command()
@click.argument("authorization", type=_FILE, required=False)
@click.option(
    "--ticket", "awaited", metavar="SLOT", help="Instead of AUTHORIZATION: make a key, and wait for a ticket."
)
@click.option("--peer-address", metavar="HOST:PORT", help="With --ticket: where the other nodes reach it.")
@click.option(
    "--hours",
    type=click.IntRange(1, HOURS_MAX),
    default=DEFAULT_HOURS,
    show_default=True,
    help="With --ticket: how long it keeps its key and waits.",
)
@click.option("--genesis", type=_FILE, help="The network's genesis.json. Default: that of a node that is here.")
@click.option("--contact", multiple=True, metavar="HOST:PORT", help="A node of the network to ask; repeatable.")
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=0, show_default=True, help="For clients; 0: a free one."
)
@click.option("--address", default="127.0.0.1", show_default=True, help="The address the node listens on.")
@click.option("--peer-port", type=click.IntRange(1, 65_535), help="Where it listens for nodes. Default: as authorized.")
@click.option("--host-name", multiple=True, metavar="NAME", help="A name or address clients reach it by; repeatable.")
@click.option("--platform", type=click.Choice(["sgx", "vsm"]), default="sgx", show_default=True, help="TEE.")
@click.option("--vendor", type=_FILE, help="A simulated machine's authority file that the constitution admits.")
@click.option("--or-start", is_flag=True, help="Start it where it was made before.")
@click.option("--foreground", is_flag=True, help="Stay, print the host's log, and stop with Ctrl-C.")
@json_option
@click.pass_obj
def join(store: Store, /, authorization: Path | None, foreground: bool, as_json: bool, **options: Any) -> None:
    """Make a node on this machine and let it join a network, by what a member signed for it.

    AUTHORIZATION is the member's file: coco node delegate SLOT. The network's members must have admitted the slot.

    With --ticket, the node makes its key first, and writes what its member is to sign (coco node ticket). The ticket
    then goes here, too: coco node join FILE gives it to the node that waits for it.

    \b
    coco node join node4.cose --genesis genesis.json --contact node1.example.org:8543
    coco node join --ticket node4 --peer-address node4.example.org:8543 --genesis genesis.json --contact ...
    """
    if (authorization is None) == (options["awaited"] is None):
        raise WrongUse("give either AUTHORIZATION or --ticket SLOT", hint="coco node join --help")
    if authorization is None:
        _join_waiting(store, options, foreground, as_json)
        return
    signed = read_file(authorization)
    ticket = read_authorization(signed).ticket
    constitution = _constitution(store, options["genesis"], ticket.network)
    name = check_name("a network", constitution.network)
    client = store.client(name) if store.is_client(name) else None
    known = local_nodes(store.network_directory(name))
    waits = next((node for node in known if node.slot == ticket.slot and request_file(node) is not None), None)
    if waits is not None:
        with progress(f"{waits.slot} joins"):
            found = give_ticket(waits, signed)
        _tell_started(name, waits, client, as_json)(found)
        return
    if ticket.node is not None:
        raise NothingToJoin(
            f"no node {ticket.slot} with that key waits here: a ticket is for one key, which is gone with its node",
            hint="Make the node first: coco node join --ticket SLOT. Or use a delegation: coco node delegate.",
        )
    if options["or_start"] and ticket.slot in {node.slot for node in known}:
        node = find_node(name, known, ticket.slot)
        write_private(node.directory / AUTHORIZATION_FILE, signed)
        prepare(known, node, client, contacts=options["contact"])
        _run(name, node, client, foreground, as_json)
        return
    node = _make_node(store, constitution, options, ticket.slot, ticket.address, signed)
    _run(name, node, client, foreground, as_json)


def _join_waiting(store: Store, options: dict[str, Any], foreground: bool, as_json: bool) -> None:
    """Make a node that waits for its ticket, or start it again, with another key."""
    slot, address = check_name("a slot", options["awaited"]), options["peer_address"]
    constitution = _known_constitution(store, options["genesis"])
    name = check_name("a network", constitution.network)
    client = store.client(name) if store.is_client(name) else None
    known = local_nodes(store.network_directory(name))
    if options["or_start"] and slot in {one.slot for one in known}:
        node = find_node(name, known, slot)
        prepare(known, node, client, contacts=options["contact"])
    elif address is None:
        raise WrongUse("the node's address is missing", hint="Say where the other nodes reach it: --peer-address")
    else:
        node = _make_node(store, constitution, options, slot, address, None)
    _run(name, node, client, foreground, as_json)


def _make_node(
    store: Store, constitution: Constitution, options: dict[str, Any], slot: str, address: str, signed: bytes | None
) -> LocalNode:
    """Write the files of a new node. signed: what it joins by, None for one that waits for it."""
    name = constitution.network
    directory = _new_directory(store, name, slot)
    contacts = list(options["contact"]) or _local_contacts(store, name)
    if not contacts:
        raise NothingToJoin("no node of the network is known here", hint="Name one: --contact HOST:PORT")
    config = _config(options, slot, address, contacts, ticket_hours=options["hours"] if signed is None else 0)
    try:
        if signed is not None:
            write_private(directory / AUTHORIZATION_FILE, signed)
        if options["vendor"] is not None:
            _use_vendor(directory, options["vendor"])
        source = store.network_directory(name)
        shared = source if options["vendor"] is None and source != directory and local_nodes(source) else None
        write_node(directory, constitution.encode(), config, machine_of=shared)
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    return LocalNode(slot, directory)


def prepare(
    nodes: Sequence[LocalNode],
    node: LocalNode,
    client: ClientStore | None,
    *,
    contacts: Sequence[str] = (),
    begin: bool = False,
) -> None:
    """See that a node joins when it starts: by what is in its directory, renewed where the members' keys are here.

    begin: it begins its network instead, if it has no ledger. Raises NothingToJoin, and CocoErrors of what is in the
    directory.
    """
    others = [one for one in nodes if one.slot == node.slot or request_file(one) is None]
    running = [Started(one, found, True) for one in others if (found := status_of(one)) is not None]
    if running and node.slot not in {one.node.slot for one in running}:
        prepare_joining(nodes, running[0], client, lambda text: None)
    config = read_node_config(node)
    asked = tuple(contacts) or config.contacts
    if not config.has_peers:
        return  # The only node of its network: it starts it.
    if begin and find_ledger(node.directory) is None:
        configure(node, authorization="", contacts=asked)
        return
    if not (node.directory / AUTHORIZATION_FILE).is_file() and not config.ticket_seconds:
        raise NothingToJoin(
            f"{node.slot} has nothing to join its network with",
            hint="If no node of the network runs: coco network start. Else its member signs: "
            f"coco node delegate {node.slot}, and the file goes here: coco node start {node.slot} --authorization FILE",
        )
    if not asked:
        raise NothingToJoin(f"{node.slot} knows no other node of its network", hint="Name one: --contact HOST:PORT")
    configure(node, authorization=AUTHORIZATION_FILE, contacts=asked)


def _run(name: str, node: LocalNode, client: ClientStore | None, foreground: bool, as_json: bool) -> None:
    if foreground:
        import asyncio

        from enclave_sim.host import run_host

        note(f"Starting {node.slot} of network {name}; Ctrl-C stops it.")
        told = _tell_started(name, node, client, as_json)
        asyncio.run(run_host(node.directory, foreground=True, on_running=told))
        return
    try:
        with progress(f"starting {node.slot} of network {name}") as tell:
            found = launch_detached(node, tell)
    except WaitsForTicket:
        shown = {"network": name} | describe(node)
        (print_json if as_json else print_fields)(shown)
        return
    _tell_started(name, node, client, as_json)(found)


def _tell_started(name: str, node: LocalNode, client: ClientStore | None, as_json: bool) -> Any:
    def tell(found: Status) -> None:
        if client is not None:
            remember(client, Started(node, found))
        shown = {"network": name, **{key: value for key, value in node_state(node).items() if key != "processes"}}
        print_json(shown) if as_json else print_fields({**shown, "less_isolation": None})

    return tell


def _constitution(store: Store, genesis: Path | None, digest: str) -> Constitution:
    """Return the constitution that the member signed for; raises NotFound, WrongUse."""
    from core.governance.constitution import Constitution

    if genesis is not None:
        given = Constitution.decode(read_file(genesis))
        if given.digest().hex() != digest:
            raise WrongUse(f"{genesis} is not the constitution of the network that the authorization is for")
        return given
    for name in store.networks():
        found = Constitution.decode(read_file(store.network_directory(name) / "genesis.json"))
        if found.digest().hex() == digest:
            return found
    raise NotFound(
        "the network's constitution is not on this machine",
        hint="Copy genesis.json from a node's directory, and give --genesis FILE.",
    )


def _new_directory(store: Store, name: str, slot: str) -> Path:
    """Return where the node will be: the network's directory for its first node here."""
    directory = store.network_directory(name)
    known = local_nodes(directory)
    if slot in {node.slot for node in known}:
        raise WrongUse(f"this machine has the node {slot} already", hint=f"Start it: coco node start {slot}")
    chosen = node_directory(directory, slot) if known else directory
    if chosen.exists():
        raise WrongUse(f"{chosen} is in the way", hint="Move it away; it is no node's.")
    return chosen


def _local_contacts(store: Store, name: str) -> list[str]:
    return [
        address
        for node in local_nodes(store.network_directory(name))
        if running_pid(node) is not None and (address := read_node_config(node).peer_address)
    ]


def _known_constitution(store: Store, genesis: Path | None) -> Constitution:
    """Return the constitution of the file, or of the network on this machine that is meant. Raises CocoError."""
    from core.governance.constitution import Constitution

    if genesis is None:
        genesis = store.host_directory(None)[1] / "genesis.json"
    return Constitution.decode(read_file(genesis))


def _config(options: dict[str, Any], slot: str, address: str, contacts: list[str], *, ticket_hours: int) -> HostConfig:
    from cli.network import certificate_names
    from enclave_sim.host_config import HostConfig, split_address

    config = HostConfig(
        name=slot,
        address=options["address"],
        port=options["port"],
        names=certificate_names(options["address"], options["host_name"]),
        platform=options["platform"],
        peer_port=options["peer_port"] or split_address(address)[1],
        peer_address=address,
        slot=slot,
        authorization=AUTHORIZATION_FILE,
        contacts=tuple(contacts),
        ticket_seconds=ticket_hours * 3_600,
    )
    config.check()
    return config


def _use_vendor(directory: Path, authority: Path) -> None:
    """Certify the simulated machine by an authority that is brought along, as another vendor's would be."""
    from enclave_sim.host_config import NodePaths
    from enclave_sim.platform.fuses import AUTHORITY_FILE

    write_private(NodePaths(directory).fuses.with_name(AUTHORITY_FILE), read_file(authority))
