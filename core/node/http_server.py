"""Accepts TLS connections on a listening socket that the host made, bounds them and ends the idle ones.

A connection speaks HTTP, until it asks for WebSocket; either counts towards the bound of connections. A WebSocket that
is quiet is not idle: its pings are answered.

The TLS context and what is served can be replaced at any time: the context counts for new connections, the routes and
credentials for every request. Nothing is accepted before the first context is there.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from core import limits
from core.adapter.interface import Caller, Response
from core.errors import AuthenticationFailed, InvariantBroken
from core.node.authentication import Authenticator, Peer
from core.node.cross_origin import is_foreign_page, readable_by_pages
from core.node.front_routes import FrontRoutes
from core.node.http_protocol import HttpConnection, RawRequest, error_response
from core.node.websocket import SocketBounds
from core.node.websocket_server import SocketOffer, WebSocketServer

_SWEEPS_PER_TIMEOUT = 4


@dataclass(frozen=True, slots=True)
class ServerBounds:
    connections_max: int = limits.CONNECTIONS_MAX
    request_bytes_max: int = limits.REQUEST_BYTES_MAX
    handshake_seconds_max: float = limits.TLS_HANDSHAKE_SECONDS_MAX
    idle_seconds_max: float = limits.IDLE_CONNECTION_SECONDS_MAX
    request_seconds_max: float = limits.REQUEST_SECONDS_MAX
    """How long a request may take to arrive."""
    stop_seconds_max: float = limits.FLUSH_SECONDS_MAX
    """How long a stop waits for requests that are being answered, and for WebSockets to close."""
    ping_seconds: float = limits.WEBSOCKET_PING_SECONDS
    slow_seconds_max: float = limits.WEBSOCKET_SLOW_SECONDS_MAX


@dataclass(frozen=True, slots=True)
class _KnownPeer:
    """Whom a connection's client certificate stood for, under one constitution."""

    authenticator: Authenticator
    peer: Peer | AuthenticationFailed | None


class HttpServer:
    """See the module. Owns the listener. fatal: called with a broken invariant, which must stop the node."""

    def __init__(
        self,
        listener: socket.socket,
        bounds: ServerBounds,
        log: Callable[[str], None],
        fatal: Callable[[InvariantBroken], None],
    ) -> None:
        self._listener = listener
        self._listener.setblocking(False)
        self._bounds = bounds
        self._log = log
        self._fatal = fatal
        self._context: ssl.SSLContext | None = None
        self._routes: FrontRoutes | None = None
        self._connections: set[HttpConnection] = set()
        self._handshakes: dict[HttpConnection, asyncio.Task[None]] = {}
        self._ready = asyncio.Event()
        self._empty = asyncio.Event()
        sockets = SocketBounds(
            message_bytes_max=bounds.request_bytes_max,
            ping_seconds=bounds.ping_seconds,
            message_seconds_max=bounds.request_seconds_max,
            slow_seconds_max=bounds.slow_seconds_max,
            close_seconds_max=min(limits.WEBSOCKET_CLOSE_SECONDS_MAX, bounds.stop_seconds_max),
        )
        self._sockets = WebSocketServer(sockets, log, fatal, self._note_empty)
        self.request_bytes_max = bounds.request_bytes_max
        self.stopping = False

    def configure(self, context: ssl.SSLContext, routes: FrontRoutes) -> None:
        """Serve these routes, and use this context for connections from now on."""
        self._context = context
        self._routes = routes
        self._ready.set()
        self._sockets.recheck()

    @property
    def connections(self) -> int:
        """How many connections are open, WebSockets among them."""
        return len(self._connections) + len(self._sockets)

    async def accept(self) -> None:
        """Accept connections for ever, once configured."""
        await self._ready.wait()
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, _ = await loop.sock_accept(self._listener)
            except OSError as error:
                # Out of descriptors, or the client is gone already: what is open goes on.
                self._log(f"a connection could not be accepted: {error.strerror}")
                await asyncio.sleep(0.05)
                continue
            if len(self._connections) + len(self._sockets) + len(self._handshakes) >= self._bounds.connections_max:
                accepted.close()
                continue
            connection = HttpConnection(self, self.serve)
            self._handshakes[connection] = loop.create_task(self._handshake(connection, accepted))

    async def sweep(self) -> None:
        """End connections that are idle, or whose request does not come to an end, for ever."""
        loop = asyncio.get_running_loop()
        bounds = self._bounds
        pause = min(bounds.idle_seconds_max, bounds.request_seconds_max) / _SWEEPS_PER_TIMEOUT
        while True:
            await asyncio.sleep(pause)
            now = loop.time()
            for connection in list(self._connections):
                if connection.request_began is not None and now - connection.request_began > bounds.request_seconds_max:
                    connection.time_out()
                elif now - connection.last_activity > bounds.idle_seconds_max:
                    if connection.is_stuck():
                        connection.abort()
                    else:
                        connection.close_when_idle()

    async def stop(self) -> None:
        """Accept nothing more, let requests that are being answered finish within the bound, close everything."""
        self.stopping = True
        for task in list(self._handshakes.values()):
            task.cancel()
        self._listener.close()
        self._sockets.close()
        for connection in list(self._connections):
            connection.close_when_idle()
        if self._connections or self._sockets:
            self._empty.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), self._bounds.stop_seconds_max)
        await self.abort()

    async def abort(self) -> None:
        """Close every connection at once."""
        for connection in list(self._connections):
            connection.abort()
        await self._sockets.abort()

    # What connections call.

    def opened(self, connection: HttpConnection) -> None:
        self._handshakes.pop(connection, None)
        self._connections.add(connection)

    def closed(self, connection: HttpConnection) -> None:
        self._connections.discard(connection)
        self._note_empty()

    async def serve(self, connection: HttpConnection, request: RawRequest) -> Response:
        """Answer a request of a connection; never raises."""
        try:
            routes = self._serving()
            response = await routes.serve(request, self._peer(connection, request.headers, routes.authenticator))
        except AuthenticationFailed as error:
            response = error_response(401, error.message, error.hint)
        except InvariantBroken as error:
            self._fatal(error)
            response = error_response(500, "the node is stopping")
        if "origin" in request.headers and is_foreign_page(request.headers):
            return readable_by_pages(response)
        return response

    def upgrade(self, connection: HttpConnection, request: RawRequest) -> Response | None:
        """Let a connection go on in WebSocket, or return the answer that it may not; never raises."""
        if self.stopping:
            return error_response(503, "the node is stopping")
        try:
            routes = self._serving()
            peer = self._peer(connection, request.headers, routes.authenticator)
        except AuthenticationFailed as error:
            return error_response(401, error.message, error.hint)
        offer = routes.offer_socket(request, peer)
        if isinstance(offer, Response):
            return offer
        refused = self._sockets.open(connection, request, offer, partial(self._caller, connection, request, offer))
        if refused is None:
            self._connections.discard(connection)
        return refused

    def _caller(self, connection: HttpConnection, request: RawRequest, offer: SocketOffer) -> Caller:
        """Return who is behind a WebSocket under the constitution of the moment; raises AuthenticationFailed."""
        authenticator = self._serving().authenticator
        peer = self._peer(connection, request.headers, authenticator)
        return authenticator.verify_request(offer.authorization, offer.path_token, peer, time.time())

    def _serving(self) -> FrontRoutes:
        if self._routes is None:
            raise InvariantBroken("a connection was accepted before there was anything to serve")
        return self._routes

    def _note_empty(self) -> None:
        if not self._connections and not self._sockets:
            self._empty.set()

    def _peer(
        self, connection: HttpConnection, headers: Mapping[str, str], authenticator: Authenticator
    ) -> Peer | None:
        """Return whom the connection's client certificate speaks for; raises AuthenticationFailed."""
        known = connection.memo
        if not isinstance(known, _KnownPeer) or known.authenticator is not authenticator:
            known = _KnownPeer(authenticator, _identify(connection, authenticator))
            connection.memo = known
        if known.peer is None or is_foreign_page(headers):
            return None
        if isinstance(known.peer, AuthenticationFailed):
            raise known.peer
        return known.peer

    async def _handshake(self, connection: HttpConnection, accepted: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.connect_accepted_socket(
                lambda: connection,
                accepted,
                ssl=self._context,
                ssl_handshake_timeout=self._bounds.handshake_seconds_max,
                ssl_shutdown_timeout=1.0,
            )
        except (OSError, ssl.SSLError, asyncio.CancelledError):
            accepted.close()  # A client that does not speak TLS, shows a foreign certificate, or takes too long.
        finally:
            self._handshakes.pop(connection, None)


def _identify(connection: HttpConnection, authenticator: Authenticator) -> Peer | AuthenticationFailed | None:
    chain = connection.peer_chain
    if not chain:
        return None
    try:
        return authenticator.peer(chain)
    except AuthenticationFailed as error:
        return error
