"""The open WebSocket connections of a gateway: one handler task each, their number, and whose they still are.

A connection stays admitted only while its credentials do: it is checked again when the constitution changes and with
every ping, so that a withdrawn token or an expired certificate ends it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from websockets.frames import CloseCode

from core import limits
from core.adapter.interface import Caller, Overloaded, Response, WebSocket
from core.errors import AuthenticationFailed, ChannelClosed, CocoError, InvariantBroken
from core.node.http_protocol import HttpConnection, RawRequest, error_response
from core.node.websocket import SocketBounds, WebSocketConnection, open_protocol


@dataclass(frozen=True, slots=True)
class SocketOffer:
    """What a route offers a caller: its handler. authorization, path_token: what the caller was known by."""

    caller: Caller
    handler: Callable[[WebSocket], Awaitable[None]]
    subprotocols: tuple[str, ...] = ()
    authorization: str | None = field(default=None, repr=False)
    path_token: str | None = field(default=None, repr=False)


class WebSocketServer:
    """See the module. fatal: called with a broken invariant. emptied: called when the last connection has ended."""

    def __init__(
        self,
        bounds: SocketBounds,
        log: Callable[[str], None],
        fatal: Callable[[InvariantBroken], None],
        emptied: Callable[[], None],
    ) -> None:
        self._bounds = bounds
        self._log = log
        self._fatal = fatal
        self._emptied = emptied
        self._tasks: dict[asyncio.Task[None], WebSocketConnection] = {}
        self._by_caller: Counter[str | None] = Counter()

    def __len__(self) -> int:
        return len(self._tasks)

    def open(
        self, connection: HttpConnection, request: RawRequest, offer: SocketOffer, verify: Callable[[], Caller]
    ) -> Response | None:
        """Take over a connection, or return the answer to a handshake that is refused.

        verify: returns who the caller is by now, raises AuthenticationFailed.
        """
        if self._by_caller[offer.caller.identity] >= limits.WEBSOCKETS_PER_CALLER_MAX:
            return error_response(503, "this identity has too many WebSocket connections open", "Close some.")
        protocol = open_protocol(request, offer.subprotocols, self._bounds.message_bytes_max)
        if isinstance(protocol, Response):
            return protocol

        def is_admitted() -> bool:
            try:
                return verify() == offer.caller
            except AuthenticationFailed:
                return False

        def ended() -> None:
            asyncio.get_running_loop().call_later(self._bounds.close_seconds_max, task.cancel)

        socket = WebSocketConnection(protocol, offer.caller, self._bounds, is_admitted=is_admitted, ended=ended)
        task = asyncio.get_running_loop().create_task(self._run(socket, offer))
        self._tasks[task] = socket
        self._by_caller[offer.caller.identity] += 1
        task.add_done_callback(self._done)
        connection.hand_over(socket)
        return None

    def recheck(self) -> None:
        """Close the connections whose credentials no longer hold."""
        for socket in list(self._tasks.values()):
            socket.recheck()

    def close(self) -> None:
        """Begin to close every connection, because the node stops."""
        for socket in list(self._tasks.values()):
            socket.close(CloseCode.GOING_AWAY, "the node is stopping")

    async def abort(self) -> None:
        """Close every connection at once, and end the handlers."""
        for task, socket in list(self._tasks.items()):
            socket.abort()
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, socket: WebSocketConnection, offer: SocketOffer) -> None:
        code, reason = await self._handle(socket, offer)
        socket.close(code, reason)
        await socket.wait_lost()

    async def _handle(self, socket: WebSocketConnection, offer: SocketOffer) -> tuple[int, str]:
        """Run the handler to its end; returns how to close."""
        try:
            await offer.handler(socket)
        except ChannelClosed:
            pass
        except Overloaded as error:
            return CloseCode.TRY_AGAIN_LATER, error.message[:100]
        except CocoError as error:
            self._log(f"a WebSocket handler gave up ({type(error).__name__})")
            return CloseCode.INTERNAL_ERROR, "the connection could not be served"
        except InvariantBroken as error:
            self._fatal(error)
            return CloseCode.INTERNAL_ERROR, "the node is stopping"
        except Exception as error:  # noqa: BLE001 - the dispatcher: handlers are other people's code
            self._log(f"a WebSocket handler failed ({type(error).__name__})")
            return CloseCode.INTERNAL_ERROR, "the connection could not be served"
        return CloseCode.NORMAL_CLOSURE, ""

    def _done(self, task: asyncio.Task[None]) -> None:
        socket = self._tasks.pop(task)
        identity = socket.caller.identity
        self._by_caller[identity] -= 1
        if not self._by_caller[identity]:
            del self._by_caller[identity]
        socket.abort()  # Its handler was cancelled: the connection may still be there.
        if not self._tasks:
            self._emptied()
