"""What a running node tells on its directory: the lock that says it runs, and status.json.

A node runs exactly while its lock is held: the kernel lets go of it when the host ends, however it ends. The process
ids in the files are information; they are only used once the lock has shown that their writer lives.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from core.errors import CocoError, StorageFailed
from enclave_sim.host_config import NodePaths

STATUS_VERSION = 1
LOCK_ATTEMPTS_MAX = 10
"""`read_status` holds the lock for an instant, so one failed attempt to take it proves nothing."""

_LOCK_RETRY_SECONDS = 0.05
_PID_BYTES_MAX = 32


class Status(msgspec.Struct, frozen=True):
    """DIR/node0/status.json. pids: of every process by name (host, platform, manager, executor, gateway-1, ...).

    service: public information of the node and its service, as the gateway serves it. less_isolation: what the kernel
    did not give to a process, by its name, with the reason.
    """

    pid: int
    address: str
    port: int
    url: str
    pids: dict[str, int]
    started_at: str
    service: dict[str, Any]
    less_isolation: dict[str, tuple[str, ...]] = {}
    version: int = STATUS_VERSION


class AlreadyRunning(CocoError):
    """Another host holds the lock of the directory."""


@contextmanager
def node_lock(directory: Path) -> Iterator[Status | None]:
    """Hold the node's lock; raises AlreadyRunning. Gives the status that a killed host left behind."""
    paths = NodePaths(directory)
    try:
        paths.node.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(paths.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise StorageFailed(f"cannot lock {paths.node}: {error.strerror}", hint="Check its permissions.") from None
    try:
        _acquire(fd, directory)
        os.ftruncate(fd, 0)
        os.pwrite(fd, str(os.getpid()).encode(), 0)
        left_behind = stored_status(directory)
        paths.status.unlink(missing_ok=True)
        try:
            yield left_behind
        finally:
            paths.status.unlink(missing_ok=True)
            os.ftruncate(fd, 0)
    finally:
        os.close(fd)


def _acquire(fd: int, directory: Path) -> None:
    for _ in range(LOCK_ATTEMPTS_MAX):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_LOCK_RETRY_SECONDS)
        else:
            return
    raise AlreadyRunning(
        f"the node in {directory} is already running (process {_pid(fd) or 'unknown'})",
        hint="Stop it first: coco network stop",
    )


def running_pid(directory: Path) -> int | None:
    """Return the process id of the host that holds the lock, or None."""
    try:
        fd = os.open(NodePaths(directory).lock, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _pid(fd)
    finally:
        os.close(fd)
    return None


def read_status(directory: Path) -> Status | None:
    """Return the status of the node that runs on the directory; None when none does, or it is still starting."""
    pid = running_pid(directory)
    if pid is None:
        return None
    status = stored_status(directory)
    return status if status is not None and status.pid == pid else None


def stored_status(directory: Path) -> Status | None:
    """Return what status.json holds, be it of a node that runs or of one that was killed."""
    try:
        return msgspec.json.decode(NodePaths(directory).status.read_bytes(), type=Status)
    except (OSError, msgspec.DecodeError):
        return None


def write_status(directory: Path, status: Status) -> None:
    """Write status.json atomically."""
    write_file(NodePaths(directory).status, msgspec.json.format(msgspec.json.encode(status), indent=2))


def write_file(path: Path, data: bytes) -> None:
    """Replace a file of the host atomically (mode 0600); raises StorageFailed."""
    aside = path.with_name(path.name + ".new")
    try:
        fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
        aside.replace(path)
    except OSError as error:
        raise StorageFailed(f"cannot write {path}: {error.strerror}", hint="Free space on the disk.") from None


def wait_until_stopped(directory: Path, timeout: float) -> bool:
    """Wait until nobody holds the lock; returns whether that came to be. timeout: seconds."""
    deadline = time.monotonic() + timeout
    while running_pid(directory) is not None:
        if time.monotonic() >= deadline:
            return False
        time.sleep(_LOCK_RETRY_SECONDS)
    return True


def _pid(fd: int) -> int | None:
    text = os.pread(fd, _PID_BYTES_MAX, 0)
    return int(text) if text.isdigit() else None
