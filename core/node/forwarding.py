"""Commands on their way to the leader and answers on their way back, in the executors at both ends. DESIGN section 8.

`Forwarder` is the follower's: it sends what its gateways ask, in turn among identities, and holds each answer until
the state here has reached what it tells of: who is answered reads what it has written. `Returns` is the leader's.

What was sent to a leader that is lost may have run: "unknown_outcome". What was not sent goes to the next leader, or,
when there is none for limits.UNLED_SECONDS_MAX, is answered "not_leader". Invariants: each command is answered once;
whatever waits is bounded, in number and bytes, per gateway and in total.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from core import limits
from core.adapter.interface import Overloaded
from core.node.fair_queue import FairQueue, Quota
from core.node.messages import TO_MANAGER, Answer, ForwardAnswers, ForwardToLeader, Submit
from core.node.tickets import Failure, Opened, Origin, Tickets
from core.ports import Transport
from core.types import Seqno, TransactionId, View

_PAUSE_SECONDS = 0.1
"""Before anything more is sent to a leader that has just said that it does not lead: not yet, or not any more."""
_OVERHEAD_BYTES = 128


@dataclass(slots=True)
class _Sent:
    """since_s: when the command came. answer: once the leader has given one that is not ripe yet."""

    since_s: float
    sent_s: float
    opened: Opened
    answer: Answer | None = None


class Forwarder:
    """See the module. now_s: monotonic seconds. wake: called when `expire` has something to plan for.

    Until `follow` or after `lead` nothing is sent.
    """

    def __init__(
        self, manager: Transport, tickets: Tickets, now_s: Callable[[], float], wake: Callable[[], None]
    ) -> None:
        self._manager = manager
        self._tickets = tickets
        self._now_s = now_s
        self._wake = wake
        self._leader = ""
        self._queue: FairQueue[int] = FairQueue(
            total_max=limits.FORWARDED_COMMANDS_MAX,
            per_identity_max=limits.QUEUED_COMMANDS_PER_CALLER_MAX,
            quota=Quota(seconds_max=math.inf),
        )
        self._sent: dict[int, _Sent] = {}
        self._ripening: list[tuple[int, int]] = []
        self._committed = Seqno(0)
        self._by_origin: Counter[Origin] = Counter()
        self._bytes = 0
        self._paused_until_s = 0.0
        self._something = asyncio.Event()

    def __len__(self) -> int:
        """How many commands wait for a leader, or for its answer."""
        return len(self._queue) + len(self._sent)

    @property
    def outstanding(self) -> int:
        """How many commands were sent and are not answered."""
        return len(self._sent)

    def push(self, ticket: int, opened: Opened) -> None:
        """Take a command, or answer it "overloaded"."""
        if (
            self._by_origin[opened.origin] >= limits.FORWARDED_PER_GATEWAY_MAX
            or len(self) >= limits.FORWARDED_COMMANDS_MAX
            or self._bytes + _size_bytes(opened.item) > limits.FORWARDED_BYTES_MAX
        ):
            self._tickets.fail(ticket, "overloaded")
            return
        self._by_origin[opened.origin] += 1
        self._bytes += _size_bytes(opened.item)
        self._enqueue(ticket, opened, self._now_s())
        self._wake()

    def follow(self, leader: str) -> None:
        """Send to another leader from now on, or to none ("")."""
        self._leader = leader
        self._lose()
        self._paused_until_s = 0.0
        self._something.set()

    def lead(self) -> list[tuple[int, Opened]]:
        """Send no more; returns the commands that no leader has seen, in the order in which they came."""
        self._leader = ""
        self._lose(also_ripening=True)
        kept = []
        for waiting in self._queue.drain():
            opened = self._tickets.opened(waiting.item)
            self._forget(opened)
            kept.append((waiting.item, opened))
        return sorted(kept, key=lambda one: one[0])

    def returned(self, answers: Sequence[Answer]) -> None:
        """Take the leader's answers. One that comes after its command was given up tells nothing any more."""
        for answer in answers:
            sent = self._sent.get(answer.ticket)
            if sent is None or sent.answer is not None:
                continue
            if answer.failure == "not_leader":
                self._try_again(answer.ticket, sent)
            elif answer.seqno > self._committed:
                sent.answer = answer
                heapq.heappush(self._ripening, (answer.seqno, answer.ticket))
            else:
                self._close(answer)
        self._something.set()

    def reached(self, committed: Seqno) -> None:
        """The state here is as of this seqno: give the answers that waited for it."""
        self._committed = committed
        while self._ripening and self._ripening[0][0] <= committed:
            _, ticket = heapq.heappop(self._ripening)
            sent = self._sent.get(ticket)
            if sent is not None and sent.answer is not None:
                self._close(sent.answer)
        self._something.set()

    def expire(self) -> None:
        """Answer what has waited too long."""
        now_s = self._now_s()
        for waiting in self._queue.expire(now_s - self._patience_s):
            self._forget(self._tickets.opened(waiting.item))
            self._tickets.fail(waiting.item, "overloaded" if self._leader else "not_leader")
        while self._sent:
            ticket, sent = next(iter(self._sent.items()))
            if sent.sent_s + limits.FORWARDED_SECONDS_MAX > now_s:
                return
            self._give_up(ticket, sent)

    def next_deadline_s(self) -> float | None:
        """When `expire` has something to do, if ever."""
        oldest_s = self._queue.oldest_s()
        deadlines = [] if oldest_s is None else [oldest_s + self._patience_s]
        if self._sent:
            deadlines.append(next(iter(self._sent.values())).sent_s + limits.FORWARDED_SECONDS_MAX)
        return min(deadlines, default=None)

    def give_up_all(self) -> None:
        """Answer everything, at a stop."""
        self._lose(also_ripening=True)
        for waiting in self._queue.drain():
            self._forget(self._tickets.opened(waiting.item))
            self._tickets.fail(waiting.item, "overloaded")

    async def run(self) -> None:
        """Send, until cancelled. Raises ChannelClosed."""
        while True:
            await self._something.wait()
            self._something.clear()
            while items := self._batch():
                self._wake()
                await self._manager.send(TO_MANAGER.encode(ForwardToLeader(items)))
            pause_s = self._paused_until_s - self._now_s()
            if pause_s > 0:
                await asyncio.sleep(pause_s)
                self._something.set()

    @property
    def _patience_s(self) -> float:
        return limits.FORWARD_WAIT_SECONDS_MAX if self._leader else limits.UNLED_SECONDS_MAX

    def _batch(self) -> tuple[Submit, ...]:
        now_s = self._now_s()
        batch: list[Submit] = []
        size_bytes = 0
        while (
            self._leader
            and now_s >= self._paused_until_s
            and len(self._sent) < limits.FORWARDED_IN_FLIGHT_MAX
            and size_bytes < limits.FORWARD_BATCH_BYTES_MAX
            and len(batch) < limits.FORWARD_BATCH_COMMANDS_MAX
        ):
            waiting = self._queue.pop(Seqno(0), now_s)
            if waiting is None:
                break
            opened = self._tickets.opened(waiting.item)
            self._sent[waiting.item] = _Sent(waiting.since_s, now_s, opened)
            item = opened.item
            batch.append(Submit(waiting.item, item.adapter, item.payload, item.caller))
            size_bytes += _size_bytes(item)
        return tuple(batch)

    def _enqueue(self, ticket: int, opened: Opened, since_s: float) -> None:
        try:
            self._queue.push(opened.item.caller.identity, ticket, after=Seqno(0), now_s=since_s)
        except Overloaded:
            self._forget(opened)
            self._tickets.fail(ticket, "overloaded")
            return
        self._something.set()

    def _try_again(self, ticket: int, sent: _Sent) -> None:
        """The leader did not run it: it is as if it had not been sent."""
        now_s = self._now_s()
        self._paused_until_s = now_s + _PAUSE_SECONDS
        del self._sent[ticket]
        if sent.since_s + limits.UNLED_SECONDS_MAX > now_s:
            self._enqueue(ticket, sent.opened, sent.since_s)
        else:
            self._forget(sent.opened)
            self._tickets.fail(ticket, "not_leader")

    def _lose(self, *, also_ripening: bool = False) -> None:
        """Give up what was sent; what the leader has answered is known, and comes."""
        for ticket, sent in list(self._sent.items()):
            if sent.answer is None or also_ripening:
                self._give_up(ticket, sent)

    def _give_up(self, ticket: int, sent: _Sent) -> None:
        del self._sent[ticket]
        self._forget(sent.opened)
        at = None
        if sent.answer is not None and sent.answer.seqno:
            at = TransactionId(View(sent.answer.view), Seqno(sent.answer.seqno))
        self._tickets.fail(ticket, "unknown_outcome", at)

    def _close(self, answer: Answer) -> None:
        self._forget(self._sent.pop(answer.ticket).opened)
        self._tickets.pass_on(answer)

    def _forget(self, opened: Opened) -> None:
        self._bytes -= _size_bytes(opened.item)
        self._by_origin[opened.origin] -= 1
        if not self._by_origin[opened.origin]:
            del self._by_origin[opened.origin]


class RemoteOrigin:
    """A node that forwards commands to this one. open: how many of them are not answered."""

    def __init__(self, node: str, put: Callable[[RemoteOrigin, Answer], None]) -> None:
        self._node = node
        self._put = put
        self.open = 0

    @property
    def node(self) -> str:
        return self._node

    def answer(self, answer: Answer) -> None:
        """Queue an answer; each command gets one."""
        self._put(self, answer)


class Returns:
    """See the module: the answers to what other nodes forward."""

    def __init__(self, manager: Transport) -> None:
        self._manager = manager
        self._origins: dict[str, RemoteOrigin] = {}
        self._outbox: deque[tuple[str, Answer]] = deque()
        self._bytes = 0
        self._something = asyncio.Event()

    def __len__(self) -> int:
        """How many answers wait to be sent."""
        return len(self._outbox)

    def take(self, node: str, item: Submit) -> tuple[RemoteOrigin, Failure | None]:
        """Return whom a forwarded command is from, and why it is refused, if it is: that node has too many open."""
        origin = self._origins.setdefault(node, RemoteOrigin(node, self._put))
        origin.open += 1
        if origin.open > limits.FORWARDED_IN_FLIGHT_MAX or self._bytes > limits.OUTBOX_BYTES_MAX:
            return origin, "overloaded"
        return origin, None

    async def run(self) -> None:
        """Send, until cancelled. Raises ChannelClosed."""
        while True:
            await self._something.wait()
            self._something.clear()
            while self._outbox:
                node, items = self._batch()
                await self._manager.send(TO_MANAGER.encode(ForwardAnswers(node, items)))

    def _put(self, origin: RemoteOrigin, answer: Answer) -> None:
        origin.open -= 1
        if not origin.open:
            self._origins.pop(origin.node, None)
        self._outbox.append((origin.node, answer))
        self._bytes += len(answer.reply) + _OVERHEAD_BYTES
        self._something.set()

    def _batch(self) -> tuple[str, tuple[Answer, ...]]:
        """Answers to the node that the oldest one is for, as they stand in a row."""
        node = self._outbox[0][0]
        batch: list[Answer] = []
        size_bytes = 0
        while (
            self._outbox
            and self._outbox[0][0] == node
            and size_bytes < limits.FORWARD_BATCH_BYTES_MAX
            and len(batch) < limits.FORWARD_BATCH_COMMANDS_MAX
        ):
            _, answer = self._outbox.popleft()
            batch.append(answer)
            size_bytes += len(answer.reply) + _OVERHEAD_BYTES
        self._bytes -= size_bytes
        return node, tuple(batch)


def _size_bytes(item: Submit) -> int:
    return len(item.payload) + _OVERHEAD_BYTES
