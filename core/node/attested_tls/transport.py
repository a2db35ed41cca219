"""An attested connection as a Transport: whole messages between two nodes, over any stream of bytes.

The messages are framed as between enclaves (core/frames.py), inside TLS. One task receives, any number send.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

from core import limits
from core.errors import AuthenticationFailed, ChannelClosed, CocoError, LimitExceeded
from core.frames import FrameReader, frame_header
from core.node.attested_tls.connection import AttestedConnection, State
from core.node.attested_tls.errors import HandshakeTimedOut
from core.node.attested_tls.peer import Peer
from core.ports import EvidenceSource

READ_BYTES = 64 * limits.KIBIBYTE
CLOSE_SECONDS_MAX = 2.0
"""How long `close` lets the other end take what was sent."""

_GONE = "the other end of the channel is gone"


class ByteStream(Protocol):
    """A stream of bytes to another node, by way of the host. Untrusted."""

    async def read(self) -> bytes:
        """Return the next bytes (at most READ_BYTES), b"" at the end."""
        ...

    def write(self, data: bytes) -> None:
        """Queue bytes."""
        ...

    async def drain(self) -> None:
        """Wait while the other end is slow. Raises ChannelClosed."""
        ...

    async def close(self) -> None:
        """Let the other end take what was written, for at most CLOSE_SECONDS_MAX, and close."""
        ...

    def abort(self) -> None:
        """Close at once and lose what waits."""
        ...


class SocketStream:
    """A ByteStream over asyncio's streams, so also over an inherited socket (asyncio.open_connection(sock=...))."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self) -> bytes:
        try:
            return await self._reader.read(READ_BYTES)
        except OSError:
            return b""

    def write(self, data: bytes) -> None:
        if data and not self._writer.is_closing():
            self._writer.write(data)

    async def drain(self) -> None:
        try:
            await self._writer.drain()
        except OSError:
            raise ChannelClosed(_GONE) from None

    async def close(self) -> None:
        self._writer.close()
        try:
            async with asyncio.timeout(CLOSE_SECONDS_MAX):
                await self._writer.wait_closed()
        except TimeoutError:
            self.abort()
        except OSError:
            return

    def abort(self) -> None:
        self._writer.transport.abort()


async def open_attested(
    connection: AttestedConnection,
    stream: ByteStream,
    source: EvidenceSource,
    *,
    seconds_max: float = limits.NODE_HANDSHAKE_SECONDS_MAX,
    frame_bytes_max: int = limits.MESSAGE_BYTES_MAX,
) -> AttestedTransport:
    """Run the handshake, for at most seconds_max on the event loop's clock; return the channel.

    frame_bytes_max: what is received in one message at most.

    Raises the refusal (an AuthenticationFailed) once the other side has been told, and HandshakeTimedOut. The stream
    is closed then.
    """
    try:
        async with asyncio.timeout(seconds_max):
            return await _handshake(connection, stream, source, frame_bytes_max)
    except TimeoutError:
        stream.abort()
        connection.expire()
        raise HandshakeTimedOut("the other side was not confirmed in time") from None
    except CocoError:
        stream.write(connection.data_to_send())
        await stream.close()
        raise
    except BaseException:
        stream.abort()
        raise


async def _handshake(
    connection: AttestedConnection, stream: ByteStream, source: EvidenceSource, frame_bytes_max: int
) -> AttestedTransport:
    plaintext = b""
    while True:
        stream.write(connection.data_to_send())
        await stream.drain()
        if connection.state is State.OPEN or connection.state is State.CLOSED:
            return AttestedTransport(connection, stream, plaintext, frame_bytes_max)
        wanted = connection.report_data
        if wanted is not None:
            connection.give_evidence(await source.evidence(wanted))
            continue
        data = await stream.read()
        if data:
            plaintext = connection.receive(data)
        else:
            connection.end_of_stream()


class AttestedTransport:
    """See the module. Made by `open_attested`."""

    def __init__(
        self, connection: AttestedConnection, stream: ByteStream, plaintext: bytes, frame_bytes_max: int
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._reader = FrameReader(frame_bytes_max)
        self._frames: deque[bytes | LimitExceeded] = deque(self._reader.feed(plaintext))
        self._peer = connection.peer
        self._closing: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<AttestedTransport {self._peer.node_id[:16]} {self._connection.state.name}>"

    @property
    def peer(self) -> Peer:
        return self._peer

    @property
    def refusal(self) -> AuthenticationFailed | None:
        """Why the channel was refused or revoked after it was open; None when it was not."""
        return self._connection.refusal

    async def send(self, message: bytes) -> None:
        """Send one message: a cancelled send has still sent. Raises ChannelClosed, LimitExceeded."""
        header = frame_header(len(message))
        try:
            self._connection.send(header + message)
        except AuthenticationFailed as refusal:
            raise ChannelClosed(refusal.message) from refusal
        self._stream.write(self._connection.data_to_send())
        await self._stream.drain()
        self._require_open()

    async def receive(self) -> bytes:
        """Return the next message. Raises LimitExceeded for one that was too long, and ChannelClosed."""
        while not self._frames:
            self._require_open()
            data = await self._stream.read()
            self._require_open()
            if not data:
                self._connection.end_of_stream()
                continue
            try:
                self._frames += self._reader.feed(self._connection.receive(data))
            except AuthenticationFailed as refusal:
                self._stream.write(self._connection.data_to_send())
                await self._stream.close()
                raise ChannelClosed(refusal.message) from refusal
            self._stream.write(self._connection.data_to_send())
        frame = self._frames.popleft()
        if isinstance(frame, LimitExceeded):
            raise frame
        return frame

    async def close(self) -> None:
        """Say that this is the end, and close."""
        self._connection.close()
        self._stream.write(self._connection.data_to_send())
        await self._stream.close()

    def send_last(self, message: bytes, refusal: AuthenticationFailed) -> None:
        """Send one message more, and close: nothing is sent after it, and nothing more is delivered.

        The other end may take what was written before and this, for a moment; or not, if it is slow.
        """
        if self._closing is not None or self._connection.state is not State.OPEN:
            return
        try:
            self._connection.send(frame_header(len(message)) + message)
        except (ChannelClosed, LimitExceeded, AuthenticationFailed):
            return
        self._stream.write(self._connection.data_to_send())
        self._connection.abort(refusal)
        self._frames.clear()
        self._closing = asyncio.create_task(self._stream.close())

    def revoke(self, refusal: AuthenticationFailed) -> None:
        """Close at once: nothing more is sent or delivered, not even what waits."""
        if self._closing is not None:
            return
        self._connection.abort(refusal)
        self._frames.clear()
        self._stream.abort()

    def _require_open(self) -> None:
        refusal = self._connection.refusal
        if refusal is not None:
            raise ChannelClosed(refusal.message) from refusal
        if self._connection.state is not State.OPEN:
            raise ChannelClosed(_GONE)
