"""What a leader sends to a follower, and when not."""

from __future__ import annotations

import pytest

from core import limits
from core.consensus.raft.progress import FollowerState, Progress
from core.consensus.raft.settings import RaftSettings
from core.errors import CocoError


def make_progress(**bounds: int) -> Progress:
    return Progress(RaftSettings(**bounds), 5, recent_active=True)


def test_a_probe_waits_for_its_answer() -> None:
    progress = make_progress()
    progress.sent(0, 0, 0)
    assert not progress.is_paused()
    progress.sent(1, 10, 0)
    assert progress.is_paused()
    assert progress.acknowledged(5, 5)
    assert not progress.is_paused()


@pytest.mark.parametrize("bounds", [{"inflight_messages_max": 2}, {"inflight_bytes_max": 20}])
def test_a_window_fills_and_is_freed(bounds: dict[str, int]) -> None:
    progress = make_progress(**bounds)
    progress.acknowledged(4, 4)
    progress.become_replicate()
    progress.sent(1, 10, 0)
    assert not progress.is_paused()
    progress.sent(1, 10, 0)
    assert progress.is_paused()
    assert (progress.next, progress.inflight) == (7, 2)
    progress.acknowledged(4, 5)
    progress.free()
    assert (progress.inflight, progress.match, progress.received) == (1, 4, 5)
    assert not progress.is_full()


def test_old_rejections_change_nothing() -> None:
    progress = make_progress()
    assert not progress.rejected(3, 2)
    assert progress.rejected(4, 2)
    assert progress.next == 3
    progress.acknowledged(2, 2)
    progress.become_replicate()
    progress.sent(3, 10, 0)
    assert not progress.rejected(2, 0)
    assert progress.rejected(5, 0)
    assert (progress.state, progress.next) == (FollowerState.PROBE, 3)
    progress.become_snapshot()
    assert not progress.rejected(2, 0)
    assert progress.is_paused()


def test_old_acknowledgements_change_nothing() -> None:
    progress = make_progress()
    assert progress.acknowledged(3, 4)
    assert not progress.acknowledged(3, 4)
    assert not progress.acknowledged(1, 1)
    assert progress.acknowledged(4, 4)
    assert (progress.match, progress.received, progress.next) == (4, 4, 5)


@pytest.mark.parametrize(
    "values",
    [
        {"election_ticks": 1},
        {"heartbeat_ticks": 0},
        {"heartbeat_ticks": 10},
        {"inflight_messages_max": 0},
        {"departing_ticks_max": 0},
        {"append_bytes_max": limits.CONSENSUS_ENTRY_BYTES_MAX + 1},
    ],
)
def test_settings_that_cannot_work(values: dict[str, int]) -> None:
    with pytest.raises(CocoError):
        RaftSettings(**values)
