"""What gateways send an executor, until it runs: tickets, queued commands, queries and governance messages.

Invariant: every ticket is answered once. Everything that waits is bounded; what is over a bound is refused at once.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Literal, assert_never

from core import limits
from core.adapter.interface import Adapter, Caller, CommandRejected, Overloaded, Pending, ScopedTransaction
from core.adapter.queue import CommandQueues
from core.errors import InvariantBroken
from core.node.fair_queue import FairQueue, Quota
from core.node.gateway_link import GatewayLink
from core.node.messages import Answer, Ask, Submit
from core.node.proposals import GOVERNANCE
from core.types import Seqno, View

Failure = Literal["overloaded", "too_large", "unknown_outcome", "no_such_adapter", "failed"]


def now_ms() -> int:
    """Return the running event loop's time, in milliseconds."""
    return int(asyncio.get_running_loop().time() * 1000)


class Tickets:
    """Who is to get the answer to which command."""

    def __init__(self) -> None:
        self._origins: dict[int, tuple[GatewayLink, int]] = {}
        self._last = 0
        self.view = View(0)

    def open(self, link: GatewayLink, gateway_ticket: int) -> int:
        """Return a new ticket for a command of a gateway."""
        self._last += 1
        self._origins[self._last] = (link, gateway_ticket)
        return self._last

    def answer(self, ticket: int, reply: bytes, seqno: Seqno | None = None) -> None:
        """Answer a command. seqno: of its committed entry, None when it left none."""
        link, gateway_ticket = self._origins.pop(ticket)
        view, at = (0, 0) if seqno is None else (self.view, seqno)
        if len(reply) > limits.QUERY_REPLY_BYTES_MAX:
            link.answer(Answer(gateway_ticket, b"", "too_large", view, at))
        else:
            link.answer(Answer(gateway_ticket, reply, "", view, at))

    def fail(self, ticket: int, failure: Failure, seqno: Seqno | None = None) -> None:
        """Answer a command with a failure. seqno: of its entry, which may or may not commit."""
        link, gateway_ticket = self._origins.pop(ticket)
        view, at = (0, 0) if seqno is None else (self.view, seqno)
        link.answer(Answer(gateway_ticket, b"", failure, view, at))

    def answer_all(self, answers: Iterable[tuple[Pending, bytes]]) -> None:
        """Answer commands that never ran."""
        for pending, reply in answers:
            self.answer(pending.ticket, reply)

    def fail_all(self, failure: Failure) -> None:
        """Answer every command that is still open."""
        for ticket in list(self._origins):
            self.fail(ticket, failure)


class Intake:
    """See the module. wake: set whenever something arrives. now_ms: monotonic milliseconds."""

    def __init__(self, wake: asyncio.Event, now_ms: Callable[[], int], log: Callable[[str], None]) -> None:
        self._wake = wake
        self._now_ms = now_ms
        self._log = log
        self._adapters: Mapping[str, Adapter] = {}
        self.tickets = Tickets()
        self.queues = CommandQueues()
        self.queries: FairQueue[tuple[GatewayLink, Ask]] = FairQueue(quota=Quota(seconds_max=math.inf))
        self.governance: deque[tuple[int, bytes]] = deque()
        self.stopping = False

    def open(self, adapters: Mapping[str, Adapter], read: Callable[[str], ScopedTransaction], view: View) -> None:
        """Begin to take commands for these adapters. read: opens the head state for one of them."""
        self._adapters = adapters
        self.tickets.view = view
        for name, adapter in adapters.items():
            self.queues.add(name, adapter.make_queue(lambda name=name: read(name)))  # type: ignore[misc]

    def take(self, link: GatewayLink, item: Submit | Ask) -> None:
        """Queue an item, or refuse it at once."""
        self._wake.set()
        match item:
            case Submit():
                refusal = self._submit(link, item)
            case Ask():
                refusal = self._ask(link, item)
            case _:
                assert_never(item)
        if refusal is not None:
            link.answer(Answer(item.ticket, b"", refusal, 0, 0))

    def next(self) -> tuple[str, Pending] | None:
        """Remove and return the next command that is ready. A queue that fails has lost its order: InvariantBroken."""
        try:
            return self.queues.pop()
        except Exception as error:  # noqa: BLE001 - adapters are other people's code; only its type goes on
            raise _broken_queue(error) from None

    def expire(self) -> None:
        """Answer the commands that were held too long; as `next` when a queue fails."""
        try:
            expired = self.queues.expire(self._now_ms())
        except Exception as error:  # noqa: BLE001 - adapters are other people's code; only its type goes on
            raise _broken_queue(error) from None
        self.tickets.answer_all(expired)

    def refuse_all(self) -> None:
        """Answer everything that has not run, at a stop."""
        self.tickets.fail_all("overloaded")
        for waiting in self.queries.drain():
            link, ask = waiting.item
            link.answer(Answer(ask.ticket, b"", "overloaded", 0, 0))

    def _ask(self, link: GatewayLink, item: Ask) -> Failure | None:
        try:
            self.queries.push(item.caller.identity, (link, item), after=Seqno(0), now_s=self._now_ms() / 1000)
        except Overloaded:
            return "overloaded"
        return None

    def _submit(self, link: GatewayLink, item: Submit) -> Failure | None:
        if self.stopping:
            return "overloaded"
        if item.adapter == GOVERNANCE:
            return self._submit_governance(link, item)
        if item.adapter not in self._adapters:
            return "no_such_adapter"
        if len(item.payload) > limits.COMMAND_BYTES_MAX:
            return "too_large"
        ticket = self.tickets.open(link, item.ticket)
        caller = Caller(item.caller.identity, item.caller.is_member, item.caller.credential)
        self._enqueue(item.adapter, Pending(ticket, item.payload, caller))
        return None

    def _submit_governance(self, link: GatewayLink, item: Submit) -> Failure | None:
        if not item.caller.is_member:
            return "no_such_adapter"
        if len(item.payload) > limits.GOVERNANCE_MESSAGE_BYTES_MAX:
            return "too_large"
        if len(self.governance) >= limits.QUEUED_GOVERNANCE_MAX:
            return "overloaded"
        self.governance.append((self.tickets.open(link, item.ticket), item.payload))
        return None

    def _enqueue(self, adapter: str, pending: Pending) -> None:
        try:
            displaced = self.queues.push(adapter, pending, self._now_ms())
        except CommandRejected as rejected:
            self.tickets.answer(pending.ticket, rejected.reply)
        except Overloaded:
            self.tickets.fail(pending.ticket, "overloaded")
        except InvariantBroken:
            raise
        except Exception as error:  # noqa: BLE001 - the node loop: the queue is other people's code
            self._log(f"the queue of adapter {adapter} failed ({type(error).__name__})")
            self.tickets.fail(pending.ticket, "failed")
        else:
            self.tickets.answer_all(displaced)


def _broken_queue(error: Exception) -> InvariantBroken:
    """Only the type of an adapter's exception goes on: its text may hold what is confidential."""
    return InvariantBroken(f"the queue of an adapter failed ({type(error).__name__})")
