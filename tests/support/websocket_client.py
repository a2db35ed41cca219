"""WebSocket clients of the gateway's tests: a real one, and one that writes frames by hand, well or badly made."""

from __future__ import annotations

import base64
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from tests.support.gateway_bench import Bench, Client, Credential, bearer

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10


async def open_socket(
    bench: Bench,
    path: str = "/",
    headers: Mapping[str, str] | None = None,
    credential: Credential | None = None,
    **options: Any,
) -> ClientConnection:
    """Return a connection of the `websockets` package's own client; raises InvalidStatus."""
    return await connect(
        f"wss://localhost:{bench.port}{path}",
        host="127.0.0.1",
        ssl=bench.context(credential),
        additional_headers=dict(headers or {}),
        proxy=None,
        **options,
    )


def handshake(path: str = "/", headers: Mapping[str, str] | None = None) -> bytes:
    """Return a request to speak WebSocket."""
    lines = {
        "host": "localhost",
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": base64.b64encode(os.urandom(16)).decode(),
        **(headers or {}),
    }
    head = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in lines.items() if value)]
    return "\r\n".join(head).encode() + b"\r\n\r\n"


def frame(opcode: int, data: bytes = b"", *, fin: bool = True, mask: bool = True, reserved: int = 0) -> bytes:
    """Return one frame of a client."""
    first = opcode | 0x80 * fin | reserved << 4
    size = len(data)
    if size < 126:
        head = struct.pack("!BB", first, size | 0x80 * mask)
    elif size < 65536:
        head = struct.pack("!BBH", first, 126 | 0x80 * mask, size)
    else:
        head = struct.pack("!BBQ", first, 127 | 0x80 * mask, size)
    # Masked with zeros, data stays as it is.
    return head + bytes(4) * mask + data


def close_frame(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, struct.pack("!H", code) + reason)


@dataclass(frozen=True)
class Frame:
    opcode: int
    data: bytes

    @property
    def close_code(self) -> int:
        assert self.opcode == CLOSE, self
        return int.from_bytes(self.data[:2], "big")


class RawSocket:
    """Writes what it is told to, and reads frames."""

    def __init__(self, client: Client) -> None:
        self.client = client

    @classmethod
    async def open(cls, bench: Bench, ahead: bytes = b"", path: str = "/") -> RawSocket:
        """Connect as alice; ahead: sent right behind the handshake."""
        client = await bench.connect()
        client.writer.write(handshake(path, bearer("alice")) + ahead)
        reply = await client.read()
        assert reply.status == 101, reply
        return cls(client)

    def send(self, *frames: bytes) -> None:
        self.client.writer.write(b"".join(frames))

    async def read(self) -> Frame:
        reader = self.client.reader
        first, size = await reader.readexactly(2)
        assert size < 128, "a server's frames are not masked"
        if size == 126:
            size = int.from_bytes(await reader.readexactly(2), "big")
        elif size == 127:
            size = int.from_bytes(await reader.readexactly(8), "big")
        assert first & 0x80
        return Frame(first & 0x0F, await reader.readexactly(size))
