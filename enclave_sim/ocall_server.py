"""The host's end of the channel with one enclave: serves its ocalls in order and takes its news.

An enclave that sends what the host does not understand is noted in the log and served on; only the manager has a disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import assert_never

from core.errors import ChannelClosed, LimitExceeded, MalformedMessage, StorageFailed
from core.ports import Disk
from enclave_sim.boundary.messages import (
    FAILURE_CHARACTERS_MAX,
    LOG_LINE_CHARACTERS_MAX,
    TO_ENCLAVE,
    TO_HOST,
    Dial,
    DialFailed,
    DiskAppend,
    DiskCall,
    DiskData,
    DiskDone,
    DiskFailed,
    DiskFiles,
    DiskList,
    DiskPatch,
    DiskRead,
    DiskRemove,
    DiskRename,
    DiskReplace,
    DiskResult,
    DiskTruncate,
    Failed,
    GiveTicket,
    Isolated,
    LogLine,
    Refused,
    Running,
    Start,
    Stop,
    Stopped,
    TakeSnapshot,
    TicketAnswered,
    TicketWanted,
    printable,
)
from enclave_sim.boundary.socket_transport import SocketTransport
from enclave_sim.host_log import HostLog
from enclave_sim.ticket_hosting import TicketHosting

ISOLATION_LINES_MAX = 16
"""What an enclave may say that it has, and has not, given up."""


class OcallServer:
    """See the module. running, stopped: once the enclave said so, or ended. failed: its last words, if any.

    isolated: what it says that it has given up after its start, once it has. dial: begins to connect for the manager.
    """

    def __init__(self, name: str, transport: SocketTransport, log: HostLog, disk: Disk | None) -> None:
        self.name = name
        self.running: asyncio.Future[Running] = asyncio.get_running_loop().create_future()
        self.stopped = asyncio.Event()
        self.failed: Failed | None = None
        self.isolated: asyncio.Future[Isolated] = asyncio.get_running_loop().create_future()
        self._transport = transport
        self._log = log
        self._disk = disk
        self.dial: Callable[[int, str], None] | None = None
        self.tickets: TicketHosting | None = None
        """Where the manager's node may wait for a ticket."""

    async def start(self, message: Start) -> None:
        await self._transport.send(TO_ENCLAVE.encode(message))

    async def stop(self) -> None:
        """Ask the enclave to end; one that is gone has."""
        try:
            await self._transport.send(TO_ENCLAVE.encode(Stop()))
        except ChannelClosed:
            return

    async def take_snapshot(self) -> None:
        """Ask the manager for a snapshot; one that is gone writes none."""
        try:
            await self._transport.send(TO_ENCLAVE.encode(TakeSnapshot()))
        except ChannelClosed:
            return

    async def _give_ticket(self, data: bytes) -> None:
        """Give the manager what may be its ticket; one that is gone needs none."""
        try:
            await self._transport.send(TO_ENCLAVE.encode(GiveTicket(data)))
        except ChannelClosed:
            return

    async def dial_failed(self, request: int, reason: str) -> None:
        """Tell the manager that nobody was reached; one that is gone need not know."""
        try:
            await self._transport.send(TO_ENCLAVE.encode(DialFailed(request, reason)))
        except ChannelClosed:
            return

    def end(self) -> None:
        """End our direction of the channel, which ends the enclave; its last words can still be read."""
        self._transport.end()

    async def close(self) -> None:
        await self._transport.close()

    async def serve(self) -> None:
        """Serve until the enclave's end of the channel is closed."""
        try:
            while True:
                await self._take_one()
        except ChannelClosed:
            self.stopped.set()

    async def _take_one(self) -> None:
        try:
            message = TO_HOST.decode(await self._transport.receive())
        except (MalformedMessage, LimitExceeded) as error:
            self._log.line(self.name, f"a message was refused by the host: {error.message}")
            return
        match message:
            case LogLine(text):
                self._log.line(self.name, text)
            case Running():
                if not self.running.done():
                    self.running.set_result(message)
            case Isolated():
                self._take_isolated(message)
            case Stopped():
                self.stopped.set()
            case Dial(request, address):
                if self.dial is None:
                    await self.dial_failed(request, f"the {self.name} reaches no other nodes")
                else:
                    self.dial(request, address)
            case TicketWanted(request):
                if self.tickets is not None:
                    self.tickets.wanted(request, self._give_ticket)
            case TicketAnswered():
                if self.tickets is not None:
                    self.tickets.answered(message)
            case Failed():
                self.failed = message
                self._log.line(self.name, f"{message.kind}: {message.message} {message.hint}")
            case Refused(reason, count):
                self._log.line(self.name, f"refused a message of the host ({count} so far): {reason}")
            case _:
                await self._transport.send(TO_ENCLAVE.encode(await self._serve_disk(message)))

    def _take_isolated(self, message: Isolated) -> None:
        holds, missing = (
            tuple(printable(text, LOG_LINE_CHARACTERS_MAX) for text in texts[:ISOLATION_LINES_MAX])
            for texts in (message.holds, message.missing)
        )
        if not self.isolated.done():
            self.isolated.set_result(Isolated(holds, missing))
        self._log.line(self.name, f"isolated: {', '.join(holds) or 'nothing'}")
        for reason in missing:
            self._log.line(self.name, f"LESS ISOLATION: {reason}")

    async def _serve_disk(self, call: DiskCall) -> DiskResult:
        if self._disk is None:
            return DiskFailed(call.request, f"the {self.name} has no disk", "")
        try:
            return await _do(self._disk, call)
        except StorageFailed as error:
            self._log.line("host", f"disk: {error.message}")
            message, hint = (printable(text, FAILURE_CHARACTERS_MAX) for text in (error.message, error.hint))
            return DiskFailed(call.request, message, hint)


async def _do(disk: Disk, call: DiskCall) -> DiskResult:
    match call:
        case DiskList(request, folder):
            files = await disk.list_files(folder)
            return DiskFiles(request, tuple((file.name, file.size_bytes) for file in files))
        case DiskRead(request, name, offset, size_bytes):
            return DiskData(request, await disk.read(name, offset, size_bytes))
        case DiskAppend(request, name, offset, data):
            await disk.append(name, offset, data)
        case DiskReplace(request, name, data):
            await disk.replace(name, data)
        case DiskPatch(request, name, offset, data):
            await disk.patch(name, offset, data)
        case DiskTruncate(request, name, size_bytes):
            await disk.truncate(name, size_bytes)
        case DiskRename(request, old, new):
            await disk.rename(old, new)
        case DiskRemove(request, name):
            await disk.remove(name)
        case _:
            assert_never(call)
    return DiskDone(request)
