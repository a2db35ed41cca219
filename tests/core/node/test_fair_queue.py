"""Turns, bounds and quotas of the queries that wait in a reader."""

from __future__ import annotations

import pytest

from core.adapter.interface import Overloaded
from core.node.fair_queue import FairQueue, Quota
from core.types import Seqno

NOW = Seqno(5)


def queue(total_max: int = 10, per_identity_max: int = 5) -> FairQueue[str]:
    return FairQueue(
        total_max=total_max,
        per_identity_max=per_identity_max,
        quota=Quota(seconds_max=2.0, window_s=10.0),
        others_s=0.1,
    )


def push(fair: FairQueue[str], *items: str, now_s: float = 0.0, after: int = 0) -> None:
    """Each item is its identity's letter and a number."""
    for item in items:
        fair.push(item[0], item, after=Seqno(after), now_s=now_s)


def pop(fair: FairQueue[str], now_s: float = 0.0, applied: int = NOW) -> str | None:
    waiting = fair.pop(Seqno(applied), now_s)
    return None if waiting is None else waiting.item


def test_identities_take_turns_and_each_keeps_its_order() -> None:
    fair = queue()
    push(fair, "a1", "a2", "a3", "b1", "c1", "b2")
    assert [pop(fair) for _ in range(7)] == ["a1", "b1", "c1", "a2", "b2", "a3", None]
    assert len(fair) == 0


def test_an_identity_without_name_is_one_of_them() -> None:
    fair: FairQueue[int] = FairQueue()
    fair.push(None, 1, after=Seqno(0), now_s=0)
    fair.push(None, 2, after=Seqno(0), now_s=0)
    fair.push("a", 3, after=Seqno(0), now_s=0)
    popped = [fair.pop(NOW, 0.0) for _ in range(3)]
    assert [each.item for each in popped if each is not None] == [1, 3, 2]


def test_bounds_per_identity_and_in_total() -> None:
    fair = queue(total_max=3, per_identity_max=2)
    push(fair, "a1", "a2")
    with pytest.raises(Overloaded, match="this caller"):
        push(fair, "a3")
    push(fair, "b1")
    with pytest.raises(Overloaded, match="too many queries wait"):
        push(fair, "c1")
    assert [pop(fair), pop(fair)] == ["a1", "b1"]
    push(fair, "c1")
    assert len(fair) == 2


def test_what_waits_for_a_state_lets_others_pass() -> None:
    fair = queue()
    push(fair, "a1", after=7)
    push(fair, "b1", after=5)
    assert pop(fair) == "b1"
    assert pop(fair) is None
    assert fair.next_turn_s(NOW, 0.0) is None
    assert pop(fair, applied=7) == "a1"


def test_over_its_quota_an_identity_goes_last() -> None:
    fair = queue()
    fair.charge("a", 2.5, now_s=0.0)
    push(fair, "a1", "b1", "b2", now_s=1.0)
    assert [pop(fair, 1.0), pop(fair, 1.0)] == ["b1", "b2"]


def test_alone_an_identity_has_no_quota() -> None:
    fair = queue()
    fair.charge("a", 100.0, now_s=0.0)
    push(fair, "a1", "a2")
    assert [pop(fair, 0.0), pop(fair, 0.0)] == ["a1", "a2"]


def test_one_served_an_instant_ago_counts_as_waiting() -> None:
    fair = queue()
    fair.charge("a", 2.5, now_s=0.0)
    push(fair, "a1", "b1", now_s=1.0)
    assert pop(fair, 1.0) == "b1"
    fair.charge("b", 0.01, now_s=1.01)
    assert pop(fair, 1.05) is None
    assert fair.next_turn_s(NOW, 1.05) == pytest.approx(1.11)
    assert pop(fair, 1.12) == "a1"


def test_a_quota_slides() -> None:
    quota = Quota(seconds_max=2.0, window_s=10.0)
    quota.charge("a", 1.5, 0.5)
    quota.charge("a", 1.0, 5.0)
    assert quota.is_over("a", 9.0)
    assert not quota.is_over("a", 11.0)
    assert not quota.is_over("b", 9.0)
    quota.charge("a", 1.5, 11.0)
    assert quota.is_over("a", 11.0)
    assert not quota.is_over("a", 30.0)


def test_two_over_their_quota_take_turns() -> None:
    fair = queue()
    fair.charge("a", 3.0, now_s=0.0)
    fair.charge("b", 3.0, now_s=0.0)
    push(fair, "a1", "a2", "b1")
    assert [pop(fair, 1.0) for _ in range(3)] == ["a1", "b1", "a2"]


def test_what_waited_too_long_is_taken_out() -> None:
    fair = queue()
    push(fair, "a1", "b1", now_s=1.0)
    push(fair, "a2", now_s=5.0)
    assert {waiting.item for waiting in fair.expire(2.0)} == {"a1", "b1"}
    assert fair.expire(2.0) == []
    assert {waiting.item for waiting in fair.drain()} == {"a2"}
    assert len(fair) == 0
    assert pop(fair) is None
