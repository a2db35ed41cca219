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
import ipaddress
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import orjson
from aiohttp import (
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    ClientWebSocketResponse,
    ClientWSTimeout,
    DummyCookieJar,
    TCPConnector,
    WSMsgType,
    WSServerHandshakeError,
    web,
)
from yarl import URL

from core import limits
from core.errors import CocoError

UPSTREAM_CONNECTIONS_MAX = 64
REQUESTS_MAX = 256
SOCKETS_MAX = 64
SOCKET_OPEN_SECONDS_MAX = 15
SOCKET_CLOSE_SECONDS_MAX = 5
_CLOSE_CODES_UNSENT = frozenset({None, 1005, 1006, 1015})
"""What a close code may be read as and never sent as (RFC 6455, section 7.4.1)."""

Socket = web.WebSocketResponse | ClientWebSocketResponse

_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
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
    """upstream: https://HOST:PORT. origins: allowed beside pages of this machine. any_host: not only this machine."""

    upstream: str
    tls: ssl.SSLContext = field(repr=False)
    token: str = field(repr=False)
    host: str = "127.0.0.1"
    port: int = 8545
    origins: frozenset[str] = frozenset()
    any_host: bool = False


class Proxy:
    """A running relay. Use `start`, then `stop`; `port` is the real one."""

    def __init__(self, settings: ProxySettings) -> None:
        self._settings = settings
        self._requests = asyncio.Semaphore(REQUESTS_MAX)
        self._sockets: set[web.WebSocketResponse] = set()
        self._sockets_held = 0
        self._session: ClientSession | None = None
        self._runner: web.AppRunner | None = None
        self.port = settings.port

    async def start(self) -> None:
        """Listen; raises PortTaken."""
        settings = self._settings
        connector = TCPConnector(limit=UPSTREAM_CONNECTIONS_MAX + SOCKETS_MAX, ssl=settings.tls, keepalive_timeout=60)
        self._session = ClientSession(
            connector=connector,
            auto_decompress=False,
            cookie_jar=DummyCookieJar(),
            headers={"Authorization": f"Bearer {settings.token}"},
            skip_auto_headers=("Accept-Encoding", "User-Agent"),
            timeout=ClientTimeout(total=limits.REQUEST_SECONDS_MAX + 10),
        )
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
        if not self._host_allowed(request.host):
            return _failure(403, "this proxy serves only its own machine: call it as localhost")
        origin = request.headers.get("Origin")
        if not self._origin_allowed(origin, request.headers.get("Sec-Fetch-Site")):
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
        try:
            status, reply_headers, reply = await self._exchange(request.method, request.raw_path, body, headers)
        except (ClientError, TimeoutError, CocoError) as error:
            return _failure(502, _words(error), cors)
        return web.Response(status=status, body=reply, headers=reply_headers | dict(cors))

    async def _exchange(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        """Send one request upstream. Redirects are not followed: the token goes to this network only."""
        if self._session is None:
            raise CocoError("the proxy is not running")
        target = path if path.startswith("/") else "/" + path
        url = URL(self._settings.upstream + target, encoded=True)
        # aiohttp sends a file in pieces, and warns of blocking the loop when bytes are large.
        data = io.BytesIO(body) if body else None
        async with self._session.request(method, url, data=data, headers=headers, allow_redirects=False) as response:
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
            upstream = await self._open_upstream(request.raw_path)
            if isinstance(upstream, web.Response):
                return upstream
            async with upstream:
                return await self._join_sockets(request, upstream)
        finally:
            self._sockets_held -= 1

    async def _open_upstream(self, path: str) -> ClientWebSocketResponse | web.Response:
        """Open the node's side, before the tool's: a refusal is then an answer to the tool's handshake."""
        if self._session is None:
            raise CocoError("the proxy is not running")
        url = URL("wss" + self._settings.upstream.removeprefix("https") + path, encoded=True)
        try:
            async with asyncio.timeout(SOCKET_OPEN_SECONDS_MAX):
                return await self._session.ws_connect(
                    url,
                    max_msg_size=limits.RESPONSE_BYTES_MAX,
                    timeout=ClientWSTimeout(ws_close=SOCKET_CLOSE_SECONDS_MAX),
                )
        except WSServerHandshakeError as error:
            status = error.status if 400 <= error.status <= 599 else 502
            return _failure(status, f"the node refuses a WebSocket connection with status {error.status}")
        except (ClientError, TimeoutError) as error:
            return _failure(502, _words(error))

    async def _join_sockets(self, request: web.Request, upstream: ClientWebSocketResponse) -> web.StreamResponse:
        """Pass messages both ways until either side closes, then close the other likewise."""
        socket = web.WebSocketResponse(
            max_msg_size=limits.REQUEST_BYTES_MAX, heartbeat=30, timeout=SOCKET_CLOSE_SECONDS_MAX
        )
        self._sockets.add(socket)
        pumps: list[asyncio.Task[None]] = []
        try:
            await socket.prepare(request)
            pumps = [asyncio.create_task(_pump(socket, upstream)), asyncio.create_task(_pump(upstream, socket))]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self._sockets.discard(socket)
        code = upstream.close_code
        if not socket.closed:
            await socket.close(code=1011 if code is None or code in _CLOSE_CODES_UNSENT else code)
        return socket

    def _host_allowed(self, host: str) -> bool:
        name = _hostname("http://" + host)
        if name in _LOCAL_NAMES:
            return True
        # A page that rebinds its own name sends that name. An address cannot be rebound.
        return self._settings.any_host and _is_address(name)

    def _origin_allowed(self, origin: str | None, fetch_site: str | None) -> bool:
        if origin is None:
            return fetch_site != "cross-site"
        return origin in self._settings.origins or (
            origin.startswith(("http://", "https://")) and _hostname(origin) in _LOCAL_NAMES
        )


async def _pump(source: Socket, sink: Socket) -> None:
    """Pass on what one side sends until it closes, or the other is gone."""
    try:
        async for message in source:
            match message.type:
                case WSMsgType.TEXT:
                    await sink.send_str(message.data)
                case WSMsgType.BINARY:
                    await sink.send_bytes(message.data)
                case _:
                    return
    except ConnectionError:
        return


async def _bounded(response: ClientResponse) -> bytes:
    parts, size = [], 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > limits.RESPONSE_BYTES_MAX:
            response.close()
            raise CocoError(f"the node's answer is larger than {limits.RESPONSE_BYTES_MAX} bytes")
        parts.append(part)
    return b"".join(parts)


def _preflight(headers: Mapping[str, str]) -> dict[str, str]:
    answer = {
        "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE, OPTIONS",
        "Access-Control-Allow-Headers": headers.get("Access-Control-Request-Headers", "Content-Type"),
        "Access-Control-Max-Age": "600",
    }
    if headers.get("Access-Control-Request-Private-Network") == "true":
        answer["Access-Control-Allow-Private-Network"] = "true"
    return answer


def _hostname(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _is_address(name: str | None) -> bool:
    try:
        ipaddress.ip_address(name or "")
    except ValueError:
        return False
    return True


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
