"""Chunk files: `ledger_<first>` while open, `ledger_<first>-<last>.committed` once closed at a signature.

    header      8: where the table begins; zero while the chunk is open
    entries     one after the other, the last a signature
    table       4 per entry: where it begins; only in a closed chunk

Integers are little-endian. A chunk is closed at the first signature at or past chunk_bytes_min, after that signature is
committed: the table is appended, then the header written, then the file renamed, each on disk before the next. So only
the newest chunk is open, only its end can be torn, and a closing that was cut short can be told from damage.
Source: CCF 6, "Ledger files".
"""

from __future__ import annotations

import re
import struct
from array import array
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass

from core import limits
from core.errors import MalformedMessage, StorageFailed
from core.ledger.entry import HEADER_BYTES, framed_bytes
from core.ledger.verify import Place, damaged
from core.ports import Disk, FileInfo
from core.types import Seqno

FOLDER = "ledger"
CHUNK_HEADER_BYTES = 8
POSITION_BYTES = 4
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

    zero_bytes: how many zero bytes are left instead of data, when nothing else is. is_table: what is left belongs to
    the chunk's table, whose closing was cut short; is_closed: only before its renaming.
    """

    place: Place
    data: bytes
    whole: bool = True
    zero_bytes: int = 0
    is_table: bool = False
    is_closed: bool = False

    @property
    def size_bytes(self) -> int:
        return len(self.data) + self.zero_bytes


def is_chunk_name(name: str) -> bool:
    """Say whether a file's name is that of a chunk."""
    return _NAME.fullmatch(name.rpartition("/")[2]) is not None


def encode_positions(positions: Sequence[int]) -> bytes:
    """Return the table of a chunk."""
    return struct.pack(f"<{len(positions)}I", *positions)


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


async def read_records(disk: Disk, chunk: Chunk) -> AsyncGenerator[Record, None]:
    """Yield the entries of a chunk, not yet verified; raises LedgerDamaged for what cannot be one.

    Zeros up to the end are an append that never finished: a file system may lengthen a file before it writes to it, and
    lose power in between. They can stand in no entry's place, since an entry's first byte is its version.
    """
    header = await read_exactly(disk, chunk.file, 0, CHUNK_HEADER_BYTES)
    table_at = int.from_bytes(header, "little") if len(header) == CHUNK_HEADER_BYTES else 0
    if chunk.last is not None and not table_at:
        raise damaged(Place(chunk.file, 0), None, "a closed file does not say where its table begins")
    if chunk.last is None and 0 < table_at <= CHUNK_HEADER_BYTES:
        raise damaged(Place(chunk.file, 0), None, "the file's header says that its table begins within the header")
    if len(header) < CHUNK_HEADER_BYTES and any(header):
        raise damaged(Place(chunk.file, 0), None, "the file's header is cut short")
    if len(header) < CHUNK_HEADER_BYTES:
        if header:
            yield Record(Place(chunk.file, 0), header, whole=False)
        return
    positions = list[int]()
    async for record in _read_entries(disk, chunk.file, table_at or None, positions):
        yield record
        if not record.whole:
            return
    if chunk.last is None and not positions and not table_at:
        yield Record(Place(chunk.file, CHUNK_HEADER_BYTES), b"", whole=False)
    elif table_at:
        await _check_table(disk, chunk.file, table_at, positions)
        if chunk.last is None:
            table = encode_positions(positions)
            yield Record(Place(chunk.file, table_at), table, whole=False, is_table=True, is_closed=True)


async def _read_entries(disk: Disk, file: str, end: int | None, positions: list[int]) -> AsyncIterator[Record]:
    """Yield the entries before `end`, and what is left after them. positions: where each begins is added."""
    buffer, start, position, ended = b"", CHUNK_HEADER_BYTES, 0, False
    while end is None or start + position < end:
        wanted = HEADER_BYTES
        if len(buffer) - position >= HEADER_BYTES:
            place = Place(file, start + position)
            if end is None and buffer.startswith(_NO_HEADER, position):
                yield await _zero_tail(disk, place)
                return
            try:
                wanted = framed_bytes(buffer[position : position + HEADER_BYTES])
            except MalformedMessage as error:
                if end is None and (found := await _unfinished_table(disk, place, positions)) is not None:
                    yield found
                    return
                raise damaged(place, None, error.message) from None
            if end is not None and place.offset + wanted > end:
                raise damaged(place, None, "the entry runs into the file's table")
        if len(buffer) - position >= wanted > HEADER_BYTES:
            positions.append(start + position)
            yield Record(Place(file, start + position), buffer[position : position + wanted])
            position += wanted
        elif ended:
            if len(buffer) > position:
                yield await _rest(disk, Place(file, start + position), buffer[position:], positions)
            elif end is not None:
                raise damaged(Place(file, 0), None, f"its table should begin at byte {end}, past the file's end")
            return
        else:
            buffer, start, position = buffer[position:], start + position, 0
            more = await _read(disk, file, start + len(buffer))
            buffer, ended = buffer + more, not more


async def _rest(disk: Disk, place: Place, rest: bytes, positions: Sequence[int]) -> Record:
    """Return what is left at the end of an open chunk: a torn entry, or a table that was cut short."""
    if len(rest) < HEADER_BYTES and (found := await _unfinished_table(disk, place, positions)) is not None:
        return found
    return Record(place, rest, whole=False)


async def _unfinished_table(disk: Disk, place: Place, positions: Sequence[int]) -> Record | None:
    """Return the table of a closing that was cut short, None when it is something else.

    Each byte is the table's, or zero where a file system lengthened the file before it wrote.
    """
    expected = encode_positions(positions)
    rest = await read_exactly(disk, place.file, place.offset, len(expected) + 1)
    if not any(rest) or len(rest) > len(expected):
        return None
    if any(byte not in (0, wanted) for byte, wanted in zip(rest, expected, strict=False)):
        return None
    return Record(place, rest, whole=False, is_table=True)


async def _check_table(disk: Disk, file: str, table_at: int, positions: Sequence[int]) -> None:
    """Raise LedgerDamaged unless the file ends with exactly the table of its entries."""
    expected = encode_positions(positions)
    found = await read_exactly(disk, file, table_at, len(expected) + 1)
    if found != expected:
        same = next((at for at, (a, b) in enumerate(zip(found, expected, strict=False)) if a != b), len(expected))
        raise damaged(
            Place(file, table_at + min(same, len(found))), None, "the file's table is not that of its entries"
        )


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


async def read_exactly(disk: Disk, file: str, offset: int, size_bytes: int) -> bytes:
    """Return size_bytes from offset, fewer only at the end of the file."""
    found = bytearray()
    while len(found) < size_bytes:
        wanted = min(size_bytes - len(found), limits.DISK_READ_BYTES_MAX)
        data = await disk.read(file, offset + len(found), wanted)
        if len(data) > wanted:
            raise StorageFailed(f"the host returned more of {file} than it was asked for")
        if not data:
            break
        found += data
    return bytes(found)


class LedgerWriter:
    """Appends whole blocks. After StorageFailed the disk's state is unknown, so the node stops and writes no more."""

    def __init__(
        self, disk: Disk, chunk_bytes_min: int, open_chunk: Seqno | None, positions: Sequence[int] = ()
    ) -> None:
        """open_chunk: first seqno of the chunk to go on with; None: a new one begins.

        positions: where each of its entries begins, and at last where it ends.
        """
        self._disk = disk
        self._chunk_bytes_min = chunk_bytes_min
        self._first = open_chunk
        *starts, self._size_bytes = positions or (0,)
        self._positions = array("I", starts)

    @property
    def size_bytes(self) -> int:
        """Of the open chunk."""
        return self._size_bytes

    async def append(self, data: bytes, first: Seqno) -> tuple[Seqno, int]:
        """Write blocks whose first entry is `first`, and return once they are on disk. Raises StorageFailed.

        Returns where they begin: the first seqno of their chunk, and the offset in it.
        """
        if self._first is None:
            self._first, self._size_bytes, self._positions = first, 0, array("I")
        head = b"" if self._size_bytes else bytes(CHUNK_HEADER_BYTES)
        await self._disk.append(Chunk(self._first, None).file, self._size_bytes, head + data)
        position = self._size_bytes + len(head)
        self._size_bytes = position + len(data)
        offset = 0
        while offset < len(data):
            self._positions.append(position + offset)
            offset += framed_bytes(data[offset : offset + HEADER_BYTES])
        return self._first, position

    async def close_chunk_if_full(self, last: Seqno) -> bool:
        """Close the chunk when it is large enough, and say so; `last` is its newest entry, a committed signature."""
        if self._first is None or self._size_bytes < self._chunk_bytes_min:
            return False
        await self.close_chunk(last)
        return True

    async def close_chunk(self, last: Seqno) -> None:
        """Close the chunk, if one is open; `last` is its newest entry, a committed signature. Raises StorageFailed."""
        if self._first is None or not self._positions:
            return
        file = Chunk(self._first, None).file
        await self._disk.append(file, self._size_bytes, encode_positions(self._positions))
        await finish_chunk(self._disk, self._first, last, self._size_bytes)
        self._first, self._size_bytes, self._positions = None, 0, array("I")


async def finish_chunk(disk: Disk, first: Seqno, last: Seqno, table_at: int) -> None:
    """Do the rest of closing a chunk whose table is on disk. Raises StorageFailed."""
    file = Chunk(first, None).file
    await disk.patch(file, 0, table_at.to_bytes(CHUNK_HEADER_BYTES, "little"))
    await disk.rename(file, Chunk(first, last).file)
