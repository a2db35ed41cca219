"""A Disk in memory, with faults on demand. What is in `files` is what would survive a power cut."""

from __future__ import annotations

import re
from collections.abc import Sequence

from core import limits
from core.errors import StorageFailed
from core.ports import FileInfo

_NAME = re.compile(r"[a-z0-9_-][a-z0-9_.-]*(/[a-z0-9_-][a-z0-9_.-]*)?")


class MemoryDisk:
    """Set a fault, and it strikes the next matching calls. `changes` counts calls that changed something."""

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        self.files = dict(files or {})
        self.fail_fsync = False
        """The data of the next append is written, but the call fails."""
        self.torn_bytes: int | None = None
        """The next append writes only so many bytes, and fails."""
        self.capacity_bytes: int | None = None
        """All files together may hold so much."""
        self.changes = 0
        self.appends: list[tuple[str, int]] = []

    def copy(self) -> MemoryDisk:
        """Return the disk as a host would have copied it."""
        return MemoryDisk(self.files)

    async def list_files(self, folder: str) -> Sequence[FileInfo]:
        prefix = f"{folder}/"
        return [FileInfo(name, len(data)) for name, data in sorted(self.files.items()) if name.startswith(prefix)]

    async def read(self, name: str, offset: int, size_bytes: int) -> bytes:
        if not 0 <= size_bytes <= limits.DISK_READ_BYTES_MAX or offset < 0:
            raise StorageFailed("the read is out of bounds")
        return self._existing(name)[offset : offset + size_bytes]

    async def append(self, name: str, offset: int, data: bytes) -> None:
        self._check(name)
        held = self.files.get(name, b"")
        if len(held) != offset:
            raise StorageFailed(f"{name} holds {len(held)} bytes, not {offset}")
        self.changes += 1
        if self.torn_bytes is not None:
            self.files[name] = held + data[: self.torn_bytes]
            raise StorageFailed("power failed during the write")
        if self.capacity_bytes is not None and self._used() + len(data) > self.capacity_bytes:
            raise StorageFailed("the disk is full")
        self.files[name] = held + data
        if self.fail_fsync:
            raise StorageFailed("fsync failed")
        self.appends.append((name, len(data)))

    async def replace(self, name: str, data: bytes) -> None:
        self._check(name)
        if self.capacity_bytes is not None and self._used() + len(data) > self.capacity_bytes:
            raise StorageFailed("the disk is full")
        self.changes += 1
        self.files[name] = data

    async def patch(self, name: str, offset: int, data: bytes) -> None:
        held = self._existing(name)
        if len(data) > limits.DISK_PATCH_BYTES_MAX or not 0 <= offset <= len(held) - len(data):
            raise StorageFailed("the patch is out of bounds")
        self.changes += 1
        self.files[name] = held[:offset] + data + held[offset + len(data) :]

    async def truncate(self, name: str, size_bytes: int) -> None:
        if size_bytes > len(self._existing(name)):
            raise StorageFailed(f"{name} is shorter than {size_bytes} bytes")
        self.changes += 1
        self.files[name] = self.files[name][:size_bytes]

    async def rename(self, old: str, new: str) -> None:
        self._check(new)
        if new in self.files:
            raise StorageFailed(f"{new} exists")
        self._existing(old)
        self.changes += 1
        self.files[new] = self.files.pop(old)

    async def remove(self, name: str) -> None:
        self._existing(name)
        self.changes += 1
        del self.files[name]

    def _existing(self, name: str) -> bytes:
        self._check(name)
        if name not in self.files:
            raise StorageFailed(f"{name} does not exist")
        return self.files[name]

    def _check(self, name: str) -> None:
        if _NAME.fullmatch(name) is None:
            raise StorageFailed(f"not a file name: {name!r}")

    def _used(self) -> int:
        return sum(len(data) for data in self.files.values())
