"""What an executor sends for a snapshot: the state at one seqno, in bounded slices, at the manager's pace."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from core import limits
from core.errors import InvariantBroken
from core.kv.store import Store
from core.kv.write_set import WriteSet
from core.ledger.snapshot_format import Row, Rows, cut_rows, encode_rows
from core.node.messages import (
    TO_MANAGER,
    SnapshotBegin,
    SnapshotEnd,
    SnapshotMore,
    SnapshotRows,
    SnapshotTable,
    SnapshotWritten,
)
from core.node.snapshot_stream import SnapshotStream
from core.types import Seqno
from enclave_sim.boundary.memory_transport import MemoryTransport, memory_pair


class Bench:
    """A stream over a store, with the test as its manager."""

    def __init__(self, manager: MemoryTransport, ours: MemoryTransport) -> None:
        self.manager = manager
        self.woken = 0
        self.store = Store()
        self.stream = SnapshotStream(ours, self.wake)
        self.stream.open(self.store)

    def wake(self) -> None:
        self.woken += 1

    def write(self, seqno: int, tables: dict[str, dict[bytes, bytes | None]]) -> None:
        self.store.apply(Seqno(seqno), WriteSet(tables))

    async def next(self) -> object:
        return TO_MANAGER.decode(await self.manager.receive())

    async def all(self) -> tuple[dict[str, list[Row]], list[int], int]:
        """Take a whole snapshot, a slice at a time; returns tables, the sizes of slices and the seqno."""
        tables: dict[str, list[Row]] = {}
        sizes, due = [], 0
        while True:
            self.stream.take(SnapshotMore(1))
            match await self.next():
                case SnapshotTable(name, rows_bytes):
                    assert name not in tables
                    assert due == 0
                    tables[name], due = [], rows_bytes
                case SnapshotRows(data):
                    rows, end = cut_rows(data)
                    assert end == len(data)
                    tables[name] += listed(rows)
                    due -= len(data)
                    sizes.append(len(rows))
                case SnapshotEnd(seqno):
                    assert due == 0
                    return tables, sizes, seqno


def listed(rows: Rows) -> list[Row]:
    return [(key, version, value) for key, (version, value) in rows.items()]


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench(*memory_pair())
    running = asyncio.create_task(bench.stream.run())
    yield bench
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def test_the_state_is_that_of_one_seqno_whatever_is_written_meanwhile(bench: Bench) -> None:
    bench.write(1, {"one.a": {b"%d" % key: b"old" for key in range(2_000)}, "public:one.b": {b"x": b"y"}})
    bench.write(2, {"one.a": {b"7": None}, "public:coco.settings": {b"k": b"v"}})
    bench.stream.take(SnapshotBegin(2))
    assert bench.stream.pinned == [2]
    bench.write(3, {"one.a": {b"1": b"new", b"2": None, b"another": b"new"}, "one.later": {b"x": b"y"}})
    tables, sizes, seqno = await bench.all()
    assert seqno == 2
    assert list(tables) == ["public:one.b", "one.a"]
    assert {key: (version, value) for key, version, value in tables["one.a"]} == {
        b"%d" % key: (1, b"old") for key in range(2_000) if key != 7
    }
    assert max(sizes) <= limits.FEED_ROWS_MAX
    assert bench.stream.pinned == []


async def test_a_slice_is_bounded_in_bytes_too(bench: Bench) -> None:
    bench.write(1, {"one.a": {b"%d" % key: bytes(30_000) for key in range(20)}})
    bench.stream.take(SnapshotBegin(1))
    _, sizes, _ = await bench.all()
    assert max(sizes) <= 1 + limits.FEED_BATCH_BYTES_MAX // 30_000
    assert sum(sizes) == 20


async def test_nothing_is_sent_without_room(bench: Bench) -> None:
    bench.write(1, {"one.a": {b"%d" % key: b"v" for key in range(5_000)}})
    bench.stream.take(SnapshotBegin(1))
    bench.stream.take(SnapshotMore(3))
    received = [await bench.next() for _ in range(3)]
    assert [type(one) for one in received] == [SnapshotTable, SnapshotRows, SnapshotRows]
    waiting = asyncio.create_task(bench.next())
    for _ in range(1_000):
        await asyncio.sleep(0)
    assert not waiting.done()
    bench.stream.take(SnapshotMore(1))
    assert isinstance(await waiting, SnapshotRows)


async def test_other_work_has_a_turn_between_any_two_slices(bench: Bench) -> None:
    """Counted in slices: what waits for the loop runs at least once per slice walked or sent."""
    bench.write(1, {"one.a": {b"%d" % key: b"v" for key in range(50_000)}})
    seen = set()

    async def work() -> None:
        while True:
            seen.add(bench.stream.slices)
            await asyncio.sleep(0)

    working = asyncio.create_task(work())
    bench.stream.take(SnapshotBegin(1))
    await bench.all()
    working.cancel()
    assert bench.stream.slices >= 200
    assert seen >= set(range(bench.stream.slices))


async def test_an_empty_state_has_an_end_too(bench: Bench) -> None:
    bench.write(1, {"one.a": {b"k": b"v"}})
    bench.write(2, {"one.a": {b"k": None}})
    bench.stream.take(SnapshotBegin(2))
    assert await bench.all() == ({}, [], 2)


async def test_the_evidence_is_owed_once_it_is_written(bench: Bench) -> None:
    bench.write(1, {"one.a": {b"k": b"v"}})
    bench.stream.take(SnapshotBegin(1))
    await bench.all()
    bench.stream.take(SnapshotWritten())
    assert bench.stream.owes_evidence
    assert bench.woken == 1


async def test_what_is_out_of_turn_is_refused(bench: Bench) -> None:
    bench.write(1, {"one.a": {b"k": b"v"}})
    bench.write(2, {"one.a": {b"k": b"w"}})
    bench.store.compact(Seqno(2))
    for wrong in (SnapshotBegin(1), SnapshotBegin(3)):
        with pytest.raises(InvariantBroken, match="not kept"):
            bench.stream.take(wrong)
    bench.stream.take(SnapshotBegin(2))
    for early in (SnapshotBegin(2), SnapshotWritten()):
        with pytest.raises(InvariantBroken):
            bench.stream.take(early)


def test_rows_are_cut_wherever_the_stream_is() -> None:
    rows: list[Row] = [(bytes(size), size + 1, bytes(3 * size)) for size in range(30)]
    data = encode_rows(rows)
    whole, end = cut_rows(data)
    assert (listed(whole), end) == (rows, len(data))
    for cut in range(0, len(data), 7):
        first, end = cut_rows(data[:cut])
        rest, last = cut_rows(data[:cut][end:] + data[cut:])
        assert listed(first) + listed(rest) == rows
        assert last == len(data) - end
