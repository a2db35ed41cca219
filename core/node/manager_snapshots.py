"""Writes snapshots, in the manager, while the node goes on. docs/snapshots.md.

A snapshot is begun when a signature is committed and enough entries have been since the last one, or when somebody
asked for one. The executor sends the adapters' tables in slices, as fast as they are written here; the system's are the
manager's own. Then the executor proposes the entry with the evidence, which is filled in here; once that is committed,
its receipt is added and the file gets its name. One at a time; whatever is on the way at a stop is written anew later.

Invariants: a seqno's snapshot is begun once by a node, so its key sees its nonce once. Nothing of a worker gets into
the system's tables.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import assert_never

from core import limits
from core.errors import ChannelClosed, InvariantBroken, LedgerDamaged, MalformedMessage
from core.kv.write_set import PUBLIC_PREFIX, encode_domain
from core.ledger.secrets import Keyring
from core.ledger.snapshot_evidence import SnapshotEvidence
from core.ledger.snapshot_format import SnapshotPoint, cut_rows, encode_rows, row_bytes
from core.ledger.snapshot_reader import list_snapshots
from core.ledger.snapshot_writer import SnapshotWriter, WrittenSnapshot
from core.ledger.state_digest import StateDigest
from core.node.manager_blocks import SealedBlock
from core.node.manager_older import LedgerStatus
from core.node.messages import (
    FROM_MANAGER,
    SnapshotBegin,
    SnapshotEnd,
    SnapshotMore,
    SnapshotRows,
    SnapshotTable,
    SnapshotWritten,
)
from core.node.system_tables import SystemTables, is_system_table
from core.ports import Disk, Transport
from core.types import Digest, Seqno, View

Part = SnapshotTable | SnapshotRows | SnapshotEnd
ReceiptOf = Callable[[Seqno], Awaitable[bytes]]
"""Makes the receipt (JSON) of a committed entry."""


@dataclass(frozen=True, slots=True)
class SnapshotSettings:
    """entries: from one snapshot to the next; 0: none, save those that are asked for."""

    entries: int
    keyring: Keyring
    views: tuple[tuple[View, Seqno], ...]
    last: Seqno
    """The newest snapshot that is there at the start; 0: none."""


class SnapshotKeeper:
    """See the module. receipt_of: see ReceiptOf; not called for an entry before it is committed."""

    def __init__(
        self,
        settings: SnapshotSettings,
        disk: Disk,
        executor: Transport,
        tables: SystemTables,
        receipt_of: ReceiptOf,
        status: LedgerStatus,
        log: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._disk = disk
        self._executor = executor
        self._tables = tables
        self._receipt_of = receipt_of
        self._status = status
        self._log = log
        self._parts: asyncio.Queue[Part] = asyncio.Queue(limits.SNAPSHOT_SLICES_IN_FLIGHT_MAX + 1)
        self._begun = Seqno(0)
        self._next_due = Seqno(settings.last + settings.entries)
        self._newest: SealedBlock | None = None
        self._asked = False
        self.turn = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._written: WrittenSnapshot | None = None
        self._state_digest = Digest(b"")
        self._committed: asyncio.Future[Seqno] | None = None
        self._evidence_at = Seqno(0)
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.last = settings.last
        self.listening = False
        """Whether the executor takes messages that it did not ask for. Nothing is begun before."""
        self.provable = False
        """Whether receipts can be made of every entry. Nothing is begun before."""

    async def request(self) -> None:
        """Begin a snapshot of the newest committed state, unless one is being written. Raises ChannelClosed."""
        async with self.turn:
            self._asked = self._task is None
            await self._begin_due()

    @property
    def is_writing(self) -> bool:
        return self._task is not None

    def began(self, block: SealedBlock) -> None:
        """Take note of the start block, which the executor knows to be committed from Ready."""
        self._newest = block

    async def committed(self, block: SealedBlock) -> None:
        """Take note of a block that was just announced to the executor as committed, and begin what is due.

        Both in the same `turn`, so that the executor still has the state when it is told to send it.
        """
        self._newest = block
        self._tables.forget_before(block.last)
        if self._committed is not None and block.first <= self._evidence_at <= block.last:
            self._committed.set_result(self._evidence_at)
            self._committed = None
        await self._begin_due()

    async def _begin_due(self) -> None:
        block = self._newest
        if (
            block is None
            or not (self.listening and self.provable)
            or self._task is not None
            or block.last <= self._begun
        ):
            return
        is_due = self._settings.entries and block.last >= self._next_due
        if not is_due and not self._asked:
            return
        self._asked = False
        self._begun = block.last
        self._next_due = Seqno(block.last + self._settings.entries)
        point = SnapshotPoint(block.last, block.view, block.frontier, self._settings.views)
        key = self._settings.keyring.snapshot_key(block.view, block.last)
        if key is None:
            raise InvariantBroken("the view has no key for snapshots")
        system = list(self._tables.rows_at(block.last))
        writer = SnapshotWriter(self._disk, key, point)
        self._task = asyncio.create_task(self._write(writer, point, system))
        self._task.add_done_callback(self._ended)
        await self._executor.send(FROM_MANAGER.encode(SnapshotBegin(block.last)))
        await self._executor.send(FROM_MANAGER.encode(SnapshotMore(limits.SNAPSHOT_SLICES_IN_FLIGHT_MAX)))

    def take(self, part: Part) -> None:
        """Take a part that the executor sends; raises InvariantBroken for one that was not asked for."""
        if self._task is None or self._written is not None:
            raise InvariantBroken("the worker sent part of a snapshot that nobody asked for")
        try:
            self._parts.put_nowait(part)
        except asyncio.QueueFull:
            raise InvariantBroken("the worker sent more of a snapshot than it was asked for") from None

    def evidence(self, seqno: Seqno) -> tuple[bytes, Digest]:
        """Return the public write set and the claims of the entry that is to be sealed as evidence, once.

        Raises InvariantBroken when there is nothing to be said of a snapshot.
        """
        if self._written is None or self._evidence_at:
            raise InvariantBroken("the worker proposed evidence of a snapshot that was not written")
        self._evidence_at = seqno
        evidence = SnapshotEvidence.make(self._written.digest, self._written.seqno, self._state_digest)
        return encode_domain(evidence.to_tables()), self._written.digest

    async def run(self) -> None:
        """Wait; raises what went wrong with a snapshot (StorageFailed, InvariantBroken). Ends it when cancelled."""
        try:
            await self._failed
        finally:
            if self._task is not None:
                self._task.cancel()
                await asyncio.gather(self._task, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._task = self._written = self._committed = None
        self._evidence_at = Seqno(0)
        if task.cancelled() or self._failed.done():
            return
        error = task.exception()
        if error is not None and not isinstance(error, ChannelClosed):
            self._failed.set_exception(error)

    async def _write(
        self, writer: SnapshotWriter, point: SnapshotPoint, system: list[tuple[str, list[tuple[bytes, int, bytes]]]]
    ) -> None:
        digest = StateDigest()
        for name, rows in system:
            await writer.add_table(name, sum(row_bytes(key, value) for key, _, value in rows), is_public=True)
            await writer.add_rows(encode_rows(rows))
            for key, version, value in rows:
                digest.add(name, key, version, value)
        await self._write_parts(writer, point.seqno, digest)
        slices = digest.slices()
        rows_written = digest.rows
        while True:
            try:
                next(slices)
            except StopIteration as done:
                self._state_digest = Digest(done.value)
                break
            await asyncio.sleep(0)
        spaced = max(self._settings.entries, rows_written // limits.SNAPSHOT_ROWS_PER_ENTRY_MAX)
        self._next_due = Seqno(point.seqno + spaced)
        written = await writer.finish()
        committed = self._committed = asyncio.get_running_loop().create_future()
        self._written = written
        await self._executor.send(FROM_MANAGER.encode(SnapshotWritten()))
        evidence = await committed
        try:
            receipt = await self._receipt_of(evidence)
        except LedgerDamaged as error:
            self._log(f"the snapshot at {point.seqno} is given up: {error.message}")
            return
        written_as = await writer.commit(evidence, receipt)
        self.last = point.seqno
        self._log(f"{written_as.file}: {rows_written} rows, {written.size_bytes} bytes")
        await self._forget_older()
        await self._status.tell(snapshot=point.seqno)

    async def _write_parts(self, writer: SnapshotWriter, seqno: Seqno, digest: StateDigest) -> None:
        """Write what the executor sends, and check it as far as that can be."""
        table = ""
        while True:
            part = await self._parts.get()
            match part:
                case SnapshotTable(name, rows_bytes):
                    if is_system_table(name) or not name:
                        raise InvariantBroken(f"the worker sent the table {name[:140]!r}, which is not its own")
                    table = name
                    await writer.add_table(name, rows_bytes, is_public=name.startswith(PUBLIC_PREFIX))
                case SnapshotRows(data):
                    _digest_rows(digest, table, data, seqno)
                    await writer.add_rows(data)
                case SnapshotEnd(at):
                    if at != seqno:
                        raise InvariantBroken(f"the worker sent the state at {at}, not at {seqno}")
                    return
                case _:
                    assert_never(part)
            await self._executor.send(FROM_MANAGER.encode(SnapshotMore(1)))

    async def _forget_older(self) -> None:
        """Keep the newest ones up to this one. What says that it is newer than that was not written here."""
        found = [name for name, _ in await list_snapshots(self._disk) if name.seqno <= self.last]
        for name in found[limits.SNAPSHOTS_KEPT :]:
            await self._disk.remove(name.file)


def _digest_rows(digest: StateDigest, table: str, data: bytes, seqno: Seqno) -> None:
    """Add rows to the state's digest; raises InvariantBroken for what is not whole rows of a state at this seqno."""
    try:
        rows, end = cut_rows(data)
    except MalformedMessage as error:
        raise InvariantBroken(f"the worker sent misshapen rows of {table[:140]!r}: {error.message}") from None
    if end != len(data) or not table:
        raise InvariantBroken(f"the worker sent misshapen rows of {table[:140]!r}")
    for key, (version, value) in rows.items():
        if not 0 < version <= seqno:
            raise InvariantBroken(f"the worker sent a row of version {version} in the state at {seqno}")
        digest.add(table, key, version, value)
