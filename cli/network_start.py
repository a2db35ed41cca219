"""Starting the nodes of a network that are on this machine: the first one starts the network, the others join it.

That is so the first time. Nodes that took part before are started all at once, each with what its member signed: they
join the network where it runs, and otherwise find out by themselves whose disk it starts from (docs/restarts.md).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from cli.connection import Connection, connect_client
from cli.errors import Refused, Unreachable
from cli.files import write_private
from cli.local_nodes import LocalNode
from cli.membership import (
    AUTHORIZATION_FILE,
    Place,
    ensure_admitted,
    ensure_delegation,
    member_of,
    slots_of,
)
from cli.node_waiting import request_file, waiting
from cli.pins import pin, pin_root
from cli.restart_files import read_waiting
from cli.store import ClientStore
from core.errors import CocoError, NodeStopped

if TYPE_CHECKING:
    from core.governance.constitution import Constitution
    from enclave_sim.host_config import HostConfig
    from enclave_sim.status import Status

Tell = Callable[[str], None]
Launch = Callable[[LocalNode, Tell], "Status"]
_REFUSED = re.compile(r"waits to join: .* \(([a-z-]+)\): (.*)")
_NEXT_STEP = {
    "unknown-slot": "A member proposes it: coco node approve {slot} --member MEMBER --address {address}; then others "
    "vote: coco node approve {slot}.",
    "restart-approval": "What it asks its members: coco node restart show",
    "not-approved-yet": "More than half of the members must agree: coco node approve {slot} (who has: coco governance "
    "proposals).",
}
"""What is to be done about refusals (core/governance/join_refusals.py) that people have to do something about."""

_WAITS_FOR_TICKET = "waits for a ticket: its member signs"
"""What a host says of a node that waits for one (enclave_sim/ticket_hosting.py)."""

_WAITS = (
    (re.compile(r"(waits for the members: .*)"), "Members approve of it: coco node restart show --node {slot}"),
    (
        re.compile(r"still (waits: .*)"),
        "It goes on once those are started. If they are lost for good: coco node restart accept-loss {slot}",
    ),
)
"""Lines of a node that waits for people, or for other people's nodes, and what is to be done."""

ACTIVE_SECONDS_MAX = 120.0
POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Started:
    """A node that serves. was_running: before this start."""

    node: LocalNode
    status: Status
    was_running: bool = False


class WaitsToBeLetIn(CocoError):
    """A node that runs, and asks again and again to be let in, until people have done something."""

    exit_code = 3


class WaitsForPeople(CocoError):
    """A node that runs, and waits for its network to start again: for members, or for others' nodes."""

    exit_code = 3


def launch_detached(node: LocalNode, tell: Tell) -> Status:
    """Start a node's host in the background; returns once it serves.

    Raises CocoError; and WaitsToBeLetIn, or WaitsForTicket, as soon as the node waits for members; it runs on then.
    """
    from enclave_sim.host import start_detached

    def told(text: str) -> None:
        tell(f"{node.slot}: {text}")
        if _WAITS_FOR_TICKET in text and request_file(node) is not None:
            raise waiting(node)
        refused = _REFUSED.search(text)
        if refused is not None and refused[1] in _NEXT_STEP:
            raise WaitsToBeLetIn(
                f"{node.slot} runs, and waits to be let in: {refused[2]}",
                hint=_NEXT_STEP[refused[1]].format(slot=node.slot, address=peer_address(node))
                + f" It goes on asking by itself: coco node status --node {node.slot}",
            )

        for waits, hint in _WAITS:
            if (found := waits.search(text)) is not None:
                raise WaitsForPeople(f"{node.slot} runs, and {found[1]}", hint=hint.format(slot=node.slot))

    return start_detached(node.directory, on_progress=told)


def start_nodes(
    nodes: Sequence[LocalNode], client: ClientStore | None, tell: Tell, launch: Launch = launch_detached
) -> list[Started]:
    """Start those of these nodes that do not run; returns all of them, in their order. Raises CocoError.

    Nodes that wait for a ticket are left to it.
    """
    patient = [node for node in nodes if request_file(node) is not None]
    nodes = [node for node in nodes if node not in patient]
    for node in patient:
        tell(f"{node.slot} waits for a ticket")
    if not nodes:
        raise waiting(patient[0])
    running = {node.slot: found for node in nodes if (found := running_status(node)) is not None}
    started = [Started(node, running[node.slot], True) for node in nodes if node.slot in running]
    if not started:
        started = start_again(nodes, tell, launch) or [Started(nodes[0], launch(nodes[0], tell))]
    first_started = started[0]
    if client is not None:
        remember(client, first_started)
    others = [node for node in nodes if node.slot not in {one.node.slot for one in started}]
    if peer_address(first_started.node):
        prepare_joining(nodes, first_started, client, tell)
    for node in others:
        tell(f"{node.slot} joins")
        started.append(Started(node, launch(node, tell)))
    if others and client is not None:
        wait_until_active(client, first_started, [node.slot for node in others], tell)
    return sorted(started, key=lambda one: [node.slot for node in nodes].index(one.node.slot))


def start_again(nodes: Sequence[LocalNode], tell: Tell, launch: Launch) -> list[Started]:
    """Start those that took part before, all at once; returns none where there are none. Raises CocoError."""
    returning = [node for node in nodes if read_node_config(node).authorization and has_ledger(node)]
    if not returning:
        return []
    with ThreadPoolExecutor(len(returning)) as pool:
        starting = [pool.submit(launch, node, tell) for node in returning]
    failures = [error for one in starting if (error := one.exception()) is not None]
    if failures:
        raise failures[0]
    return [Started(node, one.result()) for node, one in zip(returning, starting, strict=True)]


def has_ledger(node: LocalNode) -> bool:
    """Say whether a node has any ledger on its disk."""
    from enclave_sim.host_config import NodePaths

    folder = NodePaths(node.directory).disk / "ledger"
    return folder.is_dir() and any(folder.iterdir())


def prepare_joining(nodes: Sequence[LocalNode], first: Started, client: ClientStore | None, tell: Tell) -> None:
    """See that each node can join the network in which `first` runs: slots, delegations, and whom to ask.

    The first one gets all that, too, for the next time that it starts while others run. A node that joins by tickets
    gets no delegation.
    """
    constitution = read_genesis(first.node)
    places = [
        Place(node.slot, member_of(constitution, number), peer_address(node)) for number, node in enumerate(nodes)
    ]
    if client is None:
        return  # A host without clients: what its nodes need was put into their directories.
    with connect_to(client, first) as connection:
        service = str(connection.get("/node/network").get("service_certificate", ""))
        if len(nodes) > 1:
            tell("members admit the nodes")
            ensure_admitted(connection, client, constitution, places)
        known = slots_of(connection)
    for node, place in zip(nodes, places, strict=True):
        slot = known.get(node.slot)
        if slot is None:
            continue
        place = Place(node.slot, str(slot["member"]), str(slot["address"]))
        by_ticket = read_node_config(node).ticket_seconds > 0
        if not by_ticket and (node.slot != first.node.slot or place.member in client.identities()):
            ensure_delegation(node.directory, client, constitution, place, service)
        contacts = [str(one["address"]) for name, one in known.items() if name != node.slot and one["address"]]
        contacts.sort(key=lambda address: address != peer_address(first.node))
        configure(node, authorization=AUTHORIZATION_FILE, contacts=contacts)


def wait_until_active(client: ClientStore, first: Started, slots: Sequence[str], tell: Tell) -> None:
    """Wait until nodes that have joined take part in full; raises CocoError."""
    deadline = time.monotonic() + ACTIVE_SECONDS_MAX
    with connect_to(client, first) as connection:
        while True:
            try:
                known = slots_of(connection)
            except (Refused, Unreachable):
                known = {}  # An election may be under way.
            waiting = [slot for slot in slots if known.get(slot, {}).get("state") != "active"]
            if not waiting:
                return
            if time.monotonic() > deadline:
                raise CocoError(
                    f"{', '.join(waiting)}: started, and not taken into the network within {ACTIVE_SECONDS_MAX:.0f} s",
                    hint=f"coco node status --network {client.network}; the logs tell more.",
                )
            tell(f"{', '.join(waiting)} catching up")
            time.sleep(POLL_SECONDS)


def remember(client: ClientStore, started: Started) -> None:
    """Pin what the node shows, unless it was pinned before, and keep its address. Raises PinDiffers."""
    from enclave_sim.host_config import NodePaths

    paths = NodePaths(started.node.directory)
    pin(client, paths.front_end_ca)
    pin_root(client, paths.evidence / "root.pem")
    client.set_url(started.status.url, *(url for url in client.urls() if url != started.status.url))


def connect_to(client: ClientStore, started: Started) -> Connection:
    """Connect to one node as the default identity."""
    connection = connect_client(client, client.identity(None))
    connection.url, connection.others = started.status.url, ()
    return connection


def running_status(node: LocalNode) -> Status | None:
    """Return the status of a node that runs; raises NodeStopped for one that is starting, WaitsForPeople."""
    from enclave_sim.status import read_status, running_pid

    found = read_status(node.directory)
    if found is None and (pid := running_pid(node.directory)) is not None:
        if (waiting := read_waiting(node)) is not None:
            raise WaitsForPeople(
                f"{node.slot} runs, and waits for {waiting.state.waits_for}",
                hint=f"coco node restart show --node {node.slot}",
            )
        raise NodeStopped(
            f"{node.slot} is being started or stopped by another command (process {pid})",
            hint="Try again in a moment.",
        )
    return found


def configure(node: LocalNode, *, authorization: str, contacts: Sequence[str]) -> None:
    """Write how a node starts the next time."""
    config = read_node_config(node)
    changed = msgspec.structs.replace(config, authorization=authorization, contacts=tuple(contacts))
    if changed != config:
        write_private(node.directory / "network.json", changed.encode())


def read_node_config(node: LocalNode) -> HostConfig:
    """Return a node's network.json; raises CocoError."""
    from enclave_sim.host_config import read_config

    return read_config(node.directory)[0]


def read_genesis(node: LocalNode) -> Constitution:
    """Return the constitution that a node was given; raises CocoError."""
    from core.governance.constitution import Constitution
    from enclave_sim.host_config import read_config

    return Constitution.decode(read_config(node.directory)[1])


def peer_address(node: LocalNode) -> str:
    return read_node_config(node).peer_address
