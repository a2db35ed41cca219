"""The host's part for a node that waits for a ticket: it shows what is to be signed, and looks for what was.

    node0/ticket-request.json   while the node waits: what its member signs (core/governance/ticket_requests.py)
    node0/ticket-answer.json    what the node said of the file that it was brought last (TicketAnswer)

The authorization's file is looked at again and again, and given to the manager whenever it has changed. Nothing here is
trusted by it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from core import limits
from core.errors import CocoError, StorageFailed
from enclave_sim.boundary.messages import TicketAnswered
from enclave_sim.host_config import HostConfig, NodePaths, read_authorization
from enclave_sim.host_log import HostLog
from enclave_sim.status import write_file

LOOK_SECONDS = 0.5

Give = Callable[[bytes], Awaitable[None]]


class TicketAnswer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """digest: SHA-256 of the file. reason: why it does not count, "" when it does."""

    digest: str
    reason: str
    message: str
    hint: str


class TicketHosting:
    """See the module. One of a node; `close` it when the node ends. given: what the manager was started with."""

    def __init__(
        self,
        directory: Path,
        config: HostConfig,
        log: HostLog,
        *,
        given: bytes = b"",
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._directory = directory
        self._paths = NodePaths(directory)
        self._config = config
        self._log = log
        self._look_seconds = look_seconds
        self._given = given
        self._looking: asyncio.Task[None] | None = None
        self._forget()

    def wanted(self, request: bytes, give: Give) -> None:
        """Show what the manager wants signed, and look for it from now on. A second time changes nothing."""
        if self._looking is not None or not self._config.ticket_seconds:
            self._log.line("host", "the manager asks for a ticket out of turn")
            return
        if len(request) > limits.TICKET_REQUEST_BYTES_MAX:
            self._log.line("host", f"the manager asks for a ticket with {len(request)} bytes")
            return
        try:
            write_file(self._paths.ticket_request, request)
        except StorageFailed as error:
            self._log.line("host", f"{error.message} {error.hint}")
            return
        self._log.line("host", f"waits for a ticket: its member signs {self._paths.ticket_request}")
        self._looking = asyncio.create_task(self._look(give))

    def answered(self, answered: TicketAnswered) -> None:
        """Take what the manager says of what it was given."""
        digest = hashlib.sha256(self._given).hexdigest()
        answer = TicketAnswer(digest, answered.reason, answered.message, answered.hint)
        try:
            write_file(self._paths.ticket_answer, msgspec.json.encode(answer))
            if not answer.reason:
                self._stop()
                self._paths.ticket_request.unlink(missing_ok=True)
        except (StorageFailed, OSError) as error:
            self._log.line("host", f"the answer to a ticket cannot be written: {error}")

    def close(self) -> None:
        """Look no more."""
        self._stop()
        self._forget()

    async def _look(self, give: Give) -> None:
        told = ""
        while True:
            await asyncio.sleep(self._look_seconds)
            found = self._read(told)
            if isinstance(found, str):
                told = found
            elif found and found != self._given:
                self._given = found
                await give(found)

    def _read(self, told: str) -> bytes | str:
        """Return what the file holds, or why it cannot be read, which is logged unless it was told."""
        try:
            return read_authorization(self._directory, self._config)
        except CocoError as error:
            if error.message != told:
                self._log.line("host", f"{error.message} {error.hint}")
            return error.message

    def _stop(self) -> None:
        if self._looking is not None:
            self._looking.cancel()

    def _forget(self) -> None:
        for path in (self._paths.ticket_request, self._paths.ticket_answer):
            path.unlink(missing_ok=True)


def read_answer(directory: Path) -> TicketAnswer | None:
    """Return what the node of a directory said of the last ticket, None when it said nothing."""
    try:
        return msgspec.json.decode(NodePaths(directory).ticket_answer.read_bytes(), type=TicketAnswer)
    except (OSError, msgspec.DecodeError):
        return None
