"""How an executor starts: the manager gives it a snapshot's state, if there is one, and replays what came after."""

from __future__ import annotations

from collections.abc import Sequence

from core import limits
from core.errors import InvariantBroken, MalformedMessage
from core.kv.store import Store
from core.kv.write_set import WriteSet
from core.ledger.snapshot_format import cut_rows
from core.node.messages import FROM_MANAGER, Ready, Replay, ReplayedEntry, StateBegin, StateRows
from core.ports import Transport
from core.types import Seqno

_COMPACT_EVERY_ENTRIES = 1_000


async def replay(manager: Transport) -> tuple[Store, Ready]:
    """Return the store as of the last committed entry, with the manager's Ready.

    Older states are kept for the last REPLAY_HISTORY_ENTRIES_MAX entries, none from before a snapshot. Raises
    InvariantBroken for a manager that says anything else, or replays entries out of order.
    """
    loading = Loading(Seqno(0))
    while True:
        message = FROM_MANAGER.decode(await manager.receive())
        match message:
            case StateBegin(seqno):
                loading = Loading(Seqno(seqno))
            case StateRows(table, data):
                loading.add(table, data)
            case Replay(entries):
                _apply(loading.store, entries)
            case Ready():
                loading.finish()
                loading.store.advance(Seqno(message.last_seqno))
                return loading.store, message
            case _:
                raise InvariantBroken(f"the manager sent {type(message).__name__} before Ready")


class Loading:
    """A store that takes the rows of a snapshot, which come in parts cut anywhere."""

    def __init__(self, seqno: Seqno) -> None:
        self.store = Store()
        self.store.advance(seqno)
        self.store.compact(seqno)
        self._table = ""
        self._rest = b""

    def add(self, table: str, data: bytes) -> None:
        if table != self._table:
            self.finish()
            self._table = table
        data = self._rest + data
        try:
            rows, end = cut_rows(data)
        except MalformedMessage as error:
            raise InvariantBroken(f"the manager gave misshapen rows of {table}: {error.message}") from error
        self.store.load(table, rows)
        self._rest = data[end:]

    def finish(self) -> None:
        if self._rest:
            raise InvariantBroken(f"the rows of {self._table} end within one")


def _apply(store: Store, entries: Sequence[ReplayedEntry]) -> None:
    for entry in entries:
        try:
            store.apply(Seqno(entry.seqno), WriteSet.decode(entry.public, entry.private))
        except MalformedMessage as error:
            raise InvariantBroken(f"the manager replayed a malformed entry {entry.seqno}: {error}") from error
    _forget_old_states(store)


def _forget_old_states(store: Store) -> None:
    horizon = store.head - limits.REPLAY_HISTORY_ENTRIES_MAX
    if horizon >= store.horizon + _COMPACT_EVERY_ENTRIES:
        store.compact(Seqno(horizon))
