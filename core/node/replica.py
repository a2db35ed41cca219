"""A copy of the executor's committed state, fed by it: a reader applies what was written and never runs a command.

First comes the state at the executor's horizon, then every committed entry since, so that the older states which
queries may ask for are here as well. Invariant: `applied` names a committed state that is here as a whole; whatever
would leave a gap raises InvariantBroken, since a wrong answer is worse than none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, assert_never

from core.adapter.block_builder import indexed_tables, settle
from core.adapter.interface import Adapter, ScopedTransaction
from core.errors import InvariantBroken, MalformedMessage
from core.governance.constitution import Constitution
from core.kv.store import Store
from core.kv.write_set import WriteSet
from core.ledger.snapshot_format import Row
from core.node.reader_messages import FeedBegin, FeedEntries, FeedRows
from core.types import Seqno

LoadAdapters = Callable[[Mapping[str, Mapping[str, Any]], str], Mapping[str, Adapter]]


class Replica:
    """See the module. applied: 0 until the copy is complete. clock: Unix seconds."""

    def __init__(self, load: LoadAdapters, clock: Callable[[], float], log: Callable[[str], None]) -> None:
        self._load = load
        self._clock = clock
        self._log = log
        self._time_s = 0
        self.store = Store()
        self.adapters: Mapping[str, Adapter] = {}
        self.session = b""
        self.applied = Seqno(0)

    def now_s(self) -> int:
        """The current time in whole seconds, never before that of a block applied."""
        return max(self._time_s, int(self._clock()))

    def take(self, message: FeedBegin | FeedRows | FeedEntries) -> None:
        """Apply one message of the feed. Raises InvariantBroken, CocoError for adapters that cannot be made."""
        if isinstance(message, FeedBegin) == bool(self.session):
            raise InvariantBroken(f"the executor's feed has a {type(message).__name__} out of turn")
        match message:
            case FeedBegin():
                self._begin(message)
            case FeedRows(table, rows):
                self._load_rows(table, rows)
            case FeedEntries():
                self._apply(message)
            case _:
                assert_never(message)

    def _begin(self, message: FeedBegin) -> None:
        if not message.session:
            raise InvariantBroken("the executor's feed has no session")
        constitution = Constitution.decode(message.constitution)
        self.adapters = self._load(constitution.adapters, constitution.network)
        self.store.advance(Seqno(message.horizon))
        self.store.compact(Seqno(message.horizon))
        self.store.index(indexed_tables(self.adapters.values()))
        self.session = message.session

    def _load_rows(self, table: str, rows: Sequence[Row]) -> None:
        by_key = {key: (version, value) for key, version, value in rows}
        if len(by_key) != len(rows):
            raise InvariantBroken(f"the feed has a row of {table} twice")
        self.store.load(table, by_key)

    def _apply(self, message: FeedEntries) -> None:
        if message.after != self.store.head or message.last < self.store.head:
            raise InvariantBroken(f"the feed goes on after {message.after}, the replica is at {self.store.head}")
        for entry in message.entries:
            try:
                writes = WriteSet.decode(entry.public, entry.private)
            except MalformedMessage as error:
                raise InvariantBroken(f"the feed holds a malformed entry {entry.seqno}: {error.message}") from None
            self.store.apply(Seqno(entry.seqno), writes)
        self.store.advance(Seqno(message.last))
        self._time_s = max(self._time_s, message.time_s)
        if message.is_current:
            if not self.applied:
                for name, adapter in self.adapters.items():
                    adapter.reset(ScopedTransaction(self.store.begin(), name))
            self.applied = Seqno(message.last)
            self._settle()
        elif self.applied:
            raise InvariantBroken("the feed fell back to older entries")

    def _settle(self) -> None:
        try:
            settle(self.store, self.adapters, self.applied)
        except InvariantBroken:
            raise
        except Exception as error:  # noqa: BLE001 - the node loop: adapters are other people's code
            self._log(f"an adapter failed to take note of a commit ({type(error).__name__})")
