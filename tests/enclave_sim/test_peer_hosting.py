"""Nodes whose hosts connect, accept and pass descriptors over real sockets; and hosts that do it badly."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from core import limits
from core.crypto.keys import PrivateKey
from core.errors import ChannelClosed
from core.node.peer_messages import Fetched, FetchLedger, PeerNode, PeerUnreachable
from core.node.peers.network import NodePeers, PeerSettings
from enclave_sim.boundary.descriptors import DescriptorSender, Peer
from enclave_sim.boundary.peer_streams import PassedStreams
from enclave_sim.peer_hosting import PeerHosting
from enclave_sim.verify.manifest import ManifestVerifier
from tests.support.attestation import NOW
from tests.support.attested_tls import SgxEvidence
from tests.support.peers import CONSTITUTION, TIMING, consensus, until


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, source: str, text: str) -> None:
        self.lines.append(f"{source}: {text}")


class Machine:
    """A host and its manager's channels, with a socket pair between them."""

    def __init__(self, *, listens: bool = True) -> None:
        self.key = PrivateKey.generate()
        self.id = self.key.public_key().node_id()
        self.log = Log()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.streams = PassedStreams(theirs, self._ask, lambda line: self.log.line("manager", line))
        self.listener = socket.create_server(("127.0.0.1", 0)) if listens else None
        self.passing = DescriptorSender(ours)
        self.host = PeerHosting(self.passing, self._failed, cast(Any, self.log), self.listener)
        self.host.start()
        self.running = asyncio.create_task(self.streams.run())
        settings = PeerSettings(self.key, SgxEvidence(), ManifestVerifier, CONSTITUTION, NOW.timestamp, timing=TIMING)
        self.peers = NodePeers(settings, self.streams, lambda line: self.log.line("manager", line))

    @property
    def address(self) -> str:
        assert self.listener is not None
        return f"127.0.0.1:{self.listener.getsockname()[1]}"

    def pass_on(self, peer: Peer, number: int, *ends: socket.socket) -> None:
        assert self.passing.send(peer, number, ends)

    async def close(self) -> None:
        await self.peers.close()
        await self.host.close()
        await self.running

    async def _ask(self, request: int, address: str) -> None:
        self.host.dial(request, address)

    async def _failed(self, request: int, reason: str) -> None:
        assert self.streams.failed(request, reason)


@asynccontextmanager
async def machines(count: int, **options: Any) -> AsyncIterator[list[Machine]]:
    made = [Machine(**options) for _ in range(count)]
    yield made
    for one in made:
        await one.close()


async def test_nodes_reach_each_other_through_their_hosts() -> None:
    async with machines(3) as made:
        register = {one.id: PeerNode(one.key.public_key(), one.address) for one in made}
        for one in made:
            one.peers.start()
            one.peers.update(register, frozenset())
        await until(lambda: all(len(one.peers.connected()) == 2 for one in made))
        first, second, _ = made
        assert first.peers.send(second.id, consensus("over the hosts"))
        assert (await second.peers.receive()).message == consensus("over the hosts")
        asking = asyncio.create_task(first.peers.request(second.id, FetchLedger(1, 0, 4_000_000), seconds_max=30))
        inbound = await second.peers.receive()
        assert inbound.answer is not None
        await inbound.answer(Fetched(bytes(4_000_000)))
        assert await asking == Fetched(bytes(4_000_000))


async def test_nobody_answers() -> None:
    async with machines(1) as (one,):
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        listener.close()
        for address in (f"127.0.0.1:{port}", "127.0.0.1", "nobody", "127.0.0.1:0", ":1", "a:b:c", ""):
            with pytest.raises(PeerUnreachable, match="reached nobody"):
                await one.streams.dial(address)
        with pytest.raises(PeerUnreachable, match="too long"):
            await one.streams.dial("x" * (limits.PEER_ADDRESS_BYTES_MAX + 1))


async def test_what_the_host_passes_unasked_is_closed() -> None:
    async with machines(1) as (one,):
        ends = [socket.socketpair() for _ in range(5)]
        datagram = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        unconnected = socket.socket()
        one.pass_on("dialled", 1, ends[0][0])
        one.pass_on("dialled", 0, ends[1][0])
        one.pass_on("reader", 1, ends[2][0])
        one.pass_on("accepted", 0, ends[3][0], ends[4][0])
        one.pass_on("accepted", 0, datagram[0])
        one.pass_on("accepted", 0, unconnected)
        for _, end in ends:
            end.setblocking(False)
            assert await asyncio.get_running_loop().sock_recv(end, 1) == b""
            end.close()
        datagram[1].close()
        await until(lambda: sum("refused a connection" in line for line in one.log.lines) == 3)
        assert not one.streams.failed(1, "never asked")
        near, far = socket.socketpair()
        one.pass_on("accepted", 0, near)
        stream = await one.streams.accept()
        far.send(b"still taken")
        assert await stream.read() == b"still taken"
        far.close()
        stream.abort()


async def test_a_host_that_floods() -> None:
    async with machines(1) as (one,):
        ends = [socket.socketpair() for _ in range(limits.PEER_ACCEPTED_MAX + 2)]
        for near, _ in ends:
            one.pass_on("accepted", 0, near)
        for _, far in ends[:2]:
            far.setblocking(False)
            assert await asyncio.get_running_loop().sock_recv(far, 1) == b""
        for _, far in ends:
            far.close()


async def test_a_host_that_goes_away() -> None:
    one = Machine()
    dialling = asyncio.create_task(one.streams.dial("192.0.2.1:9"))
    accepting = asyncio.create_task(one.streams.accept())
    await asyncio.sleep(0)
    await one.host.close()
    await one.running
    with pytest.raises(PeerUnreachable):
        await dialling
    with pytest.raises(ChannelClosed):
        await accepting
    with pytest.raises(PeerUnreachable):
        await one.streams.dial("127.0.0.1:1")
    await one.peers.close()


async def test_a_connection_that_nobody_waits_for_any_more_is_closed() -> None:
    async with machines(1) as (one,):
        near, far = socket.socketpair()
        far.setblocking(False)
        dialling = asyncio.create_task(one.streams.dial("192.0.2.1:9"))
        await asyncio.sleep(0)
        dialling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dialling
        one.pass_on("dialled", 1, near)
        assert await asyncio.get_running_loop().sock_recv(far, 1) == b""
        far.close()
        assert one.streams.failed(1, "given up")
        assert one.log.lines == []
