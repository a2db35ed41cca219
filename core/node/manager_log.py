"""Drives the consensus engine and the ledger files: what is proposed, persisted and committed.

One disk write carries every block proposed since the last one. Invariant: a block is reported as committed only after
the disk write of it has returned, that is after fdatasync.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from core.consensus.engine import ConsensusEngine, LogEntry
from core.errors import InvariantBroken
from core.ledger.files import LedgerWriter
from core.ledger.history import LedgerHistory
from core.node.manager_blocks import SealedBlock
from core.types import Seqno

Committed = Callable[[SealedBlock], Awaitable[None]]


class BlockLog:
    """Blocks on their way to the disk, oldest first. committed: told of each block, in order, as it commits.

    history: takes what is committed, before anybody is told.
    """

    def __init__(
        self, engine: ConsensusEngine, writer: LedgerWriter, history: LedgerHistory, committed: Committed
    ) -> None:
        self._engine = engine
        self._writer = writer
        self._history = history
        self._committed = committed
        self._places: dict[int, tuple[Seqno, int]] = {}
        """Of blocks on disk, by the engine's index: the chunk's first seqno, and the offset."""
        self._in_flight: deque[tuple[int, SealedBlock]] = deque()
        self._persisted = 0

    def propose(self, block: SealedBlock) -> None:
        """Hand a block to the engine."""
        self._in_flight.append((self._engine.propose(block.data), block))

    def has_work(self) -> bool:
        return self._engine.has_ready()

    async def carry_out(self) -> None:
        """Do all that the engine asks for, until it asks for nothing. Raises StorageFailed."""
        while self._engine.has_ready():
            ready = self._engine.ready()
            # What is on disk commits first, so that no answer waits for the write of a later block.
            await self._commit(ready.committed)
            await self._persist(ready.entries)
            self._engine.advance()

    async def _commit(self, entries: Sequence[LogEntry]) -> None:
        block = None
        for entry in entries:
            index, block = self._in_flight.popleft()
            if index != entry.index or index > self._persisted:
                raise InvariantBroken(f"the engine committed entry {entry.index}, which is not the next on disk")
            self._record(block, *self._places.pop(index))
            await self._committed(block)
        if block is not None and entries[-1].index == self._persisted:
            # The file ends with what is committed, at a signature: a chunk may end here.
            async with self._history.lock:
                if await self._writer.close_chunk_if_full(block.last):
                    self._history.close_chunk()

    def _record(self, block: SealedBlock, chunk: Seqno, offset: int) -> None:
        for leaf, size_bytes in block.leaves:
            self._history.add(leaf, chunk, offset, size_bytes)
            offset += size_bytes

    async def _persist(self, entries: Sequence[LogEntry]) -> None:
        if not entries:
            return
        first = next(block.first for index, block in self._in_flight if index == entries[0].index)
        chunk, offset = await self._writer.append(b"".join(entry.data for entry in entries), first)
        for entry in entries:
            self._places[entry.index] = (chunk, offset)
            offset += len(entry.data)
        self._persisted = entries[-1].index
