"""Proofs of any entry from a disk that is not trusted: what it returns is found out, and little of it is read."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from dataclasses import dataclass, field

import pytest

from core import limits
from core.errors import InvariantBroken, LedgerDamaged, StorageFailed
from core.ledger import history as history_module
from core.ledger.entry import EntrySealer, SealedEntry
from core.ledger.files import LedgerWriter
from core.ledger.history import LedgerHistory, Proven
from core.ledger.merkle import MerkleFrontier
from core.ledger.receipt import leaf_root
from core.ledger.secrets import EntryKey
from core.ledger.tables import SIGNATURES
from core.types import Digest, NodeId, Seqno, View
from tests.support.memory_disk import MemoryDisk

SIGNATURE_DOMAIN = len(SIGNATURES).to_bytes(8, "little") + SIGNATURES.encode() + bytes(16)
"""Enough of a signature entry for a history, which looks at no signatures."""


class CountingDisk(MemoryDisk):
    read_bytes = 0

    async def read(self, name: str, offset: int, size_bytes: int) -> bytes:
        data = await super().read(name, offset, size_bytes)
        self.read_bytes += len(data)
        return data


@dataclass(slots=True)
class Ledger:
    """Blocks of `block` entries and a signature, in chunks of chunk_bytes_min. roots: by the signature's seqno."""

    block: int = 3
    chunk_bytes_min: int = 60_000
    entry_bytes: int = 200
    disk: CountingDisk = field(default_factory=CountingDisk)
    history: LedgerHistory = field(default_factory=LedgerHistory)
    frontier: MerkleFrontier = field(default_factory=MerkleFrontier)
    roots: dict[int, Digest] = field(default_factory=dict)
    leaves: list[Digest] = field(default_factory=list)

    async def grow(self, entries: int) -> None:
        sealer = EntrySealer(EntryKey(bytes(32), NodeId("ab" * 32), View(1)), Seqno(0))
        writer = LedgerWriter(self.disk, self.chunk_bytes_min, None)
        while len(self.leaves) < entries:
            await self._block(sealer, writer)

    async def _block(self, sealer: EntrySealer, writer: LedgerWriter) -> None:
        first = len(self.leaves) + 1
        sealed: list[SealedEntry] = []
        for seqno in range(first, first + self.block):
            sealed.append(sealer.seal(Seqno(seqno), b"", secrets.token_bytes(self.entry_bytes)))
            self._append(sealed[-1])
        last = Seqno(first + self.block)
        self.roots[last] = self.frontier.root()
        sealed.append(sealer.seal_signature(last, SIGNATURE_DOMAIN, self.frontier.root()))
        self._append(sealed[-1])
        chunk, offset = await writer.append(b"".join(one.data for one in sealed), Seqno(first))
        for one in sealed:
            self.history.add(one.leaf, chunk, offset, len(one.data))
            offset += len(one.data)
        if await writer.close_chunk_if_full(last):
            self.history.close_chunk()

    def _append(self, entry: SealedEntry) -> None:
        self.frontier.append(entry.leaf)
        self.leaves.append(entry.leaf)

    async def prove(self, seqno: int) -> Proven:
        proven = await self.history.prove(self.disk, Seqno(seqno))
        signed = proven.signature.seqno
        assert signed == seqno if proven.entry.is_signature else signed > seqno
        assert proven.entry.seqno == seqno
        if not proven.entry.is_signature:
            assert leaf_root(proven.entry.leaf, proven.path) == self.roots[signed]
        return proven


@pytest.fixture(scope="module")
def large() -> Ledger:
    """Five granules and a bit, in many chunks. Tests change copies of its disk only."""
    ledger = Ledger()
    asyncio.run(ledger.grow(5_300))
    return ledger


def altered(ledger: Ledger, disk: MemoryDisk) -> Ledger:
    """Return the ledger on another disk, with nothing remembered of the old one."""
    ledger.history._remembered.clear()
    counting = CountingDisk(disk.files)
    return Ledger(disk=counting, history=ledger.history, roots=ledger.roots, leaves=ledger.leaves)


async def test_entries_all_over_the_ledger_are_proven(large: Ledger) -> None:
    ends = [1024 * number + off for number in range(1, 6) for off in (-3, -2, -1, 0, 1, 2)]
    for seqno in {1, 2, 4, *ends, *range(5, 5300, 97), *range(5280, 5301)}:
        await large.prove(seqno)


async def test_little_is_read(large: Ledger) -> None:
    whole = sum(len(data) for data in large.disk.files.values())
    fresh = altered(large, large.disk)
    await fresh.prove(2500)
    assert fresh.disk.read_bytes < whole / 3
    before = fresh.disk.read_bytes
    await fresh.prove(2501)
    assert fresh.disk.read_bytes - before < 5 * 4096
    newest = altered(large, large.disk)
    await newest.prove(5290)
    assert newest.disk.read_bytes < 5 * 4096


async def test_little_is_kept(large: Ledger) -> None:
    assert large.history.size_bytes - 80 * 1024 < 5 * 64 + 8 * 60


@pytest.mark.parametrize("seqno", [3, 1023, 1024, 2500, 5290])
async def test_an_altered_byte_of_the_entry_is_found_and_named(large: Ledger, seqno: int) -> None:
    place = (await large.prove(seqno)).place
    for within in (0, 7, 9, 30, 45, 70, 100, 150):
        disk = large.disk.copy()
        data = bytearray(disk.files[place.file])
        data[place.offset + within] ^= 1
        disk.files[place.file] = bytes(data)
        with pytest.raises(LedgerDamaged, match="the ledger is damaged: ledger/") as caught:
            await altered(large, disk).prove(seqno)
        assert caught.value.file.startswith("ledger/ledger_")
    await altered(large, large.disk).prove(seqno)


async def test_an_altered_neighbour_is_found(large: Ledger) -> None:
    place = (await large.prove(2_900)).place
    disk = large.disk.copy()
    data = bytearray(disk.files[place.file])
    data[place.offset + 170] ^= 1
    disk.files[place.file] = bytes(data)
    with pytest.raises(LedgerDamaged, match="entries up to 3071 are not those that were committed"):
        await altered(large, disk).prove(2_300)


@pytest.mark.parametrize("kept", [0, 4, 5_000])
async def test_a_short_file_is_found(large: Ledger, kept: int) -> None:
    place = (await large.prove(2_500)).place
    disk = large.disk.copy()
    disk.files[place.file] = disk.files[place.file][:kept]
    with pytest.raises(LedgerDamaged, match=f"{place.file}.*the file ends before it"):
        await altered(large, disk).prove(2_500)


async def test_an_older_file_in_a_newers_place_is_found(large: Ledger) -> None:
    place = (await large.prove(2_500)).place
    disk = large.disk.copy()
    disk.files[place.file] = next(data for name, data in disk.files.items() if name.startswith("ledger/ledger_1-"))
    with pytest.raises(LedgerDamaged):
        await altered(large, disk).prove(2_500)


async def test_a_file_that_is_gone_is_the_disks_failure(large: Ledger) -> None:
    place = (await large.prove(2_500)).place
    disk = large.disk.copy()
    del disk.files[place.file]
    with pytest.raises(StorageFailed):
        await altered(large, disk).prove(2_500)


async def test_a_host_that_returns_more_than_it_was_asked_for_is_refused(
    large: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def too_much(name: str, offset: int, size_bytes: int) -> bytes:
        return bytes(size_bytes + 1)

    twin = altered(large, large.disk)
    monkeypatch.setattr(twin.disk, "read", too_much)
    with pytest.raises(StorageFailed, match="more of ledger/"):
        await twin.prove(2_500)


@pytest.mark.parametrize("seqno", [0, -1, 5_301, 10**9])
async def test_what_is_not_committed_is_not_proven(large: Ledger, seqno: int) -> None:
    with pytest.raises(InvariantBroken):
        await large.history.prove(large.disk, Seqno(seqno))


async def test_every_entry_of_a_small_ledger_is_proven() -> None:
    for block, chunk in itertools.product((1, 5), (1, 3_000, 10**9)):
        ledger = Ledger(block, chunk)
        await ledger.grow(61)
        for seqno in range(1, len(ledger.leaves) + 1):
            await ledger.prove(seqno)


async def test_of_granules_that_hold_much_only_the_entry_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "GRANULE_BYTES_MAX", 100_000)
    ledger = Ledger(entry_bytes=500)
    await ledger.grow(2_200)
    await ledger.prove(500)
    assert ledger.disk.read_bytes < 5 * 4096
    assert ledger.history.size_bytes < 2_200 * 90


async def test_a_granule_that_has_grown_since_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger()
    await ledger.grow(2_200)
    monkeypatch.setattr(limits, "GRANULE_BYTES_MAX", 10_000)
    with pytest.raises(LedgerDamaged, match="larger than they were"):
        await ledger.prove(500)


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "REMEMBERED_MAX", 2)
    ledger = Ledger(entry_bytes=1)
    await ledger.grow(5_000)
    for seqno in range(10, 5_000, 1_000):
        await ledger.prove(seqno)
    assert len(ledger.history._remembered) == 2


def test_entries_come_in_order_and_in_open_chunks() -> None:
    history = LedgerHistory()
    history.add(Digest(bytes(32)), Seqno(1), 8, 100)
    with pytest.raises(InvariantBroken, match="cannot stand in a chunk that begins with 7"):
        history.add(Digest(bytes(32)), Seqno(7), 8, 100)
    history.close_chunk()
    with pytest.raises(InvariantBroken, match="closed"):
        history.add(Digest(bytes(32)), Seqno(1), 108, 100)
    history.add(Digest(bytes(32)), Seqno(2), 8, 100)
    assert history.last_seqno == 2
