"""The gateway's WebSocket: how much, how many and how long, and credentials that end while a connection is open."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import InvalidStatus

import core.node.http_server
import core.node.websocket
from core import limits
from core.errors import NodeStopped
from core.node.http_server import ServerBounds
from core.node.websocket import WebSocketConnection
from tests.support.gateway_bench import ACTORS, BOUNDS, Bench, bearer, constitution, eventually
from tests.support.websocket_client import CLOSE, CONTINUATION, PING, PONG, TEXT, RawSocket, frame, open_socket


@pytest.fixture(autouse=True)
def short_linger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core.node.websocket, "_LINGER_SECONDS", 0.02)


@contextlib.asynccontextmanager
async def serving(folder: Path, bounds: ServerBounds) -> AsyncIterator[Bench]:
    bench = Bench(folder, bounds)
    await bench.serve()
    try:
        yield bench
    finally:
        await bench.close()


async def closed(socket: ClientConnection) -> tuple[int, str]:
    """Return the code and reason the gateway closes with."""
    await asyncio.wait_for(socket.wait_closed(), 5)
    assert socket.close_code is not None
    return socket.close_code, socket.close_reason or ""


def only(bench: Bench) -> WebSocketConnection:
    [socket] = bench.gateway._server._sockets._tasks.values()
    return socket


# How much.


async def test_reading_pauses_while_the_handler_is_behind(bench: Bench) -> None:
    bench.silent = True
    socket = await RawSocket.open(bench)
    count = 20 * limits.WEBSOCKET_MESSAGES_MAX
    socket.send(frame(TEXT, b"submit"))
    for _ in range(count):
        socket.send(frame(TEXT, bytes(8 * 1024)))
    await eventually(lambda: only(bench)._reading_paused)
    held = len(only(bench)._messages)
    await asyncio.sleep(0.05)
    assert len(only(bench)._messages) == held < count
    assert only(bench)._messages_bytes < 2**20
    only(bench).abort()
    await eventually(lambda: not only(bench)._open)
    bench.gateway._server._bounds = replace(BOUNDS, stop_seconds_max=0.1)


async def test_reading_goes_on_when_the_handler_has_caught_up(bench: Bench) -> None:
    socket = await RawSocket.open(bench)
    count = 20 * limits.WEBSOCKET_MESSAGES_MAX

    async def read() -> list[bytes]:
        return [(await socket.read()).data for _ in range(count)]

    reading = asyncio.create_task(read())
    for number in range(count):
        socket.send(frame(TEXT, b"%d" % number * 100))
    assert await asyncio.wait_for(reading, 10) == [b"%d" % number * 100 for number in range(count)]


@pytest.mark.parametrize("word", ["flood", "crowd"])
async def test_a_client_that_reads_too_slowly_is_closed(tmp_path: Path, word: str) -> None:
    """One sender waits for its client, within a time; many senders wait, within a number."""
    slow_seconds = 0.2 if word == "flood" else 60
    async with serving(tmp_path, replace(BOUNDS, slow_seconds_max=slow_seconds)) as bench:
        socket = await RawSocket.open(bench)
        socket.client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        socket.send(frame(TEXT, word.encode()))
        await eventually(lambda: len(bench.gateway._server._sockets) > 0 and only(bench)._writing_paused)
        buffered = only(bench)._transport.get_write_buffer_size()
        assert buffered <= limits.WEBSOCKET_BUFFER_BYTES_MAX + 128 * 1024
        await eventually(lambda: len(bench.gateway._server._sockets) == 0)


async def test_a_client_that_reads_at_last_gets_everything(tmp_path: Path) -> None:
    async with serving(tmp_path, BOUNDS) as bench:
        socket = await RawSocket.open(bench)
        socket.client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        socket.send(frame(TEXT, b"flood"))
        await eventually(lambda: len(bench.gateway._server._sockets) > 0 and only(bench)._writing_paused)
        socket.client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        for _ in range(200):
            assert len((await socket.read()).data) == 64 * 1024


async def test_what_a_handler_sends_is_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RESPONSE_BYTES_MAX", 10)
    async with await open_socket(bench, headers=bearer("alice")) as socket:
        await socket.send("x" * 10)
        assert await socket.recv() == "x" * 10
        await socket.send("x" * 11)
        assert (await closed(socket))[0] == 1011


# How many.


async def test_they_count_as_connections(tmp_path: Path) -> None:
    async with serving(tmp_path, replace(BOUNDS, connections_max=2)) as bench:
        first = await open_socket(bench, headers=bearer("alice"))
        await bench.connect()
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await bench.connect()
        await first.close()
        await eventually(lambda: len(bench.gateway._server._sockets) == 0)
        assert (await (await bench.connect()).request("GET", "/node/health")).status == 200


async def test_one_identity_has_a_share(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WEBSOCKETS_PER_CALLER_MAX", 2)
    first, second = [await open_socket(bench, headers=bearer("alice")) for _ in range(2)]
    with pytest.raises(InvalidStatus) as caught:
        await open_socket(bench, credential=ACTORS["alice"])
    assert caught.value.response.status_code == 503
    other = await open_socket(bench, headers=bearer("bob"))
    await first.close()
    await eventually(lambda: len(bench.gateway._server._sockets) == 2)
    third = await open_socket(bench, headers=bearer("alice"))
    for socket in (second, third, other):
        await socket.close()


# How long.


async def test_a_quiet_connection_that_answers_pings_lives_on(tmp_path: Path) -> None:
    bounds = replace(BOUNDS, idle_seconds_max=0.1, request_seconds_max=0.1, ping_seconds=0.05)
    async with serving(tmp_path, bounds) as bench:
        socket = await RawSocket.open(bench)
        for _ in range(8):
            assert (await socket.read()).opcode == PING
            socket.send(frame(PONG))
        socket.send(frame(TEXT, b"still here"))
        while (answer := await socket.read()).opcode == PING:
            socket.send(frame(PONG))
        assert answer.data == b"still here"


async def test_a_client_that_answers_no_ping_is_gone(tmp_path: Path) -> None:
    async with serving(tmp_path, replace(BOUNDS, ping_seconds=0.05)) as bench:
        socket = await RawSocket.open(bench)
        assert (await socket.read()).opcode == PING
        socket.send(frame(TEXT, b"half a message")[:-1])
        while (last := await socket.read()).opcode == PING:
            pass
        assert (last.close_code, last.data[2:]) == (1011, b"pings are not answered")
        assert await socket.client.ended()


async def test_a_message_must_come_to_an_end(tmp_path: Path) -> None:
    async with serving(tmp_path, replace(BOUNDS, ping_seconds=0.05, request_seconds_max=0.1)) as bench:
        socket = await RawSocket.open(bench)
        socket.send(frame(TEXT, b"a", fin=False))
        while (last := await socket.read()).opcode != CLOSE:
            socket.send(frame(CONTINUATION, fin=False), frame(PONG))
        assert last.close_code == 1008
        assert await socket.client.ended()


# Credentials that end.


async def test_withdrawn_credentials_close_what_they_opened(bench: Bench) -> None:
    by_token = await open_socket(bench, headers=bearer("alice"))
    by_path = await open_socket(bench, "/token/token-of-alice/")
    by_certificate = await open_socket(bench, credential=ACTORS["alice"])
    other = await open_socket(bench, headers=bearer("bob"))
    await bench.serve(constitution("alice"))
    for socket in (by_token, by_path, by_certificate):
        assert await closed(socket) == (1008, "the credentials are no longer accepted")
    await other.send("still here")
    assert await other.recv() == "still here"
    with pytest.raises(InvalidStatus):
        await open_socket(bench, headers=bearer("alice"))
    await other.close()


async def test_an_expired_certificate_closes_what_it_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(tmp_path, replace(BOUNDS, ping_seconds=0.05)) as bench:
        socket = await open_socket(bench, credential=ACTORS["alice"])
        await socket.send("still here")
        assert await socket.recv() == "still here"

        class Later:
            @staticmethod
            def time() -> float:
                return time.time() + 30 * 86_400

        monkeypatch.setattr(core.node.http_server, "time", Later)
        assert (await closed(socket))[0] == 1008


# The gateway's own end.


async def test_a_stop_closes_with_going_away(bench: Bench) -> None:
    socket, silent = await open_socket(bench, headers=bearer("alice")), await RawSocket.open(bench)
    started = asyncio.get_running_loop().time()
    bench.gateway._server._bounds = replace(BOUNDS, stop_seconds_max=0.2)
    bench.gateway.request_stop()
    assert await closed(socket) == (1001, "the node is stopping")
    assert (await silent.read()).close_code == 1001
    assert await silent.client.ended()  # It does not answer, and is not waited for.
    await asyncio.wait_for(bench.run, 5)
    assert asyncio.get_running_loop().time() - started < 5


async def test_connections_end_with_the_executor(bench: Bench) -> None:
    socket = await open_socket(bench, headers=bearer("alice"))
    await bench.executor.close()
    with pytest.raises(NodeStopped):
        await asyncio.wait_for(bench.run, 5)
    await asyncio.wait_for(socket.wait_closed(), 5)
    assert len(bench.gateway._server._sockets) == 0
