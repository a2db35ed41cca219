"""Reads a whole ledger back from the disk, verified, and says where to go on.

Entries are handed on block by block, only once the signature over them has verified. What stands after the last
signature was never acknowledged: a torn entry (or zeros in its place), and whole ones. It is to be cut; nothing here
changes the disk.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from core.ledger.entry import EntryType, OpenedEntry
from core.ledger.files import FOLDER, Chunk, arrange_chunks, read_records
from core.ledger.verify import LedgerVerifier, Place, SignedState, damaged
from core.ports import Disk
from core.types import Seqno

Deliver = Callable[[Sequence[OpenedEntry]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Cut:
    """What stands after the last signature: the file is to be truncated to keep_bytes.

    zeros: all torn bytes are zero.
    """

    file: str
    keep_bytes: int
    entries: int
    torn_bytes: int
    zeros: bool


@dataclass(frozen=True, slots=True)
class Replayed:
    """Where a ledger ends. open_chunk: its first seqno, with open_bytes up to the last signature."""

    signed: SignedState
    open_chunk: Seqno | None
    open_bytes: int
    cut: Cut | None


async def replay(disk: Disk, verifier: LedgerVerifier, deliver: Deliver) -> Replayed:
    """Verify everything and deliver each signed block's entries, its signature last. Raises LedgerDamaged."""
    chunks = arrange_chunks(await disk.list_files(FOLDER))
    tail = _OpenTail(0, 0, 0, False)
    for chunk in chunks:
        tail = await _replay_chunk(disk, chunk, verifier, deliver)
    cut = None
    open_chunk = chunks[-1] if chunks and chunks[-1].last is None else None
    if open_chunk is not None and (tail.entries or tail.torn_bytes):
        cut = Cut(open_chunk.file, tail.signed_bytes, tail.entries, tail.torn_bytes, tail.zeros)
    if open_chunk is None:
        return Replayed(verifier.signed, None, 0, None)
    return Replayed(verifier.signed, open_chunk.first, tail.signed_bytes, cut)


@dataclass(frozen=True, slots=True)
class _OpenTail:
    """signed_bytes: up to the last signature; then whole entries, then torn bytes (zeros: all are zero)."""

    signed_bytes: int
    entries: int
    torn_bytes: int
    zeros: bool


async def _replay_chunk(disk: Disk, chunk: Chunk, verifier: LedgerVerifier, deliver: Deliver) -> _OpenTail:
    block: list[OpenedEntry] = []
    end, signed_bytes, torn_bytes, zeros = 0, 0, 0, False
    async for record in read_records(disk, chunk):
        if not record.whole:
            if chunk.last is not None:
                raise damaged(record.place, verifier.next_seqno, "a closed file ends within an entry")
            verifier.reject_unless_torn(record.data, record.place)
            torn_bytes, zeros = record.size_bytes, not any(record.data)
            break
        entry = verifier.accept(record.data, record.place)
        end = record.place.offset + len(record.data)
        block.append(entry)
        if entry.type is EntryType.SIGNATURE:
            await deliver(block)
            block, signed_bytes = [], end
    if chunk.last is not None and (block or verifier.next_seqno != chunk.last + 1):
        what = f"a closed file ends before the signature at entry {chunk.last} that its name promises"
        raise damaged(Place(chunk.file, end), verifier.next_seqno, what)
    return _OpenTail(signed_bytes, len(block), torn_bytes, zeros)
