"""What gateways and other nodes send an executor, until it runs: queued commands, queries and governance messages.

Whoever leads queues commands here; whoever follows passes them on (forwarding.py), save those of other nodes, which are
told that it does not lead. Invariant: every ticket is answered once. Everything that waits is bounded; what is over a
bound is refused at once.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Mapping, Set
from typing import assert_never

from core import limits
from core.adapter.interface import Adapter, Caller, CommandRejected, Overloaded, Pending, ScopedTransaction
from core.adapter.queue import CommandQueues
from core.errors import InvariantBroken
from core.node.fair_queue import FairQueue, Quota
from core.node.forwarding import Forwarder, Returns
from core.node.fresh_reads import FreshReads
from core.node.gateway_link import GatewayLink
from core.node.messages import Answer, Ask, CommandsForwarded, Submit
from core.node.proposals import GOVERNANCE
from core.node.tickets import Failure, Opened, Origin, Tickets
from core.types import Seqno


def now_s() -> float:
    """Return the running event loop's time, in seconds."""
    return asyncio.get_running_loop().time()


def now_ms() -> int:
    """Return the running event loop's time, in milliseconds."""
    return int(now_s() * 1000)


class Intake:
    """See the module. wake: set whenever something arrives. now_ms: monotonic milliseconds."""

    def __init__(
        self,
        tickets: Tickets,
        forwarder: Forwarder,
        returns: Returns,
        fresh: FreshReads,
        wake: asyncio.Event,
        now_ms: Callable[[], int],
        log: Callable[[str], None],
    ) -> None:
        self._forwarder = forwarder
        self._returns = returns
        self._fresh = fresh
        self._wake = wake
        self._now_ms = now_ms
        self._log = log
        self._adapters: Mapping[str, Adapter] = {}
        self._read: Callable[[str], ScopedTransaction] | None = None
        self._leads = False
        self.tickets = tickets
        self.queues = CommandQueues()
        self.queries: FairQueue[tuple[GatewayLink, Ask]] = FairQueue(quota=Quota(seconds_max=math.inf))
        self.governance: deque[tuple[int, bytes]] = deque()
        self.stopping = False

    def open(self, adapters: Mapping[str, Adapter], read: Callable[[str], ScopedTransaction]) -> None:
        """Begin to take commands for these adapters. read: opens the head state for one of them."""
        self._adapters = adapters
        self._read = read
        self._empty_queues()

    def lead(self, *, alone: bool) -> None:
        """Queue commands here from now on, with those that no leader has seen. alone: there is no other node."""
        self._leads = True
        self._fresh.lead(alone=alone)
        self._empty_queues()
        for ticket, opened in self._forwarder.lead():
            self._queue(ticket, opened)

    def not_alone(self) -> None:
        """There may be another node from now on."""
        self._fresh.not_alone()

    @property
    def may_take_in_others(self) -> bool:
        """Whether nobody here reads any more as if there were no other node."""
        return self._fresh.all_know

    def follow(self, leader: str, settled: Set[int]) -> None:
        """Pass commands on from now on. settled: tickets that somebody else answers."""
        was_leading, self._leads = self._leads, False
        self._fresh.not_alone()
        self._forwarder.follow(leader)
        if not was_leading:
            return
        self._empty_queues()
        for ticket, opened in self.tickets.others(settled):
            if opened.origin.node:
                self.tickets.fail(ticket, "not_leader")
            else:
                self._forwarder.push(ticket, opened)

    def take(self, link: GatewayLink, item: Submit | Ask) -> None:
        """Queue an item of a gateway, or refuse it at once."""
        self._wake.set()
        match item:
            case Submit():
                self._submit(link, item, None)
            case Ask():
                self._ask(link, item)
            case _:
                assert_never(item)

    def take_forwarded(self, message: CommandsForwarded) -> None:
        """Queue what another node forwards, or refuse it at once."""
        self._wake.set()
        for item in message.items:
            origin, refusal = self._returns.take(message.origin, item)
            self._submit(origin, item, refusal if self._leads else "not_leader")

    def next(self) -> tuple[str, Pending] | None:
        """Remove and return the next command that is ready. A queue that fails has lost its order: InvariantBroken."""
        try:
            return self.queues.pop()
        except Exception as error:  # noqa: BLE001 - adapters are other people's code; only its type goes on
            raise _broken_queue(error) from None

    def next_query(self, committed: Seqno) -> tuple[GatewayLink, Ask] | None:
        """Remove and return the next query that is ready."""
        waiting = self.queries.pop(committed, 0.0) or self._fresh.pop()
        return None if waiting is None else waiting.item

    def expire(self) -> None:
        """Answer the commands and queries that were held too long; as `next` when a queue fails."""
        try:
            expired = self.queues.expire(self._now_ms())
        except Exception as error:  # noqa: BLE001 - adapters are other people's code; only its type goes on
            raise _broken_queue(error) from None
        self.tickets.answer_all(expired)
        self._fresh.expire()
        for waiting in self.queries.expire(self._now_ms() / 1000 - limits.QUERY_WAIT_SECONDS_MAX):
            link, ask = waiting.item
            link.answer(Answer(ask.ticket, b"", "overloaded", 0, 0))

    def next_deadline_s(self) -> float | None:
        """When `expire` has something to do, if ever: monotonic seconds."""
        held_ms, oldest_s, fresh_s = (
            self.queues.next_deadline_ms(),
            self.queries.oldest_s(),
            self._fresh.next_deadline_s(),
        )
        deadlines = [] if held_ms is None else [held_ms / 1000]
        if fresh_s is not None:
            deadlines.append(fresh_s)
        if oldest_s is not None:
            deadlines.append(oldest_s + limits.QUERY_WAIT_SECONDS_MAX)
        return min(deadlines, default=None)

    def refuse_all(self) -> None:
        """Answer everything that has not run, at a stop."""
        self.tickets.fail_all("overloaded")
        self._fresh.refuse_all()
        for waiting in self.queries.drain():
            link, ask = waiting.item
            link.answer(Answer(ask.ticket, b"", "overloaded", 0, 0))

    def _empty_queues(self) -> None:
        """Begin with new queues: what waited in the old ones is still in the tickets."""
        read = self._read
        if read is None:
            raise InvariantBroken("an intake was given a role before it was opened")
        self.governance.clear()
        self.queues = CommandQueues()
        for name, adapter in self._adapters.items():
            self.queues.add(name, adapter.make_queue(lambda name=name: read(name)))  # type: ignore[misc]

    def _ask(self, link: GatewayLink, item: Ask) -> None:
        try:
            if item.fresh:
                self._fresh.push(link, item)
                return
            now_s = self._now_ms() / 1000
            self.queries.push(item.caller.identity, (link, item), after=Seqno(item.after), now_s=now_s)
        except Overloaded:
            link.answer(Answer(item.ticket, b"", "overloaded", 0, 0))

    def _submit(self, origin: Origin, item: Submit, refusal: Failure | None) -> None:
        refusal = refusal or self._refusal(item)
        if refusal is not None:
            origin.answer(Answer(item.ticket, b"", refusal, 0, 0))
            return
        opened = Opened(origin, item)
        ticket = self.tickets.open(opened)
        if self._leads:
            self._queue(ticket, opened)
        else:
            self._forwarder.push(ticket, opened)

    def _refusal(self, item: Submit) -> Failure | None:
        """Say why a command is not even queued, if so."""
        if self.stopping:
            return "overloaded"
        if item.adapter == GOVERNANCE:
            if not item.caller.is_member:
                return "no_such_adapter"
            return "too_large" if len(item.payload) > limits.GOVERNANCE_MESSAGE_BYTES_MAX else None
        if item.adapter not in self._adapters:
            return "no_such_adapter"
        return "too_large" if len(item.payload) > limits.COMMAND_BYTES_MAX else None

    def _queue(self, ticket: int, opened: Opened) -> None:
        item = opened.item
        if item.adapter != GOVERNANCE:
            caller = Caller(item.caller.identity, item.caller.is_member, item.caller.credential)
            self._enqueue(item.adapter, Pending(ticket, item.payload, caller))
        elif len(self.governance) >= limits.QUEUED_GOVERNANCE_MAX:
            self.tickets.fail(ticket, "overloaded")
        else:
            self.governance.append((ticket, item.payload))

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
