"""A whole node in one process: every role as tasks over in-memory channels. For tests, and for trying things out.

The channels are paired and sealed as between processes. What is missing is the boundary between processes, and so all
protection from the host.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from core import limits
from core.adapter.loading import load_adapters
from core.errors import ChannelClosed
from core.node.config import ExecutorConfig, GatewayConfig, ManagerConfig
from core.node.executor import Executor, LoadAdapters
from core.node.gateway import Gateway
from core.node.manager import Manager
from core.node.messages import FrontEnd
from core.node.peers.timing import PeerTiming
from core.node.reader import Reader
from core.ports import Disk
from enclave_sim.boundary.memory_transport import MemoryTransport, memory_pair
from enclave_sim.disk import DirectoryDisk
from enclave_sim.listener import bind
from enclave_sim.memory_network import MemoryNetwork
from enclave_sim.platform.fuses import load_or_create_authority, load_or_create_fuses
from enclave_sim.platform.memory import MemoryPlatform
from enclave_sim.reader_channels import (
    Channel,
    QueuedChannels,
    attach_to_executor,
    attach_to_gateway,
    attach_to_reader,
    make_reader,
)
from enclave_sim.roles import Reach, make_executor, make_gateway, make_manager

STOP_SECONDS_MAX = 30.0


@dataclass(frozen=True, slots=True)
class _Roles:
    """sources: through which the executor, then the gateways, are given channels to readers."""

    manager: Manager
    executor: Executor
    gateways: Sequence[Gateway]
    sources: Sequence[QueuedChannels]


@dataclass(frozen=True, slots=True)
class _RunningReader:
    """channels: its ends."""

    reader: Reader
    task: asyncio.Task[None]
    channels: Sequence[MemoryTransport]


def _platform_of(storage: Path | Disk) -> MemoryPlatform:
    """Return the platform that belongs to a directory; of a disk without one, a new platform."""
    if not isinstance(storage, Path):
        return MemoryPlatform()
    fuses = storage / "platform" / "fuses"
    return MemoryPlatform(load_or_create_fuses(fuses), load_or_create_authority(fuses))


class LocalNode:
    """`async with LocalNode(directory, constitution.encode()) as node:` serves HTTPS on node.port until the block ends.

    storage: a directory (disk, fuses and authority live in it, so that a new LocalNode on it is a restart) or a Disk,
    which goes with the platform whose fuses sealed its data. The constitution's manifests must admit the platform.
    Raises what the roles raise: on entering when they cannot start, on leaving when one failed meanwhile. load: makes
    the adapters (by default those installed). log: every line of every role. readers: as in HostConfig; here they share
    the one thread with everything else. network: with other LocalNodes, whose peer_address is this one's; slot,
    authorization, contacts, tick_ms: as in ManagerConfig.
    """

    def __init__(
        self,
        storage: Path | Disk,
        constitution: bytes,
        *,
        platform: MemoryPlatform | None = None,
        gateways: int = 1,
        readers: int = 0,
        port: int = 0,
        address: str = "127.0.0.1",
        names: Sequence[str] = ("localhost", "127.0.0.1"),
        chunk_bytes_min: int = limits.CHUNK_BYTES_MIN,
        block_commands_max: int = limits.BLOCK_COMMANDS_MAX,
        block_bytes_max: int = limits.BLOCK_BYTES_MAX,
        snapshot_entries: int = limits.SNAPSHOT_ENTRIES,
        load: LoadAdapters = load_adapters,
        network: MemoryNetwork | None = None,
        peer_address: str = "",
        slot: str = "node1",
        authorization: bytes = b"",
        contacts: Sequence[str] = (),
        tick_ms: int = 100,
        peer_timing: PeerTiming | None = None,
    ) -> None:
        self._network = network
        self._peer_address = peer_address
        self._peer_timing = peer_timing or PeerTiming()
        self.log: list[str] = []
        self.port = port
        self.ca_pem = ""
        self.service_info: dict[str, Any] = {}
        self._storage = storage
        self._load = load
        self._own_disk: DirectoryDisk | None = None
        self.platform = platform = platform or _platform_of(storage)
        worker = platform.measurement("worker")
        self._address = address
        self._gateways = gateways
        self._manager_config = ManagerConfig(
            constitution,
            tuple(names),
            worker,
            chunk_bytes_min,
            snapshot_entries=snapshot_entries,
            slot=slot,
            peer_address=peer_address,
            authorization=authorization,
            contacts=tuple(contacts),
            tick_ms=tick_ms,
        )
        self._executor_config = ExecutorConfig(
            platform.measurement("manager"), gateways, block_commands_max, block_bytes_max, readers
        )
        self._gateway_config = GatewayConfig(worker, readers=readers)
        self._channels: list[MemoryTransport] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._roles: _Roles | None = None
        self._beside: list[asyncio.Task[None]] = []
        self._readers: dict[int, _RunningReader] = {}
        self._crashed = False

    @property
    def url(self) -> str:
        return f"https://{self._address}:{self.port}"

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            self.crash()
            await self._end_tasks()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.stop()
        finally:
            self.crash()
            await self._end_tasks()

    async def stop(self) -> None:
        """Stop in order: gateways, executor, manager. Raises what a role failed with before; again: does nothing."""
        if self._crashed or self._roles is None:
            return
        roles, self._roles = self._roles, None
        manager, executor, *gateways = self._tasks
        for gateway in roles.gateways:
            gateway.request_stop()
        await self._ended(gateways, "gateway")
        for number in list(self._readers):
            await self.stop_reader(number)
        roles.executor.request_stop()
        await self._ended([executor], "executor")
        for channel in self._channels:
            await channel.close()
        await self._ended([manager], "manager")

    def crash(self) -> None:
        """Drop every role at once, as kill -9 of all processes does; nothing is flushed. Use a new LocalNode after."""
        self._crashed = True
        if self._network is not None:
            self._network.leave(self._peer_address)
        for channel in self._channels:
            channel.crash()
        for task in (*self._tasks, *self._beside, *(reader.task for reader in self._readers.values())):
            task.cancel()

    async def start_reader(self, number: int) -> None:
        """Start a reader, or another in its place, and return once its replica is complete. number: from 1."""
        if self._roles is None:
            raise ChannelClosed("the node has stopped")
        source, channels = QueuedChannels(), list[MemoryTransport]()
        for peer, theirs in enumerate(self._roles.sources):
            to_peer, to_reader = self._pair()
            channels.append(to_reader)
            theirs.put(Channel("reader", number, to_peer))
            source.put(Channel("gateway" if peer else "executor", peer, to_reader))
        attestor, ready = self.platform.attestor("worker"), asyncio.Event()
        log = partial(self._line, f"reader-{number}")
        reader = await make_reader(source, attestor=attestor, log=log, load=self._load, on_ready=ready.set)
        self._beside.append(self._task(attach_to_reader(reader, source, attestor, log)))
        self._readers[number] = _RunningReader(reader, self._task(reader.run()), channels)
        complete = self._task(_until(ready))
        await asyncio.wait({complete, self._readers[number].task}, return_when=asyncio.FIRST_COMPLETED)
        complete.cancel()

    async def stop_reader(self, number: int) -> None:
        """Stop a reader; the node goes on without it. Raises what it failed with before."""
        running = self._readers.pop(number)
        running.reader.request_stop()
        await running.task

    def reader(self, number: int) -> Reader:
        """Return a running reader, to look into it."""
        return self._readers[number].reader

    def crash_reader(self, number: int) -> None:
        """Drop a reader as kill -9 does; its channels close."""
        running = self._readers.pop(number)
        running.task.cancel()
        for channel in running.channels:
            channel.crash()

    async def take_snapshot(self) -> None:
        """Have a snapshot begun, as `coco node snapshot` does."""
        if self._roles is not None:
            await self._roles.manager.request_snapshot()

    @property
    def executor(self) -> Executor:
        """The running executor, to look into it."""
        if self._roles is None:
            raise ChannelClosed("the node has stopped")
        return self._roles.executor

    async def _start(self) -> None:
        disk = self._open_disk()
        listener = bind(self._address, self.port, left_behind=False)
        self.port = listener.getsockname()[1]
        front_end: asyncio.Future[FrontEnd] = asyncio.get_running_loop().create_future()

        def on_front_end(message: FrontEnd) -> None:
            if not front_end.done():
                front_end.set_result(message)

        self._roles = await self._make(disk, listener, on_front_end)
        work = [self._roles.manager.run(), self._roles.executor.run()]
        self._tasks = [self._task(role) for role in [*work, *(gateway.run() for gateway in self._roles.gateways)]]
        ends: list[asyncio.Future[Any]] = [front_end, *self._tasks]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if not front_end.done():
            await self._raise_cause()
        session: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        session.set_result(front_end.result().session)
        self._attach_readers(session)
        for number in range(1, self._gateway_config.readers + 1):
            await self.start_reader(number)
        self.service_info = msgspec.json.decode((await front_end).service, type=dict)
        self.ca_pem = str(self.service_info["front_end_ca"])

    def _attach_readers(self, session: asyncio.Future[bytes]) -> None:
        """Begin to give the executor and the gateways the readers that are started."""
        if self._roles is None:
            return
        executor, *gateways = self._roles.sources
        attestor = self.platform.attestor("worker")
        log = partial(self._line, "executor")
        self._beside.append(self._task(attach_to_executor(self._roles.executor, executor, attestor, log)))
        for gateway, source in zip(self._roles.gateways, gateways, strict=True):
            log = partial(self._line, "gateway")
            self._beside.append(self._task(attach_to_gateway(gateway, source, session, attestor, log)))

    async def _make(self, disk: Disk, listener: socket.socket, on_front_end: Any) -> _Roles:
        """Pair all roles at once. The listening socket goes to every gateway, which closes its own copy."""
        attestor = {kind: self.platform.attestor(kind) for kind in ("manager", "worker")}
        to_manager, from_manager = self._pair()
        pairs = [self._pair() for _ in range(self._gateways)]
        listeners = [listener, *(listener.dup() for _ in range(self._gateways - 1))]
        manager = make_manager(
            self._manager_config,
            disk=disk,
            sealer=self.platform.sealer("manager"),
            attestor=attestor["manager"],
            executor=to_manager,
            log=lambda line: self._line("manager", line),
            published=self.platform.published,
            reach=self._reach(),
        )
        executor = make_executor(
            self._executor_config,
            attestor=attestor["worker"],
            manager=from_manager,
            gateways=[ours for ours, _ in pairs],
            log=lambda line: self._line("executor", line),
            load=self._load,
        )
        gateways = [
            make_gateway(
                self._gateway_config,
                attestor=attestor["worker"],
                executor=theirs,
                listener=own_listener,
                log=lambda line: self._line("gateway", line),
                on_front_end=on_front_end,
                load=self._load,
            )
            for (_, theirs), own_listener in zip(pairs, listeners, strict=True)
        ]
        made = await asyncio.gather(manager, executor, *gateways)
        sources = [QueuedChannels() for _ in range(1 + self._gateways)]
        return _Roles(made[0], made[1], made[2:], sources)  # type: ignore[arg-type]

    def _reach(self) -> Reach | None:
        if self._network is None:
            return None
        return Reach(self._network.node(self._peer_address), timing=self._peer_timing)

    def _open_disk(self) -> Disk:
        if isinstance(self._storage, Path):
            self._own_disk = DirectoryDisk(self._storage / "disk")
            return self._own_disk
        return self._storage

    def _pair(self) -> tuple[MemoryTransport, MemoryTransport]:
        pair = memory_pair()
        self._channels += pair
        return pair

    def _task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return asyncio.create_task(work)

    def _line(self, source: str, text: str) -> None:
        self.log.append(f"{source}: {text}")

    async def _ended(self, tasks: list[asyncio.Task[None]], name: str) -> None:
        done, late = await asyncio.wait(tasks, timeout=STOP_SECONDS_MAX)
        if any(task.exception() is not None for task in done):
            await self._raise_cause()
        if late:
            raise TimeoutError(f"the {name} did not stop")

    async def _raise_cause(self) -> None:
        """Raise the first role's error that is not just the loss of another role."""
        for channel in self._channels:
            channel.crash()
        await asyncio.wait(self._tasks, timeout=STOP_SECONDS_MAX)
        errors = [task.exception() for task in self._tasks if task.done() and not task.cancelled()]
        raised = sorted((error for error in errors if error is not None), key=_is_entailed)
        raise raised[0] if raised else ChannelClosed("the node ended before it served")

    async def _end_tasks(self) -> None:
        readers = [reader.task for reader in self._readers.values()]
        for task in (*self._beside, *readers):
            task.cancel()
        await asyncio.gather(*self._tasks, *self._beside, *readers, return_exceptions=True)
        if self._own_disk is not None:
            self._own_disk.close()
            self._own_disk = None


async def _until(event: asyncio.Event) -> None:
    await event.wait()


def _is_entailed(error: BaseException) -> bool:
    return type(error).__name__ in ("ChannelClosed", "NodeStopped")
