"""Which nodes a node talks to, as the committed tables say."""

from __future__ import annotations

from core.crypto.keys import PublicKey
from core.node.manager_tables import SystemState
from core.node.peer_messages import PeerNode
from core.types import NodeId


def registered(state: SystemState) -> tuple[dict[NodeId, PeerNode], frozenset[NodeId]]:
    """Return the nodes that are in a slot and trusted, with their addresses, and those that are not trusted any more.

    A node that is being replaced has its slot's address like the one that replaces it.
    """
    addresses = {node: slot.address for slot in state.slots.values() for node in slot.nodes}
    nodes, removed = dict[NodeId, PeerNode](), set[NodeId]()
    for raw, info in state.nodes.items():
        node = NodeId(raw.decode("ascii", "replace"))
        if info.status != "Trusted":
            removed.add(node)
        elif node in addresses:
            nodes[node] = PeerNode(PublicKey.from_pem(info.public_key), addresses[node])
    return nodes, frozenset(removed)
