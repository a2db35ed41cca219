"""The log: what conflicts is replaced, what is committed is not, and what is written counts once."""

from __future__ import annotations

import pytest

from core.consensus.engine import LogEntry
from core.consensus.raft.log import Log
from core.errors import InvariantBroken
from core.types import View


def entries(first: int, *terms: int) -> list[LogEntry]:
    return [LogEntry(first + place, View(term), b"x" * term) for place, term in enumerate(terms)]


def make_log(*terms: int) -> Log:
    log = Log(0, 0)
    for entry in entries(1, *terms):
        log.append(entry)
    return log


def written(log: Log) -> Log:
    log.hand_out(1000)
    log.complete()
    return log


def test_merging_replaces_from_the_first_conflict_on() -> None:
    log = make_log(1, 1, 2, 2)
    log.merge(entries(2, 1, 2))
    assert log.last_index == 4
    log.merge(entries(3, 3))
    assert [log.term_at(index) for index in range(5)] == [0, 1, 1, 3, None]


def test_what_is_committed_is_not_replaced() -> None:
    log = make_log(1, 1, 2)
    assert log.commit_to(2)
    assert not log.commit_to(1)
    with pytest.raises(InvariantBroken):
        log.merge(entries(2, 3))
    with pytest.raises(InvariantBroken):
        log.commit_to(4)
    with pytest.raises(InvariantBroken):
        log.append(entries(5, 3)[0])
    with pytest.raises(InvariantBroken):
        log.append(entries(4, 1)[0])


def test_committed_entries_are_handed_out_when_they_are_written_and_within_bounds() -> None:
    log = make_log(1, 1, 1)
    log.commit_to(3)
    assert [len(part) for part in log.hand_out(1000)] == [3, 0]
    log.complete()
    assert [len(part) for part in log.hand_out(1)] == [0, 1]
    assert [len(part) for part in log.hand_out(1000)] == [0, 2]
    log.complete()
    assert log.applied == 1
    log.complete()
    assert log.applied == 3
    with pytest.raises(InvariantBroken):
        log.complete()


def test_a_write_whose_entries_were_replaced_does_not_count_even_if_they_come_back() -> None:
    log = make_log(1, 1)
    log.hand_out(1000)
    log.merge(entries(2, 2))
    log.hand_out(1000)
    log.merge(entries(2, 3))  # as the first ones would come back
    log.hand_out(1000)
    stable = []
    for _ in range(3):
        log.complete()
        stable.append(log.stable)
    assert stable == [1, 1, 2]


def test_what_was_written_and_is_replaced_is_not_on_disk_any_more() -> None:
    log = written(make_log(1, 1))
    log.merge(entries(2, 2))
    assert log.stable == 1
    assert written(log).stable == 2


def test_compaction_keeps_the_term_of_the_last_entry() -> None:
    log = written(make_log(1, 1, 2))
    log.commit_to(2)
    with pytest.raises(InvariantBroken):
        log.compact(1)
    written(log)
    log.compact(2)
    log.compact(1)
    assert (log.first_index, log.last_index, log.term_at(2), log.term_at(1)) == (3, 3, 1, None)
    with pytest.raises(InvariantBroken):
        log.entry(2)
    with pytest.raises(InvariantBroken):
        log.entries(2, 3)


@pytest.mark.parametrize(("index", "term", "kept"), [(2, 1, 3), (2, 2, 2), (5, 2, 5)])
def test_a_snapshot_keeps_what_follows_in_the_same_log(index: int, term: int, kept: int) -> None:
    log = written(make_log(1, 1, 2))
    log.restore(index, View(term))
    assert (log.first_index, log.last_index, log.commit, log.applied, log.stable) == (
        index + 1,
        kept,
        index,
        index,
        kept,
    )


def test_a_snapshot_against_what_is_committed_or_under_way_is_refused() -> None:
    log = make_log(1, 1, 2)
    log.hand_out(1000)
    with pytest.raises(InvariantBroken):
        log.restore(2, View(1))
    log.complete()
    log.commit_to(3)
    with pytest.raises(InvariantBroken):
        log.restore(3, View(3))


def test_hints_step_over_terms() -> None:
    log = make_log(1, 3, 3, 4, 4, 5)
    assert log.last_index_of_term(9, 3) == (3, 3)
    assert log.last_index_of_term(4, 9) == (4, 4)
    assert log.last_index_of_term(6, 2) == (1, 1)
    assert log.last_index_of_term(6, 0) == (0, 0)


def test_a_slice_holds_one_entry_at_least() -> None:
    log = make_log(2, 2, 2)
    assert len(log.entries_within(1, 9, 1, 10)) == 1
    assert len(log.entries_within(1, 9, 4, 10)) == 2
    assert len(log.entries_within(1, 9, 100, 2)) == 2
    assert len(log.entries_within(1, 1, 100, 10)) == 1
    assert log.entries_within(2, 1, 100, 10) == []


def test_a_slice_that_ends_before_the_log_is_empty() -> None:
    """Found by the simulation: a removed node was sent entries past its removal, once those up to it were compacted."""
    log = written(make_log(1, 1, 1, 1, 1))
    log.commit_to(5)
    written(log)
    log.compact(3)
    assert log.entries_within(5, 1, 100, 10) == []
    with pytest.raises(InvariantBroken):
        log.entries_within(2, 5, 100, 10)
