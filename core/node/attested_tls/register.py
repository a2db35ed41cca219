"""The nodes that the ledger registers, as a policy for channels. One that leaves loses its open channels at once."""

from __future__ import annotations

from collections.abc import Mapping, Set
from types import MappingProxyType
from typing import Protocol
from weakref import WeakSet

from core.crypto.keys import PublicKey
from core.errors import AuthenticationFailed, InvariantBroken
from core.node.attested_tls.errors import NodeRemoved, NodeUnknown
from core.node.attested_tls.hello import Mode
from core.node.attested_tls.peer import Peer
from core.ports import ReportClaims
from core.types import NodeId


class Revocable(Protocol):
    """An open channel."""

    @property
    def peer(self) -> Peer: ...

    def revoke(self, refusal: AuthenticationFailed) -> None:
        """Close at once; nothing more is sent or delivered."""
        ...


class NodeRegister:
    """See the module. `admit` is a connection's policy; `track` is called with each channel once it is open."""

    def __init__(self, nodes: Mapping[NodeId, PublicKey], removed: Set[NodeId] = frozenset()) -> None:
        self._open: WeakSet[Revocable] = WeakSet()
        self._nodes: Mapping[NodeId, PublicKey] = {}
        self._removed: Set[NodeId] = frozenset()
        self.replace(nodes, removed)

    @property
    def nodes(self) -> Mapping[NodeId, PublicKey]:
        return MappingProxyType(self._nodes)

    def replace(self, nodes: Mapping[NodeId, PublicKey], removed: Set[NodeId] = frozenset()) -> int:
        """Take a new state of the ledger; close the channels of whom it no longer admits, and return how many.

        removed: nodes that were registered once and never may be again, which mode join refuses too.
        """
        if any(key.node_id() != node_id for node_id, key in nodes.items()) or nodes.keys() & removed:
            raise InvariantBroken("the register names a node by another id than its key's, or one that was removed")
        self._nodes, self._removed = dict(nodes), frozenset(removed)
        closed = 0
        for channel in tuple(self._open):
            refusal = self._refusal(channel.peer.node_id, channel.peer.mode)
            if refusal is not None:
                self._open.discard(channel)
                channel.revoke(refusal)
                closed += 1
        return closed

    def admit(self, claims: ReportClaims | None, node_id: NodeId, mode: Mode) -> None:
        """Raise NodeRemoved, or in mode pinned NodeUnknown. What a joining node's claims are worth, others decide."""
        refusal = self._refusal(node_id, mode)
        if refusal is not None:
            raise refusal

    def track(self, channel: Revocable) -> None:
        """Close this channel when its node is no longer admitted; raises as `admit` when it is not by now."""
        peer = channel.peer
        refusal = self._refusal(peer.node_id, peer.mode)
        if refusal is not None:
            channel.revoke(refusal)
            raise refusal
        self._open.add(channel)

    def _refusal(self, node_id: NodeId, mode: Mode) -> NodeRemoved | NodeUnknown | None:
        if node_id in self._removed:
            return NodeRemoved(
                f"the node {node_id[:16]} was removed from the network",
                hint="It may join again under a new key, once the members admit it.",
            )
        if mode is Mode.PINNED and node_id not in self._nodes:
            return NodeUnknown(
                f"the node {node_id[:16]} is not registered",
                hint="A new node joins first; one that was just admitted tries again in a moment.",
            )
        return None
