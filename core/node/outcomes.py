"""What became of the blocks that a leader had proposed when it lost its leadership.

Nobody knows at once: the next leader may have them or not. The ledger tells, as it goes on. A block is committed when
its seqnos are committed in its view; once anything is committed in a later view that does not come after it, it never
will be (Raft's log matching). Where neither is known in time, the answer names the transaction id to ask about.

Invariant: each command remembered here is answered once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from core import limits
from core.errors import InvariantBroken
from core.kv.write_set import decode_domain
from core.node.manager_tables import MESSAGES, REJECTED
from core.node.messages import BlockApplied
from core.node.proposals import Proposed
from core.node.tickets import Tickets
from core.types import Seqno, TransactionId, View


@dataclass(frozen=True, slots=True)
class _Lost:
    """until_s: when its commands are answered though nothing is known (monotonic seconds)."""

    view: View
    block: Proposed
    until_s: float


class Outcomes:
    """See the module. Times are monotonic seconds."""

    def __init__(self, tickets: Tickets) -> None:
        self._tickets = tickets
        self._lost: deque[_Lost] = deque()

    def __len__(self) -> int:
        """How many blocks are remembered."""
        return len(self._lost)

    @property
    def tickets(self) -> set[int]:
        """The tickets of the commands that are remembered."""
        return {ticket for lost in self._lost for ticket in _tickets_of(lost.block)}

    def remember(self, view: View, blocks: Iterable[Proposed], now_s: float) -> None:
        """Take the blocks that were in flight in a view, in order."""
        for block in blocks:
            self._lost.append(_Lost(view, block, now_s + limits.UNRESOLVED_SECONDS_MAX))
        while len(self._lost) > limits.UNRESOLVED_BLOCKS_MAX:
            self._fail(self._lost.popleft())

    def applied(self, message: BlockApplied) -> None:
        """Answer what a committed block decides; its state is applied already."""
        while self._lost:
            lost = self._lost[0]
            if lost.view == message.view and lost.block.first_seqno == message.first_seqno:
                if lost.block.last_seqno not in (None, message.last_seqno):
                    raise InvariantBroken(f"another block than was proposed is committed at {message.last_seqno}")
                self._lost.popleft()
                self._commit(lost, message)
            elif lost.view < message.view or (
                lost.view == message.view and lost.block.first_seqno <= message.last_seqno
            ):
                self._lost.popleft()
                self._void(lost)
            else:
                return

    def view_began(self, view: View) -> None:
        """Answer what can be no more, since an entry of a later view is committed and applied."""
        while self._lost and self._lost[0].view < view:
            self._void(self._lost.popleft())

    def expire(self, now_s: float) -> None:
        """Answer what has been unknown for too long."""
        while self._lost and self._lost[0].until_s <= now_s:
            self._fail(self._lost.popleft())

    def fail_all(self) -> None:
        """Answer everything, at a stop."""
        while self._lost:
            self._fail(self._lost.popleft())

    def next_deadline_s(self) -> float | None:
        """When `expire` has something to do, if ever."""
        return self._lost[0].until_s if self._lost else None

    def _commit(self, lost: _Lost, message: BlockApplied) -> None:
        for ran in lost.block.commands:
            self._tickets.answer(ran.pending.ticket, ran.reply, TransactionId(lost.view, ran.seqno))
        if lost.block.ticket is None:
            return
        at = TransactionId(lost.view, Seqno(message.first_seqno))
        tables = decode_domain(message.entries[0].public) if message.entries else {}
        if MESSAGES in tables:
            self._tickets.answer(lost.block.ticket, governance_reply("", at), at)
        elif REJECTED in tables:
            recorded = next(iter(tables[REJECTED].values())) or b"{}"
            reason = str(msgspec.json.decode(recorded).get("reason", ""))
            self._tickets.answer(lost.block.ticket, governance_reply(reason or "rejected", at), at)
        else:
            self._tickets.fail(lost.block.ticket, "unknown_outcome", at)

    def _void(self, lost: _Lost) -> None:
        """Nothing of the block was written, so it is safe to ask again."""
        for ticket in _tickets_of(lost.block):
            self._tickets.fail(ticket, "not_leader")

    def _fail(self, lost: _Lost) -> None:
        for ran in lost.block.commands:
            self._tickets.fail(ran.pending.ticket, "unknown_outcome", TransactionId(lost.view, ran.seqno))
        if lost.block.ticket is not None:
            at = TransactionId(lost.view, lost.block.first_seqno)
            self._tickets.fail(lost.block.ticket, "unknown_outcome", at)


def governance_reply(reason: str, at: TransactionId) -> bytes:
    """Return the answer to a governance message whose entry is committed. reason: "" when it was accepted."""
    return msgspec.json.encode({"accepted": not reason, "reason": reason, "transaction": str(at)})


def _tickets_of(block: Proposed) -> list[int]:
    tickets = [ran.pending.ticket for ran in block.commands]
    return tickets if block.ticket is None else [*tickets, block.ticket]
