"""How long nobody was served, and how much of that a fault explains."""

from __future__ import annotations

import pytest

from tests.torture.availability import Availability, Fault, availability_of

EVERY_TENTH = [number / 10 for number in range(101)]


def judged(answers: list[float], *faults: Fault) -> Availability:
    return availability_of(answers, faults, began=0.0, ended=10.0, election_seconds=1.0)


def without(start: float, end: float) -> list[float]:
    return [one for one in EVERY_TENTH if not start < one < end]


def fault(began: float, healed: float, *, blocks: bool = False) -> Fault:
    return Fault("pause", ("node1",), began, healed, blocks)


def test_steady_service() -> None:
    found = judged(EVERY_TENTH)
    assert found.longest_seconds == pytest.approx(0.1)
    assert found.longest_unexplained_seconds == pytest.approx(0.1)
    assert found.recoveries == ()


def test_a_gap_without_a_fault_is_unexplained() -> None:
    found = judged(without(3.0, 7.0))
    assert found.longest_seconds == pytest.approx(4.0)
    assert found.longest_unexplained_seconds == pytest.approx(4.0)


def test_no_answer_at_all() -> None:
    found = judged([], fault(1.0, 2.0))
    assert found.longest_seconds == 10.0
    assert found.longest_unexplained_seconds == 7.0
    assert [one.seconds for one in found.late(1.0)] == [None]


def test_a_fault_that_leaves_a_majority_explains_two_elections_only() -> None:
    found = judged(without(3.0, 7.0), fault(3.0, 7.0))
    assert found.longest_unexplained_seconds == pytest.approx(2.0)


def test_a_fault_that_blocks_explains_itself_and_two_elections() -> None:
    found = judged(without(3.0, 8.5), fault(3.0, 7.0, blocks=True))
    assert found.longest_seconds == pytest.approx(5.5)
    assert found.longest_unexplained_seconds == pytest.approx(0.1)
    assert found.recoveries[0].seconds == pytest.approx(1.5)
    assert found.late(1.0) == []
    assert found.late(0.5) == [found.recoveries[0]]


def test_service_that_comes_back_late_is_told() -> None:
    found = judged(without(3.0, 6.5), fault(3.05, 9.0))
    [late] = found.late(1.0)
    assert late.seconds == pytest.approx(3.45)


def test_faults_that_follow_one_another_are_one() -> None:
    found = judged(without(1.0, 7.0), fault(1.05, 4.0, blocks=True), fault(3.0, 6.0, blocks=True))
    assert [one.seconds for one in found.recoveries] == [pytest.approx(1.0), pytest.approx(1.0)]
    assert found.longest_unexplained_seconds == pytest.approx(0.1, abs=0.06)
