"""A TLS server that stands in for a node: it checks the token and answers JSON-RPC by echoing."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp import web

from cli.store import ClientStore
from core.crypto.certificates import issue, self_signed
from core.crypto.keys import PrivateKey

TOKEN = "the-right-token"
Answer = Callable[[dict[str, Any]], dict[str, Any]]


class FakeNode:
    """Use `start` and `stop` inside an event loop.

    `seen`: the requests that arrived; `messages`: those of WebSockets. `answer` makes the reply of an RPC request.
    `pages`: by path, JSON or a response, or what makes either out of method and body. A WebSocket's eth_subscribe is
    answered and notified once; the method `close` closes it with the code 4321.
    """

    def __init__(self, directory: Path, name: str = "node") -> None:
        self.ca_file = directory / f"{name}-ca.pem"
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        self.connections: set[tuple[str, int]] = set()
        self.answer: Answer = lambda request: {"result": [request["method"], *request.get("params", [])]}
        self.pages: dict[str, Any] = {}
        self.messages: list[str | bytes] = []
        self.closes: list[int | None] = []
        self._transports: set[asyncio.Transport] = set()
        self.port = 0
        authority, key = PrivateKey.generate(), PrivateKey.generate()
        yesterday = datetime.now(UTC) - timedelta(days=1)
        certificate = self_signed("front end", authority, not_before=yesterday, days=30)
        leaf = issue(
            *("127.0.0.1", key.public_key()),
            issuer=certificate,
            issuer_key=authority,
            not_before=yesterday,
            days=30,
            names=("127.0.0.1", "localhost"),
        )
        self.ca_file.write_text(certificate)
        chain = directory / f"{name}-chain.pem"
        chain.write_bytes(key.to_pkcs8_pem() + leaf.encode() + certificate.encode())
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._tls.load_cert_chain(chain)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    async def start(self) -> None:
        application = web.Application(client_max_size=64 * 2**20)
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls).start()
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        # A client that keeps its connection does not answer a TLS close, and there is nobody left to wait for it.
        for transport in self._transports:
            transport.abort()
        await self._runner.cleanup()
        for _ in range(5):
            await asyncio.sleep(0)  # Let the aborted transports close their sockets.

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.seen.append((request.method, request.raw_path, dict(request.headers), body))
        assert request.transport is not None
        self._transports.add(request.transport)
        self.connections.add(request.transport.get_extra_info("peername"))
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.json_response({"error": "no identity"}, status=401)
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._serve_socket(request)
        if request.path in self.pages:
            page = self.pages[request.path]
            page = page(request.method, body) if callable(page) else page
            return page if isinstance(page, web.Response) else web.json_response(page)
        try:
            document = json.loads(body)
        except ValueError:
            return web.json_response(
                {"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "parse error"}}
            )
        if isinstance(document, list):
            return web.json_response([self._reply(item) for item in document], headers={"X-Coco-Batch": "yes"})
        return web.json_response(self._reply(document))

    async def _serve_socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=("v1",))
        await socket.prepare(request)
        async for message in socket:
            self.messages.append(message.data)
            try:
                document = json.loads(message.data)
            except ValueError:
                await socket.send_json({"jsonrpc": "2.0", "id": None, "error": {"code": -32700}})
                continue
            if isinstance(document, list):
                await socket.send_json([self._reply(item) for item in document])
                continue
            if document["method"] == "close":
                await socket.close(code=4321, message=b"because")
                break
            await socket.send_json(self._reply(document))
            if document["method"] == "eth_subscribe":
                await socket.send_json({"jsonrpc": "2.0", "method": "eth_subscription", "params": {"result": "head"}})
        self.closes.append(socket.close_code)
        return socket

    def _reply(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "id": request.get("id")} | self.answer(request)


@contextmanager
def in_a_thread(node: FakeNode) -> Iterator[None]:
    """Run a node in a thread of its own, for blocking clients."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(node.start(), loop).result()
    try:
        yield
    finally:
        asyncio.run_coroutine_threadsafe(node.stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def client_side(home: Path, node: FakeNode) -> ClientStore:
    """Make the client side of a network `demo` whose node is the stand-in; its identity is `carrier`."""
    store = ClientStore(home / "clients/demo", "demo")
    store.add_identity("carrier", key=b"key", certificate=b"certificate", token=TOKEN)
    store.pin_ca(node.ca_file.read_bytes())
    store.set_url(node.url)
    return store
