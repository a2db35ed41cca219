"""The host's log: one line per event with a UTC time stamp, in a file that is put aside when it reaches its bound."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from core import limits
from core.errors import StorageFailed
from enclave_sim.boundary.messages import FAILURE_CHARACTERS_MAX, printable

LOG_BYTES_MAX = 8 * limits.MEBIBYTE
"""At this size host.log becomes host.log.1, replacing the one before."""


class HostLog:
    """See the module. A line that cannot be written is lost: a full disk must not stop the node from here."""

    def __init__(
        self,
        path: Path,
        *,
        to_stderr: bool = False,
        bytes_max: int = LOG_BYTES_MAX,
        on_line: Callable[[str, str], None] | None = None,
    ) -> None:
        """on_line: called with the source and the text of each line."""
        self._on_line = on_line
        self._path = path
        self._to_stderr = to_stderr
        self._bytes_max = bytes_max
        try:
            self._fd = self._open()
        except OSError as error:
            raise StorageFailed(f"cannot open {path}: {error.strerror}", hint="Check its permissions.") from None

    def line(self, source: str, text: str) -> None:
        """Write one line. source: the process it is about."""
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = f"{stamp} {source}: {printable(text, FAILURE_CHARACTERS_MAX)}\n"
        if self._to_stderr:
            sys.stderr.write(line)
            sys.stderr.flush()
        try:
            if os.fstat(self._fd).st_size + len(line) > self._bytes_max:
                self._put_aside()
            os.write(self._fd, line.encode())
        except OSError:
            pass
        if self._on_line is not None:
            self._on_line(source, text)

    def fileno(self) -> int:
        """Return the descriptor that children write their last words to."""
        return self._fd

    def close(self) -> None:
        os.close(self._fd)

    def _put_aside(self) -> None:
        self._path.replace(self._path.with_name(self._path.name + ".1"))
        fd, self._fd = self._fd, self._open()
        os.close(fd)

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
