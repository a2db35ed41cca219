"""Drives the consensus engine: its clock, its messages, its disk, and what is applied once it is committed.

Every call of the engine is followed, at once and without waiting for anything, by `_pump`, which carries out what the
engine asks for: messages are sent, blocks of another leader verified, writes queued for the disk (disk_log.py), what is
committed queued for one task that applies it in order. Nothing here waits for the disk but `advance`, so that further
messages are handled while it writes.

Invariants: a block is written only once it is verified; it is applied only once it is on disk and committed; what is
applied is applied in order, and told in that order.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from core import limits
from core.consensus.engine import ConsensusEngine, LogEntry, Ready, Role, Status
from core.errors import InvariantBroken, MalformedMessage
from core.node.manager_tables import SystemState
from core.node.peer_messages import ConsensusMessage, PeerNetwork
from core.node.replication.applying import Applied, Apply, Point, Say, Watcher
from core.node.replication.blocks import LogBlock, SealedBlock
from core.node.replication.disk_log import DiskLog, Write
from core.node.replication.head import LedgerHead
from core.node.replication.reading import ReadRounds, Tell
from core.types import NodeId, Seqno, View


@dataclass(slots=True)
class _Outstanding:
    """A Ready: what of it is done, and what it brings the node to."""

    is_written: bool = False
    is_applied: bool = False


@dataclass(frozen=True, slots=True)
class _ToApply:
    item: _Outstanding
    entries: Sequence[LogEntry]


class Driver:
    """See the module. apply: carries out a committed entry; the engine's own ones too. tell: sends to the executor."""

    def __init__(
        self,
        engine: ConsensusEngine,
        head: LedgerHead,
        disk_log: DiskLog,
        peers: PeerNetwork | None,
        *,
        apply: Apply,
        watcher: Watcher,
        tell: Tell,
    ) -> None:
        self._engine = engine
        self._head = head
        self._disk_log = disk_log
        self._peers = peers
        self._apply = apply
        self._watcher = watcher
        self._reads = ReadRounds(engine, self.say, tell)
        self._tail: deque[LogBlock] = deque()
        self._outstanding: deque[_Outstanding] = deque()
        self._to_apply: deque[_ToApply | Say] = deque()
        self._something = asyncio.Event()
        self._idle = asyncio.Event()
        self._pumping = False
        self._kept: deque[tuple[int, int]] = deque()
        self._kept_bytes = 0
        self._applied: deque[tuple[int, Point]] = deque()
        self._is_applying = False
        self._paused = 0
        self._last_index = engine.status().last_index
        self._applied_seqno = head.seqno
        self.has_others = False
        """Whether the configuration in force has other nodes than this one."""
        self.refused = 0
        """Messages of other nodes' engines that were refused as malformed."""

    # What comes in.

    @property
    def status(self) -> Status:
        return self._engine.status()

    @property
    def uncommitted(self) -> int:
        """How many blocks are not applied yet."""
        return len(self._tail)

    def tick(self) -> None:
        """Let one tick pass."""
        if not self._paused:
            self._engine.tick()
            self._pump()

    def step(self, sender: NodeId, payload: bytes) -> None:
        """Take a message of another node's engine; one that is malformed is counted."""
        if self._paused:
            return
        try:
            self._engine.step(sender, payload)
        except MalformedMessage:
            self.refused += 1
        self._pump()

    def campaign(self) -> None:
        """Stand for election now."""
        self._engine.campaign()
        self._pump()

    def transfer_leadership(self, to: NodeId) -> None:
        """Hand leadership over. Raises NotLeader, CocoError."""
        self._engine.transfer_leadership(to)
        self._pump()

    def confirm_reads(self, number: int) -> None:
        """Begin a round of reads; the executor is told of its end (reading.py)."""
        self._reads.begin(number)
        self._pump()

    def report_snapshot(self, node: NodeId, *, delivered: bool) -> None:
        """See ConsensusEngine."""
        self._engine.report_snapshot(node, delivered=delivered)
        self._pump()

    def can_lead(self, status: Status) -> bool:
        """Whether all that the engine has is known here, so that what follows on it can be sealed."""
        return status.last_index == self._last_index and self.can_propose()

    @property
    def applied_seqno(self) -> Seqno:
        """Up to where the ledger is committed and applied."""
        return self._applied_seqno

    @property
    def committed_state(self) -> SystemState:
        """What the system's tables say as of what is applied."""
        return self._tail[0].before.state if self._tail else self._head.state

    def can_propose(self) -> bool:
        """Whether a block may be sealed and proposed now, in the engine's term."""
        status = self._engine.status()
        return status.role is Role.LEADER and status.transferring_to is None and status.is_member

    def check_change(self, change: bytes) -> None:
        """Raise ChangeRefused when this change of configuration cannot be proposed now."""
        self._engine.check_conf_change(change)

    def propose(self, block: SealedBlock, before: LogBlock, change: bytes = b"") -> None:
        """Propose a block that was sealed and adopted just now, where `can_propose` said so. before: from `reserve`.

        What is sealed is proposed or the node stops: a seqno is never sealed twice in a view.
        """
        index = self._engine.propose_conf_change(change, block.data) if change else self._engine.propose(block.data)
        if self._tail and index != self._tail[-1].index + 1:
            raise InvariantBroken(f"block {block.last} is entry {index} of the log, after {self._tail[-1].index}")
        before.index, before.term, before.change, before.block = index, self._engine.status().term, change, block
        self._tail.append(before)
        self._last_index = index
        self._pump()

    def reserve(self) -> LogBlock:
        """Return what `propose` takes; to be called before the block is sealed."""
        return LogBlock(0, View(0), b"", None, self._head.mark())

    def say(self, message: Say) -> None:
        """Do something after all that was committed so far is applied."""
        self._to_apply.append(message)
        self._something.set()

    # Carrying out.

    def _pump(self) -> None:
        """Carry out what the engine asks for, as far as that takes no waiting."""
        if self._pumping:
            return
        self._pumping = True
        try:
            while True:
                while self._engine.has_ready():
                    self._carry_out(self._engine.ready())
                self._watcher.observe(self._engine.status())
                if not self._engine.has_ready():
                    break
        finally:
            self._pumping = False
        self._disk_log.notice()

    def _carry_out(self, ready: Ready) -> None:
        if self._peers is not None:
            for message in ready.messages:
                if not self._peers.send(message.to, ConsensusMessage(message.payload)):
                    self._engine.report_unreachable(message.to)
        for needed in ready.snapshots:
            self._watcher.snapshot_needed(needed)
        item = _Outstanding(is_written=not ready.entries, is_applied=not ready.committed)
        self._outstanding.append(item)
        if ready.committed:
            self._to_apply.append(_ToApply(item, ready.committed))
            self._something.set()
            self._reads.reached(ready.committed[-1].index)
        self._reads.take(ready.reads, ready.dropped_reads)
        if ready.entries:
            self._queue(item, ready.entries)
        self._advance()

    def _queue(self, item: _Outstanding, entries: Sequence[LogEntry]) -> None:
        """Verify what is new, and queue it for the disk."""
        cut_from: int | None = None
        new: list[LogBlock] = []
        for entry in entries:
            known = self._find(entry.index)
            if known is not None and known.term != entry.term:
                cut_from = entry.index if cut_from is None else cut_from
                self._cut(entry.index)
                known = None
            if known is None:
                known = self._take(entry)
            if not known.is_queued:
                known.is_queued = True
                new.append(known)
        beyond = entries[-1].index + 1
        if self._find(beyond) is not None:
            cut_from = beyond if cut_from is None else cut_from
            self._cut(beyond)

        def done() -> None:
            item.is_written = True
            self._advance()
            self._pump()

        seal_keys = cut_from is not None or any(one.block is not None and one.block.keys_changed for one in new)
        self._disk_log.put(Write(new, cut_from, seal_keys, done))

    def _take(self, entry: LogEntry) -> LogBlock:
        """Verify an entry that follows what is known."""
        if self._tail and entry.index != self._tail[-1].index + 1:
            raise InvariantBroken(f"the engine handed out entry {entry.index} after {self._tail[-1].index}")
        before = self._head.mark()
        block = self._head.take(entry.data, entry.term) if entry.data else None
        taken = LogBlock(entry.index, entry.term, entry.change, block, before)
        self._tail.append(taken)
        self._last_index = entry.index
        return taken

    def _find(self, index: int) -> LogBlock | None:
        place = index - self._tail[0].index if self._tail else -1
        return self._tail[place] if 0 <= place < len(self._tail) else None

    def _cut(self, index: int) -> None:
        """Forget the blocks from an index on."""
        mark = None
        while self._tail and self._tail[-1].index >= index:
            mark = self._tail.pop().before
        self._last_index = index - 1
        if mark is not None:
            self._head.go_back(mark)
            self._watcher.rolled_back(self._head.seqno)

    def _advance(self) -> None:
        while self._outstanding and self._outstanding[0].is_written and self._outstanding[0].is_applied:
            self._outstanding.popleft()
            self._engine.advance()
        self._compact()
        if not self._outstanding:
            self._idle.set()

    # Applying.

    async def run(self) -> None:
        """Apply what is committed, until cancelled. Raises what applying raises."""
        while True:
            await self._something.wait()
            self._something.clear()
            while self._to_apply:
                one = self._to_apply.popleft()
                self._is_applying = True
                if isinstance(one, _ToApply):
                    for entry in one.entries:
                        await self._apply_entry(entry)
                    one.item.is_applied = True
                    self._advance()
                    self._pump()
                else:
                    await one()
                self._is_applying = False
            self._idle.set()

    async def _apply_entry(self, entry: LogEntry) -> None:
        if not self._tail or self._tail[0].index != entry.index or self._tail[0].term != entry.term:
            raise InvariantBroken(f"the engine committed entry {entry.index}, which is not the next")
        log_block = self._tail[0]
        end = self._disk_log.commit(log_block) if log_block.block is not None else (Seqno(0), 0)
        self._tail.popleft()
        configuration = self._engine.apply_conf_change(entry.change) if entry.change else b""
        if log_block.block is not None:
            self._applied_seqno = log_block.block.last
            self._applied.append((entry.index, Point(b"", log_block.block.last, log_block.block.view, *end)))
        self._kept.append((entry.index, len(entry.data) + len(entry.change)))
        self._kept_bytes += self._kept[-1][1]
        await self._apply(Applied(log_block, configuration))
        if configuration:
            self._pump()

    def _compact(self) -> None:
        """Have the engine forget what is applied, but for what followers that lag a little may still need."""
        applied = self._engine.status().applied_index
        entries_max = limits.CONSENSUS_KEPT_ENTRIES if self.has_others else 0
        bytes_max = limits.CONSENSUS_KEPT_BYTES if self.has_others else 0
        index = 0
        while self._kept and self._kept[0][0] <= applied:
            if len(self._kept) <= entries_max and self._kept_bytes <= bytes_max:
                break
            index, size = self._kept.popleft()
            self._kept_bytes -= size
        if index:
            self._engine.compact(index)
        while len(self._applied) > 1 and self._applied[1][0] <= applied:
            self._applied.popleft()

    # Snapshots by reference.

    def reference(self) -> Point:
        """Return the engine's snapshot, and the end of the ledger for which it stands."""
        applied = self._engine.status().applied_index
        found = [point for index, point in self._applied if index <= applied]
        if not found:
            raise InvariantBroken("a reference is asked for before anything is applied")
        return replace(found[-1], reference=self._engine.snapshot())

    async def pause(self) -> None:
        """Take no more messages and ticks, and return once all that the engine asked for is carried out."""
        self._paused += 1
        while self._outstanding or self._to_apply or self._is_applying:
            self._idle.clear()
            await self._idle.wait()

    def resume(self) -> None:
        """Go on after `pause`."""
        self._paused -= 1
        self._pump()

    def drop_uncommitted(self) -> None:
        """While paused: forget the blocks that are not committed; `restore` must follow."""
        if self._tail:
            self._cut(self._tail[0].index)

    async def take_committed(self, block: SealedBlock, before: LogBlock) -> None:
        """While paused, after `drop_uncommitted`: write and apply a block that others have committed."""
        if block.keys_changed:
            await self._disk_log.seal_keys()
        end = await self._disk_log.append_committed(block)
        self._applied_seqno = block.last
        self._applied = deque([(0, Point(b"", block.last, block.view, *end))])
        before.block, before.term = block, block.view
        await self._apply(Applied(before, b""))

    def restore(self, reference: bytes) -> None:
        """While paused: go on from another node's reference, which stands for what is applied."""
        self._engine.restore(reference)
        self._kept.clear()
        self._kept_bytes = 0
        self.restored(self._applied[-1][1])

    def restored(self, point: Point) -> None:
        """Say that the engine was made to go on from a reference that stands for the ledger up to `point`."""
        status = self._engine.status()
        self._last_index = status.last_index
        self._applied = deque([(status.applied_index, point)])
        self._reads.reached(status.applied_index)
