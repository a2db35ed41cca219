"""Channels of mode join: bounded, since each costs this node a quote before it knows anything of the other side."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Self

from core import limits
from core.errors import AuthenticationFailed, ChannelClosed
from core.node.attested_tls.errors import HandshakeTimedOut, HandshakeTruncated
from core.node.attested_tls.register import NodeRegister
from core.node.attested_tls.transport import AttestedTransport
from core.node.peer_messages import Introduction, JoinAccepted, JoinDenied, JoinRequest, PeerUnreachable
from core.node.peers.channel import PeerChannel
from core.node.peers.errors import JoinOverdue, JoinsExceeded
from core.node.peers.inbox import Source
from core.node.peers.kinds import IsOrdered
from core.node.peers.timing import PeerTiming
from core.ports import Evidence, EvidenceSource

_ALWAYS: IsOrdered = lambda _: True  # noqa: E731


class JoinDesk:
    """Lets so many in at a time, and so many per minute. clock: seconds, monotonic."""

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        at_once: int = limits.PEER_JOINS_MAX,
        per_minute: int = limits.PEER_JOINS_PER_MINUTE,
    ) -> None:
        self._clock = clock
        self._at_once = at_once
        self._per_second = per_minute / 60
        self._inside = 0
        self._room = float(at_once)
        self._counted_s = clock()

    def enter(self) -> None:
        """Raise JoinsExceeded unless there is room for one more."""
        now = self._clock()
        self._room = min(float(self._at_once), self._room + (now - self._counted_s) * self._per_second)
        self._counted_s = now
        if self._inside >= self._at_once or self._room < 1:
            raise JoinsExceeded(f"{self._inside} nodes are joining, and more asked a moment ago", hint="Try again.")
        self._room -= 1
        self._inside += 1

    def leave(self) -> None:
        """Make room again."""
        self._inside -= 1


class JoinGate:
    """The EvidenceSource of one accepted connection: at the desk, then at the platform. Use it in a `with`."""

    def __init__(self, desk: JoinDesk, source: EvidenceSource) -> None:
        self._desk = desk
        self._source = source
        self._is_inside = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_inside:
            self._desk.leave()

    async def evidence(self, report_data: bytes) -> Evidence:
        """Return evidence; raises JoinsExceeded."""
        if not self._is_inside:
            self._desk.enter()
            self._is_inside = True
        return await self._source.evidence(report_data)


async def receive_join(
    transport: AttestedTransport, source: Source, register: NodeRegister, timing: PeerTiming
) -> AuthenticationFailed | None:
    """Serve a node that asks to be registered, until it has its answer and goes; return what it did wrong.

    Raises NodeRemoved for one that was removed meanwhile.
    """
    channel = PeerChannel(transport, source=source, timing=timing, is_ordered=_ALWAYS)
    register.track(channel)
    running = asyncio.create_task(channel.run())
    try:
        done, _ = await asyncio.wait({running}, timeout=timing.join)
        if not done:
            channel.end(JoinOverdue(f"the node that joins took more than {timing.join:.0f} s"))
        reason = await running
    finally:
        running.cancel()
    return None if isinstance(reason, ChannelClosed) else reason


async def ask_to_join(
    transport: AttestedTransport, request: JoinRequest, timing: PeerTiming, seconds_max: float
) -> Introduction:
    """Ask the node at the other end, and return its answer. Raises PeerUnreachable."""
    channel = PeerChannel(transport, source=None, timing=timing, is_ordered=_ALWAYS)
    peer = channel.peer
    if peer.claims is None:
        raise PeerUnreachable("the channel is not one for joining")
    running = asyncio.create_task(channel.run())
    try:
        answer = await channel.request(request, seconds_max=seconds_max)
    finally:
        running.cancel()
        await asyncio.wait({running})
    if not isinstance(answer, JoinAccepted | JoinDenied):
        raise PeerUnreachable("the node gave another answer than to the request")
    return Introduction(peer.node_id, peer.public_key, peer.claims, answer)


def as_unreachable(error: AuthenticationFailed) -> AuthenticationFailed | PeerUnreachable:
    """Return what a failed handshake means to who joins: a refusal, or that nobody was there to refuse."""
    if isinstance(error, HandshakeTimedOut | HandshakeTruncated):
        return PeerUnreachable(f"the node did not take the connection: {error.message}", hint=error.hint)
    return error
