"""A versioned key-value store of named tables.

Every committed write carries the sequence number of its ledger entry, its version. The newest value of a key stands
in a dict; the values it replaced stand in a list per key until they are older than the horizon, so that the state at
any sequence number from the horizon on can be read (snapshots) or gone back to (rollback).

Invariants: versions only grow; a key's history is strictly older than its current version; nothing at or before the
horizon can be rolled back. One writer; not thread-safe.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from operator import itemgetter

from core import limits
from core.errors import InvariantBroken, LimitExceeded
from core.kv.errors import Conflict, SnapshotGone
from core.kv.transaction import Transaction
from core.kv.write_set import WriteSet
from core.types import Seqno

Versioned = tuple[int, bytes | None]
ABSENT: Versioned = (0, None)
_VERSION = itemgetter(0)


class Table:
    """The current and the replaced values of one table. Keys may be grouped by a fixed-length prefix."""

    __slots__ = ("current", "groups", "history", "horizon", "last_write", "prefix_bytes")

    def __init__(self, prefix_bytes: int = 0) -> None:
        self.current: dict[bytes, Versioned] = {}
        self.history: dict[bytes, list[Versioned]] = {}
        self.groups: dict[bytes, set[bytes]] = {}
        self.prefix_bytes = prefix_bytes
        self.last_write = 0
        self.horizon = 0

    def read(self, key: bytes, seqno: int) -> Versioned:
        """Return (version, value) of a key as of seqno; value None when it is absent then.

        Raises SnapshotGone where the answer has been compacted away.
        """
        newest = self.current.get(key)
        if newest is not None:
            if newest[0] <= seqno:
                return newest
            for older in reversed(self.history.get(key, ())):
                if older[0] <= seqno:
                    return older
        if seqno < self.horizon:
            raise SnapshotGone(f"the state at {seqno} is not kept (kept: from {self.horizon})")
        return ABSENT

    def candidates(self, prefix: bytes) -> Iterator[bytes]:
        """Yield the keys, deleted ones included, that may start with prefix."""
        if self.prefix_bytes and len(prefix) >= self.prefix_bytes:
            yield from self.groups.get(prefix[: self.prefix_bytes], ())
        else:
            yield from self.current

    def write(self, key: bytes, seqno: int, value: bytes | None) -> None:
        newest = self.current.get(key)
        if newest is not None:
            self.history.setdefault(key, []).append(newest)
        elif self.prefix_bytes:
            self.groups.setdefault(key[: self.prefix_bytes], set()).add(key)
        self.current[key] = (seqno, value)
        self.last_write = seqno

    def undo(self, key: bytes) -> None:
        """Take back the newest write of a key."""
        older = self.history.get(key)
        if not older:
            self._forget(key)
            return
        self.current[key] = restored = older.pop()
        if not older:
            del self.history[key]
            if restored[1] is None and restored[0] <= self.horizon:
                self._forget(key)

    def compact(self, key: bytes, horizon: int) -> None:
        """Drop the values of a key that nobody at or after the horizon can see."""
        self.horizon = horizon
        older = self.history.get(key)
        if older:
            while older and (older[1] if len(older) > 1 else self.current[key])[0] <= horizon:
                older.pop(0)
            if not older:
                del self.history[key]
        newest = self.current.get(key)
        if newest is not None and newest[1] is None and newest[0] <= horizon:
            self._forget(key)

    def group_by(self, prefix_bytes: int) -> None:
        """Group the keys by a prefix of that many bytes, so that scans by it need not look at the whole table."""
        self.prefix_bytes = prefix_bytes
        self.groups = {}
        self.add_to_groups(self.current)

    def add_to_groups(self, keys: Iterable[bytes]) -> None:
        """Take keys into their groups."""
        for key in keys:
            self.groups.setdefault(key[: self.prefix_bytes], set()).add(key)

    def _forget(self, key: bytes) -> None:
        del self.current[key]
        if self.prefix_bytes:
            group = self.groups[key[: self.prefix_bytes]]
            group.discard(key)
            if not group:
                del self.groups[key[: self.prefix_bytes]]


class Store:
    """All tables of a node. `indexed` maps table names to the length in bytes of the key prefix they are scanned by."""

    def __init__(self, indexed: Mapping[str, int] | None = None) -> None:
        self._indexed = dict(indexed or {})
        self._tables: dict[str, Table] = {}
        self._undo: deque[tuple[int, Table, bytes]] = deque()
        self._head = Seqno(0)
        self._horizon = Seqno(0)
        self._rollbacks = 0

    @property
    def head(self) -> Seqno:
        """Sequence number of the newest entry applied."""
        return self._head

    @property
    def horizon(self) -> Seqno:
        """Oldest sequence number whose state can still be read or rolled back to."""
        return self._horizon

    @property
    def rollbacks(self) -> int:
        """How often the store went back: a sequence number names one state only between two rollbacks."""
        return self._rollbacks

    def begin(self, at: Seqno | None = None) -> Transaction:
        """Begin a transaction on the state at a sequence number (the head unless given); raises SnapshotGone."""
        seqno = self._head if at is None else at
        if not self._horizon <= seqno <= self._head:
            raise SnapshotGone(f"the state at {seqno} is not kept (kept: {self._horizon} to {self._head})")
        return Transaction(self, seqno)

    def commit(self, transaction: Transaction, seqno: Seqno) -> WriteSet:
        """Validate what the transaction read, apply its writes at seqno and return them.

        Raises Conflict, with nothing applied, when a key or scanned table changed since the transaction's snapshot,
        or the store was rolled back since then: versions before and after a rollback cannot be told apart.
        """
        if transaction.rollbacks != self._rollbacks:
            raise Conflict(f"the store was rolled back after the transaction began at {transaction.snapshot}")
        if transaction.snapshot != self._head:
            self._validate(transaction)
        writes = transaction.take_write_set()
        self.apply(seqno, writes)
        return writes

    def apply(self, seqno: Seqno, writes: WriteSet) -> None:
        """Apply a write set at seqno, which must be after the head."""
        if seqno <= self._head:
            raise InvariantBroken(f"write set at {seqno} is not after the head {self._head}")
        for name, changes in writes.tables.items():
            table = self.table(name)
            for key, value in changes.items():
                table.write(key, seqno, value)
                self._undo.append((seqno, table, key))
        self._head = seqno

    def advance(self, seqno: Seqno) -> None:
        """Move the head past entries that write nothing here (signatures)."""
        if seqno < self._head:
            raise InvariantBroken(f"head moved back from {self._head} to {seqno}")
        self._head = seqno

    def load(self, name: str, rows: Mapping[bytes, tuple[int, bytes]]) -> None:
        """Take over rows, key -> (version, value), of another store as of the horizon, with nothing applied since."""
        table = self.table(name)
        if self._undo or self._head != self._horizon:
            raise InvariantBroken("rows were loaded after entries had been applied")
        if not rows:
            return
        versions = list(map(_VERSION, rows.values()))
        wanted = len(table.current) + len(rows)
        table.current.update(rows)
        if not 0 <= min(versions) <= max(versions) <= self._horizon or len(table.current) != wanted:
            raise InvariantBroken(f"a row was loaded twice, or of a version after the state at {self._head}")
        table.last_write = max(table.last_write, *versions)
        if table.prefix_bytes:
            table.add_to_groups(rows)

    def changes(self, start: int, count: int, up_to: Seqno) -> list[tuple[int, str, bytes]]:
        """Return (seqno, table, key) of writes after the horizon, in order, from position `start` on.

        At least `count` of them where there are so many up to seqno `up_to`, and all of each seqno. Positions hold
        until the store is compacted or rolled back to before them.
        """
        names = {table: name for name, table in self._tables.items()}
        found: list[tuple[int, str, bytes]] = []
        for seqno, table, key in islice(self._undo, start, None):
            if seqno > up_to or (len(found) >= count and seqno != found[-1][0]):
                break
            found.append((seqno, names[table], key))
        return found

    def rollback(self, seqno: Seqno) -> None:
        """Go back to the state at seqno; raises SnapshotGone before the horizon."""
        if not self._horizon <= seqno <= self._head:
            raise SnapshotGone(f"cannot roll back to {seqno} (kept: {self._horizon} to {self._head})")
        touched = set()
        while self._undo and self._undo[-1][0] > seqno:
            _, table, key = self._undo.pop()
            table.undo(key)
            touched.add(table)
        for table in touched:
            table.last_write = seqno
        self._head = seqno
        self._rollbacks += 1

    def compact(self, horizon: Seqno) -> None:
        """Forget the states before horizon."""
        if horizon > self._head:
            raise InvariantBroken(f"horizon {horizon} is after the head {self._head}")
        while self._undo and self._undo[0][0] <= horizon:
            _, table, key = self._undo.popleft()
            table.compact(key, horizon)
        self._horizon = max(self._horizon, horizon)

    def table(self, name: str) -> Table:
        """Return a table, made when it is first named."""
        found = self._tables.get(name)
        if found is None:
            if len(self._tables) >= limits.TABLES_MAX:
                raise LimitExceeded(f"more than {limits.TABLES_MAX} tables")
            found = self._tables[name] = Table(self._indexed.get(name, 0))
        return found

    def index(self, indexed: Mapping[str, int]) -> None:
        """Group the keys of tables by a prefix of that many bytes from now on, also those that are there already."""
        for name, prefix_bytes in indexed.items():
            self._indexed[name] = prefix_bytes
            if name in self._tables:
                self._tables[name].group_by(prefix_bytes)

    def table_names(self) -> list[str]:
        return sorted(self._tables)

    def _validate(self, transaction: Transaction) -> None:
        if transaction.snapshot < self._horizon:
            raise Conflict(f"the state at {transaction.snapshot} is no longer kept to compare with")
        for (name, key), version in transaction.reads.items():
            if self.table(name).read(key, self._head)[0] != version:
                raise Conflict(f"a key of {name} was written after {transaction.snapshot}")
        for name in transaction.scans:
            if self.table(name).last_write > transaction.snapshot:
                raise Conflict(f"table {name} was written after {transaction.snapshot}")
