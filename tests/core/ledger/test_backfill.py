"""A history whose older part comes later is the history of the whole ledger."""

from __future__ import annotations

import random

import pytest

from core.crypto.hashing import sha256
from core.errors import InvariantBroken
from core.ledger.backfill import BackfilledHistory
from core.ledger.history import LedgerHistory
from core.types import Digest, Seqno

Entry = tuple[Digest, Seqno, int, int]


def entries(count: int, chunk_ends: set[int]) -> list[Entry]:
    found, chunk, offset = [], 1, 8
    for seqno in range(1, count + 1):
        size = 100 + seqno % 7
        found.append((sha256(seqno.to_bytes(8, "big")), Seqno(chunk), offset, size))
        offset += size
        if seqno in chunk_ends:
            chunk, offset = seqno + 1, 8
    return found


def dump(history: LedgerHistory) -> dict[str, object]:
    names = ("_levels", "_start_chunks", "_start_offsets", "_chunks", "_is_closed")
    kept = {name: getattr(history, name) for name in names}
    newest = history._newest
    return kept | {"newest": (newest.leaves, newest.chunks, newest.offsets)}


@pytest.mark.parametrize("after", [1, 5, 700, 1_023, 1_024, 2_500, 2_999])
@pytest.mark.parametrize("chunk_ends", [set(), {700}, {5, 700, 2_500}, {1_023, 2_999, 3_000}])
def test_it_becomes_the_whole_history(after: int, chunk_ends: set[int]) -> None:
    everything = entries(3_000, chunk_ends)
    whole, late = LedgerHistory(), BackfilledHistory(Seqno(after))
    for seqno, entry in enumerate(everything, 1):
        whole.add(*entry)
        if seqno in chunk_ends:
            whole.close_chunk()
    tail = random.Random(after).randrange(after, 3_000)
    for seqno in range(after + 1, tail + 1):
        late.add(*everything[seqno - 1])
        if seqno in chunk_ends:
            late.close_chunk()
    assert late.newest_seqno == tail
    assert late.last_seqno == 0
    for seqno in range(1, after + 1):
        late.add_older(*everything[seqno - 1])
        if seqno in chunk_ends:
            late.close_older_chunk()
    late.complete()
    assert late.last_seqno == late.newest_seqno == tail
    for seqno in range(tail + 1, 3_001):
        late.add(*everything[seqno - 1])
        if seqno in chunk_ends:
            late.close_chunk()
    assert dump(late) == dump(whole)


def test_it_is_complete_once_and_only_with_all_of_the_older_part() -> None:
    everything = entries(10, set())
    late = BackfilledHistory(Seqno(3))
    late.add_older(*everything[0])
    with pytest.raises(InvariantBroken):
        late.complete()
    late.add_older(*everything[1])
    late.add_older(*everything[2])
    late.complete()
    with pytest.raises(InvariantBroken):
        late.complete()
