"""Who is to get the answer to which command. Invariant: a ticket is answered once, by `answer` or by `fail`."""

from __future__ import annotations

from collections.abc import Iterable, Set
from typing import Literal, Protocol

import msgspec

from core import limits
from core.adapter.interface import Pending
from core.node.messages import Answer, Submit
from core.types import Seqno, TransactionId, View

Failure = Literal["overloaded", "too_large", "unknown_outcome", "no_such_adapter", "failed", "not_leader"]


class Origin(Protocol):
    """Where a command came from: a gateway, or another node that forwarded it."""

    @property
    def node(self) -> str:
        """Return the node that forwarded it, "" for this node's own."""
        ...

    def answer(self, answer: Answer) -> None:
        """Send an answer there, with the ticket that the origin gave the command."""
        ...


class Opened(msgspec.Struct, frozen=True):
    """An open ticket's command, as it came."""

    origin: Origin
    item: Submit


class Tickets:
    """See the module."""

    def __init__(self) -> None:
        self._open: dict[int, Opened] = {}
        self._last = 0

    def __len__(self) -> int:
        """How many commands are not answered yet."""
        return len(self._open)

    def __contains__(self, ticket: int) -> bool:
        return ticket in self._open

    def open(self, opened: Opened) -> int:
        """Return a new ticket for a command."""
        self._last += 1
        self._open[self._last] = opened
        return self._last

    def opened(self, ticket: int) -> Opened:
        """Return what an open ticket stands for."""
        return self._open[ticket]

    def others(self, than: Set[int]) -> list[tuple[int, Opened]]:
        """Return the open tickets that are not among these, in the order in which they were opened."""
        return [(ticket, opened) for ticket, opened in self._open.items() if ticket not in than]

    def answer(self, ticket: int, reply: bytes, at: TransactionId | None = None) -> None:
        """Answer a command. at: its committed entry, None when it left none."""
        if len(reply) > limits.QUERY_REPLY_BYTES_MAX:
            self._close(ticket, b"", "too_large", at)
        else:
            self._close(ticket, reply, "", at)

    def fail(self, ticket: int, failure: Failure, at: TransactionId | None = None) -> None:
        """Answer a command with a failure. at: its entry, which may or may not commit."""
        self._close(ticket, b"", failure, at)

    def pass_on(self, answer: Answer) -> None:
        """Give a command the answer that another node gave it. The ticket is this node's."""
        at = TransactionId(View(answer.view), Seqno(answer.seqno)) if answer.seqno else None
        self._close(answer.ticket, answer.reply, answer.failure, at)

    def answer_all(self, answers: Iterable[tuple[Pending, bytes]]) -> None:
        """Answer commands that never ran."""
        for pending, reply in answers:
            self.answer(pending.ticket, reply)

    def fail_all(self, failure: Failure) -> None:
        """Answer every command that is still open."""
        for ticket in list(self._open):
            self.fail(ticket, failure)

    def _close(self, ticket: int, reply: bytes, failure: Failure | Literal[""], at: TransactionId | None) -> None:
        opened = self._open.pop(ticket)
        view, seqno = (0, 0) if at is None else (at.view, at.seqno)
        opened.origin.answer(Answer(opened.item.ticket, reply, failure, view, seqno))
