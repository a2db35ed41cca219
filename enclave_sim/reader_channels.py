"""Connects readers with the executor and the gateways, at the start and whenever a reader is started again.

The host gives each of them raw channels as they are made. Executor and reader pair as the same worker enclave. Gateway
and reader pair under the executor's session secret as well, so that a gateway never asks a reader of another node or
network that the same host runs with the same code.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from core.adapter.loading import load_adapters
from core.errors import ChannelClosed, CocoError, MalformedMessage
from core.node.executor import Executor, LoadAdapters
from core.node.gateway import Gateway
from core.node.pairing import pair
from core.node.reader import Reader
from core.ports import Attestor, Transport
from enclave_sim.boundary.descriptors import DescriptorReceiver, Peer
from enclave_sim.boundary.socket_transport import open_socket_transport

EXECUTOR_READER = "executor-reader"
READER_GATEWAY = "reader-gateway"
PAIRINGS_MAX = 32
"""Channels that are being paired at a time; the host is told nothing about one more, which is closed."""

Log = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Channel:
    """A raw channel. peer: who is said to be at the other end; number: of that gateway or reader."""

    peer: Peer
    number: int
    transport: Transport


class ChannelSource(Protocol):
    """Where channels come from."""

    async def receive(self) -> Channel:
        """Return the next one. Raises ChannelClosed when there will be none, MalformedMessage for one that is odd."""
        ...


class PassedChannels:
    """Channels that the host passes to this process."""

    def __init__(self, end: socket.socket) -> None:
        self._receiver = DescriptorReceiver(end)

    async def receive(self) -> Channel:
        """Return the next one."""
        passed = await self._receiver.receive()
        if len(passed.sockets) != 1:
            passed.close()
            raise MalformedMessage("not one channel at a time")
        return Channel(passed.peer, passed.number, await open_socket_transport(passed.sockets[0]))


class NoChannels:
    """Where the host has none to pass."""

    async def receive(self) -> Channel:
        """There is no next one: raises ChannelClosed."""
        raise ChannelClosed("the host passes no channels")


class QueuedChannels:
    """Channels within one process."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Channel] = asyncio.Queue()

    def put(self, channel: Channel) -> None:
        self._queue.put_nowait(channel)

    async def receive(self) -> Channel:
        """Return the next one."""
        return await self._queue.get()


async def make_reader(
    source: ChannelSource,
    *,
    attestor: Attestor,
    log: Log,
    load: LoadAdapters = load_adapters,
    beat: Callable[[], None] = lambda: None,
    on_ready: Callable[[], None] = lambda: None,
) -> Reader:
    """Wait for the channel to the executor, pair, and return the reader."""
    channel = await source.receive()
    while channel.peer != "executor":
        log(f"a channel to the {channel.peer} came before the one to the executor")
        await channel.transport.close()
        channel = await source.receive()
    measurement = await attestor.own_measurement()
    paired = await pair(
        channel.transport, attestor, peer_measurement=measurement, purpose=EXECUTOR_READER, initiator=True
    )
    return Reader(executor=paired, clock=time.time, log=log, load=load, beat=beat, on_ready=on_ready)


async def attach_to_executor(executor: Executor, source: ChannelSource, attestor: Attestor, log: Log) -> None:
    """Give the executor each reader that comes, for as long as this runs."""
    measurement = await attestor.own_measurement()

    async def attach(channel: Channel) -> None:
        purpose = EXECUTOR_READER
        executor.attach_reader(
            await pair(channel.transport, attestor, peer_measurement=measurement, purpose=purpose, initiator=False)
        )

    await _attach_each(source, "reader", attach, log)


async def attach_to_gateway(
    gateway: Gateway, source: ChannelSource, session: Awaitable[bytes], attestor: Attestor, log: Log
) -> None:
    """Give the gateway each reader that comes. session: the executor's, once the gateway has it."""
    purpose = _purpose(await session)
    measurement = await attestor.own_measurement()

    async def attach(channel: Channel) -> None:
        paired = await pair(channel.transport, attestor, peer_measurement=measurement, purpose=purpose, initiator=True)
        gateway.attach_reader(channel.number, paired)

    await _attach_each(source, "reader", attach, log)


async def attach_to_reader(reader: Reader, source: ChannelSource, attestor: Attestor, log: Log) -> None:
    """Give the reader each gateway that comes."""
    purpose = _purpose(await reader.session())
    measurement = await attestor.own_measurement()

    async def attach(channel: Channel) -> None:
        reader.attach_gateway(
            await pair(channel.transport, attestor, peer_measurement=measurement, purpose=purpose, initiator=False)
        )

    await _attach_each(source, "gateway", attach, log)


def _purpose(session: bytes) -> str:
    """The pairing binds its purpose by a hash, so that the secret in it can be shown to nobody."""
    return f"{READER_GATEWAY} {session.hex()}"


async def _attach_each(
    source: ChannelSource, peer: Peer, attach: Callable[[Channel], Awaitable[None]], log: Log
) -> None:
    """Attach channels as they come, side by side. One that fails is closed and harms nothing else."""

    async def one(channel: Channel) -> None:
        try:
            if channel.peer != peer:
                raise MalformedMessage(f"a channel to the {channel.peer} does not belong here")
            await attach(channel)
        except CocoError as error:
            log(f"a channel of the host was refused: {error.message}")
            await channel.transport.close()

    tasks: set[asyncio.Task[None]] = set()
    try:
        while True:
            try:
                channel = await source.receive()
            except MalformedMessage as error:
                log(f"a channel of the host was refused: {error.message}")
                continue
            except ChannelClosed:
                return
            if len(tasks) >= PAIRINGS_MAX:
                log("a channel of the host was refused: too many at a time")
                await channel.transport.close()
                continue
            task = asyncio.create_task(one(channel))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
    finally:
        for task in list(tasks):
            task.cancel()
