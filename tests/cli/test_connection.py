"""The client's connection: pinned certificate, token, errors with the next step; unmodified web3.py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web
from web3 import Web3

from cli.connection import Connection, connect
from cli.errors import Refused, StateDamaged, Unreachable
from cli.store import ClientStore
from tests.cli.fake_node import TOKEN, FakeNode


@pytest.fixture
def node(threaded_node: FakeNode) -> FakeNode:
    return threaded_node


@pytest.fixture
def connection(node: FakeNode) -> Iterator[Connection]:
    opened = Connection(node.url, node.ca_file, TOKEN, "demo")
    yield opened
    opened.close()


def test_requests_share_a_connection(node: FakeNode, connection: Connection) -> None:
    assert connection.rpc("eth_call", {"to": "0x1"}, "latest") == ["eth_call", {"to": "0x1"}, "latest"]
    assert connection.rpc("eth_chainId") == ["eth_chainId"]
    assert len(node.connections) == 1


def test_an_error_of_the_node_keeps_its_words(node: FakeNode, connection: Connection) -> None:
    node.answer = lambda request: {"error": {"code": 3, "message": "execution reverted", "data": "0x08c3"}}
    with pytest.raises(Refused, match="execution reverted") as caught:
        connection.rpc("eth_call")
    assert (caught.value.code, caught.value.data, caught.value.exit_code) == (3, "0x08c3", 8)


def test_an_unbound_address_names_the_command(node: FakeNode, connection: Connection) -> None:
    node.answer = lambda request: {"error": {"code": -32001, "message": "not bound"}}
    with pytest.raises(Refused) as caught:
        connection.rpc("eth_sendRawTransaction", "0x")
    assert "coco account bind" in caught.value.hint


def test_a_null_result_is_a_result(node: FakeNode, connection: Connection) -> None:
    node.answer = lambda request: {"result": None}
    assert connection.rpc("eth_getTransactionReceipt", "0x") is None


@pytest.mark.parametrize("answer", [{}, {"error": "text"}, {"error": None}])
def test_an_answer_that_is_none_is_refused(node: FakeNode, connection: Connection, answer: dict[str, object]) -> None:
    node.answer = lambda request: answer
    with pytest.raises(Refused, match="answered with status 200"):
        connection.rpc("eth_chainId")


def test_a_wrong_token(node: FakeNode) -> None:
    connection = Connection(node.url, node.ca_file, "wrong", "demo")
    with pytest.raises(Refused, match="no identity") as caught:
        connection.rpc("eth_chainId")
    assert caught.value.code == 401
    assert "--identity" in caught.value.hint
    connection.close()


def test_a_foreign_certificate_never_sees_the_token(node: FakeNode, tmp_path: Path) -> None:
    connection = Connection(node.url, FakeNode(tmp_path, "other").ca_file, TOKEN, "demo")
    with pytest.raises(Unreachable, match="does not show a certificate of network demo") as caught:
        connection.rpc("eth_chainId")
    assert caught.value.exit_code == 7
    assert node.seen == []


@pytest.mark.parametrize("content", [None, "", "nonsense"])
def test_a_pin_that_cannot_be_used(node: FakeNode, tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "pin.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(Unreachable, match="cannot be used"):
        Connection(node.url, file, TOKEN).rpc("eth_chainId")


def test_nobody_listens(node: FakeNode) -> None:
    with pytest.raises(Unreachable, match="does not answer at") as caught:
        Connection("https://127.0.0.1:1", node.ca_file, TOKEN, "demo").rpc("eth_chainId")
    assert "coco network start demo" in caught.value.hint


def test_pages(node: FakeNode, connection: Connection) -> None:
    node.pages["/node/status"] = {"view": 2}
    node.pages["/gone"] = web.Response(status=302, headers={"Location": "https://elsewhere.example"})
    assert connection.get("/node/status") == {"view": 2}
    with pytest.raises(Refused, match="status 302"):
        connection.get("/gone")


def test_connect_finds_the_default_identity(started: ClientStore, home: Path) -> None:
    for connection in (connect(), connect("demo", "carrier", home=home)):
        assert connection.rpc("eth_chainId") == ["eth_chainId"]
        connection.close()
    assert TOKEN not in repr(connect())


def test_connecting_without_identity_shows_no_token(started: ClientStore, node: FakeNode) -> None:
    connection = connect(anonymous=True)
    with pytest.raises(Refused, match="no identity"):
        connection.get("/")
    assert "Authorization" not in node.seen[0][2]
    connection.close()


@pytest.mark.parametrize("token", ["", "\n", "two words", "\xff"])
def test_a_damaged_token_is_named(started: ClientStore, token: str) -> None:
    (started.directory / "identities/carrier/token").write_text(token, encoding="latin-1")
    with pytest.raises(StateDamaged, match="no readable token"):
        connect()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "https://a b", "https://user@host", "", "https://h:1/path"])
def test_an_address_without_tls_is_refused(started: ClientStore, url: str) -> None:
    started.set_url(url)
    with pytest.raises(StateDamaged, match="holds no address"):
        connect()


def test_web3_as_it_comes(node: FakeNode, started: ClientStore) -> None:
    node.answer = lambda request: {"result": "0x7"}
    options = {"headers": {"Authorization": f"Bearer {TOKEN}"}, "verify": str(node.ca_file)}
    assert Web3(Web3.HTTPProvider(node.url, request_kwargs=options)).eth.chain_id == 7
    assert connect().web3().eth.block_number == 7
