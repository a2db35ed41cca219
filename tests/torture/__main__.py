"""`make torture MINUTES=30`: three nodes as real processes, clients, faults; then everything is judged.

Prints each fault and the table of the report; exit code 1 when a promise was broken. A run prints its seed; --seed
repeats its choices, though not the machine's timing.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import time
from pathlib import Path

from tests.torture.report import table
from tests.torture.run import Settings, torture

TERMINATED = 128 + signal.SIGTERM


def main() -> int:
    """Parse the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1, 2**31))
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--home", type=Path, default=Path(".torture"), help="made anew")
    parser.add_argument("--unprivileged", action="store_true", help="no network namespaces and no mounts, even as root")
    parser.add_argument("--only", action="append", default=[], metavar="KIND", help="of fault; repeatable")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # What was made is undone, as for Ctrl-C.
    settings = Settings(
        home=arguments.home.absolute(),
        seconds=60 * arguments.minutes,
        seed=arguments.seed,
        nodes=arguments.nodes,
        clients=arguments.clients,
        privileged=not arguments.unprivileged,
        only=tuple(arguments.only),
    )
    report = torture(settings, lambda text: print(f"{time.strftime('%H:%M:%S')} {text}", flush=True))
    print(table(report))
    for wrong in (*report.violations, *report.surprises):
        print(wrong, file=sys.stderr)
    return 0 if report.is_sound else 1


if __name__ == "__main__":
    sys.exit(main())
