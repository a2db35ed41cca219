"""What a change of leadership means to a node: whose blocks are sealed here, and what its executor is told.

A new leader's first block holds a signature only (at a start: the records of that start). Once that is committed and
applied, and with it everything before, the executor is told to lead. When leadership is lost it is told to follow; what
it proposed before it heard of that is dropped, and its blocks in flight are another leader's to commit or to replace.

Invariants: a block is sealed only where it can be proposed at once; the executor hears everything in the order of the
ledger, since whatever is told to it passes the one task that applies what is committed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from core import limits
from core.consensus.engine import Role, SnapshotNeeded, Status
from core.crypto.keys import PrivateKey
from core.errors import InvariantBroken
from core.ledger.cose import RootSigner
from core.node.manager_blocks import BlockSealer, FillIn
from core.node.messages import BlockApplied, BlockCommitted, Follow, FromManager, Lead, ProposeBlock, SystemWork
from core.node.replication.blocks import LogBlock, SealedBlock
from core.node.replication.driver import Driver
from core.node.replication.head import LedgerHead
from core.types import NodeId, Seqno, View

Tell = Callable[[FromManager], Awaitable[None]]
_LED_VIEWS_KEPT = 16


class Leadership:
    """Implements Watcher. tell: sends to the executor. fill_in, lost, need_snapshot: see where they are called."""

    def __init__(
        self,
        head: LedgerHead,
        node_key: PrivateKey,
        service: RootSigner,
        *,
        clock: Callable[[], float],
        tell: Tell,
        fill_in: FillIn,
        on_change: Callable[[], None],
        on_rollback: Callable[[Seqno], None],
        need_snapshot: Callable[[SnapshotNeeded], None],
        log: Callable[[str], None],
    ) -> None:
        self._head = head
        self._node_key = node_key
        self._node = node_key.public_key().node_id()
        self._service = service
        self._clock = clock
        self._tell = tell
        self._fill_in = fill_in
        self._on_change = on_change
        self._on_rollback = on_rollback
        self._need_snapshot = need_snapshot
        self._log = log
        self._driver: Driver | None = None
        self._sealer: BlockSealer | None = None
        self._first_index = 0
        self._in_flight = 0
        self._changed = asyncio.Event()
        self._told = View(0)
        self._told_leader: str | None = None
        self.lost = asyncio.Event()
        """Set while this node does not lead."""
        self.lost.set()
        self._led: deque[View] = deque(maxlen=_LED_VIEWS_KEPT)
        self._is_open = False
        self.start_entries: Sequence[bytes] = ()
        """What the next first block holds besides its signature."""
        self.leader: NodeId | None = None
        """Who leads, if known."""

    def attach(self, driver: Driver) -> None:
        """Say what drives the engine; once."""
        self._driver = driver

    @property
    def driver(self) -> Driver:
        if self._driver is None:
            raise InvariantBroken("the engine is not driven yet")
        return self._driver

    @property
    def node(self) -> NodeId:
        return self._node

    @property
    def view(self) -> View:
        """The view that this node leads, 0 when it does not."""
        return self._sealer.view if self._sealer is not None else View(0)

    @property
    def told(self) -> View:
        """The view that the executor was told to lead, until it is told to follow; 0 for none."""
        return self._told

    @property
    def leads(self) -> bool:
        """Whether this node leads and its executor knows it."""
        return self._sealer is not None and self._told == self._sealer.view

    # What the engine says.

    def observe(self, status: Status) -> None:
        """Begin or end to lead, as the engine says."""
        if self._sealer is not None and (status.role is not Role.LEADER or status.term != self._sealer.view):
            self._lose()
        if status.role is Role.LEADER and self._sealer is None and self.driver.can_lead(status):
            self._begin(status.term)
        if status.leader != self.leader:
            self.leader = status.leader
            self._on_change()
            if status.leader != self._node:
                self._follow()

    def rolled_back(self, seqno: Seqno) -> None:
        """See Watcher."""
        self._on_rollback(seqno)

    def snapshot_needed(self, needed: SnapshotNeeded) -> None:
        """See Watcher."""
        self._need_snapshot(needed)

    def _begin(self, view: View) -> None:
        self._sealer = BlockSealer(view, self._head, self._node_key, self._service, self._clock)
        self._in_flight = 0
        self.lost.clear()
        entries, self.start_entries = self.start_entries, ()
        before = self.driver.reserve()
        block = self._sealer.seal_system(entries)
        self.driver.propose(block, before)
        self._first_index = before.index
        self._log(f"node {self._node[:16]} leads view {view} from entry {block.first} on")

    def _lose(self) -> None:
        self._log(f"node {self._node[:16]} no longer leads view {self.view}")
        self._sealer = None
        self._in_flight = 0
        self._changed.set()
        self.lost.set()
        self._on_change()
        self._follow()

    def _follow(self) -> None:
        leader = self.leader or ""

        async def say() -> None:
            await self._say_follow(leader)

        self.driver.say(say)

    def leader_unreachable(self) -> None:
        """Tell the executor once more whom it follows: what was on its way there may be lost."""
        self._told_leader = None
        self._follow()

    async def _say_follow(self, leader: str) -> None:
        if not self._is_open or leader == self._node or (not self._told and leader == self._told_leader):
            return
        self._told, self._told_leader = View(0), leader
        await self._tell(Follow(leader))

    # What is applied.

    async def open(self) -> None:
        """Begin to tell the executor, which was given everything that is applied so far."""
        self._is_open = True
        if self._sealer is not None and not self._first_index:
            await self._lead(self._head_applied())
        elif self._sealer is None:
            await self._say_follow(self.leader or "")

    def _head_applied(self) -> Seqno:
        return self.driver.applied_seqno

    async def applied(self, log_block: LogBlock, block: SealedBlock) -> None:
        """Tell the executor of a committed block, which is the next."""
        is_first = self._sealer is not None and log_block.index == self._first_index
        if is_first:
            self._first_index = 0
        if not self._is_open:
            return
        if self._told == block.view:
            self._in_flight = max(0, self._in_flight - 1)
            self._changed.set()
            await self._tell(BlockCommitted(block.view, block.last, block.governance))
        else:
            await self._tell(BlockApplied(block.view, block.first, block.last, block.entries, block.time_s))
        if is_first:
            await self._lead(block.last)

    async def _lead(self, last: Seqno) -> None:
        view = self.view
        if not view:
            return
        self._told, self._told_leader = view, self._node
        self._led.append(view)
        await self._tell(Lead(view, last, not self.driver.has_others, self._head.time_s))
        self._on_change()

    # What the executor proposes.

    async def propose(self, proposed: ProposeBlock) -> None:
        """Seal and propose a block. Raises InvariantBroken for one that the worker may not propose.

        Waits while there is no room: that is what keeps a worker from filling the memory.
        """
        while self._sealer is not None and self._sealer.view == proposed.view:
            if self._in_flight < limits.BLOCKS_IN_FLIGHT_MAX and self.driver.can_propose():
                self._seal(self._sealer, proposed)
                return
            self._changed.clear()
            await self._changed.wait()
        if proposed.view not in self._led:
            raise InvariantBroken(f"the worker proposed a block of view {proposed.view}, which this node never led")

    def notice(self) -> None:
        """Look again whether a block can be proposed."""
        self._changed.set()

    def _seal(self, sealer: BlockSealer, proposed: ProposeBlock) -> None:
        sealer.check_place(proposed)
        before = self.driver.reserve()
        block, change = sealer.seal_proposed(proposed, self._fill_in)
        self._in_flight += 1
        self.driver.propose(block, before, change)

    def ask_for_work(self) -> None:
        """Have the executor propose an entry for the manager to fill in."""

        async def say() -> None:
            if self.leads:
                await self._tell(SystemWork())

        self.driver.say(say)
