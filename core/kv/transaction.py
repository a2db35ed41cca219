"""A transaction over the store: what it reads is recorded, what it writes is kept aside until commit.

`checkpoint` and `revert` nest, so that an adapter can undo part of a transaction (a reverted call, an item of a batch).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from core import limits
from core.errors import LimitExceeded
from core.kv.write_set import WriteSet
from core.types import Seqno

if TYPE_CHECKING:
    from core.kv.store import Store, Table


class _Unwritten:
    """Marks, in the undo log, that a key had no pending write."""


_UNWRITTEN = _Unwritten()


class TableHandle:
    """One table as one transaction sees it.

    It holds parts of the transaction and not the transaction, which holds it: as a cycle, each one would be left to
    Python's garbage collector, which took a fifth of the executor's time.
    """

    __slots__ = ("_name", "_pending", "_reads", "_scans", "_snapshot", "_table", "_undo_log")

    def __init__(self, transaction: Transaction, name: str, table: Table) -> None:
        self._undo_log = transaction.undo_log
        self._scans = transaction.scans
        self._name = name
        self._table = table
        self._snapshot = transaction.snapshot
        self._reads = transaction.reads
        self._pending: dict[bytes, bytes | None] = {}

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key, None when absent."""
        pending = self._pending
        if key in pending:
            return pending[key]
        version, value = self._table.read(key, self._snapshot)
        self._reads[(self._name, key)] = version
        return value

    def version(self, key: bytes) -> Seqno:
        """Return the seqno of the ledger entry that last wrote a key, in what is committed to the snapshot; 0: none."""
        version, value = self._table.read(key, self._snapshot)
        return Seqno(0 if value is None else version)

    def has(self, key: bytes) -> bool:
        return self.get(key) is not None

    def put(self, key: bytes, value: bytes) -> None:
        """Write; raises LimitExceeded for a key or value over its bound."""
        if len(key) > limits.KEY_BYTES_MAX or len(value) > limits.VALUE_BYTES_MAX:
            raise LimitExceeded(f"key of {len(key)} or value of {len(value)} bytes is over the bound in {self._name}")
        self._write(key, value)

    def delete(self, key: bytes) -> None:
        """Delete; nothing happens when the key is absent."""
        if self.get(key) is not None:
            self._write(key, None)

    def keys(self, prefix: bytes = b"") -> Iterator[bytes]:
        """Yield the keys that start with prefix, in byte order. A late commit validates the whole table."""
        self._scans.add(self._name)
        found = {
            key
            for key in self._table.candidates(prefix)
            if key.startswith(prefix) and self._table.read(key, self._snapshot)[1] is not None
        }
        for key, value in self._pending.items():
            if key.startswith(prefix):
                (found.discard if value is None else found.add)(key)
        return iter(sorted(found))

    def _write(self, key: bytes, value: bytes | None) -> None:
        pending = self._pending
        self._undo_log.append((pending, key, pending.get(key, _UNWRITTEN)))
        pending[key] = value

    def pending(self) -> dict[bytes, bytes | None]:
        return self._pending


class Transaction:
    """Reads a snapshot of the store and gathers writes. Made by Store.begin."""

    def __init__(self, store: Store, snapshot: Seqno) -> None:
        self._store = store
        self.snapshot = snapshot
        self.rollbacks = store.rollbacks
        self.reads: dict[tuple[str, bytes], int] = {}
        self.scans: set[str] = set()
        self.undo_log: list[tuple[dict[bytes, bytes | None], bytes, bytes | _Unwritten | None]] = []
        self._handles: dict[str, TableHandle] = {}

    def table(self, name: str) -> TableHandle:
        """Return a table's handle. Names that start with "public:" are written to the ledger in the clear."""
        handle = self._handles.get(name)
        if handle is None:
            if len(name) * 4 > limits.TABLE_NAME_BYTES_MAX and len(name.encode()) > limits.TABLE_NAME_BYTES_MAX:
                raise LimitExceeded(f"table name of {len(name)} characters")
            handle = self._handles[name] = TableHandle(self, name, self._store.table(name))
        return handle

    def checkpoint(self) -> int:
        """Return a mark that `revert` goes back to. Marks nest."""
        return len(self.undo_log)

    def revert(self, mark: int) -> None:
        """Undo every write made since the mark."""
        while len(self.undo_log) > mark:
            pending, key, before = self.undo_log.pop()
            if isinstance(before, _Unwritten):
                del pending[key]
            else:
                pending[key] = before

    def take_write_set(self) -> WriteSet:
        """Return what was written; tables and keys in byte order, so that it encodes the same everywhere."""
        return WriteSet(
            {
                name: dict(sorted(handle.pending().items()))
                for name, handle in sorted(self._handles.items())
                if handle.pending()
            }
        )
