"""Commands that wait to run: one queue per adapter, served in turn, bounded in total and per caller.

Invariant: a command is in exactly one queue, and is counted against its caller until it leaves it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping

from core import limits
from core.adapter.interface import CommandQueue, Overloaded, Pending


class FifoQueue:
    """The queue of an adapter that does not bring its own: first in, first out; nothing is held back."""

    def __init__(self) -> None:
        self._waiting: deque[Pending] = deque()

    def push(self, pending: Pending, now_ms: int) -> list[tuple[Pending, bytes]]:
        """Take a command."""
        del now_ms
        self._waiting.append(pending)
        return []

    def pop(self) -> Pending | None:
        """Remove and return the oldest command."""
        return self._waiting.popleft() if self._waiting else None

    def expire(self, now_ms: int) -> list[tuple[Pending, bytes]]:
        """Nothing expires."""
        del now_ms
        return []

    def next_deadline_ms(self) -> int | None:
        return None

    def __len__(self) -> int:
        return len(self._waiting)


class CommandQueues:
    """The queues of all live adapters. `pop` goes round the adapters, so that none starves another."""

    def __init__(
        self,
        *,
        total_max: int = limits.QUEUED_COMMANDS_MAX,
        per_caller_max: int = limits.QUEUED_COMMANDS_PER_CALLER_MAX,
    ) -> None:
        self._queues: dict[str, CommandQueue] = {}
        self._turn: deque[str] = deque()
        self._total_max = total_max
        self._per_caller_max = per_caller_max
        self._by_caller: Counter[str | None] = Counter()
        self._total = 0

    def add(self, adapter: str, queue: CommandQueue | None) -> None:
        """Add an adapter's queue; first in, first out when it brings none."""
        self._queues[adapter] = FifoQueue() if queue is None else queue
        self._turn.append(adapter)

    def push(self, adapter: str, pending: Pending, now_ms: int) -> list[tuple[Pending, bytes]]:
        """Queue a command; returns the commands it displaced, with their replies.

        Raises Overloaded at a bound, and CommandRejected when the adapter's queue refuses it.
        """
        if self._total >= self._total_max:
            raise Overloaded("the node's command queue is full", hint="Try again later.")
        if self._by_caller[pending.caller.identity] >= self._per_caller_max:
            raise Overloaded("this caller has too many commands waiting", hint="Wait for answers before sending more.")
        displaced = self._queues[adapter].push(pending, now_ms)
        self._total += 1
        self._by_caller[pending.caller.identity] += 1
        for other, _ in displaced:
            self._left(other)
        return displaced

    def pop(self) -> tuple[str, Pending] | None:
        """Remove and return the next command that is ready, with its adapter's name."""
        if not self._total:
            return None
        for _ in range(len(self._turn)):
            adapter = self._turn[0]
            self._turn.rotate(-1)
            pending = self._queues[adapter].pop()
            if pending is not None:
                self._left(pending)
                return adapter, pending
        return None

    def expire(self, now_ms: int) -> list[tuple[Pending, bytes]]:
        """Remove and return the commands that were held too long, with their replies."""
        expired = [item for queue in self._queues.values() for item in queue.expire(now_ms)]
        for pending, _ in expired:
            self._left(pending)
        return expired

    def next_deadline_ms(self) -> int | None:
        """When `expire` has something to do, in monotonic milliseconds."""
        if not self._total:
            return None
        deadlines = [deadline for queue in self._queues.values() if (deadline := queue.next_deadline_ms()) is not None]
        return min(deadlines, default=None)

    def lengths(self) -> Mapping[str, int]:
        """How many commands of each adapter wait."""
        return {adapter: len(queue) for adapter, queue in self._queues.items()}

    def __len__(self) -> int:
        return self._total

    def _left(self, pending: Pending) -> None:
        self._total -= 1
        self._by_caller[pending.caller.identity] -= 1
        if not self._by_caller[pending.caller.identity]:
            del self._by_caller[pending.caller.identity]
