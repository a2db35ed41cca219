"""What each node of a network says of itself, side by side: role, leader, view, how far it is."""

from __future__ import annotations

import msgspec

from cli.connection import CONNECT_SECONDS_MAX, Connection
from cli.errors import NotFound, Refused, Unreachable
from cli.local_nodes import local_nodes
from cli.membership import slots_of
from cli.network_start import read_node_config
from cli.store import ClientStore, Store
from core.errors import CocoError

NOT_KNOWN = "-"


HEADINGS = ("node", "member", "state", "role", "view", "committed", "applied", "url")


class NodeView(msgspec.Struct, frozen=True):
    """One node. What nobody told is "-" or None. role: leader, follower, or `down` for
    one of this machine that does not answer.

    view, committed, applied: the newest view, committed entry, and entry that its state holds. state: of
    its slot, as the list of nodes has it.
    """

    slot: str
    member: str = NOT_KNOWN
    state: str = NOT_KNOWN
    role: str = NOT_KNOWN
    leader: str = NOT_KNOWN
    view: int | None = None
    committed: int | None = None
    applied: int | None = None
    node: str = NOT_KNOWN
    address: str = NOT_KNOWN
    url: str = NOT_KNOWN
    error: str = ""


def table_row(view: NodeView) -> tuple[object, ...]:
    """Return the cells under HEADINGS."""
    numbers = [NOT_KNOWN if one is None else one for one in (view.view, view.committed, view.applied)]
    return (view.slot, view.member, view.state, view.role, *numbers, view.url)


def read_peers(store: Store, network: str) -> bool:
    """Say whether a node of this machine has to do with others."""
    return any(read_node_config(node).has_peers for node in local_nodes(store.network_directory(network)))


def overview(store: Store, client: ClientStore, connection: Connection) -> list[NodeView]:
    """Ask every node whose address is known here, and list the slots that the network has. Raises Unreachable."""
    answered: dict[str, NodeView] = {}
    silent: dict[str, str] = {}
    slots = None
    for url in _urls(store, client, connection):
        try:
            with _to(connection, url) as one:
                node = str(one.get("/node/network").get("node_id", ""))
                answered[node] = _described(one, url, node)
                slots = slots or _slots(one)
        except (Unreachable, Refused) as error:
            silent[url] = error.message
    if not answered:
        raise Unreachable(
            f"no node of network {client.network} answers: {'; '.join(silent.values())}",
            hint=f"Start it: coco network start {client.network}",
        )
    here = _local_slots(store, client.network)
    views = [_in_slot(slot, dict(entry), answered) for slot, entry in (slots or {}).items()]
    listed = {view.node for view in views}
    views += [view for node, view in answered.items() if node not in listed]
    return [_as_known(view, here, silent) for view in views]


def url_of(store: Store, client: ClientStore, connection: Connection, slot: str) -> str:
    """Return the address of the node in a slot; raises NotFound."""
    url = _local_slots(store, client.network).get(slot)
    if url is not None:
        return url
    views = overview(store, client, connection)
    for view in views:
        if view.slot == slot and view.url != NOT_KNOWN:
            return view.url
    slots = ", ".join(view.slot for view in views)
    raise NotFound(
        f"the address of node {slot[:64]} of network {client.network} is not known here",
        hint=f"The network has {slots}. Addresses are in {client.directory / 'url'}, a line each.",
    )


def _urls(store: Store, client: ClientStore, connection: Connection) -> list[str]:
    local = [url for url in _local_slots(store, client.network).values() if url is not None]
    return list(dict.fromkeys([connection.url, *local, *client.urls()]))


def _local_slots(store: Store, network: str) -> dict[str, str | None]:
    """Return the addresses of this machine's nodes, by slot; None for one that does not run."""
    from enclave_sim.status import read_status

    found = {node.slot: read_status(node.directory) for node in local_nodes(store.network_directory(network))}
    return {slot: None if status is None else status.url for slot, status in found.items()}


def _to(connection: Connection, url: str) -> Connection:
    """Return a connection to one node, and to no other."""
    return Connection(
        url, connection.ca_file, connection.token, connection.network, timeout_seconds=CONNECT_SECONDS_MAX
    )


def _described(connection: Connection, url: str, node: str) -> NodeView:
    status = connection.get("/node/status")
    role = str(status.get("role", "leader"))
    return NodeView(
        slot=str(status.get("slot", NOT_KNOWN)),
        role=role,
        leader=str(status.get("leader") or (node if role == "leader" else NOT_KNOWN)),
        view=status.get("view"),
        committed=status.get("committed"),
        applied=status.get("applied", status.get("committed")),
        node=node,
        url=url,
    )


def _slots(connection: Connection) -> dict[str, dict[str, object]] | None:
    try:
        return {name: dict(entry) for name, entry in slots_of(connection).items()}
    except (CocoError, Unreachable):
        return None


def _in_slot(slot: str, entry: dict[str, object], answered: dict[str, NodeView]) -> NodeView:
    """Return a slot with what its node says; one that waits to be promoted counts from when it answers."""
    nodes = [str(entry.get(name) or "") for name in ("node", "replaces")]
    view = next((answered[node] for node in nodes if node in answered), NodeView(slot, node=nodes[0] or NOT_KNOWN))
    return msgspec.structs.replace(
        view,
        slot=slot,
        member=str(entry.get("member", NOT_KNOWN)),
        state=str(entry.get("state", NOT_KNOWN)),
        address=str(entry.get("address") or NOT_KNOWN),
    )


def _as_known(view: NodeView, here: dict[str, str | None], silent: dict[str, str]) -> NodeView:
    """Say that a node is down where that is known: it is on this machine, and did not answer."""
    if view.url != NOT_KNOWN or view.state == "removed" or view.slot not in here:
        return view
    url = here[view.slot] or NOT_KNOWN
    return msgspec.structs.replace(view, url=url, role="down", error=silent.get(url, ""))
