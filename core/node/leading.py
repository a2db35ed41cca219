"""One term of leadership of an executor: it runs commands into blocks and proposes them, until it is deposed.

A block closes when it is full; or, once no other block is in flight, when it holds enough commands, or nothing more is
ready and it waits for nothing (pace.py). An idle network commits a single command at once; under load blocks fill while
the manager seals the one before, and a little longer.

Invariant: nothing that depends on a block is answered before the manager says that the block is committed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from core.adapter.block_builder import CloseFailed, DoesNotFit, Failed, Ran, Rejected
from core.adapter.interface import Pending
from core.errors import InvariantBroken, LimitExceeded
from core.node.executor_state import ExecutorState
from core.node.intake import Intake, now_s
from core.node.messages import BlockCommitted
from core.node.outcomes import governance_reply
from core.node.pace import BlockPace
from core.node.proposals import SNAPSHOT, SYSTEM, Proposals, Proposed
from core.node.snapshot_stream import SnapshotStream
from core.ports import Transport
from core.types import Seqno, TransactionId, View


class Leading:
    """See the module. Made when everything up to the view's first signature is committed and applied."""

    def __init__(
        self,
        view: View,
        state: ExecutorState,
        intake: Intake,
        snapshots: SnapshotStream,
        manager: Transport,
        log: Callable[[str], None],
        pace: BlockPace,
    ) -> None:
        self._state = state
        self._builder = state.builder
        self._intake = intake
        self._tickets = intake.tickets
        self._snapshots = snapshots
        self._log = log
        self._pace = pace
        self._proposals = Proposals(manager, view)
        self._system_work = 0
        self._builder.genesis()

    @property
    def view(self) -> View:
        return self._proposals.view

    @property
    def blocks_in_flight(self) -> int:
        return len(self._proposals)

    @property
    def is_idle(self) -> bool:
        """Whether nothing has run that is not committed."""
        return self._builder.is_empty and not self._proposals

    def depose(self) -> tuple[Proposed, ...]:
        """End this leadership: go back to what is committed; returns the blocks in flight, which may commit yet."""
        blocks = self._proposals.in_flight
        self._state.go_back(sum(block.last_seqno is not None for block in blocks))
        self._snapshots.owes_evidence = False
        return blocks

    def system_work(self) -> None:
        """The manager has something to record, once more: another node's taking part, perhaps."""
        self._intake.not_alone()
        self._system_work += 1

    def committed(self, message: BlockCommitted) -> None:
        """Take the oldest block in flight for committed, and answer its commands."""
        block = self._proposals.committed(message)
        if block.last_seqno is None:
            self._own_committed(block, message)
        elif message.governance:
            raise InvariantBroken("the manager reports governance in a block that held none")
        else:
            self._state.committed_here(block.entries, Seqno(message.last_seqno))
        for ran in block.commands:
            self._tickets.answer(ran.pending.ticket, ran.reply, TransactionId(self.view, ran.seqno))

    def _own_committed(self, block: Proposed, message: BlockCommitted) -> None:
        """As `committed`, for a block that the manager filled in: what it wrote is applied only now."""
        results = message.governance
        written = [self._state.write_own(Seqno(result.seqno), result.public) for result in results]
        self._builder.open_after(Seqno(message.last_seqno))
        self._state.committed_here([entry for entry in written if entry is not None], Seqno(message.last_seqno))
        if block.ticket is None:
            return
        if results:
            at = TransactionId(self.view, Seqno(results[0].seqno))
            self._tickets.answer(block.ticket, governance_reply(results[0].reason, at), at)
        else:
            self._tickets.fail(block.ticket, "unknown_outcome")

    async def step(self) -> bool:
        """Run one command, or close a block; returns whether there was anything to do.

        Nothing is touched after a message has been sent: this leadership may be over by then.
        """
        if self._must_close():
            return self._proposals.has_room and await self._close_block()
        if self._proposals.awaits_governance:
            return False
        if self._has_manager_entry and not self._intake.stopping:
            return self._proposals.has_room and await self._propose_manager_entry()
        item = None if self._intake.stopping else self._next()
        if item is not None:
            self._run(*item)
            return True
        return self._may_close and not self._pace.waits(self._commands, now_s()) and await self._close_block()

    def next_deadline_s(self) -> float | None:
        """When `step` closes a block that waits, if one does: monotonic seconds."""
        return self._pace.deadline_s if self._may_close else None

    @property
    def _may_close(self) -> bool:
        return not self._builder.is_empty and not self._proposals

    @property
    def _commands(self) -> int:
        return len(self._builder.commands)

    def _must_close(self) -> bool:
        if self._builder.is_empty:
            return False
        if self._builder.is_full or self._has_manager_entry or self._intake.stopping:
            return True
        return not self._proposals and self._commands >= self._pace.commands_enough

    @property
    def _has_manager_entry(self) -> bool:
        """Whether there is something to propose whose entry the manager itself fills in, as a block of its own."""
        return bool(self._intake.governance or self._may_do_system_work or self._snapshots.owes_evidence)

    @property
    def _may_do_system_work(self) -> bool:
        return self._system_work > 0 and self._intake.may_take_in_others

    def _next(self) -> tuple[str, Pending] | None:
        return self._builder.backlog.popleft() if self._builder.backlog else self._intake.next()

    def _run(self, name: str, pending: Pending) -> None:
        if self._builder.is_empty:
            self._pace.opened(now_s())
        result = self._builder.execute(name, pending)
        match result:
            case Ran() | DoesNotFit():
                pass
            case Rejected(reply):
                self._tickets.answer(pending.ticket, reply)
            case Failed(error):
                self._log(f"the adapter {name} failed on a command ({type(error).__name__})")
                self._tickets.fail(pending.ticket, "too_large" if isinstance(error, LimitExceeded) else "failed")
            case _:
                assert_never(result)

    async def _close_block(self) -> bool:
        try:
            block = self._builder.close()
        except CloseFailed as failed:
            self._log(f"the adapter {failed.adapter} failed to close a block ({type(failed.error).__name__})")
            for ran in failed.commands:
                self._tickets.fail(ran.pending.ticket, "failed")
            return True
        self._pace.closed(len(block.commands))
        await self._proposals.propose(block)
        return True

    async def _propose_manager_entry(self) -> bool:
        first, time_s = Seqno(self._state.store.head + 1), self._builder.now_s()
        self._builder.note_time(time_s)
        if self._may_do_system_work:
            self._system_work -= 1
            await self._proposals.propose_own(first, SYSTEM, time_s)
        elif self._snapshots.owes_evidence:
            self._snapshots.owes_evidence = False
            await self._proposals.propose_own(first, SNAPSHOT, time_s)
        else:
            ticket, message = self._intake.governance.popleft()
            await self._proposals.propose_governance(first, ticket, message, time_s)
        return True
