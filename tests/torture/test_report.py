"""The report: what it counts, and its table."""

from __future__ import annotations

import msgspec
import pytest

from tests.torture.availability import Availability, Fault, Recovery
from tests.torture.checker import Violation
from tests.torture.history import Operation, Read, Write
from tests.torture.report import Report, count_operations, faults_by_kind, lost_of, table, times_of

KILL = Fault("kill", ("node1",), 1.0, 5.0)
PAUSE = Fault("pause", ("node2",), 6.0, 7.0)


def operation(outcome: str, *, found: bool = False) -> Operation:
    return Write(1, "node1", 1, 0, 1, "0x1", 0.0, 1.0, outcome, found=found)  # type: ignore[arg-type]


@pytest.fixture
def report() -> Report:
    return Report(
        seed=7, nodes=3, seconds=120.0, wires="wires", disks="disks", faults={"kill": 2}, restarts=2, requests=1_234,
        writes=1_000, reads=234, acknowledged=990, refused=4, unknown=6, unknown_committed=2, lost=0, entries=3_000,
        views=4, violations=(), surprises=(), longest_unavailability_seconds=2.5, longest_unexplained_seconds=0.3,
        recovery_seconds=1.9, election_seconds=2.0, late=0,
    )  # fmt: skip


def test_operations_are_counted() -> None:
    operations = [
        operation("acknowledged"),
        operation("refused"),
        operation("unknown"),
        operation("unknown", found=True),
        Read(1, "node1", 1, 0, 0, 0.0, 1.0),
    ]
    assert count_operations(operations) == {
        "requests": 5, "writes": 4, "reads": 1, "acknowledged": 1, "refused": 1, "unknown": 2, "unknown_committed": 1,
    }  # fmt: skip


def test_faults_and_losses_are_counted() -> None:
    assert faults_by_kind([PAUSE, KILL, KILL]) == {"kill": 2, "pause": 1}
    assert lost_of([Violation("lost", "a"), Violation("order", "b")]) == 1


def test_recoveries_that_took_too_long_are_counted() -> None:
    availability = Availability(9.0, 1.0, (Recovery(KILL, 3.0), Recovery(PAUSE, 5.0), Recovery(PAUSE, None)))
    assert times_of(availability, 2.0) == {
        "longest_unavailability_seconds": 9.0, "longest_unexplained_seconds": 1.0, "recovery_seconds": 5.0,
        "election_seconds": 2.0, "late": 2,
    }  # fmt: skip


@pytest.mark.parametrize("broken", [{"lost": 1}, {"violations": ("x",)}, {"surprises": ("x",)}])
def test_a_run_that_broke_a_promise_is_not_sound(report: Report, broken: dict[str, object]) -> None:
    assert report.is_sound
    assert not msgspec.structs.replace(report, **broken).is_sound


def test_the_table_tells_it(report: Report) -> None:
    text = table(report)
    assert "| **lost** | **0** |" in text
    assert "| faults injected | 2: 2 kill |" in text
    assert "| requests | 1,234: 1,000 writes, 234 reads |" in text
    assert msgspec.json.decode(report.encode(), type=Report) == report
