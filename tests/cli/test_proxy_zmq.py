"""ZeroMQ through `coco proxy`: what a validator does for its clients, with a node that stands in for the network."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import zmq
import zmq.asyncio
from aiohttp import WSMsgType, web

from adapters.sawtooth.wire.messages import MESSAGES, MessageType, parse
from cli import proxy_zmq
from cli.connection import tls_context
from cli.proxy_server import PortTaken, ProxySettings
from cli.proxy_zmq import Heartbeat, ZmqProxy
from core import limits
from tests.cli.fake_node import TOKEN, FakeNode


class ValidatorNode(FakeNode):
    """Answers every message with its content reversed: b"push" twice; b"end" ends the connection."""

    def __init__(self, directory: Path, name: str = "node") -> None:
        super().__init__(directory, name)
        self.sockets: list[web.WebSocketResponse] = []
        self.opened = 0
        self.refuse = False

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        if request.path != "/sawtooth/validator" or self.refuse:
            return web.Response(status=404)
        self.opened += 1
        upstream = web.WebSocketResponse()
        await upstream.prepare(request)
        self.sockets.append(upstream)
        async for frame in upstream:
            if frame.type != WSMsgType.BINARY:
                break
            message = parse("Message", frame.data)
            if message.content == b"end":
                break
            answer = make(message.message_type + 1, message.correlation_id, message.content[::-1])
            for _ in range(2 if message.content == b"push" else 1):
                await upstream.send_bytes(answer)
        self.sockets.remove(upstream)
        return upstream


def make(kind: int, correlation: str = "", content: bytes = b"") -> bytes:
    data: bytes = MESSAGES["Message"](
        message_type=kind, correlation_id=correlation, content=content
    ).SerializeToString()
    return data


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[ValidatorNode]:
    running = ValidatorNode(tmp_path)
    await running.start()
    yield running
    await running.stop()


Start = Callable[..., Awaitable[ZmqProxy]]


@pytest.fixture
async def start(node: ValidatorNode, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Start]:
    monkeypatch.setattr(proxy_zmq, "RETRY_SECONDS", 0.01)
    running: list[ZmqProxy] = []

    async def begin(*, port: int = 0, heartbeat: Heartbeat | None = None, notes: list[str] | None = None) -> ZmqProxy:
        settings = ProxySettings(node.url, tls_context(node.ca_file), TOKEN)
        proxy = ZmqProxy(settings, port, (notes if notes is not None else []).append, heartbeat)
        await proxy.start()
        running.append(proxy)
        return proxy

    yield begin
    for proxy in running:
        await proxy.stop()


class Client:
    """An unmodified ZeroMQ client: a DEALER."""

    def __init__(self, proxy: ZmqProxy, identity: bytes = b"client") -> None:
        self.context = zmq.asyncio.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.identity = identity
        self.socket.linger = 0
        self.socket.connect(f"tcp://127.0.0.1:{proxy.port}")

    async def ask(self, kind: int, content: bytes, correlation: str = "c") -> Any:
        await self.socket.send(make(kind, correlation, content))
        return await self.next()

    async def ask_again(self, content: bytes) -> Any:
        """Ask until there is an answer: what is sent while a connection ends is lost."""
        while True:
            await self.socket.send(make(MessageType.CLIENT_PEERS_GET_REQUEST, "c", content))
            if await self.socket.poll(200):
                return await self.next()

    async def next(self) -> Any:
        return parse("Message", await asyncio.wait_for(self.socket.recv(), 10))

    def close(self) -> None:
        self.context.destroy(linger=0)


@pytest.fixture
async def clients() -> AsyncIterator[Callable[..., Client]]:
    made: list[Client] = []

    def connect(proxy: ZmqProxy, identity: bytes = b"client") -> Client:
        made.append(Client(proxy, identity))
        return made[-1]

    yield connect
    for client in made:
        client.close()


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not come about")


async def test_each_client_has_a_connection_of_its_own(
    node: ValidatorNode, start: Start, clients: Callable[..., Client]
) -> None:
    proxy = await start()
    first, second = clients(proxy, b"first"), clients(proxy, b"second")
    for client, content in ((first, b"abc"), (second, b"xyz"), (first, b"again")):
        answer = await client.ask(MessageType.CLIENT_STATE_GET_REQUEST, content, "c7")
        assert (answer.message_type, answer.correlation_id) == (MessageType.CLIENT_STATE_GET_RESPONSE, "c7")
        assert answer.content == content[::-1]
    assert (node.opened, proxy.peers) == (2, 2)
    await second.ask(MessageType.CLIENT_EVENTS_SUBSCRIBE_REQUEST, b"push")
    assert (await second.next()).content == b"hsup"


async def test_pings_are_answered_here(node: ValidatorNode, start: Start, clients: Callable[..., Client]) -> None:
    client = clients(await start())
    answer = await client.ask(MessageType.PING_REQUEST, b"", "p")
    assert (answer.message_type, answer.correlation_id) == (MessageType.PING_RESPONSE, "p")
    await client.socket.send(b"")
    assert await asyncio.wait_for(client.socket.recv(), 10) == b""
    assert node.opened == 0


@pytest.mark.parametrize("frames", [[b"\x0a\xff"], [b"a", b"b"], [make(MessageType.PING_RESPONSE)]])
async def test_what_is_no_request_goes_nowhere(
    node: ValidatorNode, start: Start, clients: Callable[..., Client], frames: list[bytes]
) -> None:
    client = clients(await start())
    await client.socket.send_multipart(frames)
    await client.ask(MessageType.PING_REQUEST, b"")
    assert node.opened == 0


async def test_a_quiet_client_is_pinged_and_a_silent_one_forgotten(
    node: ValidatorNode, start: Start, clients: Callable[..., Client]
) -> None:
    proxy = await start(heartbeat=Heartbeat(0.02, 0.3))
    client = clients(proxy)
    await client.ask(MessageType.CLIENT_PEERS_GET_REQUEST, b"a")
    ping = await client.next()
    assert ping.message_type == MessageType.PING_REQUEST
    await client.socket.send(make(MessageType.PING_RESPONSE, ping.correlation_id))
    await until(lambda: proxy.peers == 0 and not node.sockets)
    answers = [await client.ask(MessageType.CLIENT_PEERS_GET_REQUEST, b"b")]
    while answers[-1].message_type == MessageType.PING_REQUEST:
        answers.append(await client.next())
    assert answers[-1].content == b"b"


async def test_a_node_pings_a_processor(node: ValidatorNode, start: Start, clients: Callable[..., Client]) -> None:
    client = clients(await start())
    await client.ask(MessageType.CLIENT_PEERS_GET_REQUEST, b"a")
    await node.sockets[0].send_bytes(make(MessageType.PING_REQUEST, "of the node"))
    assert (await client.next()).correlation_id == "of the node"
    # What stands in for a node answers every message; this one tells that the node has got the client's answer.
    await client.socket.send(make(MessageType.PING_RESPONSE, "of the node", b"pong"))
    assert (await client.next()).content == b"gnop"


async def test_a_lost_node_disconnects_every_client(
    node: ValidatorNode, start: Start, clients: Callable[..., Client]
) -> None:
    notes: list[str] = []
    proxy = await start(notes=notes)
    client, other = clients(proxy), clients(proxy, b"other")
    monitor = other.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    await other.ask(MessageType.CLIENT_PEERS_GET_REQUEST, b"a")
    await client.socket.send(make(MessageType.CLIENT_PEERS_GET_REQUEST, "c", b"end"))
    assert await asyncio.wait_for(monitor.recv_multipart(), 10)
    other.socket.disable_monitor()
    monitor.close()
    assert "every Sawtooth client is disconnected" in notes[0]
    assert (await client.ask_again(b"new")).content == b"wen"
    assert (await other.ask_again(b"new")).content == b"wen"


async def test_a_node_that_refuses(node: ValidatorNode, start: Start, clients: Callable[..., Client]) -> None:
    notes: list[str] = []
    client = clients(await start(notes=notes))
    node.refuse = True
    await client.socket.send(make(MessageType.CLIENT_PEERS_GET_REQUEST, "c", b"a"))
    await until(lambda: bool(notes))
    assert "404" in notes[0]
    node.refuse = False
    assert (await client.ask_again(b"b")).content == b"b"


async def test_clients_are_bounded(
    start: Start, clients: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy_zmq, "PEERS_MAX", 1)
    notes: list[str] = []
    proxy = await start(notes=notes)
    await clients(proxy).ask(MessageType.CLIENT_PEERS_GET_REQUEST, b"a")
    await clients(proxy, b"other").socket.send(make(MessageType.CLIENT_PEERS_GET_REQUEST))
    await until(lambda: bool(notes))
    assert notes == ["a client was not served: 1 are connected"]


async def test_what_waits_is_bounded(
    node: ValidatorNode, start: Start, clients: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy_zmq, "PEER_BYTES_MAX", 100)
    notes: list[str] = []
    client = clients(await start(notes=notes))
    await client.socket.send(make(MessageType.CLIENT_PEERS_GET_REQUEST, "c", b"a" * 200))
    await until(lambda: bool(notes))
    assert "was dropped" in notes[0]
    assert (await client.ask(MessageType.CLIENT_PEERS_GET_REQUEST, b"ab")).content == b"ba"


async def test_an_oversized_message_ends_its_connection(start: Start, clients: Callable[..., Client]) -> None:
    client = clients(await start())
    await client.ask(MessageType.PING_REQUEST, b"")
    monitor = client.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    await client.socket.send(b"a" * (limits.REQUEST_BYTES_MAX + 1))
    assert await asyncio.wait_for(monitor.recv_multipart(), 10)
    client.socket.disable_monitor()
    monitor.close()


def old_greeting(message: bytes) -> bytes:
    """A connection in ZMTP 1.0, as bytes that an HTTP request could hold: an identity, then one message."""
    assert len(message) < 250
    return b"P" + b"\0" + b"x" * (ord("P") - 1) + bytes([len(message) + 1]) + b"\0" + message


async def test_bytes_that_a_web_page_can_send_are_no_message(node: ValidatorNode, start: Start) -> None:
    proxy = await start()
    for data in (old_greeting(make(MessageType.CLIENT_PEERS_GET_REQUEST, "c", b"a")), b"POST / HTTP/1.1\r\n\r\n" * 9):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(data)
        try:
            while await asyncio.wait_for(reader.read(1000), 10):
                pass
        except ConnectionError:
            pass
        writer.close()
    assert (node.opened, proxy.peers) == (0, 0)


async def test_a_port_that_is_taken(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(PortTaken) as caught:
        await start(port=taken.getsockname()[1])
    assert "--zmq-port" in caught.value.hint
