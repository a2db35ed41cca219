"""What every Transport promises, for the in-memory pair and for both ends of a socket pair."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from core import limits
from core.errors import ChannelClosed, LimitExceeded
from core.ports import Transport
from enclave_sim.boundary import socket_transport
from enclave_sim.boundary.memory_transport import memory_pair
from enclave_sim.boundary.socket_transport import open_socket_transport

Pair = tuple[Transport, Transport]


async def socket_pair() -> Pair:
    left, right = socket.socketpair()
    return await open_socket_transport(left), await open_socket_transport(right)


async def in_memory() -> Pair:
    return memory_pair()


@pytest.fixture(params=[socket_pair, in_memory])
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    make: Callable[[], Awaitable[Pair]] = request.param
    ends = await make()
    yield ends
    for end in ends:
        await end.close()


async def test_messages_arrive_whole_and_in_order(pair: Pair) -> None:
    messages = [b"", b"a", b"b" * 70_000, b"c" * 3_000_000, b"d"]
    sending = asyncio.create_task(send_all(pair[0], messages))
    assert [await pair[1].receive() for _ in messages] == messages
    await sending


async def test_both_directions_at_once(pair: Pair) -> None:
    messages = [bytes([number]) * 1000 for number in range(200)]
    sending = [asyncio.create_task(send_all(end, messages)) for end in pair]
    for end in pair:
        assert [await end.receive() for _ in messages] == messages
    await asyncio.gather(*sending)


async def test_send_waits_while_the_other_end_is_slow(pair: Pair) -> None:
    sent = 0

    async def send_much() -> None:
        nonlocal sent
        for _ in range(100):
            await pair[0].send(bytes(limits.MEBIBYTE))
            sent += 1

    sending = asyncio.create_task(send_much())
    for _ in range(200):
        await asyncio.sleep(0)
    await asyncio.sleep(0.05)
    assert sent < 30
    for _ in range(100):
        assert len(await pair[1].receive()) == limits.MEBIBYTE
    await sending


async def test_a_cancelled_send_has_still_sent(pair: Pair) -> None:
    """Whoever numbers the messages (AEAD counters) relies on it: a number that was used is on its way."""
    tasks = [asyncio.create_task(pair[0].send(bytes(limits.MEBIBYTE))) for _ in range(12)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for _ in range(12):
        await pair[1].receive()


async def test_what_was_sent_before_the_end_can_be_received(pair: Pair) -> None:
    await pair[0].send(b"last words")
    closing = asyncio.create_task(pair[0].close())
    assert await pair[1].receive() == b"last words"
    with pytest.raises(ChannelClosed):
        await pair[1].receive()
    await closing


async def test_a_waiting_receiver_learns_of_the_end(pair: Pair) -> None:
    waiting = asyncio.create_task(pair[1].receive())
    await asyncio.sleep(0)
    await pair[0].close()
    with pytest.raises(ChannelClosed):
        await waiting


async def test_sending_to_a_closed_end_fails(pair: Pair) -> None:
    await pair[1].close()
    with pytest.raises(ChannelClosed):
        await send_all(pair[0], [bytes(limits.MEBIBYTE)] * 10)


async def test_an_oversized_message_is_not_sent(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MESSAGE_BYTES_MAX", 100)
    with pytest.raises(LimitExceeded):
        await pair[0].send(bytes(101))
    await pair[0].send(bytes(100))
    assert await pair[1].receive() == bytes(100)


async def test_a_cancelled_receive_loses_nothing(pair: Pair) -> None:
    waiting = asyncio.create_task(pair[1].receive())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await pair[0].send(b"kept")
    assert await pair[1].receive() == b"kept"


async def test_memory_carries_bytes_only() -> None:
    left, _ = memory_pair()
    with pytest.raises(TypeError):
        await left.send(bytearray(b"shared"))  # type: ignore[arg-type]


async def test_a_crash_loses_what_is_on_the_way() -> None:
    left, right = memory_pair()
    await left.send(b"lost")
    left.crash()
    with pytest.raises(ChannelClosed):
        await right.receive()


async def test_an_oversized_frame_is_skipped_and_the_socket_stays_usable() -> None:
    raw, end = socket.socketpair()
    transport = await open_socket_transport(end)
    size = limits.MESSAGE_BYTES_MAX + 1
    raw.setblocking(False)
    loop = asyncio.get_running_loop()

    async def flood() -> None:
        await loop.sock_sendall(raw, size.to_bytes(4, "little"))
        piece = bytes(limits.MEBIBYTE)
        for _ in range(size // len(piece)):
            await loop.sock_sendall(raw, piece)
        await loop.sock_sendall(raw, bytes(size % len(piece)) + b"\x02\0\0\0ok")

    flooding = asyncio.create_task(flood())
    with pytest.raises(LimitExceeded):
        await transport.receive()
    assert await transport.receive() == b"ok"
    await flooding
    raw.close()
    with pytest.raises(ChannelClosed):
        await transport.receive()
    await transport.close()


async def test_half_an_end_still_receives() -> None:
    left, right = socket.socketpair()
    ending, other = await open_socket_transport(left), await open_socket_transport(right)
    await other.send(b"last words")
    ending.end()
    assert await ending.receive() == b"last words"
    with pytest.raises(ChannelClosed):
        await other.receive()
    await ending.close()
    await other.close()


async def test_close_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_transport, "CLOSE_SECONDS_MAX", 0.05)
    raw, end = socket.socketpair()
    transport = await open_socket_transport(end)
    sending = asyncio.create_task(transport.send(bytes(8 * limits.MEBIBYTE)))
    await asyncio.sleep(0)
    await transport.close()
    await sending
    raw.close()


async def send_all(end: Transport, messages: list[bytes]) -> None:
    for message in messages:
        await end.send(message)
