"""Runs many seeds in several processes, with a line of progress."""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections import Counter

from tests.simulation.checks import Violation
from tests.simulation.simulate import Outcome, simulate

FAILURES_SHOWN_MAX = 20


def run_seed(seed: int) -> tuple[int, Outcome | str]:
    """Run a seed; returns what happened, or the violation as text. Anything else that is raised counts as one."""
    try:
        return seed, simulate(seed)
    except Violation as violation:
        return seed, str(violation)
    except Exception as error:  # noqa: BLE001 a harness that breaks is a failed seed, not the end of the run
        return seed, f"seed {seed}: {type(error).__name__}: {error}"


def run_seeds(first: int, count: int, processes: int) -> int:
    """Run seeds from first on; returns how many failed."""
    began, done, failed = time.monotonic(), 0, 0
    totals: Counter[str] = Counter()
    longest = 0
    live = sys.stderr.isatty()
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for seed, outcome in pool.imap_unordered(run_seed, range(first, first + count), chunksize=8):
            done += 1
            if isinstance(outcome, str):
                failed += 1
                if failed <= FAILURES_SHOWN_MAX:
                    print(f"{outcome}\n  replay: python -m tests.simulation --replay {seed}", flush=True)
            else:
                totals.update(outcome.counts)
                longest = max(longest, outcome.ticks_to_live)
            if live or done % max(1, count // 20) == 0:
                line = f"{done}/{count} seeds, {failed} failed, {time.monotonic() - began:.0f} s"
                print(f"\r{line}" if live else line, end="" if live else "\n", file=sys.stderr, flush=True)
    print(f"\nSeeds {first} to {first + count - 1}: {failed} failed, in {time.monotonic() - began:.0f} s.")
    print("; ".join(f"{number:,} {what}" for what, number in sorted(totals.items())), end=".\n")
    print(f"After the last fault the network worked again within {longest} ticks.")
    return failed
