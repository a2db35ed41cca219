"""What the front end serves, and to whom: the node's own paths and those of the adapters.

An anonymous caller gets the same answer for whatever it may not see and for what does not exist; so does an actor that
asks for what is for members only.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import unquote

import msgspec

from core import limits
from core.adapter.interface import (
    Adapter,
    Backend,
    Caller,
    CommandFailed,
    OutcomeUnknown,
    Overloaded,
    Request,
    Response,
    WebSocket,
)
from core.adapter.routing import RouteTable, parse_query, path_parameters
from core.errors import AuthenticationFailed, ChannelClosed, CocoError, InvariantBroken, LimitExceeded
from core.node.authentication import Authenticator, Peer, bearer_token
from core.node.cross_origin import is_preflight, preflight_response
from core.node.executor_client import ExecutorClient
from core.node.http_protocol import RawRequest, error_response
from core.node.node_documents import METRICS_TYPE, metric
from core.node.proposals import GOVERNANCE
from core.node.receipt_routes import receipt_query, receipt_response
from core.node.websocket_server import SocketOffer

_WITHHELD = ("authorization", "proxy-authorization")
_NO_IDENTITY = error_response(
    401,
    "no identity",
    "Send a bearer token (Authorization: Bearer TOKEN, or /token/TOKEN/...), or connect with a client certificate.",
    ("www-authenticate", "Bearer"),
)
_NOT_FOUND = error_response(404, "there is nothing here", "See the routes of the network's adapters.")


_DOCUMENTS = {
    "/node/status": "status",
    "/node/state": "state",
    "/node/commit": "commit",
    "/node/governance": "governance",
    "/node/network/nodes": "nodes",
}
"""Paths and the node query that answers them (executor_queries.py)."""


class _Sender(msgspec.Struct, frozen=True):
    """Who sends a request, and what for. path: without the token that led it. token: the bearer token, if any."""

    path: str
    query: str
    caller: Caller
    path_token: str | None
    token: str

    def __repr__(self) -> str:
        return f"_Sender({self.path!r}, {self.caller!r})"


class FrontRoutes:
    """The front end under one constitution. Replaced as a whole when the constitution changes."""

    def __init__(
        self,
        adapters: Mapping[str, Adapter],
        default_adapter: str,
        service: bytes,
        authenticator: Authenticator,
        client: ExecutorClient,
        log: Callable[[str], None],
        *,
        connections: Callable[[], int],
    ) -> None:
        """connections: how many are open at this gateway."""
        self._connections = connections
        self._tables = {name: RouteTable(adapter.routes()) for name, adapter in adapters.items()}
        self._sockets = {name: tuple(adapter.web_sockets()) for name, adapter in adapters.items()}
        self._default = default_adapter
        self._client = client
        self._log = log
        self.authenticator = authenticator
        self._network = _network_information(adapters, default_adapter, service)

    async def serve(self, raw: RawRequest, peer: Peer | None) -> Response:
        """Answer a request. InvariantBroken passes through: it stops the node."""
        try:
            return _checked(await self._serve(raw, peer))
        except CocoError as error:
            return _failure_response(error)
        except InvariantBroken:
            raise
        except Exception as error:  # noqa: BLE001 - the dispatcher: handlers are other people's code
            self._log(f"a request handler failed ({type(error).__name__})")
            return error_response(500, "the request could not be served", "Tell the node's operator.")

    def offer_socket(self, raw: RawRequest, peer: Peer | None) -> SocketOffer | Response:
        """Return the WebSocket handler that a request asks for, or the answer that it gets none."""
        try:
            sender = self._identify(raw, peer)
        except CocoError as error:
            return _failure_response(error)
        if sender.caller.identity is None:
            return _NO_IDENTITY
        name, path = self._mounted(sender.path)
        for route in self._sockets[name]:
            if path_parameters(route.path, path) is not None:
                backend = self._client.backend(name, sender.caller, sender.token)
                handler = partial(_call_socket_handler, route.handler, backend)
                authorization = raw.headers.get("authorization")
                return SocketOffer(sender.caller, handler, route.subprotocols, authorization, sender.path_token)
        return _NOT_FOUND

    def _identify(self, raw: RawRequest, peer: Peer | None) -> _Sender:
        """Return what a request asks for, and who sends it. Raises CocoError."""
        path, _, query = _origin_form(raw.target).partition("?")
        path, path_token = _split_token(path)
        authorization = raw.headers.get("authorization")
        caller = self.authenticator.verify_request(authorization, path_token, peer, time.time())
        return _Sender(path, query, caller, path_token, bearer_token(authorization, path_token))

    def _preflight(self, raw: RawRequest) -> Response:
        """Tell a browser what a page may ask. Nobody is known by then; what a route is called is no secret."""
        path, _ = _split_token(_origin_form(raw.target).partition("?")[0])
        name, inner = self._mounted(path)
        methods = ["GET", "POST"] if path.startswith("/node/") else self._tables[name].methods(inner)
        # An unknown path is answered alike, so that the page gets to read the answer proper.
        return preflight_response(methods or ["GET", "POST"], raw.headers)

    async def _serve(self, raw: RawRequest, peer: Peer | None) -> Response:
        if is_preflight(raw.method, raw.headers):
            return self._preflight(raw)
        sender = self._identify(raw, peer)
        caller, query = sender.caller, parse_query(sender.query)
        if sender.path.startswith("/node/"):
            return await self._serve_node(raw, sender, query)
        name, path = self._mounted(sender.path)
        match = self._tables[name].match(raw.method, path)
        if caller.identity is None and (match is None or not match.route.anonymous):
            return _NO_IDENTITY
        if match is None:
            methods = self._tables[name].methods(path)
            if methods:
                return error_response(405, "this path is asked with another method", "", ("allow", ", ".join(methods)))
            return _NOT_FOUND
        headers = {key: value for key, value in raw.headers.items() if key not in _WITHHELD}
        mount = sender.path.removesuffix(path) if sender.path != path else ""
        request = Request(raw.method, path, match.parameters, query, headers, raw.body, caller, mount)
        return await match.route.handler(request, self._client.backend(name, caller, sender.token))

    def _mounted(self, path: str) -> tuple[str, str]:
        """Return the adapter that serves a path, and the path relative to its mount."""
        first, slash, rest = path[1:].partition("/")
        if first in self._tables:
            return first, f"/{rest}" if slash else "/"
        return self._default, path

    async def _serve_node(self, raw: RawRequest, sender: _Sender, query: Mapping[str, str]) -> Response:
        caller, path = sender.caller, sender.path
        match (raw.method, path):
            case ("GET" | "HEAD", "/node/health"):
                return Response(200, b'{"status":"ok"}')
            case ("GET" | "HEAD", "/node/network"):
                return Response(200, self._network)
        if caller.identity is None:
            return _NO_IDENTITY
        if raw.method == "GET" and path in _DOCUMENTS:
            return await self._ask({"kind": _DOCUMENTS[path]}, caller)
        if raw.method == "GET" and path == "/node/tx":
            return await self._ask({"kind": "transaction", "id": query.get("transaction_id", "")}, caller)
        if raw.method == "GET" and path.startswith("/node/tx/"):
            return await self._ask({"kind": "transaction", "id": unquote(path.removeprefix("/node/tx/"))}, caller)
        if raw.method == "GET" and path == "/node/receipt":
            return receipt_response(await self._client.receipt(receipt_query(query, raw.headers), caller))
        if raw.method == "GET" and path == "/node/metrics" and caller.is_member:
            return await self._metrics(caller)
        if raw.method == "POST" and path == "/node/governance" and caller.is_member:
            return await self._govern(raw.body, sender)
        return _NOT_FOUND

    async def _metrics(self, caller: Caller) -> Response:
        """What the executor tells, and what this gateway knows; another gateway of the node knows other figures."""
        text = await self._client.ask(GOVERNANCE, b'{"kind":"metrics"}', caller)
        lines = metric("coco_gateway_connections", "gauge", "Open connections of this gateway.", self._connections())
        lines += metric("coco_gateway_requests", "gauge", "What this gateway waits for.", len(self._client))
        return Response(200, text + "\n".join(lines).encode() + b"\n", METRICS_TYPE)

    async def _ask(self, query: Mapping[str, str], caller: Caller) -> Response:
        reply = await self._client.ask(GOVERNANCE, msgspec.json.encode(query), caller)
        return Response(400 if b'"error"' in reply[:10] else 200, reply)

    async def _govern(self, message: bytes, sender: _Sender) -> Response:
        if len(message) > limits.GOVERNANCE_MESSAGE_BYTES_MAX:
            raise LimitExceeded(f"a governance message is at most {limits.GOVERNANCE_MESSAGE_BYTES_MAX} bytes long")
        outcome = await self._client.submit(GOVERNANCE, message, sender.caller, sender.token)
        result: dict[str, Any] = msgspec.json.decode(outcome.reply)
        if result.get("accepted"):
            return Response(200, outcome.reply)
        return Response(400, msgspec.json.encode({"error": result.get("reason", ""), "hint": "", **result}))


def _network_information(adapters: Mapping[str, Adapter], default_adapter: str, service: bytes) -> bytes:
    """The service's public JSON, with what this front end speaks."""
    information: dict[str, Any] = msgspec.json.decode(service)
    information["adapters"] = {name: adapter.info.version for name, adapter in adapters.items()}
    information["default_adapter"] = default_adapter
    return msgspec.json.encode(information)


def _origin_form(target: str) -> str:
    """Return the path and query of a request target; raises CocoError for forms that only proxies use."""
    if target.startswith("/"):
        return target
    scheme, separator, rest = target.partition("://")
    if separator and scheme.lower() in ("http", "https"):
        _, slash, path = rest.partition("/")
        return slash + path if slash else "/"
    raise CocoError("not a request target that is served here", hint="Ask for a path that starts with /.")


def _split_token(path: str) -> tuple[str, str | None]:
    """Take a leading /token/TOKEN off a path."""
    if not path.startswith("/token/"):
        return path, None
    token, slash, rest = path.removeprefix("/token/").partition("/")
    return (f"/{rest}" if slash else "/"), unquote(token)


async def _call_socket_handler(
    handler: Callable[[WebSocket, Backend], Awaitable[None]], backend: Backend, socket: WebSocket
) -> None:
    await handler(socket, backend)


def _failure_response(error: CocoError) -> Response:
    match error:
        case AuthenticationFailed():
            return error_response(401, error.message, error.hint, ("www-authenticate", "Bearer"))
        case Overloaded():
            return error_response(503, error.message, error.hint, ("retry-after", "1"))
        case OutcomeUnknown(transaction_id=identifier):
            document = {"error": error.message, "hint": error.hint, "transaction": str(identifier or "")}
            return Response(504, msgspec.json.encode(document))
        case LimitExceeded():
            return error_response(413, error.message, error.hint)
        case ChannelClosed():
            return error_response(503, error.message, error.hint)
        case CommandFailed():
            return error_response(500, error.message, error.hint)
        case _:
            return error_response(400, error.message, error.hint)


def _checked(response: Response) -> Response:
    """Return a response that may be written as it is; raises LimitExceeded, ValueError."""
    if len(response.body) > limits.RESPONSE_BYTES_MAX:
        raise LimitExceeded(f"an answer of {len(response.body)} bytes; the bound is {limits.RESPONSE_BYTES_MAX}")
    if not 200 <= response.status <= 599:
        raise ValueError("a handler answered with an impossible status")
    for name, value in (("content-type", response.content_type), *response.headers):
        if not (name + value).isascii() or not (name + value).isprintable():
            raise ValueError("a handler answered with a header that HTTP cannot carry")
    return response
