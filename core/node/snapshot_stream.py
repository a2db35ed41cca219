"""The executor's part of a snapshot: it sends its manager the adapters' tables as of one seqno, between commands.

Reading goes in slices of bounded size, and a slice is sent only when the manager has room, so commands wait for one
slice at most. The state stays readable because its seqno is pinned meanwhile. A table is walked twice, since its length
stands before its rows. The system's tables are left out: the manager has its own, and takes nobody's word for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence

from core import limits
from core.errors import InvariantBroken
from core.kv.store import Store, Table
from core.kv.write_set import PUBLIC_PREFIX
from core.ledger.snapshot_format import Row, encode_rows, row_bytes
from core.node.messages import (
    TO_MANAGER,
    SnapshotBegin,
    SnapshotEnd,
    SnapshotMore,
    SnapshotRows,
    SnapshotTable,
    SnapshotWritten,
)
from core.node.system_tables import is_system_table
from core.ports import Transport
from core.types import Seqno

_KEYS_PER_SLICE = limits.FEED_ROWS_MAX


class SnapshotStream:
    """See the module. wake: called when there is something for the executor to propose. `run` beside its work."""

    def __init__(self, manager: Transport, wake: Callable[[], None]) -> None:
        self._manager = manager
        self._wake = wake
        self._store: Store | None = None
        self._seqno: Seqno | None = None
        self._begun = asyncio.Event()
        self._room = asyncio.Semaphore(0)
        self.slices = 0
        """Sent or walked so far, of all snapshots."""
        self.owes_evidence = False

    @property
    def pinned(self) -> list[Seqno]:
        """The seqno whose state is being sent, if any."""
        return [] if self._seqno is None else [self._seqno]

    def open(self, store: Store) -> None:
        """Say what is to be sent from."""
        self._store = store

    def take(self, message: SnapshotBegin | SnapshotMore | SnapshotWritten) -> None:
        """Take what the manager says; raises InvariantBroken for what is out of turn."""
        match message:
            case SnapshotBegin(seqno):
                store = self._store
                if self._seqno is not None or self.owes_evidence or store is None:
                    raise InvariantBroken("the manager began a snapshot during another one")
                if not store.horizon <= seqno <= store.head:
                    raise InvariantBroken(f"the manager began a snapshot at {seqno}, whose state is not kept")
                self._seqno = Seqno(seqno)
                self._room = asyncio.Semaphore(0)
                self._begun.set()
            case SnapshotMore(slices):
                for _ in range(min(slices, limits.SNAPSHOT_SLICES_IN_FLIGHT_MAX)):
                    self._room.release()
            case SnapshotWritten():
                if self._seqno is not None or self.owes_evidence:
                    raise InvariantBroken("the manager speaks of a snapshot that was not sent")
                self.owes_evidence = True
                self._wake()

    async def run(self) -> None:
        """Send what is asked for, until cancelled. Raises ChannelClosed."""
        while True:
            await self._begun.wait()
            self._begun.clear()
            if self._seqno is None or self._store is None:
                raise InvariantBroken("a snapshot began without a state")
            await self._send(self._store, self._seqno)
            seqno, self._seqno = self._seqno, None
            await self._manager.send(TO_MANAGER.encode(SnapshotEnd(seqno)))

    async def _send(self, store: Store, seqno: Seqno) -> None:
        names = [name for name in store.table_names() if not is_system_table(name)]
        names.sort(key=lambda name: not name.startswith(PUBLIC_PREFIX))
        for name in names:
            table = store.table(name)
            keys = list(table.current)
            size = 0
            for rows in _slices(table, keys, seqno):
                size += sum(row_bytes(key, value) for key, _, value in rows)
                self.slices += 1
                await asyncio.sleep(0)
            if not size:
                continue
            await self._put(SnapshotTable(name, size))
            for rows in _slices(table, keys, seqno):
                if rows:
                    await self._put(SnapshotRows(encode_rows(rows)))

    async def _put(self, message: SnapshotTable | SnapshotRows) -> None:
        await self._room.acquire()
        await self._manager.send(TO_MANAGER.encode(message))
        self.slices += 1
        await asyncio.sleep(0)


def _slices(table: Table, keys: Sequence[bytes], seqno: Seqno) -> Iterator[list[Row]]:
    """Yield the rows as of a seqno, some at a time; an empty slice where there are none among so many keys."""
    rows: list[Row] = []
    walked = size_bytes = 0
    for key in keys:
        version, value = table.read(key, seqno)
        walked += 1
        if value is not None:
            rows.append((key, version, value))
            size_bytes += len(key) + len(value)
        if walked >= _KEYS_PER_SLICE or size_bytes >= limits.FEED_BATCH_BYTES_MAX:
            yield rows
            rows, walked, size_bytes = [], 0, 0
    if rows:
        yield rows
