"""The secrets of the simulated machine: 32 random bytes each, in files of their own (DIR/node0/platform).

`fuses` are the processor's; a real one's never leave the chip. `authority` is the secret of the simulated provisioning
authority, which on hardware is Intel's and never on the machine.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from core.errors import IncompatibleData, StorageFailed
from core.node.manager_keys import FILE as SEALED_KEYS_FILE
from core.node.manager_keys import NEW_NETWORK_HINT
from enclave_sim.sgx.cpu import FUSES_BYTES

AUTHORITY_FILE = "authority"


def load_or_create_fuses(path: Path, sealed_keys: Path | None = None) -> bytes:
    """Return the fuses, made once. sealed_keys: a file that is sealed under them, once it exists.

    Raises IncompatibleData for a damaged file, and for a missing one when there is something to open with it;
    StorageFailed when the disk fails.
    """
    try:
        try:
            return _load(path)
        except FileNotFoundError:
            if sealed_keys is not None and _exists(sealed_keys):
                raise IncompatibleData(
                    f"the simulated CPU's fuses {path} are missing, and {sealed_keys} was sealed under them",
                    hint="Restore the fuses file from a back-up of this node (mode 600) and start again; nothing was "
                    f"changed. {NEW_NETWORK_HINT}",
                ) from None
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            return _create(path)
    except OSError as error:
        raise StorageFailed(
            f"the simulated machine's secret {path} cannot be kept: {error.strerror}",
            hint="Check permissions and free space of the node's directory.",
        ) from None


def load_or_create_authority(fuses: Path) -> bytes:
    """Return the secret of the simulated authority of the machine whose fuses are at that path, made once.

    Raises IncompatibleData for a damaged file, StorageFailed when the disk fails. A new one certifies under another
    root, which clients that pinned the old one refuse.
    """
    return load_or_create_fuses(fuses.with_name(AUTHORITY_FILE))


def sealed_keys_beside(path: Path) -> Path:
    """Return where a node (host_config.NodePaths) whose fuses are at `path` keeps what its manager has sealed."""
    return path.parents[1] / "disk" / SEALED_KEYS_FILE


def _exists(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _load(path: Path) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        fuses = file.read(FUSES_BYTES + 1)
    if len(fuses) != FUSES_BYTES:
        raise IncompatibleData(
            f"the simulated machine's secret {path} holds {len(fuses)} bytes; expected {FUSES_BYTES}",
            hint="Restore the file from a copy. Without it the node's sealed data cannot be opened.",
        )
    if stat.S_IMODE(mode) & 0o077:
        raise IncompatibleData(
            f"the simulated machine's secret {path} is open to other users (mode {stat.S_IMODE(mode):o})",
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
