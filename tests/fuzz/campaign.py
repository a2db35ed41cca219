"""The loop: cases from a seed, compared, and what differs shrunk and kept."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.fuzz.case import Case, dump
from tests.fuzz.compare import Comparer, Comparison
from tests.fuzz.generate import make_case
from tests.fuzz.results import Difference, Result
from tests.fuzz.shrink import shrink

SHRINK_SECONDS_MAX = 15.0
KEPT_PER_KIND = 3
"""Cases that are shrunk and written per kind of difference; the rest are counted."""
REPORT_SECONDS = 60.0
SLOW_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Plan:
    """executions: transactions, each through every implementation. eels_every: of cases that show nothing new.

    differences_max: after how many to stop.
    """

    seed: int
    forks: tuple[str, ...]
    executions: int
    seconds: float
    first: int = 0
    eels_every: int = 1
    out: Path | None = None
    shrink_seconds: float = SHRINK_SECONDS_MAX
    differences_max: int | None = None


@dataclass(slots=True)
class Tally:
    """refused: transactions that all implementations refused. excused: py-evm's known faults as they showed."""

    cases: int = 0
    executions: int = 0
    eels_executions: int = 0
    refused: int = 0
    failed: int = 0
    coverage: set[tuple[str, str, str]] = field(default_factory=set)
    excused: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    found: list[tuple[Case, Difference]] = field(default_factory=list)
    slow: list[str] = field(default_factory=list)

    def line(self, seconds: float) -> str:
        rate = self.executions / max(seconds, 0.001)
        return (
            f"{self.executions} executions ({self.eels_executions} by EELS too), {self.cases} cases, {rate:.0f}/s, "
            f"{self.refused} refused, {self.failed} failed, coverage {len(self.coverage)}, "
            f"differences {dict(self.kinds)}, excused {dict(self.excused)}"
        )


def run(plan: Plan, comparer: Comparer, report: Callable[[str], None]) -> Tally:
    """Run the plan to its end; every difference found is in the tally, the first of each kind shrunk and written."""
    tally, start = Tally(), time.monotonic()
    next_report = start + REPORT_SECONDS
    for fork, number in _numbers(plan):
        began = time.monotonic()
        case, kinds = make_case(plan.seed, fork, number)
        comparison = comparer.compare(case, ask_eels=_question(plan, tally, number, fork, kinds))
        _count(tally, case, comparison, fork, kinds)
        if time.monotonic() - began > SLOW_SECONDS:
            tally.slow.append(f"{fork} {number}: {time.monotonic() - began:.1f} s")
            report(f"slow: {tally.slow[-1]}")
        if comparison.found:
            _keep(plan, comparer, tally, case, comparison.found[0], report)
        elif comparison.outvoted:
            _keep_outvoted(plan, tally, case, comparison.outvoted[0])
        now = time.monotonic()
        if now >= next_report:
            report(tally.line(now - start))
            next_report = now + REPORT_SECONDS
        if plan.differences_max is not None and tally.kinds.total() >= plan.differences_max:
            break
        if tally.executions >= plan.executions or now - start >= plan.seconds:
            break
    report(tally.line(time.monotonic() - start))
    return tally


def _numbers(plan: Plan) -> Iterator[tuple[str, int]]:
    number = plan.first
    while True:
        for fork in plan.forks:
            yield fork, number
        number += 1


def _features(fork: str, kinds: set[str], results: list[Result]) -> set[tuple[str, str, str]]:
    outcomes = {(result.refused or result.error or "success").split(":")[0] for result in results}
    return {(fork, kind, outcome) for kind in kinds for outcome in outcomes}


def _question(plan: Plan, tally: Tally, number: int, fork: str, kinds: set[str]) -> Callable[[list[Result]], bool]:
    """Ask EELS about every n-th case, and about each that shows something for the first time."""

    def ask(results: list[Result]) -> bool:
        return number % plan.eels_every == 0 or not _features(fork, kinds, results) <= tally.coverage

    return ask


def _count(tally: Tally, case: Case, comparison: Comparison, fork: str, kinds: set[str]) -> None:
    tally.cases += 1
    tally.executions += len(comparison.ours)
    tally.eels_executions += len(comparison.ours) if comparison.asked_eels else 0
    tally.refused += sum(result.refused is not None for result in comparison.ours)
    tally.failed += sum(bool(result.error) for result in comparison.ours)
    tally.coverage |= _features(fork, kinds, comparison.ours)
    tally.excused.update(comparison.excused)


def _keep(
    plan: Plan,
    comparer: Comparer,
    tally: Tally,
    case: Case,
    difference: Difference,
    report: Callable[[str], None],
) -> None:
    """Count a difference by what tells it from others; shrink and write the first few of a kind."""
    signature = f"{difference.kind} {difference.errors}"
    tally.kinds[signature] += 1
    if tally.kinds[signature] > KEPT_PER_KIND:
        return
    report(f"FOUND {case.note}: {difference}")

    def still_fails(smaller: Case) -> bool:
        return any(found.kind == difference.kind for found in comparer.compare(smaller).found)

    small = shrink(case, still_fails, plan.shrink_seconds) if plan.shrink_seconds and still_fails(case) else case
    small = replace(small, note=f"{case.note}: {signature}")
    tally.found.append((small, difference))
    if plan.out is not None:
        report(f"written to {_write(plan.out, small, difference)}")


def _keep_outvoted(plan: Plan, tally: Tally, case: Case, difference: Difference) -> None:
    """Count what py-evm alone says, and write the first few of a kind to be looked at."""
    signature = f"py-evm alone: {difference.what} {difference.errors}"
    tally.excused[signature] += 1
    if plan.out is not None and tally.excused[signature] <= KEPT_PER_KIND:
        _write(plan.out / "py-evm-alone", replace(case, note=f"{case.note}: {difference}"), difference)


def _write(directory: Path, case: Case, difference: Difference) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    text = dump(case)
    path = directory / f"{difference.kind.replace(':', '-')}-{hashlib.sha256(text.encode()).hexdigest()[:8]}.json"
    path.write_text(text)
    return path
