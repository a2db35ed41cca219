"""The proxy's WebSockets: how either side ends, and what the handshake carries."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from cli.connection import tls_context
from cli.proxy_server import Proxy, ProxySettings
from tests.cli.fake_node import TOKEN, FakeNode


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[FakeNode]:
    running = FakeNode(tmp_path)
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
async def proxy(node: FakeNode) -> AsyncIterator[Proxy]:
    origins = frozenset({"moz-extension://*", "https://remix.ethereum.org"})
    running = Proxy(ProxySettings(node.url, tls_context(node.ca_file), TOKEN, port=0, origins=origins))
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
async def client(proxy: Proxy) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{proxy.port}") as session:
        yield session


async def until_closed(node: FakeNode) -> int | None:
    """Return the code that the node's side was closed with."""
    for _ in range(1000):
        if node.closes:
            return node.closes[0]
        await asyncio.sleep(0.005)
    raise AssertionError("the node's side was not closed")


@pytest.mark.parametrize("code", [1000, 1001, 4001])
async def test_the_tools_code_reaches_the_node(node: FakeNode, client: aiohttp.ClientSession, code: int) -> None:
    socket = await client.ws_connect("/")
    await socket.close(code=code)
    assert await until_closed(node) == code


async def test_a_tool_that_vanishes_is_going_away(node: FakeNode, client: aiohttp.ClientSession) -> None:
    socket = await client.ws_connect("/")
    await socket.send_json({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"})
    await socket.receive_json()
    transport = socket.get_extra_info("socket")
    assert transport is not None
    socket._response.connection.transport.abort()  # type: ignore[union-attr]
    assert await until_closed(node) == 1001


async def test_the_nodes_code_and_reason_reach_the_tool(client: aiohttp.ClientSession) -> None:
    async with client.ws_connect("/") as socket:
        await socket.send_json({"jsonrpc": "2.0", "id": 1, "method": "close"})
        message = await socket.receive()
        assert (message.type, message.data, message.extra) == (aiohttp.WSMsgType.CLOSE, 4321, "because")


async def test_the_subprotocol_is_the_nodes_choice_and_nothing_is_compressed(client: aiohttp.ClientSession) -> None:
    async with client.ws_connect("/", protocols=("v0", "v1"), compress=15) as socket:
        assert socket.protocol == "v1"
        assert socket.compress == 0
    async with client.ws_connect("/") as socket:
        assert socket.protocol is None


async def test_a_handshake_that_is_none_goes_nowhere(node: FakeNode, client: aiohttp.ClientSession) -> None:
    async with client.get("/", headers={"Upgrade": "websocket", "Connection": "Upgrade"}) as response:
        assert response.status == 400
    assert node.seen == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://remix.ethereum.org"}, 101),
        ({"Origin": "moz-extension://0f2b1c9e"}, 101),
        ({"Origin": "http://localhost:3000"}, 101),
        ({"Origin": "https://attacker.example"}, 403),
        ({"Origin": "chrome-extension://nkbihfbeogaeaoehlefnkodbefgpgknn"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "attacker.example"}, 403),
        ({"Host": "attacker.example", "Origin": "http://attacker.example"}, 403),
    ],
)
async def test_pages_are_kept_out_of_sockets_too(
    node: FakeNode, client: aiohttp.ClientSession, headers: dict[str, str], status: int
) -> None:
    """No CORS holds a browser back from opening a WebSocket."""
    if status == 101:
        async with client.ws_connect("/", headers=headers) as socket:
            assert not socket.closed
        return
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await client.ws_connect("/", headers=headers)
    assert caught.value.status == status
    assert node.seen == []
