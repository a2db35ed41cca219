"""How a host in the background tells the process that started it how the start went: JSON lines through a pipe.

First its process id; then what it does, now and then; at last either the status (it serves) or the error that kept it
from starting. A long ledger takes long to replay, so it is silence that is bounded, and not the whole start.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import msgspec

from core import limits
from core.errors import CocoError
from enclave_sim.boundary.messages import ReportedFailure, printable
from enclave_sim.status import Status

_REPORT_BYTES_MAX = 4 * limits.MEBIBYTE
_PROGRESS_CHARACTERS_MAX = 200
"""Of 12 bytes each at most, as JSON escapes them: below PIPE_BUF with the rest of the line."""


class Report(msgspec.Struct, frozen=True):
    """One line. kind: class of the error, "" when there is none. progress: what the start is at, "" in other lines."""

    pid: int
    status: Status | None = None
    kind: str = ""
    message: str = ""
    hint: str = ""
    exit_code: int = 0
    progress: str = ""

    @classmethod
    def of_error(cls, pid: int, error: CocoError) -> Report:
        kind = error.kind if isinstance(error, ReportedFailure) else type(error).__name__
        return cls(pid, None, kind, error.message, error.hint, error.exit_code)


def send_report(fd: int, report: Report) -> None:
    """Write one line; does nothing when the starter is gone or the report was sent already."""
    try:
        data = msgspec.json.encode(report) + b"\n"
        while data:
            data = data[os.write(fd, data) :]
    except OSError:
        return


def send_progress(fd: int, text: str) -> None:
    """Write a line about what the start is at; lost when nobody reads, so that nothing waits for the starter."""
    try:
        # A pipe that is writable takes a short write whole (POSIX, PIPE_BUF).
        if select.select([], [fd], [], 0)[1]:
            send_report(fd, Report(pid=os.getpid(), progress=printable(text, _PROGRESS_CHARACTERS_MAX)))
    except (OSError, ValueError):
        return


def await_report(
    reports: IO[bytes], silence_max: float, log: Path, on_progress: Callable[[str], None] | None = None
) -> Status:
    """Return the status once the host serves; raise what it reports, or CocoError when it ends or falls silent.

    silence_max: seconds without a line. on_progress: called with what the start is at.
    """
    deadline = time.monotonic() + silence_max
    received = b""
    pid: int | None = None
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([reports], [], [], left)[0]:
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
            raise CocoError(
                f"the node did not start: it said nothing for {silence_max:g} s and was ended", hint=f"See {log}."
            )
        piece = reports.read(limits.MEBIBYTE)
        received += piece
        *lines, received = received.split(b"\n")
        for line in lines:
            report = msgspec.json.decode(line, type=Report)
            pid = report.pid
            deadline = time.monotonic() + silence_max
            if report.progress and on_progress is not None:
                on_progress(report.progress)
            if report.status is not None:
                return report.status
            if report.kind:
                raise ReportedFailure(report.message, kind=report.kind, exit_code=report.exit_code, hint=report.hint)
        if not piece or len(received) > _REPORT_BYTES_MAX:
            raise CocoError("the node's host ended before the node ran", hint=f"See {log}.")
