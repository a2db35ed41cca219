"""The copy of the state that a reader is fed, against the executor's store: equal at every committed seqno."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import limits
from core.adapter.interface import Adapter, AdapterInfo, Executed, ExecutionContext, Route, ScopedTransaction
from core.errors import ChannelClosed, InvariantBroken
from core.governance.constitution import Constitution, Identity
from core.kv.errors import SnapshotGone
from core.kv.store import Store
from core.kv.write_set import WriteSet, encode_domain
from core.node.messages import ReplayedEntry
from core.node.reader_feed import FeedSource, ReaderFeeds
from core.node.reader_messages import TO_READER, FeedBegin, FeedEntries, FeedRows
from core.node.replica import Replica
from core.ports import Transport
from core.types import Seqno
from enclave_sim.boundary.memory_transport import memory_pair

CONSTITUTION = Constitution(2, "test", (Identity("a", "member", b"certificate"),), {"one": {}}, "one").encode()
TABLES = ("one.a", "one.b", "public:one.c")
KEYS = tuple(bytes([number]) * 2 for number in range(6))


class Keeps(Adapter):
    """Keeps the newest `kept` sequence numbers."""

    info = AdapterInfo("one", "1", "keeps", {"a": 1})
    kept = 3

    def routes(self) -> Sequence[Route]:
        return ()

    def execute(self, transaction: ScopedTransaction, payload: bytes, context: ExecutionContext) -> Executed:
        raise NotImplementedError

    def retained_from(self, transaction: ScopedTransaction) -> Seqno | None:
        return Seqno(max(0, transaction.inner.snapshot - self.kept))


def load(settings: Mapping[str, Mapping[str, Any]], network: str) -> dict[str, Adapter]:
    return {name: Keeps({}, network) for name in settings}


def contents(store: Store, at: int) -> dict[str, dict[bytes, tuple[int, bytes]]]:
    """Every table's rows as of a seqno, with their versions."""
    found: dict[str, dict[bytes, tuple[int, bytes]]] = {}
    for name in store.table_names():
        table = store.table(name)
        rows = {key: table.read(key, at) for key in table.current}
        kept = {key: (version, value) for key, (version, value) in rows.items() if value is not None}
        if kept:
            found[name] = kept
    return found


class Bench:
    """An executor's store with feeds on it, and replicas behind them."""

    def __init__(self, tail_bytes_max: int = limits.OUTBOX_BYTES_MAX) -> None:
        self.store = Store()
        self.committed = Seqno(0)
        self.uncommitted: list[ReplayedEntry] = []
        self.logged: list[str] = []
        self.feeds = ReaderFeeds(self.logged.append, tail_bytes_max=tail_bytes_max)
        self.adapters = load({"one": {}}, "test")

    def open(self) -> None:
        self.feeds.open(FeedSource(self.store, CONSTITUTION, lambda: self.committed, lambda: 1_000))

    def write(self, tables: dict[str, dict[bytes, bytes | None]]) -> None:
        """Make an entry of the open block."""
        writes, seqno = WriteSet(tables), Seqno(self.store.head + 1)
        self.store.apply(seqno, writes)
        self.uncommitted.append(ReplayedEntry(seqno, *writes.encode()))

    def commit(self) -> None:
        """Close the block with a signature, commit it, and forget old states."""
        before, last = self.committed, Seqno(self.store.head + 1)
        self.store.advance(last)
        self.feeds.block(self.uncommitted, before, last, 1_000 + last)
        self.uncommitted, self.committed = [], last
        horizon = min((Seqno(max(0, last - 3)), *self.feeds.pinned))
        if horizon > self.store.horizon:
            self.store.compact(horizon)

    def roll_back(self) -> None:
        self.store.rollback(self.committed)
        self.uncommitted = []

    def attach(self) -> Follower:
        ours, theirs = memory_pair()
        self.feeds.attach(ours)
        return Follower(theirs)


class Follower:
    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.replica = Replica(load, lambda: 0.0, lambda line: None)
        self.task = asyncio.create_task(self.run())

    async def run(self) -> None:
        while True:
            self.replica.take(TO_READER.decode(await self.transport.receive()))

    async def reach(self, seqno: int) -> None:
        while self.replica.applied < seqno:
            if self.task.done():
                self.task.result()
            await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def running(bench: Bench) -> AsyncIterator[Bench]:
    task = asyncio.create_task(bench.feeds.run())
    try:
        yield bench
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0)


async def drain(transport: Transport) -> None:
    while True:
        await transport.receive()


def check(bench: Bench, follower: Follower) -> None:
    """The replica answers as the executor does at every seqno that both keep, and keeps what its adapters ask for."""
    replica = follower.replica
    assert replica.applied == bench.committed
    assert replica.store.horizon <= max(0, bench.committed - Keeps.kept)
    for at in range(max(bench.store.horizon, replica.store.horizon), bench.committed + 1):
        assert contents(replica.store, at) == contents(bench.store, at)


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(
            st.just("write"),
            st.sampled_from(TABLES),
            st.sampled_from(KEYS),
            st.one_of(st.none(), st.binary(max_size=3)),
        ),
        st.tuples(st.just("commit")),
        st.tuples(st.just("roll back")),
        st.tuples(st.just("attach")),
        st.tuples(st.just("turn")),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(OPERATIONS, st.integers(1, 3))
def test_a_replica_equals_the_store_it_is_fed_from(operations: list[Any], rows_max: int) -> None:
    async def run() -> None:
        async with running(Bench()) as bench:
            bench.open()
            followers = []
            for operation in operations:
                match operation:
                    case ("write", table, key, value):
                        bench.write({table: {key: value}})
                    case ("commit",):
                        bench.commit()
                    case ("roll back",):
                        bench.roll_back()
                    case ("attach",) if len(followers) < 3:
                        followers.append(bench.attach())
                    case _:
                        await asyncio.sleep(0)
            bench.commit()
            for follower in followers:
                await follower.reach(bench.committed)
                check(bench, follower)
                follower.task.cancel()
            await asyncio.gather(*(follower.task for follower in followers), return_exceptions=True)
            assert bench.feeds.pinned == []

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "FEED_ROWS_MAX", rows_max)
        asyncio.run(run())


async def test_writes_go_on_while_a_large_state_is_copied() -> None:
    bench = Bench()
    for number in range(40):
        bench.write({"one.a": {b"%d.%d" % (number, each): bytes(100) for each in range(100)}})
    bench.commit()
    async with running(bench):
        bench.open()
        follower = bench.attach()
        await until(lambda: bool(bench.feeds.pinned and follower.replica.session))
        steps = 0
        while not follower.replica.applied:
            bench.write({"one.b": {b"%d" % steps: b"x"}, "one.a": {b"0.0": b"%d" % steps}})
            bench.commit()
            steps += 1
            await asyncio.sleep(0)
        assert steps > 5
        await follower.reach(bench.committed)
        check(bench, follower)
        bench.commit()
        assert bench.store.horizon == bench.committed - 3
        follower.task.cancel()


async def test_older_states_are_there_right_after_the_start() -> None:
    bench = Bench()
    for number in range(8):
        bench.write({"one.a": {b"key": b"%d" % number}})
        bench.commit()
    bench.open()
    async with running(bench):
        follower = bench.attach()
        await follower.reach(bench.committed)
        store = follower.replica.store
        for at in range(bench.committed - Keeps.kept, bench.committed + 1):
            assert store.begin(Seqno(at)).table("one.a").get(b"key") == bench.store.begin(Seqno(at)).table("one.a").get(
                b"key"
            )
        with pytest.raises(SnapshotGone):
            store.begin(Seqno(bench.committed - Keeps.kept - 2))
        follower.task.cancel()


async def test_a_reader_that_does_not_keep_up_is_given_up() -> None:
    bench = Bench(tail_bytes_max=100_000)
    bench.open()
    async with running(bench):
        ours, theirs = memory_pair()
        bench.feeds.attach(ours)
        for _ in range(10):
            await asyncio.sleep(0)
        source = random.Random(1)
        for _ in range(40):
            bench.write({"one.a": {b"key": source.randbytes(limits.MEBIBYTE)}})
            bench.commit()
            await asyncio.sleep(0)
        while len(bench.feeds):
            bench.commit()
            await theirs.receive() if bench.committed % 2 else await asyncio.sleep(0)
        assert bench.logged == ["a reader that did not keep up was given up"]
        assert bench.feeds.pinned == []
        with pytest.raises(ChannelClosed):
            await drain(theirs)


async def test_a_reader_that_talks_is_refused_and_harms_nobody() -> None:
    bench = Bench()
    bench.open()
    async with running(bench):
        other = bench.attach()
        ours, theirs = memory_pair()
        bench.feeds.attach(ours)
        await theirs.send(b"\x01\x91\x01")
        await until(lambda: len(bench.feeds) == 1)
        assert bench.logged == ["a reader is gone: it sent something"]
        bench.write({"one.a": {b"key": b"value"}})
        bench.commit()
        await other.reach(bench.committed)
        check(bench, other)
        other.task.cancel()


async def test_more_readers_than_there_can_be() -> None:
    bench = Bench()
    bench.open()
    async with running(bench):
        followers = [bench.attach() for _ in range(2 * limits.READERS_MAX + 1)]
        await until(lambda: followers[-1].task.done())
        with pytest.raises(ChannelClosed):
            followers[-1].task.result()
        await followers[0].reach(bench.committed)
        for follower in followers[:-1]:
            follower.task.cancel()
    assert bench.logged == ["a reader is gone: too many readers"]


BEGIN = FeedBegin(CONSTITUTION, bytes(32), 4)
EMPTY = encode_domain({})
PRIVATE = encode_domain({"one.a": {b"key": b"value"}})


def entry(seqno: int, private: bytes = PRIVATE) -> ReplayedEntry:
    return ReplayedEntry(seqno, EMPTY, private)


@pytest.mark.parametrize(
    "messages",
    [
        [FeedRows("one.a", ((b"key", 1, b"value"),))],
        [FeedEntries(0, (), 0, True, 0)],
        [FeedBegin(CONSTITUTION, b"", 4)],
        [BEGIN, BEGIN],
        [BEGIN, FeedRows("one.a", ((b"key", 1, b"value"), (b"key", 2, b"again")))],
        [BEGIN, FeedRows("one.a", ((b"key", 5, b"value"),))],
        [BEGIN, FeedRows("one.a", ((b"key", -1, b"value"),))],
        [BEGIN, FeedRows("one.a", ((b"key", 1, b"value"),)), FeedRows("one.a", ((b"key", 1, b"value"),))],
        [BEGIN, FeedEntries(4, (entry(5),), 6, True, 0), FeedRows("one.a", ((b"other", 1, b"value"),))],
        [BEGIN, FeedEntries(5, (), 6, True, 0)],
        [BEGIN, FeedEntries(3, (), 6, True, 0)],
        [BEGIN, FeedEntries(4, (), 3, True, 0)],
        [BEGIN, FeedEntries(4, (entry(6), entry(5)), 7, True, 0)],
        [BEGIN, FeedEntries(4, (entry(8),), 7, True, 0)],
        [BEGIN, FeedEntries(4, (entry(5, b"junk"),), 6, True, 0)],
        [BEGIN, FeedEntries(4, (), 6, True, 0), FeedEntries(6, (), 7, False, 0)],
    ],
)
def test_a_feed_with_a_gap_or_anything_odd_is_refused(messages: list[FeedBegin | FeedRows | FeedEntries]) -> None:
    replica = Replica(load, lambda: 0.0, lambda line: None)
    for message in messages[:-1]:
        replica.take(message)
    with pytest.raises(InvariantBroken):
        replica.take(messages[-1])


def test_the_time_of_queries_is_never_before_a_block() -> None:
    replica = Replica(load, lambda: 10.5, lambda line: None)
    replica.take(BEGIN)
    assert replica.now_s() == 10
    replica.take(FeedEntries(4, (entry(5),), 6, True, 50))
    replica.take(FeedEntries(6, (), 7, True, 40))
    assert replica.now_s() == 50
    assert replica.applied == 7
