"""What waits to be sent on one channel: bounded, and cut into packets in which every lane gets its share.

Messages of consensus may be lost, and are worth less the older they are. So of the urgent ones the oldest makes room,
and what waited too long is not sent at all. The ordered ones are refused when there is no room: what is queued
without a gap is of more use to a follower than what comes after one, and the engine hears that it was not sent.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from core import limits
from core.errors import LimitExceeded
from core.node.peers.kinds import BOUNDS, Lane
from core.node.peers.packets import PACKET_BYTES, PIECE_BYTES_MAX, PIECE_HEADER

_SHARED = (Lane.ORDERED, Lane.WORK, Lane.BULK)


@dataclass(slots=True)
class _Waiting:
    data: bytes
    since_s: float
    sent: int = 0


class SendQueue:
    """See the module. clock: seconds, monotonic."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lanes: dict[Lane, deque[_Waiting]] = {lane: deque() for lane in Lane}
        self._bytes: dict[Lane, int] = dict.fromkeys(Lane, 0)
        self._turns = deque(_SHARED)
        self._filled = asyncio.Event()
        self.dropped = 0

    def __bool__(self) -> bool:
        return any(self._lanes.values())

    def put(self, lane: Lane, data: bytes) -> bool:
        """Queue a message, and return whether there was room. Raises LimitExceeded for one above its lane's bound."""
        bounds = BOUNDS[lane]
        if len(data) > bounds.message_bytes_max:
            raise LimitExceeded(f"message of {len(data)} bytes; the bound is {bounds.message_bytes_max}")
        waiting = self._lanes[lane]
        while waiting and (len(waiting) >= bounds.messages_max or self._bytes[lane] + len(data) > bounds.bytes_max):
            self.dropped += 1
            if not bounds.drops_oldest:
                return False
            self._remove_first(lane)
        waiting.append(_Waiting(data, self._clock()))
        self._bytes[lane] += len(data)
        self._filled.set()
        return True

    def wake(self) -> None:
        """Have `next_packet` return, if with an empty packet."""
        self._filled.set()

    async def next_packet(self) -> bytes:
        """Wait until there is something, and return the next packet."""
        while not self._filled.is_set():
            await self._filled.wait()
        pieces: list[bytes] = []
        size = self._take_urgent(pieces)
        while size < PACKET_BYTES and (lane := self._next_lane()) is not None:
            size += self._take_piece(lane, pieces)
        if not self:
            self._filled.clear()
        return b"".join(pieces)

    def _take_urgent(self, pieces: list[bytes]) -> int:
        size, waiting = 0, self._lanes[Lane.URGENT]
        oldest_s = self._clock() - limits.PEER_URGENT_SECONDS_MAX
        while waiting and size < PACKET_BYTES:
            if waiting[0].since_s < oldest_s:
                self.dropped += 1
                self._remove_first(Lane.URGENT)
            else:
                size += self._take_piece(Lane.URGENT, pieces)
        return size

    def _next_lane(self) -> Lane | None:
        """Return the lane whose turn it is, of those in which something waits."""
        for _ in range(len(self._turns)):
            lane = self._turns[0]
            self._turns.rotate(-1)
            if self._lanes[lane]:
                return lane
        return None

    def _take_piece(self, lane: Lane, pieces: list[bytes]) -> int:
        first = self._lanes[lane][0]
        piece = first.data[first.sent : first.sent + PIECE_BYTES_MAX]
        first.sent += len(piece)
        is_last = first.sent == len(first.data)
        pieces += (PIECE_HEADER.pack(lane, is_last, len(piece)), piece)
        if is_last:
            self._remove_first(lane)
        return PIECE_HEADER.size + len(piece)

    def _remove_first(self, lane: Lane) -> None:
        self._bytes[lane] -= len(self._lanes[lane].popleft().data)
