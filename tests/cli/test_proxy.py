"""`coco proxy` against a TLS node: the token is added, the certificate is pinned, and web pages are kept out."""

from __future__ import annotations

import asyncio
import io
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

import cli.proxy_server
from cli.connection import tls_context
from cli.proxy_server import PortTaken, Proxy, ProxySettings
from core import limits
from tests.cli.fake_node import TOKEN, FakeNode
from tests.cli.runner import Coco


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[FakeNode]:
    running = FakeNode(tmp_path)
    await running.start()
    yield running
    await running.stop()


def settings(node: FakeNode, **changes: Any) -> ProxySettings:
    fields: dict[str, Any] = {"upstream": node.url, "tls": tls_context(node.ca_file), "token": TOKEN, "port": 0}
    return ProxySettings(**fields | changes)


@pytest.fixture
async def proxy(node: FakeNode) -> AsyncIterator[Proxy]:
    running = Proxy(settings(node, origins=frozenset({"https://wallet.example"})))
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
async def client(proxy: Proxy) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{proxy.port}") as session:
        yield session


def rpc(method: str, *parameters: object, id: object = 1) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": id, "method": method, "params": list(parameters)}


async def test_the_token_is_added_and_connections_are_kept(node: FakeNode, client: aiohttp.ClientSession) -> None:
    for number in range(5):
        async with client.post("/", json=rpc("eth_chainId", number)) as response:
            assert response.status == 200
            assert await response.json() == {"jsonrpc": "2.0", "id": 1, "result": ["eth_chainId", number]}
    assert len(node.connections) == 1
    headers = node.seen[0][2]
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert "Cookie" not in headers
    assert headers["Host"] == f"127.0.0.1:{node.port}"


async def test_a_callers_own_credentials_go_nowhere(node: FakeNode, client: aiohttp.ClientSession) -> None:
    headers = {"Authorization": "Bearer somebody-else", "Cookie": "session=1", "X-Forwarded-For": "10.0.0.1"}
    async with client.post("/", json=rpc("eth_chainId"), headers=headers) as response:
        assert response.status == 200
    assert "somebody-else" not in str(node.seen)
    assert "session=1" not in str(node.seen)
    assert "10.0.0.1" not in str(node.seen)


async def test_paths_queries_methods_bodies_and_status_pass_through(node: FakeNode, proxy: Proxy) -> None:
    node.pages["/kv/keys/a b"] = web.Response(status=404, body=b"\x00\xff", content_type="application/octet-stream")
    url = URL(f"http://127.0.0.1:{proxy.port}/kv/keys/a%20b?x=1&y=%2F", encoded=True)
    async with aiohttp.ClientSession() as client, client.put(url, data=b"\x01\x02") as response:
        assert response.status == 404
        assert await response.read() == b"\x00\xff"
        assert response.content_type == "application/octet-stream"
    method, path, _, body = node.seen[0]
    assert (method, path, body) == ("PUT", "/kv/keys/a%20b?x=1&y=%2F", b"\x01\x02")


async def test_batches_and_malformed_json_are_the_nodes_to_answer(
    node: FakeNode, client: aiohttp.ClientSession
) -> None:
    async with client.post("/", json=[rpc("a", id=1), rpc("b", id=2)]) as response:
        assert [item["id"] for item in await response.json()] == [1, 2]
        assert response.headers["X-Coco-Batch"] == "yes"
    async with client.post("/", data=b"{") as response:
        assert (await response.json())["error"]["code"] == -32700


async def test_a_large_request_is_refused(
    node: FakeNode, client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with client.post("/", data=io.BytesIO(b" " * (limits.REQUEST_BYTES_MAX + 1))) as response:
        assert response.status == 413
        assert str(limits.REQUEST_BYTES_MAX) in (await response.json())["error"]["message"]
    assert node.seen == []
    async with client.post("/", json=rpc("eth_chainId")) as response:
        assert response.status == 200


async def test_a_request_of_the_largest_size_passes(node: FakeNode, client: aiohttp.ClientSession) -> None:
    body = json.dumps(rpc("eth_call")).encode().ljust(limits.REQUEST_BYTES_MAX)
    async with client.post("/", data=io.BytesIO(body)) as response:
        assert response.status == 200
    assert node.seen[0][3] == body


async def test_a_large_answer_is_refused(
    node: FakeNode, client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "RESPONSE_BYTES_MAX", 1000)
    node.answer = lambda request: {"result": "x" * 2000}
    async with client.post("/", json=rpc("eth_getLogs")) as response:
        assert response.status == 502
        assert "larger than 1000 bytes" in await response.text()


async def test_redirects_are_not_followed(node: FakeNode, client: aiohttp.ClientSession) -> None:
    node.pages["/away"] = web.Response(status=302, headers={"Location": "https://elsewhere.example/"})
    async with client.get("/away", allow_redirects=False) as response:
        assert response.status == 302
    assert len(node.seen) == 1


@pytest.mark.parametrize("host", ["attacker.example", "attacker.example:8545", "10.0.0.7:8545", "localhost.evil", ""])
async def test_a_foreign_host_header_is_refused(node: FakeNode, client: aiohttp.ClientSession, host: str) -> None:
    async with client.post("/", json=rpc("eth_chainId"), headers={"Host": host}) as response:
        assert response.status == 403
        assert "call it as localhost" in await response.text()
    assert node.seen == []


@pytest.mark.parametrize("host", ["localhost", "localhost:1", "127.0.0.1:8545", "[::1]:8545", "LOCALHOST:8545"])
async def test_this_machines_names_are_allowed(client: aiohttp.ClientSession, host: str) -> None:
    async with client.post("/", json=rpc("eth_chainId"), headers={"Host": host}) as response:
        assert response.status == 200


@pytest.mark.parametrize(
    "origin", ["https://attacker.example", "null", "http://localhost.evil", "https://wallet.example:444", "file://"]
)
async def test_a_foreign_page_is_refused(node: FakeNode, client: aiohttp.ClientSession, origin: str) -> None:
    headers = {"Origin": origin}
    async with client.post("/", json=rpc("eth_chainId"), headers=headers) as response:
        assert response.status == 403
        assert "Access-Control-Allow-Origin" not in response.headers
    async with client.options("/", headers=headers | {"Access-Control-Request-Method": "POST"}) as response:
        assert response.status == 403
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await client.ws_connect("/", headers=headers)
    assert caught.value.status == 403
    async with client.get("/", headers={"Sec-Fetch-Site": "cross-site"}) as response:
        assert response.status == 403
    assert node.seen == []


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://127.0.0.1:5173", "https://wallet.example"])
async def test_an_allowed_page_gets_cors(node: FakeNode, client: aiohttp.ClientSession, origin: str) -> None:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
        "Access-Control-Request-Private-Network": "true",
    }
    async with client.options("/", headers=asked) as response:
        assert response.status == 204
        assert response.headers["Access-Control-Allow-Origin"] == origin
        assert response.headers["Access-Control-Allow-Headers"] == "content-type"
        assert response.headers["Access-Control-Allow-Private-Network"] == "true"
    assert node.seen == []
    async with client.post("/", json=rpc("eth_chainId"), headers={"Origin": origin}) as response:
        assert response.status == 200
        assert response.headers["Access-Control-Allow-Origin"] == origin


async def test_websocket_messages_pass_as_they_are(node: FakeNode, client: aiohttp.ClientSession) -> None:
    async with client.ws_connect("/ethereum/") as socket:
        await socket.send_json(rpc("eth_blockNumber", id="seven"))
        assert await socket.receive_json() == {"jsonrpc": "2.0", "id": "seven", "result": ["eth_blockNumber"]}
        await socket.send_bytes(json.dumps(rpc("a", id=8)).encode())
        assert (await socket.receive_json())["id"] == 8
        await socket.send_json([rpc("a", id=1), rpc("b", id=2)])
        assert [item["id"] for item in await socket.receive_json()] == [1, 2]
        await socket.send_str("{")
        assert (await socket.receive_json())["error"]["code"] == -32700
    assert isinstance(node.messages[1], bytes)
    ((method, path, headers, _),) = node.seen
    assert (method, path, headers["Authorization"]) == ("GET", "/ethereum/", f"Bearer {TOKEN}")


async def test_a_websockets_own_credentials_go_nowhere(node: FakeNode, client: aiohttp.ClientSession) -> None:
    async with client.ws_connect("/", headers={"Authorization": "Bearer of-another", "Cookie": "a=b"}) as socket:
        await socket.send_json(rpc("eth_chainId"))
        await socket.receive_json()
    ((_, _, headers, _),) = node.seen
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert "Cookie" not in headers


async def test_what_the_node_pushes_arrives(client: aiohttp.ClientSession) -> None:
    async with client.ws_connect("/") as socket:
        await socket.send_json(rpc("eth_subscribe", "newHeads"))
        assert "result" in await socket.receive_json()
        assert (await socket.receive_json())["params"] == {"result": "head"}


async def test_the_node_closes_with_its_code(client: aiohttp.ClientSession) -> None:
    async with client.ws_connect("/") as socket:
        await socket.send_json(rpc("close"))
        message = await socket.receive()
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 4321)


async def test_a_node_that_goes_away_ends_its_sockets(node: FakeNode, client: aiohttp.ClientSession) -> None:
    async with client.ws_connect("/") as socket:
        await socket.send_json(rpc("eth_chainId"))
        await socket.receive_json()
        await node.stop()
        message = await socket.receive()
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1011)


async def test_many_messages_at_once_are_all_answered(client: aiohttp.ClientSession) -> None:
    async with client.ws_connect("/") as socket:
        for number in range(100):
            await socket.send_json(rpc("eth_call", id=number))
        answered = {(await socket.receive_json())["id"] for _ in range(100)}
    assert answered == set(range(100))


async def test_a_large_websocket_message_closes_that_socket_only(node: FakeNode, client: aiohttp.ClientSession) -> None:
    async with client.ws_connect("/") as socket:
        await socket.send_str(" " * (limits.REQUEST_BYTES_MAX + 1))
        assert (await socket.receive()).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
    assert node.messages == []
    async with client.post("/", json=rpc("eth_chainId")) as response:
        assert response.status == 200


async def test_sockets_are_bounded(client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli.proxy_server, "SOCKETS_MAX", 1)
    async with client.ws_connect("/"):
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await client.ws_connect("/")
        assert caught.value.status == 503


async def test_a_wrong_token_is_the_nodes_to_refuse(node: FakeNode) -> None:
    proxy = Proxy(settings(node, token="wrong"))
    await proxy.start()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{proxy.port}") as client:
        async with client.post("/", json=rpc("eth_chainId")) as response:
            assert response.status == 401
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await client.ws_connect("/")
        assert caught.value.status == 401
    await proxy.stop()


async def test_another_certificate_gets_neither_token_nor_request(node: FakeNode, tmp_path: Path) -> None:
    other = FakeNode(tmp_path, "other")
    proxy = Proxy(settings(node, tls=tls_context(other.ca_file)))
    await proxy.start()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{proxy.port}") as client:
        async with client.post("/", json=rpc("eth_chainId")) as response:
            assert response.status == 502
            assert "cannot be reached" in await response.text()
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await client.ws_connect("/")
        assert caught.value.status == 502
    assert node.seen == []
    await proxy.stop()


async def test_a_node_that_is_away_is_said_and_found_again(node: FakeNode, client: aiohttp.ClientSession) -> None:
    await node.stop()
    async with client.post("/", json=rpc("eth_chainId")) as response:
        assert response.status == 502
        assert (await response.json())["error"]["message"].startswith("coco proxy: the node cannot be reached")


async def test_a_busy_port_is_named(node: FakeNode) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        proxy = Proxy(settings(node, port=taken.getsockname()[1]))
        with pytest.raises(PortTaken, match="is in use") as caught:
            await proxy.start()
    assert "coco proxy --port" in caught.value.hint


async def test_stopping_closes_sockets(node: FakeNode) -> None:
    proxy = Proxy(settings(node))
    await proxy.start()
    async with (
        aiohttp.ClientSession(f"http://127.0.0.1:{proxy.port}") as client,
        client.ws_connect("/") as socket,
    ):
        stopping = asyncio.create_task(proxy.stop())
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        await stopping


@pytest.mark.usefixtures("stand_in_adapters", "network")
def test_only_this_machine_may_reach_it(coco: Coco) -> None:
    for host in ("0.0.0.0", "192.168.1.1", "::", "my-laptop"):
        ran = coco("proxy", "--host", host, code=2)
        assert "whoever reaches the proxy acts as the identity" in ran.err
        assert "--i-know" in ran.err
    assert "has not been started yet" in coco("proxy", "--host", "127.0.0.2", code=7).err


async def test_with_consent_addresses_are_allowed_and_names_are_not(node: FakeNode) -> None:
    proxy = Proxy(settings(node, any_host=True))
    await proxy.start()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{proxy.port}") as client:
        for host, status in (("192.168.1.5:8545", 200), ("attacker.example", 403)):
            async with client.post("/", json=rpc("eth_chainId"), headers={"Host": host}) as response:
                assert response.status == status
    await proxy.stop()


def test_secrets_do_not_show(tmp_path: Path) -> None:
    shown = repr(ProxySettings("https://x", tls_context(FakeNode(tmp_path).ca_file), "secret-token"))
    assert "secret-token" not in shown
