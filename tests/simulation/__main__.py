"""`python -m tests.simulation`: many seeds in several processes, or one seed with a trace of what happens.

Prints a line of progress, each seed that fails with what broke, and the totals. Exit code 1 if any seed failed.
"""

from __future__ import annotations

import argparse

from tests.simulation.checks import Violation
from tests.simulation.run import run_seeds
from tests.simulation.simulate import simulate


def main() -> int:
    """Parse the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first one")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--replay", type=int, metavar="SEED", help="run one seed and print what happens")
    arguments = parser.parse_args()
    if arguments.replay is None:
        return 1 if run_seeds(arguments.first, arguments.seeds, arguments.processes) else 0
    try:
        print(simulate(arguments.replay, trace=print))
    except Violation as violation:
        print(violation)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
