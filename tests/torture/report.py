"""What a run came to: as JSON, and as the table of docs/reliability.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from tests.torture.availability import Availability, Fault
from tests.torture.checker import Violation
from tests.torture.history import Operation, Read, Write


class Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """seconds: under load. requests: writes and reads. lost: acknowledged writes that some node lacks.

    recovery_seconds: the longest from when a majority could work together again to the next answer; election_seconds:
    the longest election time-out, of which two are allowed. late: how many recoveries took longer.
    """

    seed: int
    nodes: int
    seconds: float
    wires: str
    disks: str
    faults: dict[str, int]
    restarts: int
    requests: int
    writes: int
    reads: int
    acknowledged: int
    refused: int
    unknown: int
    unknown_committed: int
    lost: int
    entries: int
    views: int
    violations: tuple[str, ...]
    surprises: tuple[str, ...]
    longest_unavailability_seconds: float
    longest_unexplained_seconds: float
    recovery_seconds: float
    election_seconds: float
    late: int

    @property
    def is_sound(self) -> bool:
        """Whether every promise was kept. How long things took is not among them: that is the machine's, too."""
        return not (self.lost or self.violations or self.surprises)

    def encode(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


def faults_by_kind(faults: Sequence[Fault]) -> dict[str, int]:
    return dict(sorted(Counter(one.kind for one in faults).items()))


def count_operations(operations: Sequence[Operation]) -> dict[str, int]:
    """Return the fields of Report that count operations."""
    writes = [one for one in operations if isinstance(one, Write)]
    outcomes = Counter(one.outcome for one in writes)
    return {
        "requests": len(operations),
        "writes": len(writes),
        "reads": sum(isinstance(one, Read) for one in operations),
        "acknowledged": outcomes["acknowledged"],
        "refused": outcomes["refused"],
        "unknown": outcomes["unknown"],
        "unknown_committed": sum(one.outcome == "unknown" and one.found for one in writes),
    }


def lost_of(violations: Sequence[Violation]) -> int:
    return sum(one.kind == "lost" for one in violations)


def times_of(availability: Availability, election_seconds: float) -> dict[str, float | int]:
    """Return the fields of Report that tell times."""
    known = [one.seconds for one in availability.recoveries if one.seconds is not None]
    return {
        "longest_unavailability_seconds": round(availability.longest_seconds, 2),
        "longest_unexplained_seconds": round(availability.longest_unexplained_seconds, 2),
        "recovery_seconds": round(max(known, default=0.0), 2),
        "election_seconds": election_seconds,
        "late": len(availability.late(election_seconds)),
    }


def table(report: Report) -> str:
    """Return the report as a table (Markdown)."""
    faults = ", ".join(f"{count} {kind}" for kind, count in report.faults.items())
    rows = (
        ("nodes, minutes under load", f"{report.nodes}, {report.seconds / 60:.1f}"),
        ("wires; full disks by", f"{report.wires}; {report.disks}"),
        ("seed", str(report.seed)),
        ("faults injected", f"{sum(report.faults.values())}: {faults}"),
        ("starts of a node that was down", str(report.restarts)),
        ("requests", f"{report.requests:,}: {report.writes:,} writes, {report.reads:,} reads"),
        ("acknowledged writes", f"{report.acknowledged:,}"),
        ("answered *unknown*, of these committed", f"{report.unknown:,}, {report.unknown_committed:,}"),
        ("**lost**", f"**{report.lost}**"),
        ("ledgers: entries, views", f"{report.entries:,}, {report.views:,}; all nodes the same"),
        ("answers and order against the ledger", f"{len(report.violations)} wrong"),
        ("longest time without a committed write", f"{report.longest_unavailability_seconds} s"),
        ("the same, outside of what a fault explains", f"{report.longest_unexplained_seconds} s"),
        ("longest recovery after a fault", f"{report.recovery_seconds} s; {report.late} over two election time-outs"),
    )
    return "| | |\n|---|---|\n" + "".join(f"| {name} | {value} |\n" for name, value in rows)
