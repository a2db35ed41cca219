"""The Disk port on a real folder: what it stores, and what it refuses or reports."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from core import limits
from core.errors import StorageFailed
from core.ports import FileInfo
from enclave_sim.disk import DirectoryDisk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[DirectoryDisk]:
    disk = DirectoryDisk(tmp_path / "disk")
    yield disk
    disk.close()


async def test_append_read_truncate_rename_replace(disk: DirectoryDisk, tmp_path: Path) -> None:
    await disk.append("ledger/ledger_1", 0, b"one")
    await disk.append("ledger/ledger_1", 3, b"two")
    assert await disk.read("ledger/ledger_1", 1, 4) == b"netw"
    assert await disk.read("ledger/ledger_1", 6, 10) == b""
    await disk.truncate("ledger/ledger_1", 4)
    await disk.rename("ledger/ledger_1", "ledger/ledger_1-4.committed")
    await disk.replace("sealed", b"first")
    await disk.replace("sealed", b"second")
    assert await disk.list_files("ledger") == [FileInfo("ledger/ledger_1-4.committed", 4)]
    assert await disk.list_files("") == [FileInfo("sealed", 6)]
    assert await disk.read("sealed", 0, 100) == b"second"
    assert stat.S_IMODE((tmp_path / "disk" / "sealed").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "disk" / "ledger").stat().st_mode) == 0o700
    await disk.remove("sealed")
    assert await disk.list_files("") == []
    with pytest.raises(StorageFailed, match="No such file"):
        await disk.remove("sealed")


async def test_a_folder_that_is_not_there_is_empty(disk: DirectoryDisk) -> None:
    assert await disk.list_files("ledger") == []


async def test_strange_files_are_not_listed(disk: DirectoryDisk, tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    for name in ("UPPER", ".hidden", "sealed~", "blank name"):
        (folder / name).write_bytes(b"")
    (folder / "link").symlink_to(folder / "UPPER")
    (folder / "folder").mkdir()
    assert await disk.list_files("") == []


BAD_NAMES = ["", ".", "..", "../x", "a/../b", "/etc/passwd", "a//b", "a/b/c", "A", "a b", "a\0b", ".x", "x" * 200, "é"]


@pytest.mark.parametrize("name", BAD_NAMES)
async def test_other_names_are_refused(disk: DirectoryDisk, name: str) -> None:
    for call in (
        disk.read(name, 0, 1),
        disk.append(name, 0, b""),
        disk.replace(name, b""),
        disk.truncate(name, 0),
        disk.remove(name),
        disk.rename("a", name),
        disk.rename(name, "a"),
    ):
        with pytest.raises(StorageFailed):
            await call
    if name:
        with pytest.raises(StorageFailed):
            await disk.list_files(name)


async def test_bad_names_do_not_poison(disk: DirectoryDisk) -> None:
    with pytest.raises(StorageFailed):
        await disk.append("../x", 0, b"")
    await disk.append("x", 0, b"")


async def test_links_are_not_followed(disk: DirectoryDisk, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"untouched")
    (tmp_path / "disk" / "link").symlink_to(outside)
    (tmp_path / "disk" / "folder").symlink_to(tmp_path)
    for call in (disk.read("link", 0, 1), disk.read("folder/outside", 0, 1), disk.append("link", 9, b"!")):
        with pytest.raises(StorageFailed):
            await call
    assert outside.read_bytes() == b"untouched"


async def test_an_append_must_start_at_the_end(disk: DirectoryDisk) -> None:
    await disk.append("a", 0, b"one")
    for offset in (0, 2, 4):
        with pytest.raises(StorageFailed, match="someone else changed it"):
            await disk.append("a", offset, b"x")
    await disk.append("a", 3, b"two")


async def test_reads_out_of_bounds_and_missing_files_fail(disk: DirectoryDisk) -> None:
    for offset, size in ((-1, 1), (2**63, 1), (0, -1), (0, limits.DISK_READ_BYTES_MAX + 1)):
        with pytest.raises(StorageFailed):
            await disk.read("a", offset, size)
    with pytest.raises(StorageFailed, match="No such file"):
        await disk.read("missing", 0, 1)


async def test_a_truncate_only_cuts(disk: DirectoryDisk) -> None:
    await disk.append("a", 0, b"one")
    for size in (4, -1):
        with pytest.raises(StorageFailed):
            await disk.truncate("a", size)


async def test_a_full_disk_is_told_and_leaves_whole_records(
    disk: DirectoryDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await disk.append("a", 0, b"whole")
    write = os.write

    def full(fd: int, data: bytes) -> int:
        if os.fstat(fd).st_size > 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(fd, bytes(data)[:2])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StorageFailed, match="No space left on device") as caught:
        await disk.append("a", 5, b"torn")
    assert "Free space" in caught.value.hint
    assert caught.value.exit_code == 5
    assert (tmp_path / "disk" / "a").read_bytes() == b"whole"
    monkeypatch.undo()
    with pytest.raises(StorageFailed, match="an earlier write failed"):
        await disk.append("a", 5, b"x")
    assert await disk.read("a", 0, 10) == b"whole"


@pytest.mark.parametrize("call", ["fsync", "fdatasync"])
async def test_a_failed_fsync_poisons_the_disk(disk: DirectoryDisk, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    await disk.append("a", 0, b"one")

    def fail(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(StorageFailed, match="Input/output error"):
        await (disk.append("a", 3, b"x") if call == "fdatasync" else disk.replace("b", b"x"))
    monkeypatch.undo()
    for work in (
        disk.append("a", 4, b"y"),
        disk.replace("a", b"y"),
        disk.truncate("a", 0),
        disk.rename("a", "b"),
        disk.remove("a"),
    ):
        with pytest.raises(StorageFailed, match="an earlier write failed"):
            await work
    assert (await disk.read("a", 0, 3)) == b"one"


async def test_writing_does_not_hold_up_the_event_loop(disk: DirectoryDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio
    import threading

    release = threading.Event()
    monkeypatch.setattr(os, "fdatasync", lambda _: release.wait(5))
    task = asyncio.create_task(disk.append("a", 0, b"x"))
    await asyncio.sleep(0.01)
    assert not task.done()
    release.set()
    await task


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageFailed):
        DirectoryDisk(tmp_path / "file")
