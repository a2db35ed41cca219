"""Starts the processes of a node, notices when one ends, and ends the rest.

A node lives and dies as a whole, save for its readers (reader_hosting.py). When the first process ends unasked, the
channels of all others are closed, which ends them; how each ended is gathered from the platform, and the cause is told
apart from what it entailed: a process killed by a signal comes first, then an enclave's own error, then one that lost
its peer.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, assert_never

from core.errors import ChannelClosed, CocoError, LimitExceeded, MalformedMessage, NodeStopped
from core.ports import Disk
from enclave_sim.boundary.descriptors import DescriptorSender
from enclave_sim.boundary.messages import (
    ReportedFailure,
    Role,
    Running,
)
from enclave_sim.boundary.socket_transport import SocketTransport, open_socket_transport
from enclave_sim.enclaves import LOST_PEER, RESTART, Enclave, failure_of, told
from enclave_sim.host_config import HostConfig
from enclave_sim.host_log import HostLog
from enclave_sim.ocall_server import OcallServer
from enclave_sim.peer_hosting import PeerHosting
from enclave_sim.platform.messages import (
    FROM_PLATFORM,
    TO_PLATFORM,
    CodeRefused,
    Exited,
    FromPlatform,
    Kill,
    Launch,
    Launched,
    Measure,
    Measured,
    PlatformFailed,
    PlatformNotice,
    PlatformRefused,
)
from enclave_sim.process import spawn
from enclave_sim.reader_hosting import HostSide, ReaderHosting
from enclave_sim.start_messages import ALONE, Peering, machine_arguments, start_messages

GATEWAY_STOP_SECONDS_MAX = 15.0
READER_STOP_SECONDS_MAX = 2.0
STOP_SECONDS_MAX = 40.0
"""For an enclave to end after Stop (above enclave_main.STOP_SECONDS_MAX)."""

END_SECONDS_MAX = 5.0
"""For an enclave to end after its channel was closed, before it is killed."""

LAST_WORDS_SECONDS_MAX = 2.0


class Supervisor:
    """See the module. `start`, then `wait_for_end` or `stop`, then `close`, in every case."""

    def __init__(
        self,
        config: HostConfig,
        genesis: bytes,
        fuses: Path,
        disk: Disk,
        log: HostLog,
        peering: Peering = ALONE,
    ) -> None:
        self._peering = peering
        self._peers: PeerHosting | None = None
        self._config = config
        self._genesis = genesis
        self._fuses = fuses
        self._disk = disk
        self._log = log
        self._enclaves: list[Enclave] = []
        self._passing: list[DescriptorSender] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._first_end = asyncio.Event()
        self._measured: asyncio.Future[Measured] = asyncio.get_running_loop().create_future()
        self._platform: asyncio.subprocess.Process | None = None
        self._platform_channel: SocketTransport | None = None
        self._platform_failed: PlatformFailed | None = None
        self._readers: ReaderHosting | None = None
        self._serves = False
        self.on_change: Callable[[], None] = lambda: None
        """Called when a process has been replaced, so that `pids` are others."""

    @property
    def pids(self) -> dict[str, int]:
        """Process ids by name."""
        platform = {"platform": self._platform.pid} if self._platform is not None else {}
        return platform | {enclave.name: enclave.pid for enclave in self._enclaves}

    @property
    def peer_address(self) -> str:
        """Where the other nodes reach this one, "" where they do not."""
        return self._peering.address

    @property
    def less_isolation(self) -> dict[str, tuple[str, ...]]:
        """What the kernel did not give, by name of the process; see enclave_sim/isolation."""
        told = [(enclave.name, enclave.server.isolated) for enclave in self._enclaves]
        missing = {name: isolated.result().missing for name, isolated in told if isolated.done()}
        return {name: reasons for name, reasons in missing.items() if reasons}

    async def start(self, listener: socket.socket) -> Running:
        """Start everything; return what the first gateway said once all serve. Closes the listener.

        Raises NodeStopped, or the error that a process reported.
        """
        launches, theirs = await self._wire(listener)
        control, platform_end = socket.socketpair()
        passing, passed = socket.socketpair()
        theirs += [platform_end, passed]
        self._readers = self._host_readers(DescriptorSender(passing))
        try:
            self._platform_channel = await open_socket_transport(control)
            fds = ["--host-fd", str(platform_end.fileno()), "--channels-fd", str(passed.fileno())]
            self._platform = await spawn(
                "enclave_sim.platform.main",
                [
                    *fds,
                    "--fuses",
                    str(self._fuses),
                    "--parent",
                    str(os.getpid()),
                    *machine_arguments(self._config, self._fuses),
                ],
                descriptors=[end.fileno() for end in theirs],
                error_fd=self._log.fileno(),
                new_session=True,
            )
        finally:
            for end in theirs:
                end.close()
        self._begin(self._watch_platform(self._platform, self._platform_channel))
        await self._tell(Measure())
        measured = await self._unless_ended(self._measured)
        shown = f"{measured.tee} {measured.platform} (SIMULATED), manager {measured.manager.hex()}"
        self._log.line("host", f"platform {shown}, signed by {measured.signed_by}")
        for launch in launches:
            await self._tell(launch)
        if self._peers is not None:
            self._peers.start()
        for enclave, start in zip(
            self._enclaves, start_messages(self._config, self._genesis, measured, self._peering), strict=True
        ):
            await enclave.server.start(start)
        readers = [enclave.server.running for enclave in await self._readers.start()]
        gateways = [enclave.server.running for enclave in self._enclaves if enclave.role == "gateway"]
        running: list[Running] = await self._unless_ended(asyncio.gather(*gateways, *readers))
        await self._unless_ended(asyncio.gather(*(enclave.server.isolated for enclave in self._enclaves)))
        self._serves = True
        return running[0]

    async def wait_for_end(self) -> None:
        """Wait until a process ends unasked, end the rest, and raise what it was."""
        await self._first_end.wait()
        raise await self._failure()

    async def stop(self) -> None:
        """Stop in order: gateways stop accepting, readers end, the executor drains, the manager closes.

        Raises what went wrong.
        """
        if self._readers is not None:
            self._readers.end()
        gateways = [enclave for enclave in self._enclaves if enclave.role == "gateway"]
        others = [enclave for role in ("executor", "manager") for enclave in self._enclaves if enclave.role == role]
        await asyncio.gather(*(enclave.server.stop() for enclave in gateways))
        await _wait_all([enclave.server.stopped for enclave in gateways], GATEWAY_STOP_SECONDS_MAX)
        readers = [enclave for enclave in self._enclaves if enclave.role == "reader"]
        await asyncio.gather(*(enclave.server.stop() for enclave in readers))
        await self._wait_ended(readers, READER_STOP_SECONDS_MAX)
        for enclave in others:
            await enclave.server.stop()
            await self._wait_ended([enclave], STOP_SECONDS_MAX)
        late = [enclave.name for enclave in others if enclave.status is None]
        await self._end_all()
        for enclave in self._enclaves:
            failed = enclave.server.failed if enclave.role != "reader" else None
            if failed is not None and failed.kind not in LOST_PEER:
                raise ReportedFailure(failed.message, kind=failed.kind, exit_code=failed.exit_code, hint=failed.hint)
        if late:
            raise NodeStopped(f"{', '.join(late)} did not stop in time and was killed", hint=RESTART)

    def take_snapshot(self) -> None:
        """Ask the manager for a snapshot."""
        for enclave in self._enclaves:
            if enclave.role == "manager":
                self._begin(enclave.server.take_snapshot())

    async def close(self) -> None:
        """End whatever still runs, and the platform."""
        await self._end_all()
        if self._readers is not None:
            await self._readers.close()
        if self._peers is not None:
            await self._peers.close()
        await asyncio.gather(*(enclave.server.close() for enclave in self._enclaves))
        if self._platform_channel is not None:
            await self._platform_channel.close()
        if self._platform is not None:
            try:
                await asyncio.wait_for(self._platform.wait(), END_SECONDS_MAX)
            except TimeoutError:
                self._platform.kill()
                await self._platform.wait()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _wire(self, listener: socket.socket) -> tuple[list[Launch], list[socket.socket]]:
        """Make all socket pairs. Returns the launches and the ends to give away."""
        gateways = self._config.gateways
        to_manager, from_manager = socket.socketpair()
        gateway_pairs = [socket.socketpair() for _ in range(gateways)]
        listeners = [listener, *(listener.dup() for _ in range(gateways - 1))]
        theirs = [to_manager, from_manager, *(end for pair in gateway_pairs for end in pair), *listeners]
        executor_peers = (from_manager, *(pair[0] for pair in gateway_pairs))
        wiring: list[tuple[str, Role, tuple[socket.socket, ...], int]] = [
            ("manager", "manager", (to_manager,), -1),
            ("executor", "executor", executor_peers, -1),
        ]
        for number, (pair, own_listener) in enumerate(zip(gateway_pairs, listeners, strict=True), start=1):
            wiring.append((f"gateway-{number}", "gateway", (pair[1],), own_listener.fileno()))
        launches = []
        for number, (name, role, peers, listen_fd) in enumerate(wiring):
            ours, host_end = socket.socketpair()
            theirs.append(host_end)
            await self._add_enclave(number, name, role, ours)
            peer_fds = tuple(peer.fileno() for peer in peers)
            channels_fd = self._passing_to(role, theirs)
            launches.append(Launch(number, role, host_end.fileno(), peer_fds, listen_fd, channels_fd))
        return launches, theirs

    def _passing_to(self, role: Role, theirs: list[socket.socket]) -> int:
        """Make a way to pass channels to an enclave, to readers or other nodes; returns the descriptor to give it."""
        if role == "manager" and not self._config.has_peers:
            return -1
        passing, passed = socket.socketpair()
        theirs.append(passed)
        if role == "manager":
            server = self._enclaves[0].server
            server.tickets = self._peering.tickets
            self._peers = PeerHosting(DescriptorSender(passing), server.dial_failed, self._log, self._peering.listener)
            server.dial = self._peers.dial
        else:
            self._passing.append(DescriptorSender(passing))
        return passed.fileno()

    def _host_readers(self, platform: DescriptorSender) -> ReaderHosting:
        async def add(number: int, name: str, ours: socket.socket) -> Enclave:
            return await self._add_enclave(number, name, "reader", ours)

        required = self._config.isolation == "required"
        peers = dict(enumerate(self._passing))
        side = HostSide(platform, peers, add, self._tell, lambda: self.on_change(), required)
        return ReaderHosting(side, self._log, count=self._config.readers, first_number=len(self._enclaves))

    async def _add_enclave(self, number: int, name: str, role: Role, ours: socket.socket) -> Enclave:
        disk = self._disk if role == "manager" else None
        server = OcallServer(name, await open_socket_transport(ours), self._log, disk)
        serving = asyncio.create_task(server.serve())
        serving.add_done_callback(lambda task: self._served(name, task))
        self._tasks.add(serving)
        enclave = Enclave(number, name, role, server, serving, asyncio.Event())
        self._enclaves[number : number + 1] = [enclave]
        return enclave

    def _served(self, name: str, task: asyncio.Task[None]) -> None:
        """An enclave that the host cannot serve any more would wait for ever: a defect of the host ends the node."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._log.line("host", f"serving the {name} failed: {type(error).__name__}: {error}")
            self._first_end.set()

    async def _watch_platform(self, process: asyncio.subprocess.Process, channel: SocketTransport) -> None:
        try:
            while True:
                self._take(FROM_PLATFORM.decode(await channel.receive()))
        except (ChannelClosed, MalformedMessage, LimitExceeded):
            await channel.close()  # Ends a platform that talks nonsense, too.
            await process.wait()
            self._first_end.set()
            for enclave in self._enclaves:
                enclave.ended.set()

    def _take(self, message: FromPlatform) -> None:
        match message:
            case Measured():
                if not self._measured.done():
                    self._measured.set_result(message)
            case Launched(number, pid):
                self._enclaves[number].pid = pid
            case Exited(number, status):
                self._exited(self._enclaves[number], status)
            case PlatformFailed():
                self._platform_failed = message
            case PlatformRefused(reason, count):
                self._log.line("platform", f"refused a message of the host ({count} so far): {reason}")
            case CodeRefused(number, reason):
                self._code_refused(self._enclaves[number], reason)
            case PlatformNotice(text):
                self._log.line("platform", text)
            case _:
                assert_never(message)

    def _code_refused(self, enclave: Enclave, reason: str) -> None:
        self._log.line("platform", f"refused the {enclave.name} code: {reason}")
        if enclave.role != "reader" or not self._serves:
            self._platform_failed = PlatformFailed("CodeChanged", reason, RESTART, NodeStopped.exit_code)

    def _exited(self, enclave: Enclave, status: int) -> None:
        enclave.status = status
        enclave.ended.set()
        if enclave.role == "reader" and self._serves and self._readers is not None:
            self._readers.ended(enclave)
        else:
            self._first_end.set()

    async def _unless_ended(self, wanted: asyncio.Future[Any]) -> Any:
        """Await a future; raise the failure of the node when a process ends before."""
        ended = asyncio.create_task(self._first_end.wait())
        try:
            await asyncio.wait({wanted, ended}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
        if not wanted.done():
            wanted.cancel()
            # A gathering that was cancelled holds an exception, and complains unless somebody takes it.
            await asyncio.gather(wanted, return_exceptions=True)
            raise await self._failure()
        return wanted.result()

    async def _failure(self) -> CocoError:
        """End everything; return the error that names the cause."""
        await self._end_all()
        platform = self._platform.returncode if self._platform is not None else None
        if platform is not None and self._platform_failed is None:
            return NodeStopped(f"the platform process died ({told(platform)}); the node has stopped", hint=RESTART)
        if self._platform_failed is not None:
            reported = self._platform_failed
            return ReportedFailure(
                reported.message, kind=reported.kind, exit_code=reported.exit_code, hint=reported.hint
            )
        return failure_of(enclave for enclave in self._enclaves if enclave.role != "reader" or not self._serves)

    async def _end_all(self) -> None:
        """End every enclave's channel, wait for its end and its last words, and kill what stays."""
        if self._readers is not None:
            self._readers.end()
        alive = [enclave for enclave in self._enclaves if not enclave.ended.is_set()]
        for enclave in alive:
            enclave.server.end()
        await self._wait_ended(alive, END_SECONDS_MAX)
        for enclave in alive:
            if not enclave.ended.is_set():
                enclave.killed = True
                await self._tell(Kill(enclave.number))
        await self._wait_ended(alive, END_SECONDS_MAX)
        serving = {enclave.serving for enclave in self._enclaves}
        if serving:
            await asyncio.wait(serving, timeout=LAST_WORDS_SECONDS_MAX)

    async def _wait_ended(self, enclaves: list[Enclave], seconds_max: float) -> None:
        await _wait_all([enclave.ended for enclave in enclaves if enclave.pid], seconds_max)

    async def _tell(self, message: Measure | Launch | Kill) -> None:
        if self._platform_channel is None:
            return
        try:
            await self._platform_channel.send(TO_PLATFORM.encode(message))
        except ChannelClosed:
            return

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.add(asyncio.create_task(work))


async def _wait_all(events: list[asyncio.Event], seconds_max: float) -> None:
    waits = [asyncio.create_task(event.wait()) for event in events]
    if waits:
        _, pending = await asyncio.wait(waits, timeout=seconds_max)
        for wait in pending:
            wait.cancel()
