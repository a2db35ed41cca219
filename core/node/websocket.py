"""One WebSocket connection of the gateway: frames in, whole messages out, all of it bounded. Source: RFC 6455.

Framing and the closing handshake are the `websockets` package's Sans-I/O protocol. No extension is taken up:
compression costs memory per connection and lets lengths tell of contents. Invariants: what waits for the handler is
bounded (beyond it the socket is not read), what waits for the client is bounded (beyond it senders wait, and a client
that stays slow is closed), and a client that answers no ping is gone. A quiet one that answers pings lives on.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from websockets.datastructures import Headers
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request as HandshakeRequest
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from core import limits
from core.adapter.interface import Caller, Response
from core.errors import ChannelClosed, LimitExceeded
from core.node.http_protocol import RawRequest, error_response

_VERSION = "13"
_LINGER_SECONDS = 0.5
"""After a failure, how long what the client still sends is thrown away, so that it can read why before the end."""
_SILENT = logging.Logger("websocket", logging.CRITICAL + 1)
"""The package would log frames, which nobody may see."""


@dataclass(frozen=True, slots=True)
class SocketBounds:
    message_bytes_max: int = limits.REQUEST_BYTES_MAX
    ping_seconds: float = limits.WEBSOCKET_PING_SECONDS
    message_seconds_max: float = limits.REQUEST_SECONDS_MAX
    """How long a message in fragments may take to arrive."""
    slow_seconds_max: float = limits.WEBSOCKET_SLOW_SECONDS_MAX
    close_seconds_max: float = limits.WEBSOCKET_CLOSE_SECONDS_MAX


def open_protocol(raw: RawRequest, subprotocols: Sequence[str], message_bytes_max: int) -> ServerProtocol | Response:
    """Return a protocol with its handshake accepted and ready to be sent, or the answer to one that is wrong."""
    if raw.headers.get("sec-websocket-version", _VERSION) != _VERSION:
        return error_response(
            426,
            "only WebSocket version 13 is spoken",
            "",
            ("sec-websocket-version", _VERSION),
            ("upgrade", "websocket"),
        )
    protocol = ServerProtocol(
        subprotocols=[Subprotocol(name) for name in subprotocols] or None, max_size=message_bytes_max, logger=_SILENT
    )
    headers = Headers({name: value for name, value in raw.headers.items() if _concerns_handshake(name)})
    protocol.receive_data(HandshakeRequest("/", headers).serialize())
    for event in protocol.events_received():
        if isinstance(event, HandshakeRequest):
            answer = protocol.accept(event)
            if answer.status_code == 101:
                protocol.send_response(answer)
                return protocol
    return error_response(400, f"the WebSocket handshake is wrong: {protocol.handshake_exc}")


def _concerns_handshake(header: str) -> bool:
    return header in ("connection", "upgrade") or header.startswith("sec-websocket-")


class WebSocketConnection(asyncio.Protocol):
    """A `WebSocket` for its handler, and an asyncio protocol for the transport. `ended` is called once, when it ends.

    is_admitted: whether the caller's credentials still hold; asked with every ping.
    """

    def __init__(
        self,
        protocol: ServerProtocol,
        caller: Caller,
        bounds: SocketBounds,
        *,
        is_admitted: Callable[[], bool],
        ended: Callable[[], None],
    ) -> None:
        self.caller = caller
        self._protocol = protocol
        self._bounds = bounds
        self._is_admitted = is_admitted
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._open = True
        self._messages: deque[str | bytes] = deque()
        self._messages_bytes = 0
        self._partial = bytearray()
        self._partial_is_text = False
        self._partial_began: float | None = None
        self._arrived = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self._lost = asyncio.Event()
        self._senders = 0
        self._writing_paused = False
        self._reading_paused = False
        self._heard = True
        self._slow: asyncio.TimerHandle | None = None
        self._end: asyncio.TimerHandle | None = None
        self._tick: asyncio.TimerHandle | None = None

    # What the handler calls.

    async def receive(self) -> str | bytes | None:
        """Return the next message, text or binary; None once the connection is closed."""
        while not self._messages:
            if not self._open:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        message = self._messages.popleft()
        self._messages_bytes -= len(message)
        self._control_reading()
        return message

    async def send(self, message: str | bytes) -> None:
        """Send one message, waiting while the client is slow to take it. Raises ChannelClosed, LimitExceeded."""
        data = message.encode() if isinstance(message, str) else message
        if len(data) > limits.RESPONSE_BYTES_MAX:
            raise LimitExceeded(f"a message of {len(data)} bytes; the bound is {limits.RESPONSE_BYTES_MAX}")
        while self._open and self._writing_paused:
            if self._senders >= limits.WEBSOCKET_SENDERS_MAX:
                self._fail(CloseCode.TRY_AGAIN_LATER, "too much is waiting to be read")
                break
            self._senders += 1
            try:
                await self._drained.wait()
            finally:
                self._senders -= 1
        if not self._open or self._transport.is_closing():
            raise ChannelClosed("the WebSocket connection is closed")
        if isinstance(message, str):
            self._protocol.send_text(data)
        else:
            self._protocol.send_binary(data)
        self._flush()
        await asyncio.sleep(0)  # A handler that only sends lets others run.

    # What the server calls.

    def close(self, code: int, reason: str = "") -> None:
        """Begin the closing handshake, unless the connection is closing already."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(code, reason)
            self._flush()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    def recheck(self) -> None:
        """Close when the caller's credentials no longer hold."""
        if self._open and not self._is_admitted():
            self.close(CloseCode.POLICY_VIOLATION, "the credentials are no longer accepted")

    async def wait_lost(self) -> None:
        """Wait until the transport is gone."""
        await self._lost.wait()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=limits.WEBSOCKET_BUFFER_BYTES_MAX)
        self._flush()
        self._tick = self._loop.call_later(self._bounds.ping_seconds, self._on_tick)

    def data_received(self, data: bytes) -> None:
        self._protocol.receive_data(data)
        for frame in self._protocol.events_received():
            self._heard = True
            if self._open and isinstance(frame, Frame):
                self._take(frame)
        self._flush()
        self._control_reading()

    def eof_received(self) -> bool:
        self._protocol.receive_eof()
        self._flush()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        del error
        self._finish()
        for timer in (self._slow, self._end, self._tick):
            if timer is not None:
                timer.cancel()
        self._lost.set()

    def pause_writing(self) -> None:
        self._writing_paused = True
        self._drained.clear()
        if self._slow is None:
            self._slow = self._loop.call_later(self._bounds.slow_seconds_max, self._too_slow)
        self._control_reading()

    def resume_writing(self) -> None:
        self._writing_paused = False
        self._drained.set()
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None
        self._control_reading()

    # The rest.

    def _take(self, frame: Frame) -> None:
        match frame.opcode:
            case Opcode.TEXT | Opcode.BINARY:
                self._partial_is_text = frame.opcode is Opcode.TEXT
                if frame.fin:
                    self._complete(frame.data)
                    return
                self._partial += frame.data
                self._partial_began = self._loop.time()
            case Opcode.CONT:
                self._partial += frame.data
                if frame.fin:
                    whole, self._partial, self._partial_began = self._partial, bytearray(), None
                    self._complete(whole)
            case _:
                pass  # The protocol answers pings and close frames itself.

    def _complete(self, data: bytes | bytearray | memoryview) -> None:
        if self._partial_is_text:
            try:
                message: str | bytes = str(data, "utf-8")
            except UnicodeDecodeError:
                self._fail(CloseCode.INVALID_DATA, "a text message is not UTF-8")
                return
        else:
            message = bytes(data)
        self._messages.append(message)
        self._messages_bytes += len(message)
        self._arrived.set()

    def _fail(self, code: CloseCode, reason: str) -> None:
        """Say why and end the connection without waiting for the client's part of the closing handshake."""
        self._protocol.fail(code, reason)
        self._flush()

    def _flush(self) -> None:
        """Write what the protocol has to say, and end what it ends."""
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
            elif self._protocol.close_rcvd is not None:
                self._transport.close()
            else:
                self._loop.call_later(_LINGER_SECONDS, self._transport.close)
        if self._protocol.state is not State.OPEN:
            self._finish()

    def _finish(self) -> None:
        """Let the handler know, once, that nothing more comes or goes; the transport is given a moment."""
        if not self._open:
            return
        self._open = False
        self._partial.clear()
        self._arrived.set()
        self._drained.set()
        self._control_reading()
        self._end = self._loop.call_later(self._bounds.close_seconds_max, self._transport.abort)
        self._ended()

    def _on_tick(self) -> None:
        self._tick = None
        if not self._open:
            return
        self.recheck()
        began = self._partial_began
        if began is not None and self._loop.time() - began > self._bounds.message_seconds_max:
            self._fail(CloseCode.POLICY_VIOLATION, "the message took too long to arrive")
        if not self._reading_paused:
            # While the socket is not read, an answer to a ping would not be heard.
            if not self._heard:
                self._fail(CloseCode.INTERNAL_ERROR, "pings are not answered")
            self._heard = False
        if self._open:
            if not self._writing_paused:
                self._protocol.send_ping(b"")
                self._flush()
            self._tick = self._loop.call_later(self._bounds.ping_seconds, self._on_tick)

    def _too_slow(self) -> None:
        self._slow = None
        self._fail(CloseCode.TRY_AGAIN_LATER, "what is sent is not read fast enough")

    def _control_reading(self) -> None:
        """Read while there is room for what comes and the client takes what it is sent; and to the end, once closed."""
        count = len(self._messages)
        full = count >= limits.WEBSOCKET_MESSAGES_MAX or self._messages_bytes > self._bounds.message_bytes_max
        wanted = self._open and (full or self._writing_paused)
        if self._transport.is_closing() or wanted == self._reading_paused:
            return
        if wanted:
            self._transport.pause_reading()
        elif self._open and count > limits.WEBSOCKET_MESSAGES_MAX // 2:
            return
        else:
            self._heard = True
            self._transport.resume_reading()
        self._reading_paused = wanted
