"""The executor's side of its readers: copies the committed state to each, then passes every committed block on.

Copying goes in small steps between commands: the state at the horizon, table by table, which stays readable because
the horizon is pinned meanwhile; then the writes since, out of the store's own history; then blocks as they commit. A
reader that does not keep up is given up, since nothing may hold up the executor or grow without bound.

Invariant: a reader gets every committed entry once, in order, and nothing that is not committed.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from core import limits
from core.errors import AuthenticationFailed, ChannelClosed, InvariantBroken, LimitExceeded
from core.kv.store import Store
from core.kv.write_set import WriteSet
from core.node.messages import ReplayedEntry
from core.node.reader_messages import TO_READER, FeedBegin, FeedEntries, FeedRows
from core.ports import Transport
from core.types import Seqno


class _TooSlow(Exception):
    """The reader takes less than what is committed."""


@dataclass(frozen=True, slots=True)
class FeedSource:
    """What the feeds copy. committed, now_s: the newest committed seqno and the time in Unix seconds, as of a call."""

    store: Store
    constitution: bytes
    committed: Callable[[], Seqno]
    now_s: Callable[[], int]


class ReaderFeeds:
    """See the module. Readers may be attached at any time; their feeds begin with `open`."""

    def __init__(
        self,
        log: Callable[[str], None],
        *,
        tail_bytes_max: int = limits.OUTBOX_BYTES_MAX,
        seconds_max: float = limits.FEED_SECONDS_MAX,
    ) -> None:
        self._log = log
        self._tail_bytes_max = tail_bytes_max
        self._seconds_max = seconds_max
        self._source: FeedSource | None = None
        self._opened = asyncio.Event()
        self._feeds: dict[_Feed, asyncio.Task[None]] = {}
        self._broken = asyncio.Event()
        self._error: BaseException | None = None
        self.session = secrets.token_bytes(32)

    def __len__(self) -> int:
        return len(self._feeds)

    @property
    def pinned(self) -> list[Seqno]:
        """The sequence numbers whose states are being copied."""
        return [feed.horizon for feed in self._feeds if feed.horizon is not None]

    def attach(self, transport: Transport) -> None:
        """Feed one more reader. Its end closes the transport; one too many is refused by closing it."""
        feed = _Feed(transport, self._tail_bytes_max, self._seconds_max)
        task = asyncio.create_task(self._serve(feed, len(self._feeds) < 2 * limits.READERS_MAX))
        self._feeds[feed] = task
        task.add_done_callback(lambda task: self._ended(feed, task))

    def open(self, source: FeedSource) -> None:
        """Begin to copy."""
        self._source = source
        self._opened.set()

    def block(self, entries: Sequence[ReplayedEntry], after: Seqno, last: Seqno, time_s: int) -> None:
        """Pass on a block that has been committed just now."""
        if not any(feed.is_copied for feed in self._feeds):
            return
        message = TO_READER.encode(FeedEntries(after, tuple(entries), last, True, time_s))
        for feed in self._feeds:
            feed.block(message)

    async def run(self) -> None:
        """Wait; raises what broke in a feed beside the loss of its reader. Ends all feeds when cancelled."""
        try:
            await self._broken.wait()
        finally:
            tasks = list(self._feeds.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if self._error is not None:
            raise self._error

    async def _serve(self, feed: _Feed, has_room: bool) -> None:
        work: list[asyncio.Task[None]] = []
        try:
            if not has_room:
                raise LimitExceeded("too many readers")
            await self._opened.wait()
            if self._source is None:
                raise InvariantBroken("feeds were opened without a source")
            work = [asyncio.create_task(feed.send(self._source, self.session)), asyncio.create_task(feed.watch())]
            await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            for task in work:
                if task.done():
                    task.result()
        except (ChannelClosed, AuthenticationFailed, LimitExceeded) as error:
            self._log(f"a reader is gone: {error.message}")
        except (TimeoutError, _TooSlow):
            self._log("a reader that did not keep up was given up")
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            await feed.close()

    def _ended(self, feed: _Feed, task: asyncio.Task[None]) -> None:
        del self._feeds[feed]
        if not task.cancelled() and task.exception() is not None:
            self._error = task.exception()
            self._broken.set()


class _Feed:
    """One reader's. horizon: pinned while the copy needs it. is_copied: blocks are passed on from then."""

    def __init__(self, transport: Transport, tail_bytes_max: int, seconds_max: float) -> None:
        self._transport = transport
        self._tail: deque[bytes] = deque()
        self._tail_bytes = 0
        self._tail_bytes_max = tail_bytes_max
        self._seconds_max = seconds_max
        self._something = asyncio.Event()
        self._is_too_slow = False
        self.horizon: Seqno | None = None
        self.is_copied = False

    def block(self, message: bytes) -> None:
        """Queue a block for the reader; while the state is still being copied, the store's history holds it."""
        if not self.is_copied or self._is_too_slow:
            return
        self._tail.append(message)
        self._tail_bytes += len(message)
        if self._tail_bytes > self._tail_bytes_max:
            self._is_too_slow = True
            self._tail.clear()
        self._something.set()

    async def watch(self) -> None:
        """Notice the reader's end (ChannelClosed). It has nothing to say."""
        while True:
            await self._transport.receive()
            raise LimitExceeded("it sent something")

    async def send(self, source: FeedSource, session: bytes) -> None:
        """Copy, then pass blocks on, until the reader is gone (ChannelClosed) or too slow."""
        self.horizon = horizon = source.store.horizon
        await self._send(FeedBegin(source.constitution, session, horizon))
        for name in source.store.table_names():
            await self._copy_table(source.store, name, horizon)
        await self._copy_changes(source, horizon)
        self.horizon = None
        while True:
            await self._something.wait()
            self._something.clear()
            while self._tail:
                message = self._tail.popleft()
                self._tail_bytes -= len(message)
                await self._put(message)
            if self._is_too_slow:
                raise _TooSlow

    async def close(self) -> None:
        self.horizon = None
        self.is_copied = False
        await self._transport.close()

    async def _copy_table(self, store: Store, name: str, horizon: Seqno) -> None:
        table = store.table(name)
        keys = list(table.current)
        position = 0
        while position < len(keys):
            rows: list[tuple[bytes, int, bytes]] = []
            size_bytes = 0
            while (
                position < len(keys) and len(rows) < limits.FEED_ROWS_MAX and size_bytes < limits.FEED_BATCH_BYTES_MAX
            ):
                key = keys[position]
                version, value = table.read(key, horizon)
                if value is not None:
                    rows.append((key, version, value))
                    size_bytes += len(key) + len(value)
                position += 1
            await self._send(FeedRows(name, tuple(rows)))

    async def _copy_changes(self, source: FeedSource, horizon: Seqno) -> None:
        """Send the writes after the horizon. Once the rest is one step, blocks go to the tail: no gap, and an end."""
        position, head = 0, horizon
        while not self.is_copied:
            committed = source.committed()
            changes = source.store.changes(position, limits.FEED_ROWS_MAX, committed)
            self.is_copied = len(changes) < limits.FEED_ROWS_MAX
            position += len(changes)
            for entries in _batches(source.store, changes):
                last = Seqno(entries[-1].seqno)
                await self._send(FeedEntries(head, entries, last, False, source.now_s()))
                head = last
        await self._send(FeedEntries(head, (), committed, True, source.now_s()))

    async def _send(self, message: FeedBegin | FeedRows | FeedEntries) -> None:
        await self._put(TO_READER.encode(message))
        await asyncio.sleep(0)

    async def _put(self, message: bytes) -> None:
        async with asyncio.timeout(self._seconds_max):
            await self._transport.send(message)


def _batches(store: Store, changes: Sequence[tuple[int, str, bytes]]) -> Iterator[tuple[ReplayedEntry, ...]]:
    """Put committed writes together as entries again; yields some of them at a time."""
    batch: list[ReplayedEntry] = []
    size_bytes = 0
    for seqno, group in groupby(changes, key=lambda change: change[0]):
        writes = WriteSet()
        for _, name, key in group:
            writes.tables.setdefault(name, {})[key] = store.table(name).read(key, seqno)[1]
        public, private = writes.encode()
        batch.append(ReplayedEntry(seqno, public, private))
        size_bytes += len(public) + len(private)
        if size_bytes >= limits.FEED_BATCH_BYTES_MAX:
            yield tuple(batch)
            batch, size_bytes = [], 0
    if batch:
        yield tuple(batch)
