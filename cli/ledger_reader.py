"""What can be read of a ledger without any key: where entries stand, how large they are, and their public tables.

Nothing is verified here: a host that shows its own ledger can show anything. The manager enclave verifies at start,
and an auditor with the service's certificate. Source of the layout: core/ledger/entry.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import LedgerDamaged, MalformedMessage, StorageFailed
from core.kv.write_set import decode_domain
from core.ledger.entry import parse_entry
from core.ledger.files import FOLDER, arrange_chunks, read_records
from core.ports import FileInfo


@dataclass(frozen=True, slots=True)
class ReadableEntry:
    """One entry without its secrets. private_bytes: how long the encrypted part is. tables: the public ones."""

    seqno: int
    view: int
    type: str
    file: str
    offset: int
    size_bytes: int
    private_bytes: int
    tables: Mapping[str, Mapping[bytes, bytes | None]]


@dataclass(frozen=True, slots=True)
class TornTail:
    """What stands after the last whole entry: a write that never finished."""

    file: str
    offset: int
    size_bytes: int


class ReadOnlyDisk:
    """The part of core.ports.Disk that reading a ledger takes, on a directory; every write is refused."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def list_files(self, folder: str) -> Sequence[FileInfo]:
        path = self._directory / folder
        if not path.is_dir():
            return []
        return [FileInfo(f"{folder}/{file.name}", file.stat().st_size) for file in sorted(path.iterdir())]

    async def read(self, name: str, offset: int, size_bytes: int) -> bytes:
        try:
            with (self._directory / name).open("rb") as file:
                file.seek(offset)
                return file.read(size_bytes)
        except OSError as error:
            raise StorageFailed(f"{self._directory / name} cannot be read: {error.strerror}") from error

    async def append(self, name: str, offset: int, data: bytes) -> None:
        raise _read_only(name)

    async def replace(self, name: str, data: bytes) -> None:
        raise _read_only(name)

    async def patch(self, name: str, offset: int, data: bytes) -> None:
        raise _read_only(name)

    async def truncate(self, name: str, size_bytes: int) -> None:
        raise _read_only(name)

    async def rename(self, old: str, new: str) -> None:
        raise _read_only(old)

    async def remove(self, name: str) -> None:
        raise _read_only(name)


def _read_only(name: str) -> StorageFailed:
    return StorageFailed(f"{name} was opened for reading only")


def find_disk(directory: Path) -> Path | None:
    """Return the disk directory that a network's, node's, disk's or ledger's directory means, None if it is none."""
    if any(directory.glob("ledger_*")):
        return directory.parent if directory.name == FOLDER else None
    for candidate in (directory, directory / "disk", directory / "node0" / "disk"):
        if (candidate / FOLDER).is_dir():
            return candidate
    return None


async def read_entries(disk: ReadOnlyDisk) -> AsyncIterator[ReadableEntry | TornTail]:
    """Yield the entries in order, and at last what is torn; raises LedgerDamaged."""
    for chunk in arrange_chunks(await disk.list_files(FOLDER)):
        async for record in read_records(disk, chunk):
            if not record.whole:
                yield TornTail(record.place.file, record.place.offset, record.size_bytes)
                continue
            try:
                yield read_entry(record.data, record.place.file, record.place.offset)
            except MalformedMessage as error:
                raise LedgerDamaged(
                    f"{record.place.file} at byte {record.place.offset}: {error.message}",
                    file=record.place.file,
                    offset=record.place.offset,
                    hint="Take a copy of the directory before anything else.",
                ) from None


def read_entry(data: bytes, file: str, offset: int) -> ReadableEntry:
    """Read one whole entry without its key; raises MalformedMessage."""
    entry = parse_entry(data)
    return ReadableEntry(
        seqno=entry.seqno,
        view=entry.view,
        type="signature" if entry.is_signature else "write set",
        file=file,
        offset=offset,
        size_bytes=len(data),
        private_bytes=len(entry.private),
        tables=decode_domain(entry.public),
    )
