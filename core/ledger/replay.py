"""Reads a whole ledger back from the disk, verified, and says where to go on.

Entries are handed on block by block, only once the signature over them has verified. What stands after the last
signature was never acknowledged: a torn entry (or zeros in its place), and whole ones; or it is the table of a chunk
whose closing was cut short. It is to be cut; nothing here changes the disk.
"""

from __future__ import annotations

from array import array
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from core.ledger.entry import OpenedEntry
from core.ledger.files import FOLDER, Chunk, Record, arrange_chunks, read_records
from core.ledger.history import LedgerHistory
from core.ledger.verify import LedgerVerifier, Place, SignedState, damaged
from core.ports import Disk
from core.types import Seqno

Deliver = Callable[[Sequence[OpenedEntry]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Cut:
    """What stands after the last signature: the file is to be truncated to keep_bytes.

    zeros: all torn bytes are zero. is_table: they are of the file's table: the file was about to be closed.
    """

    file: str
    keep_bytes: int
    entries: int
    torn_bytes: int
    zeros: bool
    is_table: bool = False


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A chunk whose table and header are on disk, and which is still to be renamed (`finish_chunk`)."""

    first: Seqno
    last: Seqno
    table_at: int


@dataclass(frozen=True, slots=True)
class Replayed:
    """Where a ledger ends.

    open_chunk: its first seqno. positions: where each of its entries up to the last signature begins, and its end.
    """

    signed: SignedState
    open_chunk: Seqno | None
    positions: Sequence[int]
    cut: Cut | None
    unfinished: Unfinished | None = None

    @property
    def open_bytes(self) -> int:
        """Of the open chunk, up to the last signature."""
        return self.positions[-1] if self.positions else 0


async def replay(
    disk: Disk, verifier: LedgerVerifier, deliver: Deliver, history: LedgerHistory | None = None
) -> Replayed:
    """Verify everything and deliver each signed block's entries, its signature last. Raises LedgerDamaged.

    history: takes the same entries. Of what stands before a verifier's starting point only the framing is looked at,
    and only in the file in which that stands.
    """
    history = history or LedgerHistory()
    chunks = arrange_chunks(await disk.list_files(FOLDER))
    after = verifier.signed.seqno
    tail = _ChunkEnd()
    for chunk in chunks:
        if chunk.last is not None and chunk.last <= after:
            continue
        tail = await _replay_chunk(disk, chunk, verifier, deliver, history)
        if chunk.last is not None or tail.closed_at is not None:
            history.close_chunk()
    if not chunks or chunks[-1].last is not None:
        return Replayed(verifier.signed, None, (), None)
    last = chunks[-1]
    if tail.closed_at is not None:
        unfinished = Unfinished(last.first, verifier.signed.seqno, tail.closed_at)
        return Replayed(verifier.signed, None, (), None, unfinished)
    cut = None
    if tail.entries or tail.torn_bytes:
        cut = Cut(last.file, tail.positions[-1], tail.entries, tail.torn_bytes, tail.zeros, tail.is_table)
    return Replayed(verifier.signed, last.first, tail.positions, cut)


@dataclass(slots=True)
class _ChunkEnd:
    """positions: of the entries up to the last signature, and where it ends; then whole entries, then torn bytes.

    closed_at: where the table begins of a chunk that only lacks its name.
    """

    positions: array[int] = field(default_factory=lambda: array("I", [0]))
    entries: int = 0
    torn_bytes: int = 0
    zeros: bool = False
    is_table: bool = False
    closed_at: int | None = None


async def _replay_chunk(
    disk: Disk, chunk: Chunk, verifier: LedgerVerifier, deliver: Deliver, history: LedgerHistory
) -> _ChunkEnd:
    block: list[OpenedEntry] = []
    found = _ChunkEnd()
    starts = array("I")
    end = 0
    skipped = verifier.signed.seqno - chunk.first + 1
    async for record in read_records(disk, chunk):
        if not record.whole:
            _take_rest(found, record, chunk, verifier, in_block=bool(block))
            break
        starts.append(record.place.offset)
        end = record.place.offset + len(record.data)
        if len(starts) <= skipped:
            found.positions = starts + array("I", [end]) if len(starts) == skipped else found.positions
            continue
        entry = verifier.accept(record.data, record.place)
        block.append(entry)
        if entry.is_signature:
            await deliver(block)
            found.positions = starts + array("I", [end])
            for at, one in enumerate(block, len(starts) - len(block)):
                history.add(one.leaf, chunk.first, starts[at], found.positions[at + 1] - starts[at])
            block = []
    found.entries = len(block)
    if chunk.last is not None and (block or verifier.next_seqno != chunk.last + 1):
        what = f"a closed file ends before the signature at entry {chunk.last} that its name promises"
        raise damaged(Place(chunk.file, end), verifier.next_seqno, what)
    if found.positions[-1] == 0 and end:
        found.positions = array("I", [starts[0]])
    return found


def _take_rest(found: _ChunkEnd, record: Record, chunk: Chunk, verifier: LedgerVerifier, *, in_block: bool) -> None:
    """Judge what stands after the last whole entry of a chunk; raises LedgerDamaged."""
    if chunk.last is not None:
        raise damaged(record.place, verifier.next_seqno, "a closed file ends within an entry")
    if record.is_table and in_block:
        raise damaged(record.place, verifier.next_seqno, "the file's table follows an entry that is not signed")
    if record.is_closed:
        found.closed_at = record.place.offset
        return
    if record.data and not record.is_table:
        verifier.reject_unless_torn(record.data, record.place)
    found.torn_bytes, found.zeros, found.is_table = record.size_bytes, not any(record.data), record.is_table
    if not found.positions[-1] and record.place.offset:
        found.positions = array("I", [record.place.offset])
