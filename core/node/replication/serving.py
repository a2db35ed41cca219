"""What the leader gives to nodes that lag behind its log: the committed ledger, and snapshots of it.

The engine says who needs it; that node is told what there is (CatchUp), fetches what it lacks, and says how that ended.
Pieces are read from the files as they are named by then. Invariant: nothing is served that is not committed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from core import limits
from core.consensus.engine import SnapshotNeeded
from core.errors import CocoError
from core.ledger.files import FOLDER, Chunk, arrange_chunks
from core.ledger.history import LedgerHistory
from core.ledger.snapshot_format import SnapshotName
from core.ledger.snapshot_reader import list_snapshots
from core.node.peer_messages import (
    Body,
    CatchUp,
    CaughtUp,
    Fetched,
    FetchLedger,
    FetchSnapshot,
    LedgerPart,
    PeerNetwork,
)
from core.node.replication.disk_log import DiskLog
from core.node.replication.driver import Driver
from core.ports import Disk
from core.types import NodeId, Seqno

SHIPPING_TICKS_MAX = 100
"""Without a sign of a node that fetches, after which it is asked anew."""


@dataclass(slots=True)
class _Shipping:
    idle_ticks: int = 0


class LedgerServer:
    """See the module. spawn: begins a task whose failure is the node's."""

    def __init__(
        self,
        driver: Driver,
        disk_log: DiskLog,
        history: LedgerHistory,
        disk: Disk,
        peers: PeerNetwork,
        *,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        log: Callable[[str], None],
    ) -> None:
        self._driver = driver
        self._disk_log = disk_log
        self._history = history
        self._disk = disk
        self._peers = peers
        self._spawn = spawn
        self._log = log
        self._shipping: dict[NodeId, _Shipping] = {}
        self._serving = 0

    def needed(self, needed: SnapshotNeeded) -> None:
        """Tell a node what there is to fetch."""
        if needed.to not in self._shipping:
            self._shipping[needed.to] = _Shipping()
            self._spawn(self._offer(needed.to))

    def ended(self, sender: NodeId, message: CaughtUp) -> None:
        """Take note of how a node's fetching ended."""
        if self._shipping.pop(sender, None) is not None:
            self._log(
                f"node {sender[:16]} has caught up to entry {message.seqno}"
                if message.delivered
                else f"node {sender[:16]} did not catch up"
            )
            self._driver.report_snapshot(sender, delivered=message.delivered)

    def lose(self) -> None:
        """Another node leads."""
        self._shipping.clear()

    def tick(self) -> None:
        """Give up nodes that are not heard of any more; the engine asks again."""
        for node, shipping in list(self._shipping.items()):
            shipping.idle_ticks += 1
            if shipping.idle_ticks > SHIPPING_TICKS_MAX:
                del self._shipping[node]
                self._driver.report_snapshot(node, delivered=False)

    async def _offer(self, node: NodeId) -> None:
        snapshots = [(name, info) for name, info in await list_snapshots(self._disk)]
        async with self._history.lock:
            chunks = arrange_chunks(await self._disk.list_files(FOLDER))
            sizes = {info.name: info.size_bytes for info in await self._disk.list_files(FOLDER)}
            point = self._driver.reference()
        parts = [self._part(chunk, sizes, point.seqno, point.chunk, point.end) for chunk in chunks]
        message = CatchUp(
            point.reference,
            point.seqno,
            point.view,
            tuple(part for part in parts if part is not None),
            tuple((name.file, info.size_bytes) for name, info in snapshots if name.evidence <= point.seqno),
        )
        if not self._peers.send(node, message):
            self._shipping.pop(node, None)
            self._driver.report_snapshot(node, delivered=False)

    @staticmethod
    def _part(chunk: Chunk, sizes: dict[str, int], seqno: Seqno, last_chunk: Seqno, end: int) -> LedgerPart | None:
        """Return what of a chunk belongs to the ledger up to `seqno`, which ends in `last_chunk`."""
        if chunk.first > seqno:
            return None
        if chunk.last is not None and chunk.last <= seqno:
            return LedgerPart(chunk.first, chunk.last, sizes.get(chunk.file, 0))
        return LedgerPart(last_chunk, 0, end)

    async def serve(
        self, sender: NodeId, request: FetchLedger | FetchSnapshot, answer: Callable[[Body], Awaitable[None]]
    ) -> None:
        """Answer a request for a piece of a file."""
        if sender in self._shipping:
            self._shipping[sender].idle_ticks = 0
        if self._serving >= limits.FETCHES_MAX:
            await answer(Fetched(b"", "unreadable"))
            return
        self._serving += 1
        try:
            if isinstance(request, FetchLedger):
                reply = await self._ledger(request)
            else:
                reply = await self._snapshot(request)
        except CocoError as error:
            self._log(f"node {sender[:16]} cannot be given what it asked for: {error.message}")
            reply = Fetched(b"", "unreadable")
        finally:
            self._serving -= 1
        await answer(reply)

    async def _ledger(self, request: FetchLedger) -> Fetched:
        async with self._history.lock:
            chunks = arrange_chunks(await self._disk.list_files(FOLDER))
            chunk = next((one for one in chunks if one.first == request.first), None)
            if chunk is None:
                return Fetched(b"", "no_such_file")
            size = request.size_bytes
            if chunk.last is None:
                end = self._disk_log.committed_end
                committed = end[1] if end is not None and end[0] == chunk.first else 0
                size = min(size, committed - request.offset)
            if size <= 0:
                return Fetched(b"", "not_committed")
            return Fetched(await self._disk.read(chunk.file, request.offset, size))

    async def _snapshot(self, request: FetchSnapshot) -> Fetched:
        name = SnapshotName.parse(request.name)
        if name is None or name.file != request.name:
            return Fetched(b"", "no_such_file")
        if name.evidence > self._driver.applied_seqno:
            return Fetched(b"", "not_committed")
        if all(known != name for known, _ in await list_snapshots(self._disk)):
            return Fetched(b"", "no_such_file")
        return Fetched(await self._disk.read(name.file, request.offset, request.size_bytes))
