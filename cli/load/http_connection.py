"""A client's HTTP/1.1 connection, as lean as it goes: whole requests out as bytes, answers by httptools."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import httptools

from core import limits


class HttpConnection(asyncio.Protocol):
    """One request in flight. answered: given status and body. lost: told why, once; neither is called after `close`."""

    def __init__(self, answered: Callable[[int, bytes], None], lost: Callable[[str], None]) -> None:
        self._answered = answered
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._closed = False
        self._parser = httptools.HttpResponseParser(self)

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._closed and not self._transport.is_closing()

    def send(self, wire: bytes) -> None:
        """Send a whole request. The connection is open."""
        cast(asyncio.Transport, self._transport).write(wire)

    def close(self) -> None:
        """Close at once."""
        self._closed = True
        if self._transport is not None:
            self._transport.abort()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self._closed:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._closed:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._end(f"malformed answer ({type(error).__name__})")

    def connection_lost(self, error: Exception | None) -> None:
        del error
        self._end("connection lost")

    # What the parser calls.

    def on_body(self, part: bytes) -> None:
        self._body_bytes += len(part)
        if self._body_bytes <= limits.RESPONSE_BYTES_MAX:
            self._body.append(part)

    def on_message_complete(self) -> None:
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        too_large = self._body_bytes > limits.RESPONSE_BYTES_MAX
        self._body, self._body_bytes = [], 0
        if too_large:
            self._end(f"an answer of more than {limits.RESPONSE_BYTES_MAX} bytes")
            return
        if not self._parser.should_keep_alive():
            self.close()
        self._answered(self._parser.get_status_code(), body)

    def _end(self, reason: str) -> None:
        if not self._closed:
            self.close()
            self._lost(reason)
