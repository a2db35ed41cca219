"""PeerNetworks of several nodes in one process, without TLS: whoever sends is who the hub says. With faults on demand.

Only bytes cross. `cut` a node or a pair of them, and `heal`; `delay` messages; look at what passes, or change it.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Set
from dataclasses import dataclass, field

from core.crypto.keys import PrivateKey, PublicKey
from core.node.peer_messages import (
    BODY,
    NO_FAREWELLS,
    Body,
    Inbound,
    Introduction,
    JoinAccepted,
    JoinDenied,
    JoinRequest,
    PeerNode,
    PeerUnreachable,
    Removed,
)
from core.ports import ReportClaims
from core.types import NodeId
from tests.support.manifests import FAKE_ROOT

QUEUED_MAX = 4_096
MANAGER_CLAIMS = ReportClaims(
    measurement=bytes(32),
    signer=bytes(32),
    security_version=1,
    report_data=bytes(64),
    platform="fake",
    tee="sgx",
    debug=False,
    simulated=True,
    product=1,
    root=FAKE_ROOT,
    tcb_status="UpToDate",
)

Changes = Callable[[NodeId, NodeId, Body], Body | None]
"""Returns what arrives of a message from one node to another; None: it is lost."""


@dataclass(slots=True)
class Hub:
    """What connects the nodes. delay_seconds: of every message."""

    nodes: dict[NodeId, MemoryPeers] = field(default_factory=dict)
    cuts: set[frozenset[NodeId]] = field(default_factory=set)
    delay_seconds: float = 0.0
    breaks: Counter[frozenset[NodeId]] = field(default_factory=Counter)
    """How often the channel of two nodes was broken."""
    changes: Changes | None = None
    claims: ReportClaims = MANAGER_CLAIMS

    def connect(self, key: PrivateKey, address: str) -> MemoryPeers:
        """Add a node."""
        made = MemoryPeers(self, key.public_key(), address)
        self.nodes[made.node] = made
        return made

    def at(self, address: str) -> MemoryPeers | None:
        """Return the newest node at an address that is not closed."""
        found = [one for one in self.nodes.values() if one.address == address and not one.closed]
        return found[-1] if found else None

    def cut(self, node: NodeId, *others: NodeId) -> None:
        """Cut a node off from others; without any named, from all."""
        for other in others or tuple(self.nodes):
            if other != node:
                self.cuts.add(frozenset((node, other)))
                self.breaks[frozenset((node, other))] += 1

    def reset(self, node: NodeId, other: NodeId) -> None:
        """Break a channel, which is there again at once. What was on its way is lost."""
        self.breaks[frozenset((node, other))] += 1

    def heal(self) -> None:
        """Undo all cuts."""
        self.cuts.clear()

    def link(self, one: MemoryPeers, to: NodeId) -> MemoryPeers | None:
        """Return the other end of an open channel, None when there is none."""
        other = self.nodes.get(to)
        if other is None or other.closed or one.closed or frozenset((one.node, to)) in self.cuts:
            return None
        return other if to in one.register and one.node in other.register else None


class MemoryPeers:
    """Implements PeerNetwork."""

    def __init__(self, hub: Hub, key: PublicKey, address: str) -> None:
        self._hub = hub
        self._key = key
        self.node = key.node_id()
        self.address = address
        self.register: dict[NodeId, PeerNode] = {}
        self.removed: frozenset[NodeId] = frozenset()
        self.closed = False
        self.sent: dict[str, int] = {}
        self._inbox: asyncio.Queue[Inbound] = asyncio.Queue()
        self._numbers = itertools.count()

    def update(
        self, nodes: Mapping[NodeId, PeerNode], removed: Set[NodeId], farewells: Mapping[NodeId, Removed] = NO_FAREWELLS
    ) -> None:
        for node, message in farewells.items():
            if node not in nodes:
                self.send(node, message)
        self.register = {node: one for node, one in nodes.items() if node != self.node}
        self.removed = frozenset(removed)

    def connected(self) -> Set[NodeId]:
        return {node for node in self.register if self._hub.link(self, node) is not None}

    def send(self, to: NodeId, message: Body) -> bool:
        other = self._hub.link(self, to)
        if other is None or other._inbox.qsize() >= QUEUED_MAX:
            return False
        self.sent[type(message).__name__] = self.sent.get(type(message).__name__, 0) + 1
        self._deliver(other, BODY.encode(message), None)
        return True

    def generation(self, node: NodeId) -> int:
        return 0 if self._hub.link(self, node) is None else 1 + self._hub.breaks[frozenset((self.node, node))]

    async def request(self, to: NodeId, message: Body, *, seconds_max: float) -> Body:
        other = self._hub.link(self, to)
        if other is None:
            raise PeerUnreachable(f"there is no channel to node {to[:16]}")
        reply: asyncio.Future[Body] = asyncio.get_running_loop().create_future()

        async def answer(body: Body) -> None:
            if not reply.done() and self._hub.link(other, self.node) is not None:
                reply.set_result(BODY.decode(BODY.encode(body)))

        self._deliver(other, BODY.encode(message), answer)
        return await self._wait(reply, seconds_max, lambda: self._hub.link(self, to) is not None)

    async def introduce(self, address: str, request: JoinRequest, *, seconds_max: float) -> Introduction:
        other = self._hub.at(address)
        if other is None or frozenset((self.node, other.node)) in self._hub.cuts:
            raise PeerUnreachable(f"{address} does not answer")
        reply: asyncio.Future[Body] = asyncio.get_running_loop().create_future()

        async def answer(body: Body) -> None:
            if not reply.done():
                reply.set_result(BODY.decode(BODY.encode(body)))

        other._inbox.put_nowait(Inbound(self.node, self._key, self._hub.claims, request, answer))
        body = await self._wait(reply, seconds_max, lambda: not other.closed)
        assert isinstance(body, JoinAccepted | JoinDenied)
        return Introduction(other.node, other._key, MANAGER_CLAIMS, body)

    async def receive(self) -> Inbound:
        return await self._inbox.get()

    async def close(self) -> None:
        self.closed = True

    def inject(self, sender: NodeId, message: Body) -> None:
        """Have a message arrive as that node's, as a hostile one would send it."""
        key = self._hub.nodes[sender]._key
        self._inbox.put_nowait(Inbound(sender, key, None, message, None))

    def _deliver(self, other: MemoryPeers, data: bytes, answer: Callable[[Body], Awaitable[None]] | None) -> None:
        sent_by = self.generation(other.node)

        def arrive() -> None:
            if self.generation(other.node) != sent_by:
                return
            message: Body | None = BODY.decode(data)
            if self._hub.changes is not None:
                message = self._hub.changes(self.node, other.node, BODY.decode(data))
            if message is not None:
                other._inbox.put_nowait(Inbound(self.node, self._key, None, message, answer))

        if self._hub.delay_seconds:
            asyncio.get_running_loop().call_later(self._hub.delay_seconds, arrive)
        else:
            arrive()

    @staticmethod
    async def _wait(reply: asyncio.Future[Body], seconds_max: float, is_open: Callable[[], bool]) -> Body:
        until = asyncio.get_running_loop().time() + seconds_max
        while not reply.done():
            await asyncio.wait((reply,), timeout=0.02)
            if not reply.done() and (not is_open() or asyncio.get_running_loop().time() > until):
                raise PeerUnreachable("the channel ended")
        return reply.result()
