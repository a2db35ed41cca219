"""How a node learns that it was taken off the list of nodes, and what it does then.

A removed node gets nothing more of consensus, so that the entry which removes it may never reach it as committed. The
leader tells it with the last message on their channel (peer_messages.Removed), before that ends. Losing the message is
harmless: the node is refused by all others from then on, as before. A node that does see its own retirement committed
needs no word.

What is told counts only from a registered node, over the attested channel with it (its code then tells the truth), and
only from who leads this node's view, or of a later view. A removed node takes no part any more, ends its channels, and
serves nothing; it says so, and names others to whoever asks it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set

from core.node.manager_tables import SystemState
from core.node.peer_messages import Inbound, PeerNetwork, PeerNode, Removed
from core.node.replication.register import registered
from core.types import NodeId, Seqno, View

ADDRESSES_TOLD_MAX = 4


class Registration:
    """Has a node's channels follow the register, until it is out of it itself. text: what it says of itself then."""

    def __init__(self, own: NodeId, peers: PeerNetwork, log: Callable[[str], None]) -> None:
        self.text = ""
        self._own = own
        self._peers = peers
        self._log = log
        self._state: SystemState | None = None

    def follow(self, state: SystemState, view: View, seqno: Seqno) -> bool:
        """Take the committed state, as of seqno; return whether it is another. view: in which this node leads, or 0."""
        before, self._state = self._state, state
        if self.text or state is before:
            return False
        nodes, removed = registered(state)
        self._peers.update(nodes, removed, farewells(before, nodes, removed, view, seqno))
        info = state.nodes.get(self._own.encode())
        if info is not None and info.status == "Retired":
            self._leave(_addresses(nodes))
        return True

    def hear(self, notice: Removed, inbound: Inbound, view: View, leader: NodeId | None) -> bool:
        """Take a notice of this node's removal; return whether it counts. view, leader: as this node knows them."""
        nodes = {} if self._state is None else registered(self._state)[0]
        why_not = ""
        if inbound.claims is not None or inbound.sender not in nodes:
            why_not = "it is not from a registered node"
        elif notice.node != self._own:
            why_not = f"it is about node {notice.node[:16]}"
        elif notice.view < view:
            why_not = f"it is of view {notice.view}, which is over"
        elif notice.view == view and leader not in (None, inbound.sender):
            why_not = "it is not from the node that leads the view"
        if why_not:
            self._log(f"a notice that this node was removed counts for nothing: {why_not}")
            return False
        self._leave(notice.addresses)
        return True

    def _leave(self, addresses: Sequence[str]) -> None:
        others = f" Other nodes reach each other at {', '.join(addresses)}." if addresses else ""
        self.text = f"This node was removed from the network, and serves nothing any more.{others}"
        self._log(self.text)
        self._peers.update({}, frozenset())


def farewells(
    before: SystemState | None, nodes: Mapping[NodeId, PeerNode], removed: Set[NodeId], view: View, seqno: Seqno
) -> dict[NodeId, Removed]:
    """Return what a leader says to the nodes that a committed entry has taken out. before: the register till then."""
    if before is None or not view:
        return {}
    addresses = _addresses(nodes)
    return {node: Removed(node, view, seqno, addresses) for node in registered(before)[0].keys() & removed}


def _addresses(nodes: Mapping[NodeId, PeerNode]) -> tuple[str, ...]:
    return tuple(sorted(one.address for one in nodes.values() if one.address)[:ADDRESSES_TOLD_MAX])
