"""Files that hold a secret of the simulated machine: the owner's alone, written once, whole or not at all."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from core.errors import IncompatibleData


def load_secret(path: Path, bytes_max: int, check: Callable[[bytes], None] = lambda data: None) -> bytes:
    """Return the file's content, one byte more than bytes_max at the most. Raises OSError, and what `check` raises.

    Raises IncompatibleData when others may read it.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        data = file.read(bytes_max + 1)
    check(data)
    if stat.S_IMODE(mode) & 0o077:
        raise IncompatibleData(
            f"the simulated machine's secret {path} is open to other users (mode {stat.S_IMODE(mode):o})",
            hint=f"chmod 600 {path}",
        )
    return data


def create_secret(path: Path, data: bytes) -> bytes:
    """Write aside and link into place; return what stands there, which another process may have written first.

    Raises OSError.
    """
    aside = path.with_name(f"{path.name}.{os.getpid()}.new")
    aside.unlink(missing_ok=True)
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(aside, path)
    except FileExistsError:
        return load_secret(path, len(data))
    finally:
        aside.unlink()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return data
