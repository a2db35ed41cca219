"""An enclave's end of the channel to its host: typed dispatch that refuses what it does not know and carries on.

Unknown, malformed, oversized and untimely messages are answered with Refused, counted, and change nothing else.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import assert_never

from core.errors import ChannelClosed, LimitExceeded, MalformedMessage
from core.node.config import ExecutorConfig, GatewayConfig, ManagerConfig, ReaderConfig
from core.ports import Transport
from enclave_sim.boundary.messages import (
    FAILURE_CHARACTERS_MAX,
    LOG_LINE_CHARACTERS_MAX,
    TO_ENCLAVE,
    TO_HOST,
    Dial,
    DialFailed,
    DiskCall,
    DiskData,
    DiskDone,
    DiskFailed,
    DiskFiles,
    Failed,
    GiveTicket,
    Isolated,
    LogLine,
    Refused,
    Role,
    Running,
    Start,
    StartExecutor,
    StartGateway,
    StartManager,
    StartReader,
    Stop,
    Stopped,
    TakeSnapshot,
    printable,
)
from enclave_sim.boundary.ocall_disk import OcallDisk
from enclave_sim.boundary.ticket_desk import HostTickets

LOG_LINES_QUEUED_MAX = 256
"""Log lines wait for the host at most this many at a time; further ones are dropped and counted."""


class HostLink:
    """See the module. `serve` runs until the host is gone; everything else may be used meanwhile.

    started: the configuration, once the host has given it; isolation_required comes with it. stop_requested: set by
    Stop. refused: messages refused.
    """

    def __init__(self, transport: Transport, role: Role) -> None:
        self._transport = transport
        self._role: Role = role
        self._lines: deque[str] = deque()
        self._lines_dropped = 0
        self._line_added = asyncio.Event()
        self._isolated: Isolated | None = None
        self.disk = OcallDisk(self._call)
        self.started: asyncio.Future[ManagerConfig | ExecutorConfig | GatewayConfig | ReaderConfig] = (
            asyncio.get_running_loop().create_future()
        )
        self.isolation_required = False
        self.stop_requested = asyncio.Event()
        self.snapshot_requested = asyncio.Event()
        """Set by TakeSnapshot, to the manager."""
        self.dial_failed: Callable[[int, str], bool] = lambda request, reason: False
        """Called with DialFailed; says whether there was such a request."""
        self.tickets = HostTickets(transport)
        """What a manager that joins by a ticket waits for."""
        self.refused = 0

    async def serve(self) -> None:
        """Take the host's messages and pass on log lines. Raises ChannelClosed when the host is gone."""
        writer = asyncio.create_task(self._pass_on_lines())
        try:
            while True:
                await self._take_one()
        except ChannelClosed:
            self.disk.close()
            raise
        finally:
            writer.cancel()
            await asyncio.wait({writer})

    def log(self, text: str) -> None:
        """Pass a line to the host's log: no payloads, no keys. Never waits."""
        if len(self._lines) >= LOG_LINES_QUEUED_MAX:
            self._lines_dropped += 1
            return
        self._lines.append(printable(text, LOG_LINE_CHARACTERS_MAX))
        self._line_added.set()

    async def report_running(self, service: bytes, certificate_chain: bytes) -> None:
        await self._transport.send(TO_HOST.encode(Running(self._role, service, certificate_chain)))

    def report_isolated(self, holds: tuple[str, ...], missing: tuple[str, ...]) -> None:
        """Tell the host what this process has given up. Never waits."""
        self._isolated = Isolated(holds, missing)
        self._line_added.set()

    async def report_stopped(self) -> None:
        await self._transport.send(TO_HOST.encode(Stopped()))

    async def report_failed(self, kind: str, message: str, hint: str, exit_code: int) -> None:
        """Send what is logged so far, then the failure; does nothing when the host is gone."""
        message, hint = printable(message, FAILURE_CHARACTERS_MAX), printable(hint, FAILURE_CHARACTERS_MAX)
        try:
            await self._send_lines()
            await self._transport.send(TO_HOST.encode(Failed(kind, message, hint, exit_code)))
        except ChannelClosed:
            return

    async def close(self) -> None:
        try:
            await self._send_lines()
        except ChannelClosed:
            return
        finally:
            await self._transport.close()

    async def _take_one(self) -> None:
        try:
            message = TO_ENCLAVE.decode(await self._transport.receive())
        except (MalformedMessage, LimitExceeded) as error:
            await self._refuse(error.message)
            return
        match message:
            case StartManager() | StartExecutor() | StartGateway() | StartReader():
                await self._start(message)
            case Stop():
                self.stop_requested.set()
            case TakeSnapshot():
                if self._role == "manager":
                    self.snapshot_requested.set()
                else:
                    await self._refuse(f"a snapshot from the {self._role}")
            case DialFailed(request, reason):
                if not self.dial_failed(request, printable(reason, LOG_LINE_CHARACTERS_MAX)):
                    await self._refuse(f"no such request to dial: {request}")
            case GiveTicket(data):
                if reason := self.tickets.take(data):
                    await self._refuse(reason)
            case DiskDone() | DiskData() | DiskFiles() | DiskFailed():
                if not self.disk.take(message):
                    await self._refuse(f"no such disk request, or not its result: {message.request}")
            case _:
                assert_never(message)

    async def _start(self, message: Start) -> None:
        roles: dict[type[Start], Role] = {
            StartManager: "manager",
            StartExecutor: "executor",
            StartGateway: "gateway",
            StartReader: "reader",
        }
        if roles[type(message)] != self._role:
            await self._refuse(f"{type(message).__name__} to the {self._role}")
        elif self.started.done():
            await self._refuse("already started")
        else:
            self.isolation_required = message.isolation_required
            self.started.set_result(message.config)

    async def _refuse(self, reason: str) -> None:
        self.refused += 1
        await self._transport.send(TO_HOST.encode(Refused(printable(reason, LOG_LINE_CHARACTERS_MAX), self.refused)))

    async def ask_to_dial(self, request: int, address: str) -> None:
        """Ask the host to connect to HOST:PORT."""
        await self._transport.send(TO_HOST.encode(Dial(request, address)))

    async def _call(self, call: DiskCall) -> None:
        await self._transport.send(TO_HOST.encode(call))

    async def _pass_on_lines(self) -> None:
        try:
            while True:
                await self._line_added.wait()
                self._line_added.clear()
                await self._send_lines()
        except ChannelClosed:
            return

    async def _send_lines(self) -> None:
        if self._isolated is not None:
            isolated, self._isolated = self._isolated, None
            await self._transport.send(TO_HOST.encode(isolated))
        while self._lines:
            await self._transport.send(TO_HOST.encode(LogLine(self._lines.popleft())))
        if self._lines_dropped:
            dropped, self._lines_dropped = self._lines_dropped, 0
            await self._transport.send(TO_HOST.encode(LogLine(f"{dropped} log lines were dropped")))
