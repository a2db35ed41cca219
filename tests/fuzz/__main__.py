"""python -m tests.fuzz: run the differential fuzzer, or replay a case. See docs/fuzzing.md."""

from __future__ import annotations

import argparse
import contextlib
import secrets
import sys
from pathlib import Path

from tests.fuzz import eels
from tests.fuzz.campaign import Plan, run
from tests.fuzz.case import load
from tests.fuzz.compare import Comparer

FORKS = {"both": ("cancun", "prague"), "cancun": ("cancun",), "prague": ("prague",)}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, help="replays a run; printed when it is chosen at random")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--executions", type=int, default=sys.maxsize, help="transactions to run")
    parser.add_argument("--minutes", type=float, default=1.0, help="time to run")
    parser.add_argument("--fork", choices=FORKS, default="both")
    parser.add_argument("--eels-every", type=int, default=1, help="ask EELS about every n-th case and what is new")
    parser.add_argument("--no-eels", action="store_true", help="without the oracle environment")
    parser.add_argument("--no-stock", action="store_true", help="without stock py-evm")
    parser.add_argument("--out", type=Path, default=Path("fuzz-findings"), help="where shrunk cases go")
    parser.add_argument("--replay", type=Path, nargs="+", metavar="CASE", help="run case files instead")
    return parser.parse_args()


def main() -> int:
    arguments = _arguments()
    if not arguments.no_eels and not eels.is_available():
        print(
            "The oracle environment is missing: run `make oracle`, or leave EELS out with --no-eels.", file=sys.stderr
        )
        return 2
    with contextlib.ExitStack() as stack:
        oracle = None if arguments.no_eels else stack.enter_context(eels.Eels())
        comparer = Comparer(oracle, with_stock=not arguments.no_stock)
        if arguments.replay:
            return _replay(comparer, arguments.replay)
        seed = secrets.randbits(32) if arguments.seed is None else arguments.seed
        plan = Plan(
            seed,
            FORKS[arguments.fork],
            arguments.executions,
            arguments.minutes * 60,
            first=arguments.first,
            eels_every=arguments.eels_every,
            out=arguments.out,
        )
        print(f"seed {seed}", flush=True)
        return 1 if run(plan, comparer, lambda line: print(line, flush=True)).kinds else 0


def _replay(comparer: Comparer, paths: list[Path]) -> int:
    failed = 0
    for path in paths:
        case = load(path)
        comparison = comparer.compare(case)
        unexpected = comparison.unexpected(case)
        failed += bool(unexpected)
        print(f"{path}: {case.note}")
        for result in comparison.ours:
            print(f"  ours: {result.refused or result.crash or result.error or 'success'}, gas {result.gas_used}")
        for difference in comparison.found:
            print(f"  {difference}")
        for difference in comparison.outvoted:
            print(f"  py-evm alone, {difference}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
