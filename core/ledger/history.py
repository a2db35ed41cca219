"""What a node keeps in memory of the whole ledger, so that it can prove any entry from a disk that it does not trust.

Leaves are grouped in granules of 1,024, aligned. Of a whole granule the root of its subtree is kept and where its first
entry stands: 44 bytes, and as much again for the subtrees above. Of the newest granule, and of those that hold more
than limits.GRANULE_BYTES_MAX, each leaf is kept and where its entry stands. Whatever is read back is checked against
these; what does not fit raises LedgerDamaged, which names the place.

Invariant: only committed entries are in here. One task adds; others may read, holding `lock` while they look at files,
as whoever renames a file does.
"""

from __future__ import annotations

import asyncio
from array import array
from bisect import bisect_right
from collections import OrderedDict
from dataclasses import dataclass, field

from core import limits
from core.errors import InvariantBroken, MalformedMessage
from core.ledger.entry import HEADER_BYTES, ParsedEntry, framed_bytes, parse_entry
from core.ledger.files import CHUNK_HEADER_BYTES, Chunk, read_exactly
from core.ledger.merkle import ZERO_LEAF
from core.ledger.merkle_path import levels_of, path
from core.ledger.receipt import ProofStep
from core.ledger.verify import Place, damaged
from core.ports import Disk
from core.types import Digest, Seqno

GRANULE_BITS = 10
GRANULE_LEAVES = 1 << GRANULE_BITS
REMEMBERED_MAX = 8
"""Granules read back that are kept for the next receipt, some 50 KiB each."""
_READ_BYTES = 256 * limits.KIBIBYTE
_FIRST_READ_BYTES = 4 * limits.KIBIBYTE


@dataclass(frozen=True, slots=True)
class Proven:
    """An entry as it stands on disk, checked, and its way to the root that `signature` signs.

    path: empty for a signature entry, which is its own `signature`.
    """

    data: bytes
    entry: ParsedEntry
    place: Place
    signature: ParsedEntry
    path: tuple[ProofStep, ...]


@dataclass(frozen=True, slots=True)
class _Where:
    """chunk: the seqno of its first entry."""

    chunk: int
    offset: int


@dataclass(slots=True)
class _Granule:
    """Each leaf of a granule, and where its entry stands: its chunk's first seqno and the offset."""

    leaves: list[bytes] = field(default_factory=list)
    chunks: array[int] = field(default_factory=lambda: array("Q"))
    offsets: array[int] = field(default_factory=lambda: array("I"))
    size_bytes: int = 0
    levels: list[list[bytes]] | None = None

    def add(self, leaf: bytes, chunk: int, offset: int, size_bytes: int) -> None:
        self.leaves.append(leaf)
        self.chunks.append(chunk)
        self.offsets.append(offset)
        self.size_bytes += size_bytes
        self.levels = None

    def subtree(self, level: int, index: int) -> bytes:
        """Return a complete subtree; index: within the granule."""
        if self.levels is None:
            self.levels = levels_of(self.leaves)
        return self.levels[level][index]


class LedgerHistory:
    """See the module."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self._levels: list[bytearray] = [bytearray()]
        """Roots of whole granules; then those of 2, 4, 8, ... granules."""
        self._start_chunks = array("Q")
        self._start_offsets = array("I")
        self._heavy: dict[int, _Granule] = {}
        self._remembered: OrderedDict[int, _Granule] = OrderedDict()
        self._chunks = array("Q")
        self._is_closed = False
        self._newest = _Granule()
        self._newest.add(ZERO_LEAF, 0, 0, 0)

    @property
    def last_seqno(self) -> Seqno:
        """Of the newest entry; 0 when there is none."""
        return Seqno((len(self._start_offsets) << GRANULE_BITS) + len(self._newest.leaves) - 1)

    @property
    def newest_seqno(self) -> Seqno:
        """Of the newest entry it was told of, which may not be provable yet (backfill.py)."""
        return self.last_seqno

    @property
    def size_bytes(self) -> int:
        """About how much memory this takes."""
        kept = sum(map(len, self._levels)) + 12 * len(self._start_offsets) + 8 * len(self._chunks)
        return kept + 80 * sum(len(one.leaves) for one in (self._newest, *self._heavy.values()))

    def add(self, leaf: Digest, chunk: Seqno, offset: int, size_bytes: int) -> None:
        """Take the next committed entry: it stands at offset of the chunk that begins with entry `chunk`."""
        if not self._chunks or self._chunks[-1] != chunk:
            if chunk != self.last_seqno + 1:
                raise InvariantBroken(f"entry {self.last_seqno + 1} cannot stand in a chunk that begins with {chunk}")
            self._chunks.append(chunk)
            self._is_closed = False
        if self._is_closed:
            raise InvariantBroken(f"entry {self.last_seqno + 1} cannot stand in a chunk that is closed")
        self._newest.add(leaf, chunk, offset, size_bytes)
        if len(self._newest.leaves) == GRANULE_LEAVES:
            self._finish_granule()

    def close_chunk(self) -> None:
        """Note that the newest chunk is closed, after the newest entry: its file has another name now."""
        self._is_closed = bool(self._chunks)

    def _finish_granule(self) -> None:
        granule, number = self._newest, len(self._start_offsets)
        first = 1 if number == 0 else 0  # Leaf 0 stands in no file.
        self._start_chunks.append(granule.chunks[first])
        self._start_offsets.append(granule.offsets[first])
        root = levels_of(granule.leaves)[-1][0]
        self._levels[0] += root
        for level in range(len(self._levels)):
            if (number + 1) & ((2 << level) - 1):
                break
            if level + 1 == len(self._levels):
                self._levels.append(bytearray())
            pair = self._levels[level][-64:]
            self._levels[level + 1] += levels_of((bytes(pair[:32]), bytes(pair[32:])))[1][0]
        if granule.size_bytes > limits.GRANULE_BYTES_MAX:
            self._heavy[number] = granule
        self._newest = _Granule()

    async def prove(self, disk: Disk, seqno: Seqno) -> Proven:
        """Return the proof of a committed entry. Raises LedgerDamaged, StorageFailed.

        Reads at most two granules (their size is bounded), the entry, and those after it up to the next signature.
        """
        if not 0 < seqno <= self.last_seqno:
            raise InvariantBroken(f"a proof of entry {seqno} is asked for; {self.last_seqno} is the newest")
        async with self.lock:
            data, entry, place = await self._read_entry(disk, seqno)
            at, signature = seqno, entry
            while not signature.is_signature:
                at = Seqno(at + 1)
                if at > self.last_seqno:
                    raise InvariantBroken(f"no signature covers entry {seqno}, which is committed")
                _, signature, _ = await self._read_entry(disk, at)
            if at == seqno:
                return Proven(data, entry, place, signature, ())
            numbers = {seqno >> GRANULE_BITS, at >> GRANULE_BITS}
            granules = {number: await self._granule(disk, number) for number in numbers}

        def subtree(level: int, index: int) -> bytes:
            if level >= GRANULE_BITS:
                return bytes(self._levels[level - GRANULE_BITS][32 * index : 32 * index + 32])
            number = (index << level) >> GRANULE_BITS
            return granules[number].subtree(level, index - (number << GRANULE_BITS - level))

        return Proven(data, entry, place, signature, path(seqno, at, subtree))

    async def _read_entry(self, disk: Disk, seqno: int) -> tuple[bytes, ParsedEntry, Place]:
        """Read an entry and check it against its leaf."""
        granule = await self._granule(disk, seqno >> GRANULE_BITS)
        within = seqno & GRANULE_LEAVES - 1
        place = self.place(_Where(granule.chunks[within], granule.offsets[within]))
        data = await read_exactly(disk, place.file, place.offset, _FIRST_READ_BYTES)
        try:
            size = framed_bytes(data) if len(data) >= HEADER_BYTES else 0
            if not size:
                raise MalformedMessage("the file ends before it")
            if size > len(data):
                data += await read_exactly(disk, place.file, place.offset + len(data), size - len(data))
            entry = parse_entry(data[:size])
        except MalformedMessage as error:
            raise damaged(place, seqno, error.message) from None
        if entry.leaf != granule.leaves[within]:
            raise damaged(place, seqno, "it is not the entry that was committed")
        return data[:size], entry, place

    async def _granule(self, disk: Disk, number: int) -> _Granule:
        if number == len(self._start_offsets):
            return self._newest
        granule = self._heavy.get(number) or self._remembered.get(number)
        if granule is None:
            granule = self._remembered[number] = await self._read_granule(disk, number)
            if len(self._remembered) > REMEMBERED_MAX:
                self._remembered.popitem(last=False)
        return granule

    async def _read_granule(self, disk: Disk, number: int) -> _Granule:
        """Read a whole granule back and check it against its root."""
        granule = _Granule()
        if number == 0:
            granule.add(ZERO_LEAF, 0, 0, 0)
        begin = _Where(self._start_chunks[number], self._start_offsets[number])
        reader = _Reader(disk, self, begin)
        first = number << GRANULE_BITS
        while len(granule.leaves) < GRANULE_LEAVES:
            seqno = first + len(granule.leaves)
            where, data = await reader.next(seqno)
            try:
                entry = parse_entry(data)
            except MalformedMessage as error:
                raise damaged(self.place(where), seqno, error.message) from None
            granule.add(entry.leaf, where.chunk, where.offset, len(data))
            if granule.size_bytes > limits.GRANULE_BYTES_MAX:
                what = "the entries from here on are larger than they were when they were committed"
                raise damaged(self.place(begin), max(first, 1), what)
        if granule.subtree(GRANULE_BITS, 0) != self._levels[0][32 * number : 32 * number + 32]:
            last = first + GRANULE_LEAVES - 1
            raise damaged(self.place(begin), max(first, 1), f"entries up to {last} are not those that were committed")
        return granule

    def begins_chunk(self, seqno: int) -> bool:
        """Say whether a file begins with this entry."""
        position = bisect_right(self._chunks, seqno)
        return position > 0 and self._chunks[position - 1] == seqno

    def place(self, where: _Where) -> Place:
        """Return a place by the name that its file has now."""
        position = bisect_right(self._chunks, where.chunk)
        if position < len(self._chunks):
            last: int | None = self._chunks[position] - 1
        else:
            last = self.last_seqno if self._is_closed else None
        return Place(Chunk(Seqno(where.chunk), None if last is None else Seqno(last)).file, where.offset)


class _Reader:
    """Reads whole entries one after the other, over the ends of chunks."""

    def __init__(self, disk: Disk, history: LedgerHistory, place: _Where) -> None:
        self._disk = disk
        self._history = history
        self._at = place
        self._buffer = b""
        self._used = 0

    async def next(self, seqno: int) -> tuple[_Where, bytes]:
        """Return the next entry, which is number `seqno`, and where it stands; raises LedgerDamaged."""
        if self._history.begins_chunk(seqno) and seqno != self._at.chunk:
            self._at = _Where(seqno, CHUNK_HEADER_BYTES)
            self._buffer, self._used = b"", 0
        size = HEADER_BYTES
        await self._fill(size, seqno)
        try:
            size = framed_bytes(self._buffer[self._used : self._used + HEADER_BYTES])
        except MalformedMessage as error:
            raise damaged(self._history.place(self._at), seqno, error.message) from None
        await self._fill(size, seqno)
        where, data = self._at, self._buffer[self._used : self._used + size]
        self._used += size
        self._at = _Where(where.chunk, where.offset + size)
        return where, data

    async def _fill(self, wanted: int, seqno: int) -> None:
        """Have so many bytes in the buffer."""
        have = len(self._buffer) - self._used
        if have >= wanted:
            return
        place = self._history.place(self._at)
        size = max(wanted - have, _READ_BYTES)
        more = await read_exactly(self._disk, place.file, place.offset + have, size)
        self._buffer, self._used = self._buffer[self._used :] + more, 0
        if len(self._buffer) < wanted:
            raise damaged(place, seqno, "the file ends before it does")
