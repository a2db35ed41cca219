"""Reading a snapshot of several blocks from a disk that may answer differently the second time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from core.ledger.merkle import MerkleFrontier
from core.ledger.snapshot_evidence import SnapshotEvidence
from core.ledger.snapshot_format import (
    PREFIX_BYTES,
    Prefix,
    SnapshotName,
    SnapshotPoint,
    cut_rows,
    encode_rows,
    partial_file,
    row_bytes,
)
from core.ledger.snapshot_reader import BLOCK_BYTES, SnapshotRefused, VerifiedSnapshot, hash_file, read_tables
from core.ledger.snapshot_writer import SnapshotWriter
from core.types import Digest, Seqno, View
from tests.support.memory_disk import MemoryDisk

SEQNO, VIEW, KEY = Seqno(2), View(1), b"\x07" * 32
FILE = partial_file(SEQNO)
VALUE_BYTES = 64 * 1024
ROWS = [(b"%03d" % number, 1 + number % 2, bytes([number]) * VALUE_BYTES) for number in range(56)]


async def written() -> tuple[MemoryDisk, VerifiedSnapshot]:
    """Write a snapshot of three whole blocks and a part of one, and verify it."""
    disk, frontier = MemoryDisk({}), MerkleFrontier()
    for _ in range(SEQNO):
        frontier.append(Digest(bytes(32)))
    writer = SnapshotWriter(disk, KEY, SnapshotPoint(SEQNO, VIEW, frontier, ((VIEW, Seqno(1)),)))
    await writer.add_table("one.a", sum(row_bytes(key, value) for key, _, value in ROWS), is_public=False)
    for row in ROWS:
        await writer.add_rows(encode_rows([row]))
    made = await writer.finish()
    digest, blocks = await hash_file(disk, FILE, made.size_bytes)
    assert digest == made.digest
    assert len(blocks) == len(set(blocks)) == 4
    prefix = Prefix.decode(await disk.read(FILE, 0, PREFIX_BYTES))
    evidence = SnapshotEvidence.make(digest, SEQNO, Digest(bytes(32)))
    return disk, VerifiedSnapshot(FILE, SnapshotName(SEQNO, Seqno(3)), prefix, evidence, blocks)


async def read(disk: MemoryDisk, snapshot: VerifiedSnapshot, into: bytearray, key: bytes = KEY) -> None:
    async for part in read_tables(disk, snapshot, key, lambda point: None):
        into += part.data


async def test_what_was_written_is_read() -> None:
    disk, snapshot = await written()
    found = bytearray()
    await read(disk, snapshot, found)
    rows, end = cut_rows(bytes(found))
    assert end == len(found)
    assert [(key, version, value) for key, (version, value) in rows.items()] == ROWS


def flipped(data: bytes, block: int) -> bytes:
    at = min(block * BLOCK_BYTES + 500, len(data) - 1)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def repeated(data: bytes, block: int) -> bytes:
    """Put what stands elsewhere, verified as well, into a block's place."""
    other = (block or 2) - 1
    end = min((block + 1) * BLOCK_BYTES, len(data))
    return data[: block * BLOCK_BYTES] + data[other * BLOCK_BYTES :][: end - block * BLOCK_BYTES] + data[end:]


@pytest.mark.parametrize("block", range(4))
@pytest.mark.parametrize("change", [flipped, repeated])
async def test_nothing_of_a_block_that_changed_is_parsed(change: Callable[[bytes, int], bytes], block: int) -> None:
    disk, snapshot = await written()
    disk.files[FILE] = change(disk.files[FILE], block)
    found = bytearray()
    with pytest.raises(SnapshotRefused, match="other bytes than when it was verified"):
        await read(disk, snapshot, found)
    assert len(found) <= block * BLOCK_BYTES
    assert bytes(found) == encode_rows(ROWS)[: len(found)]


async def test_a_file_that_is_cut_or_under_another_key_is_refused() -> None:
    disk, snapshot = await written()
    with pytest.raises(SnapshotRefused):
        await read(disk, snapshot, bytearray(), b"\x08" * 32)
    disk.files[FILE] = disk.files[FILE][:-1]
    with pytest.raises(SnapshotRefused):
        await read(disk, snapshot, bytearray())
