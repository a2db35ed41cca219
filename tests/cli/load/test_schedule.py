"""When requests are due."""

from __future__ import annotations

from cli.load.schedule import CLOSED_LOOP_SPARE, Schedule


def test_lanes_take_turns_at_the_rate() -> None:
    schedule = Schedule(duration_s=1.0, lanes=4, rate=100.0)
    due = sorted(
        moment for lane in range(4) for number in range(50) if (moment := schedule.due_s(lane, number)) is not None
    )
    assert len(due) == 100
    assert all(abs(moment - index / 100) < 1e-9 for index, moment in enumerate(due))


def test_nothing_is_due_after_the_end() -> None:
    schedule = Schedule(duration_s=0.5, lanes=1, rate=10.0)
    assert schedule.due_s(0, 4) == 0.4
    assert schedule.due_s(0, 5) is None


def test_a_closed_loop_has_no_times() -> None:
    schedule = Schedule(duration_s=1.0, lanes=2)
    assert not schedule.is_open
    assert schedule.due_s(0, 0) is None


def test_every_lane_has_enough_requests() -> None:
    schedule = Schedule(duration_s=3.0, lanes=7, rate=33.3)
    for lane in range(7):
        needed = sum(schedule.due_s(lane, number) is not None for number in range(1000))
        assert needed <= schedule.requests_per_lane()
    assert Schedule(2.0, 4).requests_per_lane(100.0) == 51 + CLOSED_LOOP_SPARE
