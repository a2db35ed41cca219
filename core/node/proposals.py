"""The blocks that an executor has proposed to its manager and that are not committed yet.

Invariants: blocks commit in the order of their proposal, in one view; a governance block is the last one in flight,
since what it writes is known only once it is committed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from core import limits
from core.adapter.block_builder import Block, Ran
from core.errors import InvariantBroken
from core.node.messages import TO_MANAGER, BlockCommitted, EntryDraft, ProposeBlock, ReplayedEntry
from core.ports import Transport
from core.types import NO_CLAIMS, Seqno, View

GOVERNANCE = "coco"
"""What governance messages and node queries name instead of an adapter."""

SNAPSHOT = "coco.snapshot"
"""What an entry names whose manager is to put the evidence of a snapshot there."""

SYSTEM = "coco.system"
"""What an entry names whose manager is to put there what it has to record itself (SystemWork)."""


@dataclass(frozen=True, slots=True)
class Proposed:
    """A block in flight. last_seqno: None for a block whose entry the manager fills in: governance, evidence, system.

    ticket: of a governance message. entries: as readers get them once the block is committed.
    """

    first_seqno: Seqno
    last_seqno: Seqno | None
    commands: Sequence[Ran]
    ticket: int | None = None
    entries: tuple[ReplayedEntry, ...] = ()


class Proposals:
    """See the module."""

    def __init__(self, manager: Transport, view: View) -> None:
        self._manager = manager
        self._view = view
        self._in_flight: deque[Proposed] = deque()

    def __len__(self) -> int:
        return len(self._in_flight)

    @property
    def view(self) -> View:
        return self._view

    @property
    def has_room(self) -> bool:
        """Whether another block may be proposed now."""
        return len(self._in_flight) < limits.BLOCKS_IN_FLIGHT_MAX and not self.awaits_governance

    @property
    def awaits_governance(self) -> bool:
        return bool(self._in_flight) and self._in_flight[-1].last_seqno is None

    async def propose(self, block: Block) -> None:
        """Send a closed block to the manager."""
        entries = tuple(EntryDraft(entry.adapter, entry.public, entry.private, entry.claims) for entry in block.entries)
        kept = tuple(ReplayedEntry(entry.seqno, entry.public, entry.private) for entry in block.entries)
        proposed = Proposed(block.first_seqno, block.last_seqno, block.commands, entries=kept)
        await self._send(proposed, entries, block.time_s)

    async def propose_governance(self, first_seqno: Seqno, ticket: int, message: bytes, time_s: int) -> None:
        """Send a signed governance message, as a block of its own."""
        draft = EntryDraft(GOVERNANCE, b"", message, NO_CLAIMS)
        await self._send(Proposed(first_seqno, None, (), ticket), (draft,), time_s)

    async def propose_own(self, first_seqno: Seqno, name: str, time_s: int) -> None:
        """Have the manager put something of its own there, as a block of its own. name: SNAPSHOT or SYSTEM."""
        await self._send(Proposed(first_seqno, None, ()), (EntryDraft(name, b"", b"", NO_CLAIMS),), time_s)

    def committed(self, message: BlockCommitted) -> Proposed:
        """Return the block that the manager says is committed; raises InvariantBroken when it is not the oldest."""
        if not self._in_flight or message.view != self._view:
            raise InvariantBroken(f"the manager committed a block of view {message.view} that was not proposed")
        oldest = self._in_flight[0]
        if oldest.last_seqno is None:
            if message.last_seqno < oldest.first_seqno - 1:
                raise InvariantBroken(f"a governance block from {oldest.first_seqno} ends at {message.last_seqno}")
        elif oldest.last_seqno != message.last_seqno:
            raise InvariantBroken(f"the manager committed up to {message.last_seqno}, not {oldest.last_seqno}")
        return self._in_flight.popleft()

    @property
    def in_flight(self) -> tuple[Proposed, ...]:
        """The blocks, in the order of their proposal."""
        return tuple(self._in_flight)

    async def _send(self, proposed: Proposed, entries: tuple[EntryDraft, ...], time_s: int) -> None:
        self._in_flight.append(proposed)
        await self._manager.send(TO_MANAGER.encode(ProposeBlock(self._view, proposed.first_seqno, entries, time_s)))
