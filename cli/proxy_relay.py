"""Two WebSockets of `coco proxy` made one: messages and the end of either side pass to the other as they are.

A side is read only as fast as the other takes what it is sent, so nothing piles up here.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from aiohttp import ClientWebSocketResponse, WSMessage, WSMsgType, web

Socket = web.WebSocketResponse | ClientWebSocketResponse

NORMAL, GOING_AWAY, NO_STATUS, FAILED = 1000, 1001, 1005, 1011
_UNSENT = frozenset({1004, 1006, 1015})
"""What a close code may be read as and never sent as (RFC 6455, section 7.4.1)."""
_REASON_BYTES_MAX = 123


@dataclass(frozen=True, slots=True)
class Ending:
    """How one side ended."""

    code: int
    reason: bytes = b""


async def join(tool: web.WebSocketResponse, node: ClientWebSocketResponse) -> None:
    """Pass messages both ways until either side ends, then end the other likewise."""
    up, down = asyncio.create_task(_pump(tool, node)), asyncio.create_task(_pump(node, tool))
    try:
        await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
        # A side that vanished: the tool just went; of the node it is a failure.
        if down.done():
            await _end(tool, down.result(), vanished=FAILED)
        else:
            await _end(node, up.result(), vanished=GOING_AWAY)
    finally:
        for pump in (up, down):
            pump.cancel()
        await asyncio.gather(up, down, return_exceptions=True)


async def _pump(source: Socket, sink: Socket) -> Ending:
    """Pass on what one side sends until it ends, or the other is gone."""
    try:
        while True:
            message: WSMessage = await source.receive()
            match message.type:
                case WSMsgType.TEXT:
                    await sink.send_str(message.data)
                case WSMsgType.BINARY:
                    await sink.send_bytes(message.data)
                case WSMsgType.CLOSE:
                    return Ending(int(message.data), str(message.extra or "").encode())
                case _:
                    return Ending(source.close_code or 1006)
    except ConnectionError:
        return Ending(sink.close_code or 1006)


async def _end(side: Socket, ending: Ending, *, vanished: int) -> None:
    if side.closed:
        return
    code = vanished if ending.code in _UNSENT or not 1000 <= ending.code <= 4999 else ending.code
    await side.close(
        code=NORMAL if code in (0, NO_STATUS) else code,
        message=ending.reason if len(ending.reason) <= _REASON_BYTES_MAX else b"",
    )
