"""The gateway: clients that misbehave, and the corners of HTTP."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from core import limits
from core.errors import InvariantBroken
from tests.support.gateway_bench import BODY_MAX, TOKENS, Bench, bearer


@pytest.mark.parametrize(
    "raw",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 99999999999999999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        b"GET / HTTP/1.0\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        b"GET / HTTP/1.1\r\nconnection: upgrade\r\nupgrade: websocket\r\ncontent-length: 1\r\n\r\nx",
        b"\x16\x03\x01\x00",
    ],
)
async def test_malformed_http(bench: Bench, raw: bytes) -> None:
    client = await bench.connect()
    client.writer.write(raw)
    reply = await client.read()
    assert (reply.status, reply.headers["connection"]) == (400, "close")
    assert await client.ended()
    assert (await (await bench.connect()).request("GET", "/node/health")).status == 200


@pytest.mark.parametrize("target", ["*", "ftp://x/y", "nowhere"])
async def test_request_targets_that_are_not_served(bench: Bench, target: str) -> None:
    client = await bench.connect()
    assert (await client.request("OPTIONS", target, headers=bearer("alice"))).status == 400


async def test_oversized_bodies(bench: Bench) -> None:
    fitting = await bench.connect()
    body = b"x" * BODY_MAX
    assert (await fitting.request("POST", "/", body, headers=bearer("alice"))).json["body"] == body.decode()
    announced = await bench.connect()
    announced.writer.write(b"POST / HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % (BODY_MAX + 1))
    assert (await announced.read()).status == 413
    assert await announced.ended()
    chunked = await bench.connect()
    chunked.writer.write(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n")
    with contextlib.suppress(ConnectionError):
        for _ in range(BODY_MAX // 1024 + 2):
            chunked.writer.write(b"400\r\n" + bytes(1024) + b"\r\n")
    assert (await chunked.read()).status == 413


async def test_chunked_bodies_and_repeated_headers(bench: Bench) -> None:
    client = await bench.connect()
    head = f"POST / HTTP/1.1\r\nauthorization: Bearer {TOKENS['alice']}\r\nx: 1\r\nX: 2\r\n"
    client.writer.write(head.encode() + b"transfer-encoding: chunked\r\n\r\n2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n")
    shown = (await client.read()).json
    assert (shown["body"], shown["headers"]["x"]) == ("abcde", "1, 2")


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /" + b"a" * limits.REQUEST_HEADER_BYTES_MAX + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nx: " + b"a" * limits.REQUEST_HEADER_BYTES_MAX + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"x: aaaaaaaaaaaa\r\n" * 2000 + b"\r\n",
    ],
    ids=["target", "one header", "many headers"],
)
async def test_oversized_heads(bench: Bench, raw: bytes) -> None:
    client = await bench.connect()
    client.writer.write(raw)
    assert (await client.read()).status == 431
    assert await client.ended()


async def test_a_head_that_never_ends_is_cut_off(bench: Bench) -> None:
    client = await bench.connect()
    client.writer.write(b"GET / HTTP/1.1\r\nx: ")
    with contextlib.suppress(ConnectionError):
        for _ in range(1000):
            client.writer.write(b"a" * 1024)
            await asyncio.sleep(0)
    with contextlib.suppress(ConnectionError):
        assert (await client.read()).status == 431
    assert await client.ended()


async def test_expect_continue(bench: Bench) -> None:
    client = await bench.connect()
    head = f"POST / HTTP/1.1\r\nauthorization: Bearer {TOKENS['alice']}\r\nexpect: 100-continue\r\n"
    client.writer.write(head.encode() + b"content-length: 2\r\n\r\n")
    assert await client.reader.readexactly(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.writer.write(b"ok")
    assert (await client.read()).json["body"] == "ok"


async def test_pipelined_requests_are_answered_in_order(bench: Bench) -> None:
    client = await bench.connect()
    count = 3 * limits.CONNECTION_REQUESTS_MAX
    for number in range(count):
        client.send("POST", "/submit", b"n%d" % number, headers=bearer("alice"))
    assert [(await client.read()).body for _ in range(count)] == [b"N%d" % number for number in range(count)]


async def test_reading_pauses_while_too_much_is_sent_ahead(bench: Bench) -> None:
    bench.silent = True
    client = await bench.connect()
    for _ in range(200):
        client.send("POST", "/submit", bytes(BODY_MAX), headers=bearer("alice"))
    await asyncio.sleep(0.2)
    [connection] = bench.gateway._server._connections
    assert connection._waiting_bytes <= 8 * BODY_MAX
    assert connection._reading_paused
    assert len(bench.items) == 1
    connection.abort()


async def test_a_malformed_request_behind_a_good_one(bench: Bench) -> None:
    client = await bench.connect()
    client.send("POST", "/submit", b"good", headers=bearer("alice"))
    client.writer.write(b"nonsense\r\n\r\n")
    assert (await client.read()).body == b"GOOD"
    assert (await client.read()).status == 400
    assert await client.ended()


async def test_connection_close_http_1_0_and_head(bench: Bench) -> None:
    client = await bench.connect()
    reply = await client.request("GET", "/node/health", headers={"connection": "close"})
    assert reply.headers["connection"] == "close"
    assert await client.ended()
    old = await bench.connect()
    old.writer.write(b"GET /node/health HTTP/1.0\r\n\r\n")
    assert (await old.read()).headers["connection"] == "close"
    assert await old.ended()
    head = await bench.connect()
    reply = await head.request("HEAD", "/node/health")
    assert (reply.status, reply.headers["content-length"], reply.body) == (200, "15", b"")
    assert (await head.request("GET", "/node/health")).status == 200


async def test_methods(bench: Bench) -> None:
    client = await bench.connect()
    reply = await client.request("PUT", "/", headers=bearer("alice"))
    assert (reply.status, reply.headers["allow"]) == (405, "GET, POST")
    assert (await client.request("GET", "/nowhere", headers=bearer("alice"))).status == 404
    assert (await client.request("OPTIONS", "/", headers=bearer("alice"))).status == 405


async def test_handlers_that_fail(bench: Bench) -> None:
    client = await bench.connect()
    for path in ("/fail/bug", "/inject"):
        reply = await client.request("GET", path, headers=bearer("alice"))
        assert (reply.status, set(reply.json)) == (500, {"error", "hint"})
        assert b"secret" not in reply.body
        assert "set-cookie" not in reply.headers
    assert (await client.request("GET", "/oversized", headers=bearer("alice"))).status == 413
    assert not any("secret" in line for line in bench.logged)
    assert (await client.request("GET", "/node/health")).status == 200


async def test_a_broken_invariant_stops_the_gateway(bench: Bench) -> None:
    client = await bench.connect()
    client.send("GET", "/fail/broken", headers=bearer("alice"))
    with pytest.raises(InvariantBroken):
        await asyncio.wait_for(bench.run, 5)
