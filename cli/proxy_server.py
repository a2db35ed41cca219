"""A local relay for tools that can neither send a bearer token nor pin a certificate.

Plain HTTP and WebSocket on this machine; upstream HTTPS with the pinned CA and the identity's token. Whoever reaches
the relay acts as the identity, so it refuses web pages: the Host header must name this machine (against DNS
rebinding), and a browser's Origin must be allowed. Everything is bounded: requests in flight, sockets, bodies.

A WebSocket has one of its own upstream, and messages pass both ways as they are: subscriptions are the node's.
"""

from __future__ import annotations

import asyncio
import errno
import io
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson
from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    ClientWebSocketResponse,
    ClientWSTimeout,
    DummyCookieJar,
    TCPConnector,
    WSServerHandshakeError,
    web,
)
from yarl import URL

from cli.failover import Addresses, is_repeatable
from cli.proxy_origins import host_allowed, origin_allowed
from cli.proxy_relay import join
from core import limits
from core.errors import CocoError

UPSTREAM_CONNECTIONS_MAX = 64
CONNECT_SECONDS_MAX = 5.0
REQUESTS_MAX = 256
SOCKETS_MAX = 64
SOCKET_OPEN_SECONDS_MAX = 15
SOCKET_CLOSE_SECONDS_MAX = 5
SOCKET_HEARTBEAT_SECONDS = 30
_FORWARDED = ("Content-Type", "Accept")
_DROPPED = frozenset(
    {
        "connection",
        "content-length",
        "date",
        "keep-alive",
        "proxy-authenticate",
        "server",
        "set-cookie",
        "strict-transport-security",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


class PortTaken(CocoError):
    """The local address cannot be listened on."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """upstream: https://HOST:PORT; others: of the network's other nodes, which are turned to when it does not answer.

    origins: allowed beside pages of this machine. any_host: not only this machine.
    """

    upstream: str
    tls: ssl.SSLContext = field(repr=False)
    token: str = field(repr=False)
    host: str = "127.0.0.1"
    port: int = 8545
    origins: frozenset[str] = frozenset()
    any_host: bool = False
    others: tuple[str, ...] = ()


class Proxy:
    """A running relay. Use `start`, then `stop`; `port` is the real one."""

    def __init__(self, settings: ProxySettings) -> None:
        self._settings = settings
        self._nodes = Addresses((settings.upstream, *settings.others))
        self._requests = asyncio.Semaphore(REQUESTS_MAX)
        self._sockets: set[web.WebSocketResponse] = set()
        self._sockets_held = 0
        self._session: ClientSession | None = None
        self._runner: web.AppRunner | None = None
        self.port = settings.port

    async def start(self) -> None:
        """Listen; raises PortTaken."""
        settings = self._settings
        self._session = client_session(settings, UPSTREAM_CONNECTIONS_MAX + SOCKETS_MAX)
        application = web.Application(client_max_size=limits.REQUEST_BYTES_MAX)
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=2)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, settings.host, settings.port).start()
        except OSError as error:
            await self.stop()
            raise _port_taken(error, settings) from error
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Close every socket and connection."""
        for socket in list(self._sockets):
            await socket.close(code=1001, message=b"the proxy stops")
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        settings = self._settings
        if not host_allowed(request.host, any_address=settings.any_host):
            return _failure(403, "this proxy serves only its own machine: call it as localhost")
        origin = request.headers.get("Origin")
        if not origin_allowed(origin, request.headers.get("Sec-Fetch-Site"), settings.origins):
            return _failure(
                403, f"pages of {origin or 'other sites'} may not use this proxy (coco proxy --allow-origin)"
            )
        cors = {"Access-Control-Allow-Origin": origin, "Vary": "Origin"} if origin else {}
        if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            return web.Response(status=204, headers=cors | _preflight(request.headers))
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._relay_socket(request)
        if self._requests.locked():
            return _failure(503, "too many requests at once; try again", cors)
        async with self._requests:
            return await self._relay(request, cors)

    async def _relay(self, request: web.Request, cors: Mapping[str, str]) -> web.Response:
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return _failure(413, f"a request has at most {limits.REQUEST_BYTES_MAX} bytes", cors)
        headers = {name: request.headers[name] for name in _FORWARDED if name in request.headers}
        # What the tool called, for answers that hold links.
        headers |= {"X-Forwarded-Host": request.host, "X-Forwarded-Proto": "http"}
        try:
            status, reply_headers, reply = await self._exchange(request.method, _path(request), body, headers)
        except (ClientError, TimeoutError, CocoError) as error:
            return _failure(502, _words(error), cors)
        return web.Response(status=status, body=reply, headers=reply_headers | dict(cors))

    async def _exchange(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        """Send one request to a node. Redirects are not followed: the token goes to this network only."""
        if self._session is None:
            raise CocoError("the proxy is not running")
        for _ in range(self._nodes.count - 1):
            node = self._nodes.current
            try:
                return await self._exchange_with(self._session, node, method, path, body, headers)
            except (ClientError, TimeoutError) as error:
                self._nodes.avoid(node)
                if not isinstance(error, ClientConnectorError) and not is_repeatable(method, body):
                    raise
        return await self._exchange_with(self._session, self._nodes.current, method, path, body, headers)

    async def _exchange_with(
        self, session: ClientSession, node: str, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        url = URL(node + path, encoded=True)
        # aiohttp sends a file in pieces, and warns of blocking the loop when bytes are large.
        data = io.BytesIO(body) if body else None
        async with session.request(method, url, data=data, headers=headers, allow_redirects=False) as response:
            reply = await _bounded(response)
            kept = {
                name: value
                for name, value in response.headers.items()
                if name.lower() not in _DROPPED and not name.lower().startswith("access-control-")
            }
            return response.status, kept, reply

    async def _relay_socket(self, request: web.Request) -> web.StreamResponse:
        if self._sockets_held >= SOCKETS_MAX:
            return _failure(503, "too many WebSocket connections")
        self._sockets_held += 1
        try:
            upstream = await self._open_upstream(request)
            if isinstance(upstream, web.Response):
                return upstream
            socket = web.WebSocketResponse(
                protocols=(upstream.protocol,) if upstream.protocol else (),
                max_msg_size=limits.REQUEST_BYTES_MAX,
                heartbeat=SOCKET_HEARTBEAT_SECONDS,
                timeout=SOCKET_CLOSE_SECONDS_MAX,
                compress=False,
            )
            async with upstream:
                return await self._join_sockets(request, socket, upstream)
        finally:
            self._sockets_held -= 1

    async def _open_upstream(self, request: web.Request) -> ClientWebSocketResponse | web.Response:
        """Open the node's side, before the tool's: a refusal is then an answer to the tool's handshake."""
        if self._session is None:
            raise CocoError("the proxy is not running")
        if not web.WebSocketResponse().can_prepare(request):
            return _failure(400, "not a WebSocket handshake")
        words = ""
        for _ in range(self._nodes.count):
            node = self._nodes.current
            try:
                return await self._open_at(self._session, node, request)
            except WSServerHandshakeError as error:
                status = error.status if 400 <= error.status <= 599 else 502
                return _failure(status, f"the node refuses a WebSocket connection with status {error.status}")
            except (ClientError, TimeoutError) as error:
                self._nodes.avoid(node)
                words = _words(error)
        return _failure(502, words)

    async def _open_at(self, session: ClientSession, node: str, request: web.Request) -> ClientWebSocketResponse:
        url = URL("wss" + node.removeprefix("https") + _path(request), encoded=True)
        offered = request.headers.get("Sec-WebSocket-Protocol", "")
        async with asyncio.timeout(SOCKET_OPEN_SECONDS_MAX):
            return await session.ws_connect(
                url,
                protocols=[name.strip() for name in offered.split(",") if name.strip()],
                heartbeat=SOCKET_HEARTBEAT_SECONDS,
                max_msg_size=limits.RESPONSE_BYTES_MAX,
                timeout=ClientWSTimeout(ws_close=SOCKET_CLOSE_SECONDS_MAX),
            )

    async def _join_sockets(
        self, request: web.Request, socket: web.WebSocketResponse, upstream: ClientWebSocketResponse
    ) -> web.StreamResponse:
        self._sockets.add(socket)
        try:
            await socket.prepare(request)
            await join(socket, upstream)
        finally:
            self._sockets.discard(socket)
        return socket


def client_session(settings: ProxySettings, connections_max: int) -> ClientSession:
    """Return a session that shows the identity's token and trusts the pinned CA alone."""
    return ClientSession(
        connector=TCPConnector(limit=connections_max, ssl=settings.tls, keepalive_timeout=60),
        auto_decompress=False,
        cookie_jar=DummyCookieJar(),
        headers={"Authorization": f"Bearer {settings.token}"},
        skip_auto_headers=("Accept-Encoding", "User-Agent"),
        timeout=ClientTimeout(total=limits.REQUEST_SECONDS_MAX + 10, sock_connect=CONNECT_SECONDS_MAX),
    )


async def _bounded(response: ClientResponse) -> bytes:
    parts, size = [], 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > limits.RESPONSE_BYTES_MAX:
            response.close()
            raise CocoError(f"the node's answer is larger than {limits.RESPONSE_BYTES_MAX} bytes")
        parts.append(part)
    return b"".join(parts)


def _path(request: web.Request) -> str:
    """The path and query as they came; always a path, so that it cannot change the host that gets the token."""
    return request.raw_path if request.raw_path.startswith("/") else f"/{request.raw_path}"


def _preflight(headers: Mapping[str, str]) -> dict[str, str]:
    answer = {
        "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE, OPTIONS",
        "Access-Control-Allow-Headers": headers.get("Access-Control-Request-Headers", "Content-Type"),
        "Access-Control-Max-Age": "600",
    }
    if headers.get("Access-Control-Request-Private-Network") == "true":
        answer["Access-Control-Allow-Private-Network"] = "true"
    return answer


def _failure(status: int, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """Answer with an error that JSON-RPC clients show and others can read."""
    body = {"jsonrpc": "2.0", "id": None, "error": {"code": -32603, "message": f"coco proxy: {message}"}}
    return web.Response(
        status=status, body=orjson.dumps(body), content_type="application/json", headers=dict(headers or {})
    )


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "the node does not answer in time"
    if isinstance(error, CocoError):
        return error.message
    return f"the node cannot be reached: {error}"


def _port_taken(error: OSError, settings: ProxySettings) -> PortTaken:
    where = f"{settings.host}:{settings.port}"
    if error.errno == errno.EADDRINUSE:
        return PortTaken(f"{where} is in use", hint="Choose another: coco proxy --port 8546 (0 takes a free one).")
    return PortTaken(
        f"{where} cannot be listened on: {error.strerror or error}", hint="Choose another --host or --port."
    )
