"""How an executor starts: the manager replays the ledger's entries."""

from __future__ import annotations

from core import limits
from core.errors import InvariantBroken, MalformedMessage
from core.kv.store import Store
from core.kv.write_set import WriteSet
from core.node.messages import FROM_MANAGER, Ready, Replay
from core.ports import Transport
from core.types import Seqno

_COMPACT_EVERY_ENTRIES = 1_000


async def replay(manager: Transport) -> tuple[Store, Ready]:
    """Return the store as of the last committed entry, with the manager's Ready.

    Older states are kept for the last REPLAY_HISTORY_ENTRIES_MAX entries. Raises InvariantBroken for a manager that
    says anything else, or replays entries out of order.
    """
    store = Store()
    while True:
        message = FROM_MANAGER.decode(await manager.receive())
        if isinstance(message, Ready):
            store.advance(Seqno(message.last_seqno))
            return store, message
        if not isinstance(message, Replay):
            raise InvariantBroken(f"the manager sent {type(message).__name__} before Ready")
        for entry in message.entries:
            try:
                store.apply(Seqno(entry.seqno), WriteSet.decode(entry.public, entry.private))
            except MalformedMessage as error:
                raise InvariantBroken(f"the manager replayed a malformed entry {entry.seqno}: {error}") from error
        _forget_old_states(store)


def _forget_old_states(store: Store) -> None:
    horizon = store.head - limits.REPLAY_HISTORY_ENTRIES_MAX
    if horizon >= store.horizon + _COMPACT_EVERY_ENTRIES:
        store.compact(Seqno(horizon))
