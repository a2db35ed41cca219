"""The system's tables as the manager itself keeps them, with the version of each row. For snapshots.

They are few and small beside the adapters'; the executor has them too, but a snapshot takes nothing of the system's
from a worker. Signature entries, which write tables as well, are left out: a start from a snapshot needs none of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from core.kv.store import Store
from core.kv.write_set import PUBLIC_PREFIX, WriteSet, decode_domain, table_names
from core.ledger.snapshot_format import Row, Rows
from core.types import Seqno

_PREFIXES = (f"{PUBLIC_PREFIX}ccf.", f"{PUBLIC_PREFIX}coco.")


def is_system_table(name: str) -> bool:
    """Say whether only the manager writes this table."""
    return name.startswith(_PREFIXES)


class SystemTables:
    """See the module."""

    def __init__(self) -> None:
        self._store = Store()

    def note(self, seqno: Seqno, public: bytes) -> None:
        """Take what an entry writes; raises MalformedMessage."""
        if any(is_system_table(name) for name in table_names(public)):
            self._store.apply(seqno, WriteSet(decode_domain(public)))

    def load(self, seqno: Seqno, tables: Mapping[str, Rows]) -> None:
        """Begin with the state at a seqno, of a snapshot; raises InvariantBroken when there is one already."""
        self._store.advance(seqno)
        self._store.compact(seqno)
        for name, rows in tables.items():
            self._store.load(name, rows)

    def forget_before(self, seqno: Seqno) -> None:
        """Say that the states before a seqno, which is committed, are not asked for any more."""
        self._store.compact(min(seqno, self._store.head))

    def rows_at(self, seqno: Seqno) -> Iterator[tuple[str, list[Row]]]:
        """Yield the tables as of a seqno that was not said to be forgotten."""
        for name in self._store.table_names():
            table = self._store.table(name)
            rows = []
            for key in table.current:
                version, value = table.read(key, seqno)
                if value is not None:
                    rows.append((key, version, value))
            if rows:
                yield name, rows
