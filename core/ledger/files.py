"""Chunk files: `ledger_<first>` while open, `ledger_<first>-<last>.committed` once closed at a signature.

A chunk is closed at the first signature at or past chunk_bytes_min, after that signature is committed. So only the
newest chunk is open, and only its end can be torn. Source: CCF, "Ledger files".
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from core import limits
from core.errors import MalformedMessage, StorageFailed
from core.ledger.entry import HEADER_BYTES, framed_bytes
from core.ledger.verify import Place, damaged
from core.ports import Disk, FileInfo
from core.types import Seqno

FOLDER = "ledger"
_NO_HEADER = bytes(HEADER_BYTES)
_NAME = re.compile(r"ledger_([1-9][0-9]{0,18})(?:-([1-9][0-9]{0,18})\.committed)?")


@dataclass(frozen=True, slots=True)
class Chunk:
    """last is None while the chunk is open."""

    first: Seqno
    last: Seqno | None

    @property
    def file(self) -> str:
        name = f"ledger_{self.first}" if self.last is None else f"ledger_{self.first}-{self.last}.committed"
        return f"{FOLDER}/{name}"


@dataclass(frozen=True, slots=True)
class Record:
    """Bytes of one entry, not yet verified; with whole=False, what is left after the last whole one.

    zero_bytes: how many zero bytes are left instead of data, when nothing else is.
    """

    place: Place
    data: bytes
    whole: bool = True
    zero_bytes: int = 0

    @property
    def size_bytes(self) -> int:
        return len(self.data) + self.zero_bytes


def arrange_chunks(files: Sequence[FileInfo]) -> list[Chunk]:
    """Return the chunks in order; raises LedgerDamaged that names a missing, repeated or overlapping file.

    Files whose names are not those of chunks are left alone.
    """
    chunks = []
    for info in files:
        match = _NAME.fullmatch(info.name.rpartition("/")[2])
        if match is not None:
            chunks.append(Chunk(Seqno(int(match[1])), Seqno(int(match[2])) if match[2] else None))
    chunks.sort(key=lambda chunk: (chunk.first, chunk.last is None))
    expected = 1
    for position, chunk in enumerate(chunks):
        place = Place(chunk.file, 0)
        if chunk.first > expected:
            missing = f"{FOLDER}/ledger_{expected}-{chunk.first - 1}.committed"
            raise damaged(Place(missing, 0), expected, f"entries {expected} to {chunk.first - 1} are missing")
        if chunk.first < expected:
            raise damaged(place, chunk.first, f"a file before it already holds entries up to {expected - 1}")
        if chunk.last is None:
            if position != len(chunks) - 1:
                raise damaged(place, chunk.first, "the file is open though later ones follow")
            break
        if chunk.last < chunk.first:
            raise damaged(place, chunk.first, "the file's name is upside down")
        expected = chunk.last + 1
    return chunks


async def read_records(disk: Disk, chunk: Chunk) -> AsyncIterator[Record]:
    """Yield the entries of a chunk, not yet verified; raises LedgerDamaged for a header that cannot be one.

    Zeros up to the end are an append that never finished: a file system may lengthen a file before it writes to it, and
    lose power in between. They can stand in no entry's place, since an entry's first byte is its version.
    """
    buffer, start = b"", 0
    position, ended = 0, False
    while True:
        wanted = HEADER_BYTES
        if len(buffer) - position >= HEADER_BYTES:
            if buffer.startswith(_NO_HEADER, position):
                yield await _zero_tail(disk, Place(chunk.file, start + position))
                return
            try:
                wanted = framed_bytes(buffer[position : position + HEADER_BYTES])
            except MalformedMessage as error:
                raise damaged(Place(chunk.file, start + position), None, error.message) from None
        if len(buffer) - position >= wanted > HEADER_BYTES:
            yield Record(Place(chunk.file, start + position), buffer[position : position + wanted])
            position += wanted
        elif ended:
            if len(buffer) > position:
                yield Record(Place(chunk.file, start + position), buffer[position:], whole=False)
            return
        else:
            buffer, start, position = buffer[position:], start + position, 0
            more = await _read(disk, chunk.file, start + len(buffer))
            buffer, ended = buffer + more, not more


async def _zero_tail(disk: Disk, place: Place) -> Record:
    """Return the zeros from here to the end of the file; raises LedgerDamaged when something else follows them."""
    offset = place.offset
    while piece := await _read(disk, place.file, offset):
        if piece.count(0) != len(piece):
            raise damaged(place, None, "zero bytes where an entry should begin, and other bytes after them")
        offset += len(piece)
    return Record(place, b"", whole=False, zero_bytes=offset - place.offset)


async def _read(disk: Disk, file: str, offset: int) -> bytes:
    data = await disk.read(file, offset, limits.DISK_READ_BYTES_MAX)
    if len(data) > limits.DISK_READ_BYTES_MAX:
        raise StorageFailed(f"the host returned more of {file} than it was asked for")
    return data


class LedgerWriter:
    """Appends whole blocks. After StorageFailed the disk's state is unknown, so the node stops and writes no more."""

    def __init__(self, disk: Disk, chunk_bytes_min: int, open_chunk: Seqno | None, size_bytes: int) -> None:
        """open_chunk: first seqno of the chunk to go on with, of size_bytes; None: a new one begins."""
        self._disk = disk
        self._chunk_bytes_min = chunk_bytes_min
        self._first = open_chunk
        self._size_bytes = size_bytes

    async def append(self, data: bytes, first: Seqno) -> None:
        """Write blocks whose first entry is `first`, and return once they are on disk. Raises StorageFailed."""
        if self._first is None:
            self._first, self._size_bytes = first, 0
        await self._disk.append(Chunk(self._first, None).file, self._size_bytes, data)
        self._size_bytes += len(data)

    async def close_chunk_if_full(self, last: Seqno) -> None:
        """Close the chunk when it is large enough; `last` is its newest entry, a committed signature."""
        if self._first is None or self._size_bytes < self._chunk_bytes_min:
            return
        await self._disk.rename(Chunk(self._first, None).file, Chunk(self._first, last).file)
        self._first, self._size_bytes = None, 0
