"""Writes blocks to the ledger files in the order in which consensus hands them out, beside everything else.

One disk write carries all that has been handed out since the last one. A block that conflicts with another leader's is
cut off again, always at the beginning of a block. A chunk is closed only when all of it is committed: one that is full
has the writing wait for that, unless the leader's term is over, in which what is on disk may never be committed.

Invariant: what is in `_written` stands on disk, in the open chunk, and is not applied.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from core.errors import InvariantBroken
from core.ledger.files import LedgerWriter
from core.ledger.history import LedgerHistory
from core.node.replication.blocks import LogBlock, SealedBlock
from core.types import Seqno, View


@dataclass(frozen=True, slots=True)
class Write:
    """What one Ready asks of the disk. cut_from: the index from which on what was written is cut off first.

    done: called once it is on disk. seal_keys: whether the node's keys have to be sealed anew before.
    """

    blocks: Sequence[LogBlock]
    cut_from: int | None
    seal_keys: bool
    done: Callable[[], None]


@dataclass(frozen=True, slots=True)
class _Written:
    index: int
    term: View
    last: Seqno
    chunk: Seqno
    offset: int
    end: int


class DiskLog:
    """See the module. term: the engine's, as it is now. seal_keys: seals the node's keys; returns once on disk."""

    def __init__(
        self,
        writer: LedgerWriter,
        history: LedgerHistory,
        *,
        term: Callable[[], View],
        seal_keys: Callable[[], Awaitable[None]],
        committed_end: tuple[Seqno, int] | None,
    ) -> None:
        self._writer = writer
        self._history = history
        self._term = term
        self._seal_keys = seal_keys
        self._queue: deque[Write] = deque()
        self._written: deque[_Written] = deque()
        self._something = asyncio.Event()
        self._busy = asyncio.Lock()
        self.committed_end = committed_end
        """Of the open chunk: its first seqno, and where what is committed of it ends; None when none is open."""

    @property
    def is_idle(self) -> bool:
        return not self._queue and not self._busy.locked()

    def put(self, write: Write) -> None:
        """Queue what one Ready asks for."""
        self._queue.append(write)
        self._something.set()

    def notice(self) -> None:
        """Say that something changed: the term, or what is committed."""
        self._something.set()

    async def seal_keys(self) -> None:
        """Seal the node's keys as they are now."""
        await self._seal_keys()

    def commit(self, block: LogBlock) -> tuple[Seqno, int]:
        """Take note that a block, which is on disk, is committed: it belongs to the history.

        Returns where it ends: its chunk's first seqno, and the offset.
        """
        written = self._written.popleft() if self._written else None
        if block.block is None or written is None or written.index != block.index:
            raise InvariantBroken(f"entry {block.index} is committed, but is not the next on disk")
        offset = written.offset
        for leaf, size_bytes in block.block.leaves:
            self._history.add(leaf, written.chunk, offset, size_bytes)
            offset += size_bytes
        self.committed_end = (written.chunk, written.end)
        self.notice()
        return self.committed_end

    async def run(self) -> None:
        """Write until cancelled. Raises StorageFailed."""
        while True:
            await self._something.wait()
            self._something.clear()
            while self._queue:
                if self._must_wait():
                    break
                await self._write(self._take_batch())
            await self._close_if_full()

    async def drop_uncommitted(self) -> None:
        """Cut off everything that is written and not committed. Nothing may be queued."""
        async with self._busy:
            if self._queue:
                raise InvariantBroken("blocks are queued for the disk while it is cut")
            if self._written:
                await self._cut(self._written[0].index)

    async def append_committed(self, block: SealedBlock) -> tuple[Seqno, int]:
        """Write a block that others have committed, after `drop_uncommitted`, and take it into the history.

        Returns where it ends, as `commit`.
        """
        async with self._busy:
            if self._queue or self._written:
                raise InvariantBroken("a committed block is to be written after some that are not")
            chunk, offset = await self._writer.append(block.data, block.first)
            for leaf, size_bytes in block.leaves:
                self._history.add(leaf, chunk, offset, size_bytes)
                offset += size_bytes
            self.committed_end = (chunk, offset)
            await self._close_if_full()
            return chunk, offset

    def _take_batch(self) -> list[Write]:
        """Take what can be written at once: a cut begins a batch, and so does another term when a chunk is full."""
        batch = [self._queue.popleft()]
        while self._queue and self._queue[0].cut_from is None:
            batch.append(self._queue.popleft())
        return batch

    def _must_wait(self) -> bool:
        """Whether the next write waits for what is written to be committed, so that the chunk can be closed."""
        if not self._writer.is_full or not self._written or self._queue[0].cut_from is not None:
            return False
        term = self._written[-1].term
        queued = [block.term for write in self._queue for block in write.blocks]
        return self._term() == term and all(one == term for one in queued)

    async def _write(self, batch: Sequence[Write]) -> None:
        async with self._busy:
            if batch[0].cut_from is not None:
                await self._cut(batch[0].cut_from)
            if any(write.seal_keys for write in batch):
                await self._seal_keys()
            await self._close_if_full()
            await self._append([block for write in batch for block in write.blocks])
        for write in batch:
            write.done()

    async def _append(self, blocks: Sequence[LogBlock]) -> None:
        with_data = [(block, block.block) for block in blocks if block.block is not None]
        if not with_data:
            return
        data = b"".join([block.data for _, block in with_data])
        chunk, offset = await self._writer.append(data, with_data[0][1].first)
        for log_block, block in with_data:
            end = offset + len(block.data)
            self._written.append(_Written(log_block.index, log_block.term, block.last, chunk, offset, end))
            offset = end

    async def _cut(self, index: int) -> None:
        removed = None
        while self._written and self._written[-1].index >= index:
            removed = self._written.pop()
        if removed is not None:
            await self._writer.truncate(removed.chunk, removed.offset)

    async def _close_if_full(self) -> None:
        if not self._writer.is_full or self._written or self.committed_end is None:
            return
        async with self._history.lock:
            await self._writer.close_chunk(self._history.newest_seqno)
            self._history.close_chunk()
        self.committed_end = None
