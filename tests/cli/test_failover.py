"""Several nodes of one network: which is asked, and what is asked twice."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from cli.connection import Connection, connect_client
from cli.errors import Unreachable
from cli.failover import Addresses, is_repeatable
from cli.store import ClientStore
from tests.cli.fake_node import TOKEN, FakeNode

NOWHERE = "https://127.0.0.1:1"


def call(method: str, **fields: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": [], **fields}


@pytest.mark.parametrize(
    ("method", "body", "repeatable"),
    [
        ("GET", None, True),
        ("HEAD", None, True),
        ("POST", call("eth_call"), True),
        ("POST", call("eth_sendRawTransaction"), True),
        ("POST", [call("eth_call"), call("eth_chainId")], True),
        ("POST", call("coco_bind"), False),
        ("POST", [call("eth_call"), call("coco_bind")], False),
        ("POST", [], False),
        ("POST", {"put": {"a": "b"}}, False),  # kv's batch
        ("POST", call("eth_call", jsonrpc="1.0"), False),
        ("POST", {**call("eth_call"), "method": 7}, False),
        ("PUT", call("eth_call"), False),
        ("DELETE", None, False),
    ],
)
def test_what_is_repeated(method: str, body: object, repeatable: bool) -> None:
    assert is_repeatable(method, None if body is None else orjson.dumps(body)) is repeatable


@pytest.mark.parametrize("body", [b"", b"{", b"\xd2\x84", b"7", b"null"])
def test_what_is_no_json_rpc_is_not_repeated(body: bytes) -> None:
    assert not is_repeatable("POST", body)


def test_addresses_turn_round() -> None:
    nodes = Addresses(["https://a", "https://b", "https://a"])
    assert (nodes.count, nodes.current) == (2, "https://a")
    assert nodes.avoid("https://b") == "https://a"  # Somebody else noticed before.
    assert nodes.avoid("https://a") == "https://b"
    assert nodes.avoid("https://b") == "https://a"


@pytest.fixture
def silent() -> Iterator[str]:
    """A node that takes a connection and hangs up on whatever is said."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            while True:
                try:
                    accepted, _ = listener.accept()
                except OSError:
                    return
                accepted.close()

        thread = threading.Thread(target=hang_up, daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def test_the_next_node_is_asked_when_one_is_down(threaded_node: FakeNode) -> None:
    with Connection(NOWHERE, threaded_node.ca_file, TOKEN, "demo", others=(threaded_node.url,)) as connection:
        assert connection.rpc("coco_bind") == ["coco_bind"]  # It never reached the first.
        assert (connection.url, connection.others) == (threaded_node.url, (NOWHERE,))
        assert connection.rpc("eth_chainId") == ["eth_chainId"]
        assert len(threaded_node.connections) == 1


def test_a_node_that_hangs_up_before_anything_was_sent(threaded_node: FakeNode, silent: str) -> None:
    with Connection(silent, threaded_node.ca_file, TOKEN, "demo", others=(threaded_node.url,)) as connection:
        assert connection.request("PUT", "/kv/keys/a", b"b")[0] == 200
        assert connection.url == threaded_node.url


@pytest.mark.parametrize(("method", "asked"), [("eth_sendRawTransaction", 2), ("coco_bind", 1)])
def test_only_what_may_be_repeated_is(tmp_path: Path, threaded_node: FakeNode, method: str, asked: int) -> None:
    """The first node takes the request and hangs up: nobody knows what became of it."""
    dying = FakeNode(tmp_path, "dying")
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(dying.start(), loop).result()
    both = tmp_path / "both.pem"
    both.write_bytes(dying.ca_file.read_bytes() + threaded_node.ca_file.read_bytes())

    def die(request: dict[str, Any]) -> dict[str, Any]:
        for transport in dying._transports:
            transport.abort()
        return {"result": None}

    dying.answer = die
    try:
        with Connection(dying.url, both, TOKEN, "demo", others=(threaded_node.url,)) as connection:
            if asked == 2:
                assert connection.rpc(method) == [method]
            else:
                with pytest.raises(Unreachable):
                    connection.rpc(method)
        assert len(dying.seen) == 1
        assert len(threaded_node.seen) == asked - 1
    finally:
        asyncio.run_coroutine_threadsafe(dying.stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_all_are_down(threaded_node: FakeNode) -> None:
    with (
        Connection(NOWHERE, threaded_node.ca_file, TOKEN, "demo", others=("https://127.0.0.1:2",)) as connection,
        pytest.raises(Unreachable, match="does not answer"),
    ):
        connection.rpc("eth_chainId")


def test_a_client_knows_several_addresses(started: ClientStore, threaded_node: FakeNode) -> None:
    started.set_url(NOWHERE, threaded_node.url)
    assert started.urls() == (NOWHERE, threaded_node.url)
    assert started.url() == NOWHERE
    with connect_client(started, started.identity(None)) as connection:
        assert connection.rpc("eth_chainId") == ["eth_chainId"]


def test_the_proxy_turns_to_another_node(threaded_node: FakeNode) -> None:
    from aiohttp import ClientSession

    from cli.connection import tls_context
    from cli.proxy_server import Proxy, ProxySettings

    async def ask() -> Any:
        tls = tls_context(threaded_node.ca_file)
        running = Proxy(ProxySettings(NOWHERE, tls, TOKEN, port=0, others=(threaded_node.url,)))
        await running.start()
        try:
            address = f"http://127.0.0.1:{running.port}/"
            async with ClientSession() as session, session.post(address, json=call("eth_chainId")) as response:
                answered = await response.json()
            async with ClientSession() as session, session.ws_connect(address) as opened:
                await opened.close()
            return answered
        finally:
            await running.stop()

    assert asyncio.run(ask())["result"] == ["eth_chainId"]
