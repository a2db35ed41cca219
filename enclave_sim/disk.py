"""The host's disk: the Disk port on a real folder.

Every call runs in the one thread of this disk, in order, so fdatasync never holds up the event loop. Everything is
opened relative to the folder's descriptor and without following links. Invariant: after a failed write or fsync the
disk refuses every later write, since the kernel may have dropped the dirty pages and would report the next fsync as
good (the PostgreSQL fsync lesson of 2018).
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from core import limits
from core.errors import StorageFailed
from core.ports import FileInfo

FILE_MODE = 0o600
FOLDER_MODE = 0o700
NAME_CHARACTERS_MAX = 128
OFFSET_MAX = 2**62
"""Below what the system takes as an offset."""


_SEGMENT = re.compile(r"[a-z0-9_-][a-z0-9_.-]*")
_ASIDE_SUFFIX = "~"
"""Of a file on its way to replace another. Not a character of names, so it never collides and is never listed."""

_HINTS = {
    errno.ENOSPC: "The disk is full. Free space and start the node again; every answered transaction is on disk.",
    errno.EDQUOT: "The disk quota is used up. Raise it and start the node again.",
    errno.EROFS: "The file system is read-only. Remount it and start the node again.",
    errno.EACCES: "Check the permissions of the node's directory.",
    errno.EIO: "The device reports errors. Check it before starting the node again.",
}

ResultT = TypeVar("ResultT")


class DirectoryDisk:
    """See the module. Owns the folder (made with mode 0700) until `close`."""

    def __init__(self, folder: Path) -> None:
        """Open or create the folder; raises StorageFailed."""
        self._folder = folder
        self._poison: str | None = None
        with self._failures_told(f"open {folder}"):
            folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            self._root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="disk")

    async def list_files(self, folder: str) -> Sequence[FileInfo]:
        """Return the files of a folder ("" is the top) by name; empty when there is no such folder."""
        return await self._run(lambda: self._list(folder))

    async def read(self, name: str, offset: int, size_bytes: int) -> bytes:
        return await self._run(lambda: self._read(name, offset, size_bytes))

    async def append(self, name: str, offset: int, data: bytes) -> None:
        await self._run(lambda: self._append(name, offset, data))

    async def replace(self, name: str, data: bytes) -> None:
        await self._run(lambda: self._replace(name, data))

    async def patch(self, name: str, offset: int, data: bytes) -> None:
        await self._run(lambda: self._patch(name, offset, data))

    async def truncate(self, name: str, size_bytes: int) -> None:
        await self._run(lambda: self._truncate(name, size_bytes))

    async def rename(self, old: str, new: str) -> None:
        await self._run(lambda: self._rename(old, new))

    async def remove(self, name: str) -> None:
        await self._run(lambda: self._remove(name))

    def close(self) -> None:
        """Let running calls finish, and let go of the folder."""
        self._thread.shutdown(wait=True)
        os.close(self._root)

    async def _run(self, work: Callable[[], ResultT]) -> ResultT:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    # In the disk's thread.

    def _list(self, folder: str) -> list[FileInfo]:
        if folder:
            _check_segments(folder, depth_max=1)
        with self._failures_told(f"list {folder or 'the folder'}"):
            try:
                fd = os.open(folder or ".", _FOLDER_FLAGS, dir_fd=self._root)
            except FileNotFoundError:
                return []
            with _closing(fd):
                files = []
                for name in sorted(os.listdir(fd)):
                    if _SEGMENT.fullmatch(name):
                        status = os.stat(name, dir_fd=fd, follow_symlinks=False)
                        if stat.S_ISREG(status.st_mode):
                            files.append(FileInfo(f"{folder}/{name}" if folder else name, status.st_size))
                return files

    def _read(self, name: str, offset: int, size_bytes: int) -> bytes:
        if not 0 <= offset <= OFFSET_MAX or not 0 <= size_bytes <= limits.DISK_READ_BYTES_MAX:
            raise StorageFailed(f"a read of {size_bytes} bytes at {offset} of {name} is out of bounds")
        with self._failures_told(f"read {name}"), self._parent(name) as (folder, leaf):
            fd = os.open(leaf, os.O_RDONLY | _FILE_FLAGS, dir_fd=folder)
            with _closing(fd):
                return os.pread(fd, size_bytes, offset)

    def _append(self, name: str, offset: int, data: bytes) -> None:
        with self._write_to(f"append to {name}"), self._parent(name, create=True) as (folder, leaf):
            fd, created = self._open_to_append(folder, leaf)
            with _closing(fd):
                size = os.fstat(fd).st_size
                if size != offset:
                    raise StorageFailed(
                        f"{name} holds {size} bytes, not {offset}: someone else changed it",
                        hint="Make sure that only one node uses this directory, then start it again.",
                    )
                try:
                    _write_all(fd, data)
                except OSError:
                    os.ftruncate(fd, offset)  # Best effort; the reader cuts a torn tail as well.
                    raise
                os.fdatasync(fd)
            if created:
                os.fsync(folder)

    def _open_to_append(self, folder: int, leaf: str) -> tuple[int, bool]:
        flags = os.O_WRONLY | os.O_APPEND | _FILE_FLAGS
        try:
            return os.open(leaf, flags, dir_fd=folder), False
        except FileNotFoundError:
            return os.open(leaf, flags | os.O_CREAT | os.O_EXCL, FILE_MODE, dir_fd=folder), True

    def _replace(self, name: str, data: bytes) -> None:
        with self._write_to(f"replace {name}"), self._parent(name, create=True) as (folder, leaf):
            aside = leaf + _ASIDE_SUFFIX
            fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _FILE_FLAGS, FILE_MODE, dir_fd=folder)
            with _closing(fd):
                _write_all(fd, data)
                os.fsync(fd)
            os.replace(aside, leaf, src_dir_fd=folder, dst_dir_fd=folder)
            os.fsync(folder)

    def _patch(self, name: str, offset: int, data: bytes) -> None:
        with self._write_to(f"patch {name}"), self._parent(name) as (folder, leaf):
            fd = os.open(leaf, os.O_WRONLY | _FILE_FLAGS, dir_fd=folder)
            with _closing(fd):
                if len(data) > limits.DISK_PATCH_BYTES_MAX or not 0 <= offset <= os.fstat(fd).st_size - len(data):
                    raise StorageFailed(f"{len(data)} bytes at {offset} of {name} cannot be patched: out of bounds")
                done = 0
                while done < len(data):
                    done += os.pwrite(fd, data[done:], offset + done)
                os.fdatasync(fd)

    def _truncate(self, name: str, size_bytes: int) -> None:
        with self._write_to(f"truncate {name}"), self._parent(name) as (folder, leaf):
            fd = os.open(leaf, os.O_WRONLY | _FILE_FLAGS, dir_fd=folder)
            with _closing(fd):
                if not 0 <= size_bytes <= os.fstat(fd).st_size:
                    raise StorageFailed(f"{name} cannot be cut to {size_bytes} bytes: it is shorter")
                os.ftruncate(fd, size_bytes)
                os.fsync(fd)

    def _rename(self, old: str, new: str) -> None:
        with (
            self._write_to(f"rename {old} to {new}"),
            self._parent(old) as (old_folder, old_leaf),
            self._parent(new, create=True) as (new_folder, new_leaf),
        ):
            os.rename(old_leaf, new_leaf, src_dir_fd=old_folder, dst_dir_fd=new_folder)
            os.fsync(new_folder)
            os.fsync(old_folder)

    def _remove(self, name: str) -> None:
        with self._write_to(f"remove {name}"), self._parent(name) as (folder, leaf):
            os.unlink(leaf, dir_fd=folder)
            os.fsync(folder)

    @contextmanager
    def _parent(self, name: str, *, create: bool = False) -> Iterator[tuple[int, str]]:
        """Give the descriptor of the folder a name is in, and its last segment."""
        *folders, leaf = _check_segments(name, depth_max=2)
        if not folders:
            yield self._root, leaf
            return
        try:
            fd = os.open(folders[0], _FOLDER_FLAGS, dir_fd=self._root)
        except FileNotFoundError:
            if not create:
                raise
            os.mkdir(folders[0], FOLDER_MODE, dir_fd=self._root)
            os.fsync(self._root)
            fd = os.open(folders[0], _FOLDER_FLAGS, dir_fd=self._root)
        with _closing(fd):
            yield fd, leaf

    @contextmanager
    def _write_to(self, action: str) -> Iterator[None]:
        """Refuse when poisoned; poison when the system fails the write."""
        if self._poison is not None:
            raise StorageFailed(f"cannot {action}: an earlier write failed ({self._poison})", hint=_RESTART)
        with self._failures_told(action):
            try:
                yield
            except OSError as error:
                self._poison = error.strerror or type(error).__name__
                raise

    @contextmanager
    def _failures_told(self, action: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            cause = error.strerror or type(error).__name__
            hint = _HINTS.get(error.errno or 0, _RESTART)
            raise StorageFailed(f"cannot {action} in {self._folder}: {cause}", hint=hint) from error


_FILE_FLAGS = os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_RESTART = "Check the disk, then start the node again."


def _check_segments(name: str, *, depth_max: int) -> list[str]:
    """Return the segments of a name; raises StorageFailed for one that the port does not allow."""
    segments = name.split("/")
    if len(segments) > depth_max or len(name) > NAME_CHARACTERS_MAX or not all(map(_SEGMENT.fullmatch, segments)):
        raise StorageFailed(f"not a file name of the node: {name[:NAME_CHARACTERS_MAX]!r}")
    return segments


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


@contextmanager
def _closing(fd: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(fd)
