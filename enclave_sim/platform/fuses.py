"""The fuses of the simulated CPU: 32 random bytes in a file of their own. A real CPU's never leave the chip."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from core.errors import IncompatibleData, StorageFailed
from enclave_sim.platform.cpu import FUSES_BYTES


def load_or_create_fuses(path: Path) -> bytes:
    """Return the fuses, made once; raises IncompatibleData for a damaged file, StorageFailed when the disk fails."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            return _load(path)
        except FileNotFoundError:
            return _create(path)
    except OSError as error:
        raise StorageFailed(
            f"the simulated CPU's fuses {path} cannot be kept: {error.strerror}",
            hint="Check permissions and free space of the node's directory.",
        ) from None


def _load(path: Path) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        fuses = file.read(FUSES_BYTES + 1)
    if len(fuses) != FUSES_BYTES:
        raise IncompatibleData(
            f"the simulated CPU's fuses {path} hold {len(fuses)} bytes; expected {FUSES_BYTES}",
            hint="Restore the file from a copy. Without it the node's sealed data cannot be opened.",
        )
    if stat.S_IMODE(mode) & 0o077:
        raise IncompatibleData(
            f"the simulated CPU's fuses {path} are open to other users (mode {stat.S_IMODE(mode):o})",
            hint=f"chmod 600 {path}",
        )
    return fuses


def _create(path: Path) -> bytes:
    """Write aside and link into place, so that a crash leaves whole fuses or none."""
    fuses = os.urandom(FUSES_BYTES)
    aside = path.with_name(f"{path.name}.{os.getpid()}.new")
    aside.unlink(missing_ok=True)
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(fuses)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(aside, path)
    except FileExistsError:
        return _load(path)
    finally:
        aside.unlink()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return fuses
