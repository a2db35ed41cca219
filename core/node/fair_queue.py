"""Queries that wait in a reader or an executor: a queue per identity, in turn, bounded in total and per identity.

An identity that has used more than its share of the reader's time within a window is passed over while others wait. One
that was served an instant ago counts as waiting: between its answer and its next question a client's queue is empty,
and a query of seconds that began just then would hold it up every time.

Invariant: only who is over its quota, or waits for a state that is still to come, is passed over; and the first only
while somebody else is there.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from dataclasses import dataclass
from typing import Generic, TypeVar

from core import limits
from core.adapter.interface import Overloaded
from core.types import Seqno

ItemT = TypeVar("ItemT")
Identity = str | None


class Quota:
    """Seconds of reader time per identity over a sliding window, kept in buckets of a tenth of it."""

    def __init__(
        self, seconds_max: float = limits.READER_QUOTA_SECONDS, window_s: float = limits.READER_QUOTA_WINDOW_SECONDS
    ) -> None:
        self._seconds_max = seconds_max
        self._bucket_s = window_s / 10
        self._buckets: deque[tuple[int, Counter[Identity]]] = deque()
        self._used: Counter[Identity] = Counter()

    def charge(self, identity: Identity, seconds: float, now_s: float) -> None:
        """Count time that an identity has used up to now."""
        self._forget(now_s)
        bucket = int(now_s / self._bucket_s)
        if not self._buckets or self._buckets[-1][0] != bucket:
            self._buckets.append((bucket, Counter()))
        microseconds = max(0, round(seconds * 1e6))
        self._buckets[-1][1][identity] += microseconds
        self._used[identity] += microseconds

    def is_over(self, identity: Identity, now_s: float) -> bool:
        """Whether an identity has used more than its share."""
        self._forget(now_s)
        return self._used[identity] > self._seconds_max * 1e6

    def _forget(self, now_s: float) -> None:
        oldest = int(now_s / self._bucket_s) - 9
        while self._buckets and self._buckets[0][0] < oldest:
            for identity, microseconds in self._buckets.popleft()[1].items():
                self._used[identity] -= microseconds
                if self._used[identity] <= 0:
                    del self._used[identity]


@dataclass(frozen=True, slots=True)
class Waiting(Generic[ItemT]):
    """after: the seqno that must be applied first. since_s: when it came (monotonic seconds)."""

    identity: Identity
    item: ItemT
    after: Seqno
    since_s: float


class FairQueue(Generic[ItemT]):
    """See the module. All times are monotonic seconds."""

    def __init__(
        self,
        *,
        total_max: int = limits.QUEUED_QUERIES_MAX,
        per_identity_max: int = limits.QUEUED_QUERIES_PER_CALLER_MAX,
        quota: Quota | None = None,
        others_s: float = limits.READER_OTHERS_SECONDS,
    ) -> None:
        self._queues: OrderedDict[Identity, deque[Waiting[ItemT]]] = OrderedDict()
        self._total = 0
        self._total_max = total_max
        self._per_identity_max = per_identity_max
        self._quota = quota or Quota()
        self._others_s = others_s
        self._last_within: tuple[Identity, float] | None = None

    def __len__(self) -> int:
        return self._total

    def push(self, identity: Identity, item: ItemT, *, after: Seqno, now_s: float) -> None:
        """Queue an item; raises Overloaded at a bound."""
        if self._total >= self._total_max:
            raise Overloaded("too many queries wait", hint="Try again later.")
        queue = self._queues.setdefault(identity, deque())
        if len(queue) >= self._per_identity_max:
            raise Overloaded("this caller has too many queries waiting", hint="Wait for answers before asking more.")
        queue.append(Waiting(identity, item, after, now_s))
        self._total += 1

    def pop(self, applied: Seqno, now_s: float) -> Waiting[ItemT] | None:
        """Remove and return the next item whose turn it is and whose state is there."""
        over: Identity = None
        found_over = False
        for identity, queue in self._queues.items():
            if queue[0].after > applied:
                continue
            if not self._quota.is_over(identity, now_s):
                self._last_within = (identity, now_s)
                return self._take(identity)
            if not found_over:
                over, found_over = identity, True
        if found_over and not self._others_are_near(over, now_s):
            return self._take(over)
        return None

    def next_turn_s(self, applied: Seqno, now_s: float) -> float | None:
        """When `pop` may have something without anything new having come; None: not before something comes."""
        if self._last_within is None or not any(queue[0].after <= applied for queue in self._queues.values()):
            return None
        return max(now_s, self._last_within[1] + self._others_s)

    def charge(self, identity: Identity, seconds: float, now_s: float) -> None:
        """Count the time that an identity's query has taken."""
        self._quota.charge(identity, seconds, now_s)
        if (
            self._last_within is not None
            and self._last_within[0] == identity
            and not self._quota.is_over(identity, now_s)
        ):
            self._last_within = (identity, now_s)

    def expire(self, before_s: float) -> list[Waiting[ItemT]]:
        """Remove and return what has waited since before a time."""
        expired = []
        for identity in list(self._queues):
            while identity in self._queues and self._queues[identity][0].since_s < before_s:
                expired.append(self._take(identity))
        return expired

    def oldest_s(self) -> float | None:
        """Return when the item came that `expire` would remove first; None when nothing waits."""
        return min((queue[0].since_s for queue in self._queues.values()), default=None)

    def drain(self) -> list[Waiting[ItemT]]:
        """Remove and return everything."""
        drained = [waiting for queue in self._queues.values() for waiting in queue]
        self._queues.clear()
        self._total = 0
        return drained

    def _others_are_near(self, identity: Identity, now_s: float) -> bool:
        if self._last_within is None or self._last_within[0] == identity:
            return False
        return now_s - self._last_within[1] < self._others_s

    def _take(self, identity: Identity) -> Waiting[ItemT]:
        queue = self._queues[identity]
        waiting = queue.popleft()
        self._total -= 1
        if queue:
            self._queues.move_to_end(identity)
        else:
            del self._queues[identity]
        return waiting
