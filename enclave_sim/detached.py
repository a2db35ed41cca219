"""How a host in the background tells the process that started it how the start went: JSON lines through a pipe.

First its process id; then, once, either the status (it serves) or the error that kept it from starting.
"""

from __future__ import annotations

import os
import select
import signal
import time
from pathlib import Path
from typing import IO

import msgspec

from core import limits
from core.errors import CocoError
from enclave_sim.boundary.messages import ReportedFailure
from enclave_sim.status import Status

_REPORT_BYTES_MAX = 4 * limits.MEBIBYTE


class Report(msgspec.Struct, frozen=True):
    """One line. kind: class of the error, "" when there is none."""

    pid: int
    status: Status | None = None
    kind: str = ""
    message: str = ""
    hint: str = ""
    exit_code: int = 0

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


def await_report(reports: IO[bytes], timeout: float, log: Path) -> Status:
    """Return the status once the host serves; raise what it reports, or CocoError when it ends or takes too long."""
    deadline = time.monotonic() + timeout
    received = b""
    pid: int | None = None
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([reports], [], [], left)[0]:
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
            raise CocoError(f"the node did not start within {timeout:.0f} s", hint=f"See {log}.")
        piece = reports.read(limits.MEBIBYTE)
        received += piece
        *lines, received = received.split(b"\n")
        for line in lines:
            report = msgspec.json.decode(line, type=Report)
            pid = report.pid
            if report.status is not None:
                return report.status
            if report.kind:
                raise ReportedFailure(report.message, kind=report.kind, exit_code=report.exit_code, hint=report.hint)
        if not piece or len(received) > _REPORT_BYTES_MAX:
            raise CocoError("the node's host ended before the node ran", hint=f"See {log}.")
