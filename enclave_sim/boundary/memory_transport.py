"""A pair of transports inside one process, for tests and one-process nodes. Only bytes cross, nothing is shared."""

from __future__ import annotations

import asyncio
from collections import deque

from core import limits
from core.errors import ChannelClosed, LimitExceeded

QUEUED_MESSAGES_MAX = 256
QUEUED_BYTES_MAX = 4 * limits.MEBIBYTE
"""A sender waits while more than this is queued."""


class _Pipe:
    """One direction. A message is queued before its sender waits, so a cancelled send has still sent."""

    def __init__(self) -> None:
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._readable: asyncio.Future[None] | None = None
        self._writable: list[asyncio.Future[None]] = []
        self.closed = False

    def close(self) -> None:
        self.closed = True
        self._wake()

    def drop(self) -> None:
        """Close and lose what is queued, as a crash does."""
        self._queue.clear()
        self.close()

    async def put(self, message: bytes) -> None:
        if self.closed:
            raise ChannelClosed("the other end of the channel is gone")
        self._queue.append(message)
        self._queued_bytes += len(message)
        if self._readable is not None and not self._readable.done():
            self._readable.set_result(None)
        while not self.closed and self._is_full():
            waiter = asyncio.get_running_loop().create_future()
            self._writable.append(waiter)
            await waiter

    async def get(self) -> bytes:
        while not self._queue:
            if self.closed:
                raise ChannelClosed("the other end of the channel is gone")
            self._readable = asyncio.get_running_loop().create_future()
            await self._readable
        message = self._queue.popleft()
        self._queued_bytes -= len(message)
        if self._writable and not self._is_full():
            self._wake()
        return message

    def _is_full(self) -> bool:
        return len(self._queue) > QUEUED_MESSAGES_MAX or self._queued_bytes > QUEUED_BYTES_MAX

    def _wake(self) -> None:
        waiters, self._writable = self._writable, []
        if self._readable is not None:
            waiters.append(self._readable)
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


class MemoryTransport:
    """One end. Made by memory_pair."""

    def __init__(self, incoming: _Pipe, outgoing: _Pipe) -> None:
        self._incoming = incoming
        self._outgoing = outgoing

    async def send(self, message: bytes) -> None:
        if type(message) is not bytes:
            raise TypeError(f"a transport carries bytes, not {type(message).__name__}")
        if len(message) > limits.MESSAGE_BYTES_MAX:
            raise LimitExceeded(f"message of {len(message)} bytes; the bound is {limits.MESSAGE_BYTES_MAX}")
        await self._outgoing.put(message)

    async def receive(self) -> bytes:
        return await self._incoming.get()

    async def close(self) -> None:
        """Close both directions; what was sent before can still be received by the other end."""
        self._incoming.drop()
        self._outgoing.close()

    def crash(self) -> None:
        """Drop both directions at once, with everything in them."""
        self._incoming.drop()
        self._outgoing.drop()


def memory_pair() -> tuple[MemoryTransport, MemoryTransport]:
    """Return the two ends of a new in-memory channel."""
    there, back = _Pipe(), _Pipe()
    return MemoryTransport(back, there), MemoryTransport(there, back)
