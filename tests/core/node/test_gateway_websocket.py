"""The gateway's WebSocket: who gets one, what passes, and what a client may not send. RFC 6455."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

import core.node.websocket
from core.errors import InvariantBroken
from tests.support.gateway_bench import ACTORS, BODY_MAX, SAID, TOKENS, Bench, bearer, eventually, under
from tests.support.websocket_client import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Frame,
    RawSocket,
    close_frame,
    frame,
    handshake,
    open_socket,
)


async def until(said: list[str | bytes | None]) -> None:
    """Wait until the last handler has received just this."""
    await eventually(lambda: said == SAID)


@pytest.fixture(autouse=True)
def short_linger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core.node.websocket, "_LINGER_SECONDS", 0.02)


# Who gets one.


async def test_messages_pass_both_ways(bench: Bench) -> None:
    async with await open_socket(bench, headers=bearer("alice")) as socket:
        for message in ("hello", "", "é€😀", b"\x00\xff", b"", "x" * 70_000, bytes(BODY_MAX)):
            if len(message) <= BODY_MAX:
                await socket.send(message)
                assert await socket.recv() == message
        await socket.send("submit")
        assert await socket.recv() == b"ABC"
        assert "Sec-WebSocket-Extensions" not in socket.response.headers  # type: ignore[union-attr]
    assert (bench.items[0].caller.identity, bench.items[0].caller.token) == ("alice", TOKENS["alice"])


async def test_paths_and_credentials_are_those_of_http(bench: Bench) -> None:
    token, employee = TOKENS["bob"], under(ACTORS["alice"], "an employee")
    for path, headers, credential, said in (
        ("/", bearer("alice"), None, "probe alice token"),
        ("/probe", bearer("alice"), None, "probe alice token"),
        ("/other/rooms/1?x=y", bearer("alice"), None, "other alice token"),
        (f"/token/{token}", {}, None, "probe bob token"),
        (f"/token/{token}/other/", {}, None, "other bob token"),
        ("/", {}, ACTORS["admin"], "probe admin certificate"),
        ("/", {}, employee, "probe alice certificate"),
        ("/", bearer("alice"), employee, "probe alice token"),
    ):
        async with await open_socket(bench, path, headers, credential) as socket:
            await socket.send("who")
            assert await socket.recv() == said


async def test_without_an_identity_there_is_no_connection(bench: Bench) -> None:
    for path, headers, credential in (
        ("/", {}, None),
        ("/nowhere", {}, None),
        ("/node/status", {}, None),
        ("/", {"authorization": "Bearer wrong"}, None),
        ("/nowhere", {"authorization": "Bearer wrong"}, None),
        ("/token/wrong/", {}, None),
        ("/", bearer("bob"), ACTORS["alice"]),
    ):
        with pytest.raises(InvalidStatus) as caught:
            await open_socket(bench, path, headers, credential)
        assert caught.value.response.status_code == 401
    for path in ("/nowhere", "/submit", "/show/x", "/rooms", "/node/status"):
        with pytest.raises(InvalidStatus) as caught:
            await open_socket(bench, path, bearer("alice"))
        assert caught.value.response.status_code == 404
    assert len(bench.gateway._server._sockets) == 0


async def test_a_web_page_gets_nowhere_with_a_certificate(bench: Bench) -> None:
    """A browser shows its certificate for any page that opens a WebSocket, and no CORS holds it back."""
    with pytest.raises(InvalidStatus) as caught:
        await open_socket(bench, credential=ACTORS["alice"], origin="https://attacker.example")
    assert caught.value.response.status_code == 401
    own = f"https://localhost:{bench.port}"
    for headers, origin in ((bearer("alice"), "https://dapp.example"), ({}, own)):
        async with await open_socket(bench, "/", headers, ACTORS["alice"], origin=origin) as socket:
            await socket.send("who")
            assert str(await socket.recv()).startswith("probe alice")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-websocket-version": "12"}, 426),
        ({"sec-websocket-version": ""}, 400),
        ({"sec-websocket-key": ""}, 400),
        ({"sec-websocket-key": "c2hvcnQ="}, 400),
        ({"sec-websocket-key": "!"}, 400),
    ],
)
async def test_handshakes_that_are_wrong(bench: Bench, headers: dict[str, str], status: int) -> None:
    client = await bench.connect()
    client.writer.write(handshake("/", bearer("alice") | headers))
    reply = await client.read()
    assert (reply.status, reply.headers["connection"]) == (status, "close")
    assert await client.ended()


async def test_subprotocols(bench: Bench) -> None:
    async with await open_socket(bench, "/versioned", bearer("alice"), subprotocols=["v1", "v2", "v3"]) as socket:
        assert socket.subprotocol == "v2"
    for offered in (None, ["v3"]):
        with pytest.raises(InvalidStatus) as caught:
            await open_socket(bench, "/versioned", bearer("alice"), subprotocols=offered)
        assert caught.value.response.status_code == 400


# Frames.


async def test_a_handshake_behind_requests_and_before_frames(bench: Bench) -> None:
    client = await bench.connect()
    client.send("POST", "/submit", b"first", bearer("alice"))
    client.writer.write(handshake("/", bearer("alice")) + frame(TEXT, b"ahead") + frame(TEXT, b"of time"))
    assert (await client.read()).body == b"FIRST"
    assert (await client.read()).status == 101
    socket = RawSocket(client)
    assert [await socket.read(), await socket.read()] == [Frame(TEXT, b"ahead"), Frame(TEXT, b"of time")]


async def test_fragments_with_control_frames_between(bench: Bench) -> None:
    socket = await RawSocket.open(bench)
    e = "é".encode()
    socket.send(frame(TEXT, b"a" + e[:1], fin=False), frame(PING, b"are you there"), frame(CONTINUATION, fin=False))
    assert await socket.read() == Frame(PONG, b"are you there")
    socket.send(frame(PONG, b"unasked"), frame(CONTINUATION, e[1:] + b"b"))
    assert await socket.read() == Frame(TEXT, "aéb".encode())
    socket.send(frame(BINARY, b"\xff", fin=False), frame(CONTINUATION, b"\xfe"))
    assert await socket.read() == Frame(BINARY, b"\xff\xfe")
    for byte in frame(TEXT, b"slowly"):
        socket.send(bytes([byte]))
        await asyncio.sleep(0)
    assert await socket.read() == Frame(TEXT, b"slowly")


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(TEXT, b"x", mask=False), 1002),
        (frame(3), 1002),
        (frame(11), 1002),
        (frame(TEXT, b"x", reserved=4), 1002),
        (frame(TEXT, b"x", reserved=1), 1002),
        (frame(PING, fin=False), 1002),
        (frame(PING, bytes(126)), 1002),
        (frame(CONTINUATION, b"x"), 1002),
        (frame(TEXT, b"x", fin=False) + frame(TEXT, b"y"), 1002),
        (frame(CLOSE, b"\x03"), 1002),
        (close_frame(1005), 1002),
        (close_frame(999), 1002),
        (close_frame(1000, b"\xff"), 1007),
        (frame(TEXT, b"\xff"), 1007),
        (frame(TEXT, b"\xed\xa0\x80"), 1007),
        (frame(TEXT, b"\xc3", fin=False) + frame(CONTINUATION, b"\x28"), 1007),
        (frame(TEXT, bytes(BODY_MAX + 1)), 1009),
        (frame(TEXT, bytes(BODY_MAX), fin=False) + frame(CONTINUATION, b"x"), 1009),
        (b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff", 1009),
    ],
)
async def test_malformed_frames(bench: Bench, sent: bytes, code: int) -> None:
    """The good message before is answered, nothing after is, and the connection ends with the code."""
    socket = await RawSocket.open(bench)
    socket.send(frame(TEXT, b"good"))
    assert await socket.read() == Frame(TEXT, b"good")
    socket.send(sent, frame(TEXT, b"after"))
    assert (await socket.read()).close_code == code
    assert await socket.client.ended()
    await until(["good", None])
    async with await open_socket(bench, headers=bearer("alice")) as other:
        await other.send("still here")
        assert await other.recv() == "still here"


# How one ends.


async def test_the_client_closes(bench: Bench) -> None:
    socket = await RawSocket.open(bench)
    socket.send(frame(TEXT, b"last"), close_frame(4001, b"enough"), frame(TEXT, b"after"))
    assert await socket.read() == Frame(CLOSE, b"\x0f\xa1enough")
    assert await socket.client.ended()
    await until(["last"])  # The handler could not answer any more.


async def test_the_client_vanishes(bench: Bench) -> None:
    socket = await RawSocket.open(bench)
    socket.send(frame(TEXT, b"last"))
    assert await socket.read() == Frame(TEXT, b"last")
    socket.client.writer.transport.abort()
    await until(["last", None])


@pytest.mark.parametrize(("word", "code"), [("end", 1000), ("bug", 1011), ("refused", 1011), ("overloaded", 1013)])
async def test_the_handler_ends(bench: Bench, word: str, code: int) -> None:
    async with await open_socket(bench, headers=bearer("alice")) as socket:
        await socket.send(word)
        with pytest.raises(ConnectionClosed) as caught:
            await socket.recv()
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == code
    assert "secret" not in caught.value.rcvd.reason + "".join(bench.logged)


async def test_a_broken_invariant_stops_the_gateway(bench: Bench) -> None:
    socket = await open_socket(bench, headers=bearer("alice"))
    await socket.send("broken")
    with pytest.raises(InvariantBroken):
        await asyncio.wait_for(bench.run, 5)
    await socket.wait_closed()


async def test_a_handler_that_does_not_notice_is_ended(bench: Bench) -> None:
    sockets = bench.gateway._server._sockets
    sockets._bounds = replace(sockets._bounds, close_seconds_max=0.05)
    socket = await open_socket(bench, headers=bearer("alice"))
    await socket.send("hang")
    await until(["hang"])
    await socket.close()
    await eventually(lambda: not len(sockets))
