"""Messages between two nodes over sockets: framing, flow, the ends of a channel, time-outs, revocation."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from core import limits
from core.crypto.keys import PrivateKey
from core.errors import ChannelClosed, LimitExceeded
from core.node.attested_tls.connection import AttestedConnection, ChannelSettings
from core.node.attested_tls.errors import ChannelRefused, HandshakeTimedOut, NodeRemoved
from core.node.attested_tls.hello import Mode
from core.node.attested_tls.register import NodeRegister
from core.node.attested_tls.transport import AttestedTransport, SocketStream, open_attested
from core.ports import Evidence
from enclave_sim.verify.errors import MeasurementRefused
from enclave_sim.verify.policy import Policy
from tests.support.attestation import NOW
from tests.support.attested_tls import SgxEvidence, settings

FIRST, SECOND = settings(), settings()


async def streams() -> tuple[SocketStream, SocketStream]:
    ends = socket.socketpair()
    return tuple([SocketStream(*await asyncio.open_connection(sock=end)) for end in ends])  # type: ignore[return-value]


@asynccontextmanager
async def channel(
    mode: Mode = Mode.PINNED, first: ChannelSettings = FIRST, second: ChannelSettings = SECOND
) -> AsyncIterator[tuple[AttestedTransport, AttestedTransport]]:
    results = await attempt(mode, first, second)
    opened = [one for one in results if isinstance(one, AttestedTransport)]
    assert len(opened) == 2, results
    yield opened[0], opened[1]
    for one in opened:
        await one.close()


async def attempt(mode: Mode, first: ChannelSettings, second: ChannelSettings) -> list[Any]:
    near, far = await streams()
    return await asyncio.gather(
        open_attested(AttestedConnection.initiate(first, mode, at=NOW), near, SgxEvidence()),
        open_attested(AttestedConnection.respond(second, at=NOW), far, SgxEvidence()),
        return_exceptions=True,
    )


@pytest.mark.parametrize("mode", list(Mode))
async def test_messages_both_ways(mode: Mode) -> None:
    async with channel(mode) as (first, second):
        for message in (b"", b"one", bytes(100_000)):
            await first.send(message)
            await second.send(message)
            assert await second.receive() == message
            assert await first.receive() == message
        assert first.peer.node_id == SECOND.key.public_key().node_id()
        assert second.peer.node_id == FIRST.key.public_key().node_id()


async def test_many_senders_and_a_slow_receiver() -> None:
    """A sender waits while the other end does not read; nothing is lost, mixed or reordered."""
    async with channel() as (first, second):

        async def send(number: int) -> None:
            for count in range(10):
                await first.send(bytes([number, count]) + bytes(100_000))

        tasks = [asyncio.create_task(send(number)) for number in range(4)]
        await asyncio.sleep(0.05)
        assert not all(task.done() for task in tasks)
        received = [await second.receive() for _ in range(40)]
        await asyncio.gather(*tasks)
        for number in range(4):
            assert [one[1] for one in received if one[0] == number] == list(range(10))


async def test_a_cancelled_send_has_still_sent() -> None:
    async with channel() as (first, second):
        sends = [asyncio.create_task(first.send(bytes([count]) * 1_000_000)) for count in range(4)]
        await asyncio.sleep(0)
        for task in sends:
            task.cancel()
        await asyncio.gather(*sends, return_exceptions=True)
        for count in range(4):
            assert await second.receive() == bytes([count]) * 1_000_000


async def test_messages_over_the_bound() -> None:
    async with channel() as (first, second):
        with pytest.raises(LimitExceeded):
            await first.send(bytes(limits.MESSAGE_BYTES_MAX + 1))
        await first.send(b"still usable")
        assert await second.receive() == b"still usable"


async def test_the_other_end_closes() -> None:
    async with channel() as (first, second):
        await first.send(b"last words")
        await first.close()
        assert await second.receive() == b"last words"
        for _ in range(2):
            with pytest.raises(ChannelClosed):
                await second.receive()
        with pytest.raises(ChannelClosed):
            await second.send(b"too late")
        with pytest.raises(ChannelClosed):
            await first.send(b"too late")


async def test_the_stream_breaks() -> None:
    near, far = await streams()
    first, second = await asyncio.gather(
        open_attested(AttestedConnection.initiate(FIRST, Mode.PINNED, at=NOW), near, SgxEvidence()),
        open_attested(AttestedConnection.respond(SECOND, at=NOW), far, SgxEvidence()),
    )
    near.abort()
    with pytest.raises(ChannelClosed):
        await second.receive()
    with pytest.raises(ChannelClosed):
        await first.receive()
    with pytest.raises(ChannelClosed):
        await second.send(bytes(100_000))
    await asyncio.gather(first.close(), second.close())


async def test_a_changed_byte_closes_the_channel() -> None:
    near, far = await streams()
    first, second = await asyncio.gather(
        open_attested(AttestedConnection.initiate(FIRST, Mode.PINNED, at=NOW), near, SgxEvidence()),
        open_attested(AttestedConnection.respond(SECOND, at=NOW), far, SgxEvidence()),
    )
    near.write(b"\x17\x03\x03\x00\x20" + bytes(32))
    with pytest.raises(ChannelClosed):
        await second.receive()
    assert second.refusal is not None
    assert second.refusal.reason == "tls-failed"  # type: ignore[attr-defined]
    with pytest.raises(ChannelClosed):
        await first.receive()
    await first.close()


async def test_each_side_learns_that_it_was_refused() -> None:
    refused, refuser = await attempt(Mode.JOIN, FIRST, settings(policy=Policy(measurements=frozenset())))
    assert isinstance(refuser, MeasurementRefused)
    assert isinstance(refused, ChannelRefused)
    assert refused.reason in ("refused-by-peer", "truncated-handshake")


async def test_a_silent_end_is_given_up() -> None:
    near, far = await streams()
    connection = AttestedConnection.respond(FIRST, at=NOW)
    with pytest.raises(HandshakeTimedOut):
        await open_attested(connection, near, SgxEvidence(), seconds_max=0.05)
    assert await far.read() == b""
    await far.close()


async def test_a_platform_that_gives_no_evidence_in_time() -> None:
    class Slow:
        async def evidence(self, report_data: bytes) -> Evidence:
            await asyncio.sleep(60)
            raise AssertionError

    near, far = await streams()
    connection = AttestedConnection.initiate(FIRST, Mode.JOIN, at=NOW)
    other = asyncio.create_task(
        open_attested(AttestedConnection.respond(SECOND, at=NOW), far, SgxEvidence(), seconds_max=60)
    )
    with pytest.raises(HandshakeTimedOut):
        await open_attested(connection, near, Slow(), seconds_max=0.1)
    with pytest.raises(ChannelRefused):
        await other


async def test_a_cancelled_handshake_closes_the_stream() -> None:
    near, far = await streams()
    task = asyncio.create_task(open_attested(AttestedConnection.respond(FIRST, at=NOW), near, SgxEvidence()))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await far.read() == b""
    await far.close()


async def test_a_removed_nodes_channel_closes_at_once() -> None:
    keys = [PrivateKey.generate() for _ in range(2)]
    nodes = {key.public_key().node_id(): key.public_key() for key in keys}
    register = NodeRegister(nodes)
    ours, theirs = (settings(key, admit=register.admit) for key in keys)
    async with channel(Mode.PINNED, ours, theirs) as (first, second):
        register.track(first)
        await second.send(b"before")
        assert await first.receive() == b"before"
        await second.send(b"on its way")
        waiting = asyncio.create_task(receive_all(first))
        await asyncio.sleep(0)
        gone = theirs.key.public_key().node_id()
        assert register.replace({ours.key.public_key().node_id(): ours.key.public_key()}, frozenset({gone})) == 1
        with pytest.raises(ChannelClosed) as closed:
            await waiting
        assert isinstance(closed.value.__cause__, NodeRemoved)
        with pytest.raises(ChannelClosed):
            await first.send(b"nothing from then on")
        with pytest.raises(ChannelClosed):
            await second.receive()
        assert isinstance(first.refusal, NodeRemoved)


async def receive_all(transport: AttestedTransport, take: Callable[[bytes], None] = lambda _: None) -> None:
    while True:
        take(await transport.receive())


async def test_the_repr_tells_no_secret() -> None:
    async with channel() as (first, _):
        assert first.peer.node_id[:16] in repr(first)
        assert "OPEN" in repr(first)
