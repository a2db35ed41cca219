"""The gateway: time, number, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import NodeStopped
from core.node.messages import TO_GATEWAY, Answer, ToGateway
from tests.support.gateway_bench import BOUNDS, Bench, bearer


async def test_a_client_that_does_not_shake_hands_is_dropped(tmp_path: Path) -> None:
    bench = Bench(tmp_path, replace(BOUNDS, handshake_seconds_max=0.05))
    await bench.serve()
    reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
    plain_reader, plain_writer = await asyncio.open_connection("127.0.0.1", bench.port)
    plain_writer.write(b"GET / HTTP/1.1\r\n\r\n")
    with contextlib.suppress(ConnectionError):
        assert b"HTTP" not in await asyncio.wait_for(plain_reader.read(), 5)
    plain_writer.close()
    assert (await (await bench.connect()).request("GET", "/node/health")).status == 200
    await bench.close()


async def test_slow_and_idle_connections_end(tmp_path: Path) -> None:
    bench = Bench(tmp_path, replace(BOUNDS, request_seconds_max=0.1, idle_seconds_max=0.2))
    await bench.serve()
    slow, idle = await bench.connect(), await bench.connect()
    slow.writer.write(b"GET /node/health HTTP/1.1\r\n")
    assert (await slow.read()).status == 408
    assert await slow.ended()
    assert await idle.ended()
    await bench.close()


async def test_connections_are_bounded(tmp_path: Path) -> None:
    bench = Bench(tmp_path, replace(BOUNDS, connections_max=2))
    await bench.serve()
    first, second = await bench.connect(), await bench.connect()
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await bench.connect()
    assert (await first.request("GET", "/node/health")).status == 200
    assert (await second.request("GET", "/node/health")).status == 200
    await first.close()
    for _ in range(100):
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            assert (await (await bench.connect()).request("GET", "/node/health")).status == 200
            break
        await asyncio.sleep(0.01)
    else:
        raise AssertionError("no room came back")
    await bench.close()


async def test_a_stop_finishes_what_is_being_answered(bench: Bench) -> None:
    bench.silent = True
    client, idle = await bench.connect(), await bench.connect()
    client.send("POST", "/submit", b"x", headers=bearer("alice"))
    await asyncio.wait_for(bench.asked.wait(), 5)
    bench.gateway.request_stop()
    assert await idle.ended()
    answer = Answer(bench.items[0].ticket, b"done", "", 2, 17)
    await bench.executor.send(TO_GATEWAY.encode(ToGateway((answer,))))
    reply = await client.read()
    assert (reply.body, reply.headers["connection"]) == (b"done", "close")
    await asyncio.wait_for(bench.run, 5)
    with pytest.raises(OSError):
        await bench.connect()


async def test_the_gateway_ends_with_the_executor(bench: Bench) -> None:
    client = await bench.connect()
    assert (await client.request("GET", "/node/health")).status == 200
    await bench.executor.close()
    with pytest.raises(NodeStopped):
        await asyncio.wait_for(bench.run, 5)


async def test_malformed_messages_of_the_executor_are_refused(bench: Bench) -> None:
    await bench.executor.send(b"\x09nonsense")
    client = await bench.connect()
    assert (await client.request("POST", "/submit", b"x", headers=bearer("alice"))).body == b"X"
    assert any("refused" in line for line in bench.logged)
