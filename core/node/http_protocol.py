"""One HTTP/1.1 connection: bytes in, requests out, one at a time and in order. Lean, since every request pays for it.

Parsing is httptools (llhttp). Requests that a client sends ahead (pipelining) wait, within bounds; beyond them the
socket is not read. A request that is malformed or over a bound is answered once, and the connection ends. One that asks
for WebSocket ends HTTP here: another protocol takes the connection over, with the bytes that came behind the request.
Source: RFC 9112.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol, cast

import httptools
import msgspec

from core import limits
from core.adapter.interface import Response
from core.node.tls import verified_chain

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_ALWAYS = b"cache-control: no-store\r\n"
_AHEAD_BYTES_MAX = limits.MEBIBYTE
"""What may come behind a request for WebSocket before it is answered (one read of the socket is less)."""


@dataclass(slots=True)
class RawRequest:
    """A request as it came. target: as in the request line. headers: lower-case names, repeated ones joined."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    keep_alive: bool
    upgrade: bool = False
    """Whether it asks to go on in WebSocket."""


class ConnectionOwner(Protocol):
    """The server, as a connection sees it."""

    request_bytes_max: int
    stopping: bool

    def opened(self, connection: HttpConnection) -> None: ...

    def closed(self, connection: HttpConnection) -> None: ...

    def upgrade(self, connection: HttpConnection, request: RawRequest) -> Response | None:
        """Take the connection over (`hand_over`), or return an answer; must not raise."""
        ...


Serve = Callable[["HttpConnection", RawRequest], Awaitable[Response]]
"""Answers a request; must not raise."""


def error_response(status: int, error: str, hint: str = "", *headers: tuple[str, str]) -> Response:
    """Return an error in the one shape that the node's own errors have."""
    return Response(status, msgspec.json.encode({"error": error, "hint": hint}), headers=headers)


class HttpConnection(asyncio.Protocol):
    """See the module. Made by the server for each accepted socket."""

    def __init__(self, owner: ConnectionOwner, serve: Serve) -> None:
        self._owner = owner
        self._serve = serve
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[RawRequest] = deque()
        self._waiting_bytes = 0
        self._task: asyncio.Task[None] | None = None
        self._refusal: Response | None = None
        self._refused = False
        self._reading_paused = False
        self._writing_paused = False
        self._closed = False
        self._upgrading = False
        self._ahead = b""
        self._in_head = False
        self._head_bytes = 0
        self._begin_request()
        self.last_activity = self._loop.time()
        self.request_began: float | None = None
        """When the request that is being received began, in the loop's time."""
        self.memo: object = None
        """Whatever the server wants to remember of this connection."""

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._owner.opened(self)

    def data_received(self, data: bytes) -> None:
        self.last_activity = self._loop.time()
        if self._refused:
            return
        if self._upgrading:
            self._read_ahead(data)
            return
        was_in_head = self._in_head
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._read_ahead(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse(400, "malformed HTTP request")
        if was_in_head and self._in_head:
            self._head_bytes += len(data)
            self._check_head()
        if self._refusal is not None:
            self._refused = True
        self._start_next()
        if len(self._waiting) >= limits.CONNECTION_REQUESTS_MAX or self._waiting_bytes > self._owner.request_bytes_max:
            self._pause_reading()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        del error
        self._closed = True
        self._waiting.clear()
        self._owner.closed(self)

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        self._start_next()

    # What the parser calls.

    def on_message_begin(self) -> None:
        self._begin_request()
        self._in_head = True
        self._head_bytes = 0
        self.request_began = self._loop.time()

    def on_url(self, part: bytes) -> None:
        self._target += part
        self._head_bytes += len(part)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes += len(name) + len(value) + 4
        if self._head_bytes > limits.REQUEST_HEADER_BYTES_MAX:
            self._check_head()
            return
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        known = self._headers.get(key)
        self._headers[key] = text if known is None else f"{known}, {text}"

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._check_head()
        length = self._headers.get("content-length", "0")
        if length.isdecimal() and len(length) < 20 and int(length) > self._owner.request_bytes_max:
            self._refuse_body()
        elif self._headers.get("expect", "").lower() == "100-continue" and self._is_idle() and self._refusal is None:
            self._transport.write(_CONTINUE)

    def on_body(self, part: bytes) -> None:
        self._body_bytes += len(part)
        if self._body_bytes > self._owner.request_bytes_max:
            self._refuse_body()
        else:
            self._body.append(part)

    def on_message_complete(self) -> None:
        self.request_began = None
        upgrade = self._parser.should_upgrade()
        if upgrade and not self._is_websocket():
            self._refuse(400, "this is no request to speak WebSocket, and no other upgrade is known", "Speak HTTP/1.1.")
        if self._refusal is not None:
            return
        try:
            target = self._target.decode("ascii")
        except UnicodeDecodeError:
            self._refuse(400, "the request target is not ASCII", "Percent-encode it.")
            return
        self._upgrading = upgrade
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._waiting_bytes += len(body)
        self._waiting.append(
            RawRequest(
                self._parser.get_method().decode("latin-1"),
                target,
                self._headers,
                body,
                self._parser.should_keep_alive(),
                upgrade,
            )
        )

    # What the server calls.

    @property
    def peer_chain(self) -> Sequence[bytes]:
        """The client's certificate (DER) and those above it as TLS verified them; empty when it showed none."""
        found = cast("ssl.SSLObject | None", self._transport.get_extra_info("ssl_object"))
        return [] if found is None else verified_chain(found)

    def hand_over(self, successor: asyncio.Protocol) -> None:
        """Give the connection to another protocol for good; this one does nothing more. Called from `upgrade`."""
        self._closed = True
        self._transport.set_protocol(successor)
        successor.connection_made(self._transport)
        if self._writing_paused:
            successor.pause_writing()
        if self._ahead:
            successor.data_received(self._ahead)
            self._ahead = b""
        if self._reading_paused:
            self._transport.resume_reading()

    def is_busy(self) -> bool:
        """Whether a request is being answered or waits."""
        return self._task is not None or bool(self._waiting)

    def is_stuck(self) -> bool:
        """Whether the client does not take what is sent to it."""
        return self._writing_paused

    def close_when_idle(self) -> None:
        """Close after the requests that have been received, at once when there are none."""
        if not self.is_busy():
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    def time_out(self) -> None:
        """Answer 408 to a request that does not come to an end, and close."""
        if not self._refused:
            self._refuse(408, "the request took too long to arrive")
            self._refused = True
            self._start_next()

    # The rest.

    def _is_websocket(self) -> bool:
        return (
            self._headers.get("upgrade", "").lower() == "websocket"
            and self._parser.get_method() == b"GET"
            and self._parser.get_http_version() == "1.1"
            and self._headers.get("content-length", "0") == "0"
            and "transfer-encoding" not in self._headers
        )

    def _read_ahead(self, data: bytes) -> None:
        """Keep what came behind a request for WebSocket, and read no more until it is answered."""
        if not self._upgrading:
            return  # Refused in on_message_complete.
        self._ahead += data
        self._pause_reading()
        if len(self._ahead) > _AHEAD_BYTES_MAX:
            self.abort()

    def _begin_request(self) -> None:
        self._target = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._body_bytes = 0

    def _is_idle(self) -> bool:
        return self._task is None and not self._waiting

    def _check_head(self) -> None:
        if self._head_bytes > limits.REQUEST_HEADER_BYTES_MAX:
            self._refuse(431, f"the request's head is over {limits.REQUEST_HEADER_BYTES_MAX} bytes")

    def _refuse_body(self) -> None:
        self._body.clear()
        self._refuse(413, f"the request's body is over {self._owner.request_bytes_max} bytes", "Send less at a time.")

    def _refuse(self, status: int, error: str, hint: str = "") -> None:
        """Answer with an error after the requests before this one, and read nothing more."""
        if self._refusal is None:
            self._refusal = error_response(status, error, hint)
            self.request_began = None

    def _start_next(self) -> None:
        if self._task is not None or self._closed or self._writing_paused:
            return
        if self._waiting:
            request = self._waiting.popleft()
            self._waiting_bytes -= len(request.body)
            self._task = self._loop.create_task(self._answer(request))
        elif self._refusal is not None:
            self._write(self._refusal, keep_alive=False, head_only=False)
            self._refusal = None
        if self._reading_paused and not self._upgrading and len(self._waiting) <= limits.CONNECTION_REQUESTS_MAX // 2:
            self._resume_reading()

    async def _answer(self, request: RawRequest) -> None:
        if request.upgrade:
            refused = None if self._closed else self._owner.upgrade(self, request)
            self._task = None
            if refused is not None:
                self._write(refused, keep_alive=False, head_only=False)
            return
        response = await self._serve(self, request)
        self._task = None
        self.last_activity = self._loop.time()
        if self._closed:
            return
        keep_alive = request.keep_alive and not self._owner.stopping
        self._write(response, keep_alive=keep_alive, head_only=request.method == "HEAD")
        if keep_alive:
            self._start_next()

    def _write(self, response: Response, *, keep_alive: bool, head_only: bool) -> None:
        head = [_STATUS_LINES.get(response.status) or f"HTTP/1.1 {response.status} Status\r\n".encode()]
        if response.status != 204:
            head.append(
                b"content-type: %b\r\ncontent-length: %d\r\n" % (response.content_type.encode(), len(response.body))
            )
        head.extend(f"{name}: {value}\r\n".encode("latin-1") for name, value in response.headers)
        head.append(_ALWAYS if keep_alive else _ALWAYS + b"connection: close\r\n")
        head.append(b"\r\n")
        if not head_only and response.status != 204:
            head.append(response.body)
        self._transport.write(b"".join(head))
        if not keep_alive:
            self._refused = True
            self._waiting.clear()
            self._transport.close()

    def _pause_reading(self) -> None:
        if not self._reading_paused and not self._closed:
            self._reading_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if not self._closed and not self._transport.is_closing():
            self._reading_paused = False
            self._transport.resume_reading()
