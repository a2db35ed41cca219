"""The queues of several adapters: turns, bounds, displacement and expiry."""

from __future__ import annotations

import pytest

from core.adapter.interface import Caller, Overloaded, Pending
from core.adapter.queue import CommandQueues, FifoQueue

ALICE, BOB = Caller("alice"), Caller("bob")


class Replacing(FifoQueue):
    """Keeps one command, for 10 ms; a newer one displaces it."""

    def __init__(self) -> None:
        self.held: tuple[int, Pending] | None = None

    def push(self, pending: Pending, now_ms: int) -> list[tuple[Pending, bytes]]:
        displaced = [(self.held[1], b"displaced")] if self.held else []
        self.held = (now_ms + 10, pending)
        return displaced

    def pop(self) -> Pending | None:
        return None

    def expire(self, now_ms: int) -> list[tuple[Pending, bytes]]:
        if self.held is None or self.held[0] > now_ms:
            return []
        (_, pending), self.held = self.held, None
        return [(pending, b"expired")]

    def next_deadline_ms(self) -> int | None:
        return self.held[0] if self.held else None

    def __len__(self) -> int:
        return int(self.held is not None)


def pending(ticket: int, caller: Caller = ALICE) -> Pending:
    return Pending(ticket, b"", caller)


def tickets(queues: CommandQueues) -> list[int]:
    found = []
    while (item := queues.pop()) is not None:
        found.append(item[1].ticket)
    return found


def test_adapters_take_turns_and_each_keeps_its_order() -> None:
    queues = CommandQueues()
    queues.add("one", None)
    queues.add("two", None)
    for ticket in (1, 2, 3):
        queues.push("one", pending(ticket), 0)
    queues.push("two", pending(10), 0)
    assert tickets(queues) == [1, 10, 2, 3]
    assert len(queues) == 0


def test_bounds_hold_and_make_room_again() -> None:
    queues = CommandQueues(total_max=3, per_caller_max=2)
    queues.add("one", None)
    queues.push("one", pending(1), 0)
    queues.push("one", pending(2), 0)
    with pytest.raises(Overloaded, match="caller"):
        queues.push("one", pending(3), 0)
    queues.push("one", pending(4, BOB), 0)
    with pytest.raises(Overloaded, match="full"):
        queues.push("one", pending(5, BOB), 0)
    assert queues.pop() is not None
    queues.push("one", pending(6), 0)
    assert tickets(queues) == [2, 4, 6]


def test_displaced_and_expired_commands_leave_the_count() -> None:
    queues = CommandQueues(total_max=2, per_caller_max=1)
    queues.add("one", Replacing())
    queues.push("one", pending(1), 0)
    assert [(gone.ticket, reply) for gone, reply in queues.push("one", pending(2, BOB), 5)] == [(1, b"displaced")]
    assert (len(queues), queues.next_deadline_ms(), queues.lengths()) == (1, 15, {"one": 1})
    assert queues.expire(14) == []
    assert [(gone.ticket, reply) for gone, reply in queues.expire(15)] == [(2, b"expired")]
    assert (len(queues), queues.next_deadline_ms(), tickets(queues)) == (0, None, [])
    queues.push("one", pending(3), 20)
