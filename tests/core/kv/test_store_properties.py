"""The store against a plain model: a copy of every table at every sequence number."""

from __future__ import annotations

import copy

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from core.kv.errors import Conflict, SnapshotGone
from core.kv.store import Store
from core.kv.transaction import Transaction
from core.kv.write_set import WriteSet
from core.types import Seqno

TABLES = ["a.plain", "a.indexed", "public:a.open"]
State = dict[str, dict[bytes, bytes]]

tables = st.sampled_from(TABLES)
keys = st.sampled_from([b"k", b"kk1", b"kk2", b"kl1"])
prefixes = st.sampled_from([b"", b"k", b"kk", b"kk1", b"x"])
values = st.binary(max_size=2)


class Opened:
    """A transaction under test with what the model says it must see."""

    def __init__(self, transaction: Transaction, view: State) -> None:
        self.transaction = transaction
        self.base = copy.deepcopy(view)
        self.view = copy.deepcopy(view)
        self.marks: list[tuple[int, State]] = []
        self.keys_read: set[tuple[str, bytes]] = set()
        self.scans: set[str] = set()
        self.doomed = False
        self.finished = False


class StoreMachine(RuleBasedStateMachine):
    """Begins, reads, writes, commits, rolls back and compacts, and compares at every step."""

    opened: Bundle[Opened] = Bundle("opened")

    @initialize()
    def start(self) -> None:
        self.store = Store({"a.indexed": 2})
        self.head = 0
        self.horizon = 0
        self.states: dict[int, State] = {0: {name: {} for name in TABLES}}
        self.running: list[Opened] = []

    @rule(target=opened, at=st.none() | st.integers(0, 30))
    def begin(self, at: int | None) -> object:
        seqno = self.head if at is None else at
        if not self.horizon <= seqno <= self.head:
            with pytest.raises(SnapshotGone):
                self.store.begin(Seqno(seqno))
            return multiple()
        found = Opened(self.store.begin(None if at is None else Seqno(at)), self.states[seqno])
        self.running.append(found)
        return found

    def alive(self, target: Opened) -> bool:
        """A transaction whose snapshot still is a state of the store."""
        return not target.finished and not target.doomed and target.transaction.snapshot >= self.horizon

    @rule(target_=opened, table=tables, key=keys)
    def get(self, target_: Opened, table: str, key: bytes) -> None:
        if self.alive(target_):
            assert target_.transaction.table(table).get(key) == target_.view[table].get(key)
            assert target_.transaction.table(table).has(key) == (key in target_.view[table])
            target_.keys_read.add((table, key))

    @rule(target_=opened, table=tables, key=keys, value=values)
    def put(self, target_: Opened, table: str, key: bytes, value: bytes) -> None:
        if self.alive(target_):
            target_.transaction.table(table).put(key, value)
            target_.view[table][key] = value

    @rule(target_=opened, table=tables, key=keys)
    def delete(self, target_: Opened, table: str, key: bytes) -> None:
        if self.alive(target_):
            target_.transaction.table(table).delete(key)
            target_.view[table].pop(key, None)
            target_.keys_read.add((table, key))

    @rule(target_=opened, table=tables, prefix=prefixes)
    def scan(self, target_: Opened, table: str, prefix: bytes) -> None:
        if self.alive(target_):
            expected = sorted(key for key in target_.view[table] if key.startswith(prefix))
            assert list(target_.transaction.table(table).keys(prefix)) == expected
            target_.scans.add(table)

    @rule(target_=opened)
    def checkpoint(self, target_: Opened) -> None:
        if self.alive(target_):
            target_.marks.append((target_.transaction.checkpoint(), copy.deepcopy(target_.view)))

    @rule(target_=opened, levels=st.integers(1, 3))
    def revert(self, target_: Opened, levels: int) -> None:
        if self.alive(target_) and target_.marks:
            levels = min(levels, len(target_.marks))
            mark, view = target_.marks[-levels]
            del target_.marks[-levels:]
            target_.transaction.revert(mark)
            target_.view = view

    @rule(target_=opened, skip=st.integers(0, 2))
    def commit(self, target_: Opened, skip: int) -> None:
        if target_.finished:
            return
        target_.finished = True
        seqno = self.head + 1 + skip
        if self.must_conflict(target_):
            with pytest.raises(Conflict):
                self.store.commit(target_.transaction, Seqno(seqno))
            return
        try:
            writes = self.store.commit(target_.transaction, Seqno(seqno))
        except Conflict:
            assert self.may_conflict(target_)
            return
        assert WriteSet.decode(*writes.encode()) == writes
        self.record(seqno, writes)

    def must_conflict(self, target: Opened) -> bool:
        """What it read has another value now, or its snapshot is none of this history."""
        if target.doomed:
            return True
        now = self.states[self.head]
        changed = any(now[table].get(key) != target.base[table].get(key) for table, key in target.keys_read)
        return changed or any(now[table] != target.base[table] for table in target.scans)

    def may_conflict(self, target: Opened) -> bool:
        """Rewritten with the same value, the whole table for a scan, or nothing left to compare with."""
        return target.transaction.snapshot < self.head

    def record(self, seqno: int, writes: WriteSet) -> None:
        state = copy.deepcopy(self.states[self.head])
        for name, changes in writes.tables.items():
            for key, value in changes.items():
                if value is None:
                    state[name].pop(key, None)
                else:
                    state[name][key] = value
        for between in range(self.head + 1, seqno):
            self.states[between] = self.states[self.head]
        self.states[seqno] = state
        self.head = seqno

    @rule(table=tables, key=keys, value=values | st.none())
    def apply(self, table: str, key: bytes, value: bytes | None) -> None:
        writes = WriteSet({table: {key: value}})
        self.store.apply(Seqno(self.head + 1), writes)
        self.record(self.head + 1, writes)

    @rule()
    def advance(self) -> None:
        self.store.advance(Seqno(self.head + 1))
        self.record(self.head + 1, WriteSet())

    @rule(back=st.integers(0, 6))
    def rollback(self, back: int) -> None:
        seqno = self.head - back
        if seqno < self.horizon:
            with pytest.raises(SnapshotGone):
                self.store.rollback(Seqno(seqno))
            return
        self.store.rollback(Seqno(seqno))
        self.head = seqno
        self.states = {at: state for at, state in self.states.items() if at <= seqno}
        for target in self.running:
            target.doomed = True

    @rule(back=st.integers(0, 8))
    def compact(self, back: int) -> None:
        seqno = max(0, self.head - back)
        self.store.compact(Seqno(seqno))
        self.horizon = max(self.horizon, seqno)

    @invariant()
    def every_kept_state_reads_as_the_model(self) -> None:
        assert (self.store.head, self.store.horizon) == (self.head, self.horizon)
        for seqno in {self.horizon, (self.horizon + self.head) // 2, self.head}:
            transaction = self.store.begin(Seqno(seqno))
            for name in TABLES:
                handle = transaction.table(name)
                found = {key: handle.get(key) for key in handle.keys(b"")}
                assert found == self.states[seqno][name]

    @invariant()
    def nothing_is_kept_for_no_one(self) -> None:
        for name in TABLES:
            table = self.store.table(name)
            assert all(key in table.current for key in table.history)
            grouped = {key for group in table.groups.values() for key in group}
            assert grouped == (set(table.current) if table.prefix_bytes else set())
            if self.horizon == self.head:
                assert not table.history
                assert all(value is not None for _, value in table.current.values())


StoreMachine.TestCase.settings = settings(
    max_examples=80, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestStore = StoreMachine.TestCase
