"""How a node that lacks what the leader's log no longer holds gets it: from the leader's files.

Everything is fetched before anything of it counts, so that a leader that is lost half-way does no harm. A node that
runs puts what it fetched aside (`catchup/entries`), then verifies and applies it, block by block, as it would have from
the log. One that joins fetches whole files into its own empty folders, and starts from them as from any disk.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from core import limits
from core.errors import CocoError, InvariantBroken, MalformedMessage, StorageFailed
from core.ledger.entry import HEADER_BYTES, framed_bytes, parse_entry
from core.ledger.files import CHUNK_HEADER_BYTES, FOLDER, Chunk
from core.ledger.snapshot_format import FOLDER as SNAPSHOT_FOLDER
from core.ledger.snapshot_format import SnapshotName
from core.node.peer_messages import CatchUp, CaughtUp, Fetched, FetchLedger, FetchSnapshot, LedgerPart, PeerNetwork
from core.node.replication.disk_log import DiskLog
from core.node.replication.driver import Driver
from core.node.replication.head import LedgerHead
from core.ports import Disk
from core.types import NodeId, Seqno, View

ASIDE_FOLDER = "catchup"
ASIDE = f"{ASIDE_FOLDER}/entries"
REQUEST_SECONDS_MAX = 10.0


class FetchFailed(CocoError):
    """The other node does not give what it said it has. It is asked again, or another one."""


class Fetcher:
    """Reads another node's files."""

    def __init__(self, peers: PeerNetwork, source: NodeId) -> None:
        self._peers = peers
        self._source = source

    async def ledger(self, first: int, offset: int, end: int) -> AsyncIterator[bytes]:
        """Yield bytes of the chunk that begins with entry `first`. Raises FetchFailed, PeerUnreachable."""
        while offset < end:
            size = min(end - offset, limits.FETCH_BYTES_MAX)
            data = await self._fetch(FetchLedger(first, offset, size), size)
            yield data
            offset += len(data)

    async def snapshot(self, name: str, end: int) -> AsyncIterator[bytes]:
        """Yield a snapshot's bytes; raises as `ledger`."""
        offset = 0
        while offset < end:
            size = min(end - offset, limits.FETCH_BYTES_MAX)
            data = await self._fetch(FetchSnapshot(name, offset, size), size)
            yield data
            offset += len(data)

    async def _fetch(self, request: FetchLedger | FetchSnapshot, size: int) -> bytes:
        reply = await self._peers.request(self._source, request, seconds_max=REQUEST_SECONDS_MAX)
        if not isinstance(reply, Fetched) or reply.failure or not 0 < len(reply.data) <= size:
            why = reply.failure if isinstance(reply, Fetched) else "another answer"
            raise FetchFailed(f"node {self._source[:16]} does not give a piece of its files: {why or 'wrong length'}")
        return reply.data


async def clear(disk: Disk, folder: str) -> None:
    """Remove all files of a folder. Raises StorageFailed."""
    for info in await disk.list_files(folder):
        await disk.remove(info.name)


async def fetch_files(fetcher: Fetcher, offer: CatchUp, disk: Disk) -> None:
    """Fetch all that is offered into a disk whose ledger and snapshots are emptied first.

    Raises FetchFailed, PeerUnreachable, StorageFailed.
    """
    await clear(disk, FOLDER)
    await clear(disk, SNAPSHOT_FOLDER)
    for name, size in offer.snapshots[: limits.SNAPSHOTS_KEPT]:
        parsed = SnapshotName.parse(name)
        if parsed is None or parsed.file != name:
            raise FetchFailed(f"a snapshot is offered under the name {name[:60]!r}")
        at = 0
        async for data in fetcher.snapshot(name, size):
            await disk.append(name, at, data)
            at += len(data)
    for part in offer.parts:
        await _fetch_chunk(fetcher, part, disk)


async def _fetch_chunk(fetcher: Fetcher, part: LedgerPart, disk: Disk) -> None:
    if part.last:
        file, at = Chunk(Seqno(part.first), Seqno(part.last)).file, 0
    else:
        # It may be closed by now, and then its header says so; what is fetched of it is not.
        file, at = Chunk(Seqno(part.first), None).file, CHUNK_HEADER_BYTES
        await disk.append(file, 0, bytes(CHUNK_HEADER_BYTES))
    async for data in fetcher.ledger(part.first, at, part.size_bytes):
        await disk.append(file, at, data)
        at += len(data)


class CatchingUp:
    """A running node's part. See the module."""

    def __init__(
        self,
        driver: Driver,
        disk_log: DiskLog,
        head: LedgerHead,
        disk: Disk,
        peers: PeerNetwork,
        *,
        configured: Callable[[bytes], None],
        log: Callable[[str], None],
    ) -> None:
        """configured: takes a reference whose configuration is in force from now on."""
        self._driver = driver
        self._disk_log = disk_log
        self._head = head
        self._disk = disk
        self._peers = peers
        self._configured = configured
        self._log = log
        self.is_busy = False

    async def run(self, source: NodeId, offer: CatchUp) -> None:
        """Fetch and apply what is offered, and say how it ended. Raises InvariantBroken, StorageFailed."""
        self.is_busy = True
        delivered = False
        try:
            self._log(f"catching up from entry {self._driver.applied_seqno} to {offer.seqno}")
            await clear(self._disk, ASIDE_FOLDER)
            await self._fetch(Fetcher(self._peers, source), offer)
            delivered = await self._apply(source, offer)
            await clear(self._disk, ASIDE_FOLDER)
        except StorageFailed:
            raise
        except CocoError as error:
            self._log(f"catching up failed, and will be tried again: {error.message}")
        finally:
            self.is_busy = False
        self._peers.send(source, CaughtUp(self._driver.applied_seqno, delivered))

    async def _fetch(self, fetcher: Fetcher, offer: CatchUp) -> None:
        """Put the entries from the chunk on in which this node's own committed ledger ends aside."""
        after, at = self._driver.applied_seqno, 0
        for part in offer.parts:
            if part.last and part.last <= after:
                continue
            end = part.size_bytes
            if part.last:
                header = b"".join([data async for data in fetcher.ledger(part.first, 0, CHUNK_HEADER_BYTES)])
                end = int.from_bytes(header, "little")
                if not CHUNK_HEADER_BYTES < end <= part.size_bytes:
                    raise FetchFailed(f"the chunk that begins with entry {part.first} has no table")
            async for data in fetcher.ledger(part.first, CHUNK_HEADER_BYTES, end):
                await self._disk.append(ASIDE, at, data)
                at += len(data)

    async def _apply(self, source: NodeId, offer: CatchUp) -> bool:
        """Verify and apply what was put aside; returns whether this node is at the offer's end now."""
        await self._driver.pause()
        try:
            status = self._driver.status
            if self._driver.applied_seqno >= offer.seqno:
                return True
            if status.leader != source or status.term < offer.view:
                return False
            await self._disk_log.drop_uncommitted()
            self._driver.drop_uncommitted()
            async for data, view in self._blocks():
                before = self._driver.reserve()
                block = self._head.take(data, view)
                await self._driver.take_committed(block, before)
            if (self._head.seqno, self._head.view) != (offer.seqno, offer.view):
                raise InvariantBroken(
                    f"{offer.view}.{offer.seqno} was offered; what was given ends at {self._head.seqno}"
                )
            self._driver.restore(offer.reference)
            self._configured(offer.reference)
            return True
        finally:
            self._driver.resume()

    async def _blocks(self) -> AsyncIterator[tuple[bytes, View]]:
        """Yield the blocks after what is applied here, each with its view. Raises InvariantBroken."""
        block = bytearray()
        async for entry in self._entries():
            try:
                parsed = parse_entry(entry)
            except MalformedMessage as error:
                raise InvariantBroken(f"the leader's ledger holds an entry that is none: {error.message}") from error
            if parsed.seqno <= self._driver.applied_seqno:
                continue
            block += entry
            if parsed.is_signature:
                yield bytes(block), parsed.view
                block = bytearray()
        if block:
            raise InvariantBroken("the leader's ledger does not end with a signature")

    async def _entries(self) -> AsyncIterator[bytes]:
        buffer, offset = b"", 0
        while data := await self._disk.read(ASIDE, offset, limits.DISK_READ_BYTES_MAX):
            buffer, offset, at = buffer + data, offset + len(data), 0
            while len(buffer) - at >= HEADER_BYTES and len(buffer) - at >= (size := _framed(buffer, at)):
                yield buffer[at : at + size]
                at += size
            buffer = buffer[at:]
        if buffer:
            raise InvariantBroken("the leader's ledger ends within an entry")


def _framed(buffer: bytes, at: int) -> int:
    try:
        return framed_bytes(buffer[at : at + HEADER_BYTES])
    except MalformedMessage as error:
        raise InvariantBroken(f"the leader's ledger holds an entry that is none: {error.message}") from error
