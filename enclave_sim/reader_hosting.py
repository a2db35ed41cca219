"""Starts the readers of a node, and starts one again when it ends: it holds nothing that is only there.

A reader gets its channels to the executor and the gateways as they are made, and so do these. Invariant: while the
node serves, every reader runs or is about to be started, after a wait that grows when it ends again and again.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from core.errors import ChannelClosed
from core.node.config import ReaderConfig
from enclave_sim.boundary.descriptors import DescriptorSender
from enclave_sim.boundary.messages import StartReader
from enclave_sim.enclaves import Enclave, told
from enclave_sim.host_log import HostLog
from enclave_sim.platform.messages import Kill, Launch

WAIT_SECONDS_MIN = 0.1
WAIT_SECONDS_MAX = 10.0
STEADY_SECONDS = 60.0
"""A reader that lived as long as this is started again at once."""

START_SECONDS_MAX = 120.0
"""For a reader to copy the state and serve."""


@dataclass(frozen=True, slots=True)
class HostSide:
    """What hosting readers needs of the supervisor.

    platform: passes descriptors to the platform. peers: pass them to the executor (0) and the gateways, by number.
    add: makes the host's side of an enclave. tell: sends to the platform. changed: the processes are others now.
    isolation_required: see messages.py.
    """

    platform: DescriptorSender
    peers: Mapping[int, DescriptorSender]
    add: Callable[[int, str, socket.socket], Awaitable[Enclave]]
    tell: Callable[[Launch | Kill], Awaitable[None]]
    changed: Callable[[], None]
    isolation_required: bool = False


class ReaderHosting:
    """See the module. first_number: of the first reader's enclave; the others follow."""

    def __init__(self, host: HostSide, log: HostLog, *, count: int, first_number: int) -> None:
        self._host = host
        self._log = log
        self._count = count
        self._first_number = first_number
        self._channels: dict[int, DescriptorSender] = {}
        self._waits_s: dict[int, float] = {}
        self._begun_s: dict[int, float] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._is_ending = False

    async def start(self) -> list[Enclave]:
        """Start all of them; they serve once their servers say that they run."""
        return [await self._launch(number) for number in range(1, self._count + 1)]

    def ended(self, enclave: Enclave) -> None:
        """Start the reader again that has ended."""
        if self._is_ending:
            return
        number = enclave.number - self._first_number + 1
        before = self._tasks.get(number)
        if before is not None:
            before.cancel()
        self._tasks[number] = asyncio.create_task(self._start_again(number, enclave))

    def end(self) -> None:
        """Start none any more."""
        self._is_ending = True
        for task in self._tasks.values():
            task.cancel()

    async def close(self) -> None:
        """End, and close the channels that descriptors are passed over."""
        self.end()
        if self._tasks:
            await asyncio.wait(self._tasks.values())
        for sender in (self._host.platform, *self._host.peers.values(), *self._channels.values()):
            sender.close()

    async def _launch(self, number: int) -> Enclave:
        ours, theirs = socket.socketpair()
        control, passed = socket.socketpair()
        enclave = await self._host.add(self._first_number + number - 1, f"reader-{number}", ours)
        before = self._channels.pop(number, None)
        if before is not None:
            before.close()
        self._channels[number] = channels = DescriptorSender(control)
        for peer, sender in self._host.peers.items():
            to_peer, to_reader = socket.socketpair()
            sender.send("reader", number, [to_peer])
            channels.send("gateway" if peer else "executor", peer, [to_reader])
        self._host.platform.send("enclave", enclave.number, [theirs, passed])
        self._begun_s[number] = asyncio.get_running_loop().time()
        await self._host.tell(Launch(enclave.number, "reader", -1, (), -1))
        with suppress(ChannelClosed):  # One that has ended already is noticed as one that ends.
            await enclave.server.start(StartReader(ReaderConfig(number), self._host.isolation_required))
        return enclave

    async def _start_again(self, number: int, ended: Enclave) -> None:
        how = told(ended.status) if ended.status is not None else "unknown"
        while True:
            wait_s = self._wait_s(number)
            self._log.line("host", f"{ended.name} ended ({how}); another is started in {wait_s:.1f} s")
            await asyncio.sleep(wait_s)
            try:
                enclave = await self._launch(number)
                await asyncio.wait_for(asyncio.shield(enclave.server.running), START_SECONDS_MAX)
            except OSError as error:
                how = error.strerror or "no descriptors"
                continue
            except TimeoutError:
                how = "it took too long to start"
                await self._host.tell(Kill(ended.number))
                continue
            self._log.line("host", f"{ended.name} serves again")
            self._host.changed()
            return

    def _wait_s(self, number: int) -> float:
        """Return how long to wait now: longer each time, unless it lived for long."""
        lived_s = asyncio.get_running_loop().time() - self._begun_s[number]
        wait_s = 0.0 if lived_s >= STEADY_SECONDS else self._waits_s.get(number, 0.0)
        self._waits_s[number] = min(WAIT_SECONDS_MAX, max(WAIT_SECONDS_MIN, 2 * wait_s))
        return wait_s
