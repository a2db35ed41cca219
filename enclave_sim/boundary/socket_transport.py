"""A Transport over one end of an inherited socket pair.

One write per message; the event loop gathers small ones. Reading stops while the receiver lags behind by more than
QUEUED_BYTES_MAX, so the sender's `send` waits: nothing grows without bound on either side.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque

from core import limits
from core.errors import ChannelClosed, LimitExceeded
from core.frames import FrameReader, frame_header

QUEUED_BYTES_MAX = 4 * limits.MEBIBYTE
"""Received and not yet taken, beside one unfinished frame."""

WRITE_BUFFER_BYTES_MAX = 1 * limits.MEBIBYTE
JOIN_BYTES_MAX = 64 * limits.KIBIBYTE
"""Up to here header and message are joined by a copy; above, handed over as two pieces."""

CLOSE_SECONDS_MAX = 2.0
"""How long `close` lets the other end take what was sent."""

_GONE = "the other end of the channel is gone"


class _FrameProtocol(asyncio.Protocol):
    """The event loop's side: frames in, flow control both ways."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = loop.create_future()
        self.writable = asyncio.Event()
        self.writable.set()
        self.queue: deque[bytes | LimitExceeded] = deque()
        self.at_end = False
        self._reader = FrameReader()
        self._queued_bytes = 0
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        for frame in self._reader.feed(data):
            self.queue.append(frame)
            self._queued_bytes += len(frame) if isinstance(frame, bytes) else 0
        if not self.queue:
            return
        self._wake()
        if self._queued_bytes > QUEUED_BYTES_MAX and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        self._end()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()
        self.writable.set()
        if not self.closed.done():
            self.closed.set_result(None)

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    async def next_frame(self) -> bytes | LimitExceeded:
        while not self.queue:
            if self.at_end:
                raise ChannelClosed(_GONE)
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        frame = self.queue.popleft()
        self._queued_bytes -= len(frame) if isinstance(frame, bytes) else 0
        if self._paused and self._queued_bytes <= QUEUED_BYTES_MAX // 2 and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return frame

    def _end(self) -> None:
        self.at_end = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class SocketTransport:
    """See the module. Made by `open_socket_transport`; one task receives, any number send."""

    def __init__(self, transport: asyncio.Transport, protocol: _FrameProtocol) -> None:
        self._transport = transport
        self._protocol = protocol

    async def send(self, message: bytes) -> None:
        """Write the frame at once, then wait while the other end is slow: a cancelled send has still sent."""
        header = frame_header(len(message))
        protocol = self._protocol
        if protocol.closed.done() or self._transport.is_closing():
            raise ChannelClosed(_GONE)
        if len(message) <= JOIN_BYTES_MAX:
            self._transport.write(header + message)
        else:
            # Not writelines: in CPython 3.12.1 and 3.13.0 it never pauses the writer, and the buffer grows.
            self._transport.write(header)
            self._transport.write(message)
        if not protocol.writable.is_set():
            await protocol.writable.wait()

    async def receive(self) -> bytes:
        frame = await self._protocol.next_frame()
        if isinstance(frame, LimitExceeded):
            raise frame
        return frame

    def end(self) -> None:
        """End our direction only: the other end sees the channel closed, and what it sent can still be received."""
        if not self._transport.is_closing():
            self._transport.write_eof()

    async def close(self) -> None:
        """Let the other end take what was sent, for at most CLOSE_SECONDS_MAX, and close."""
        self._transport.close()
        done, _ = await asyncio.wait({self._protocol.closed}, timeout=CLOSE_SECONDS_MAX)
        if not done:
            self._transport.abort()


async def open_socket_transport(end: socket.socket) -> SocketTransport:
    """Take over one end of a socket pair."""
    end.setblocking(False)
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_unix_connection(_FrameProtocol, sock=end)
    transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES_MAX)
    return SocketTransport(transport, protocol)


async def open_fd_transport(fd: int) -> SocketTransport:
    """Take over an inherited file descriptor of a socket pair."""
    return await open_socket_transport(socket.socket(fileno=fd))
