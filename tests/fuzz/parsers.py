"""python -m tests.fuzz.parsers: every parser of the ledger under atheris, which is guided by coverage. docs/fuzzing.md.

An input's first byte chooses the parser, the rest is what it is given. Begins from well-formed inputs and from what
earlier runs left in --out/corpus. A finding goes into --out; `--replay` raises it again, without atheris.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path

INPUT_BYTES_MAX = 8_192
SECONDS_PER_INPUT_MAX = 10
MISSING = (
    "atheris is not installed here: `.venv/bin/python -m pip install atheris` brings it (wheels for Linux on x86-64 "
    "only). Without it, hypothesis tries the same parsers: "
    "COCO_FUZZ_EXAMPLES=20000 python -m pytest tests/core/ledger/test_parsers_fuzz.py"
)


def take(data: bytes) -> None:
    """Give one input to its parser; raises what that should not have raised."""
    from tests.support.ledger_parsers import PARSERS, parse  # Under atheris, imported when it is there to look on.

    if data:
        parse(list(PARSERS)[data[0] % len(PARSERS)], data[1:])


def seeds() -> list[bytes]:
    """Return well-formed inputs, each parser's own."""
    from tests.support.ledger_parsers import PARSERS

    return [bytes([number]) + source for number, (_, own) in enumerate(PARSERS.values()) for source in own]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.parsers", description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=5.0, help="time to run")
    parser.add_argument("--seed", type=int, default=0, help="libFuzzer's; 0: chosen at random, and printed")
    parser.add_argument("--out", type=Path, default=Path("fuzz-findings/parsers"), help="where findings go")
    parser.add_argument("--replay", type=Path, nargs="+", metavar="FILE", help="give these inputs to their parsers")
    return parser.parse_args()


def main() -> int:
    arguments = _arguments()
    if arguments.replay:
        for path in arguments.replay:
            take(path.read_bytes())
        return 0
    if importlib.util.find_spec("atheris") is None:
        print(MISSING, file=sys.stderr)
        return 2
    _fuzz(arguments.minutes, arguments.seed, arguments.out)
    return 0


def _fuzz(minutes: float, seed: int, out: Path) -> None:
    """Run; libFuzzer ends the process, with an exit code of its own when it found something."""
    import atheris

    with atheris.instrument_imports(include=["core"]):
        import tests.support.ledger_parsers  # noqa: F401 - so that atheris sees it through all of core
    corpus = out / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(seeds()):
        (corpus / f"seed-{number}").write_bytes(data)
    options = {
        "max_total_time": max(1, round(minutes * 60)),
        "max_len": INPUT_BYTES_MAX,
        "timeout": SECONDS_PER_INPUT_MAX,
        "artifact_prefix": f"{out}/",
        "print_final_stats": 1,
        "verbosity": 1,
        "seed": seed,
    }
    atheris.Setup([sys.argv[0], *(f"-{name}={value}" for name, value in options.items()), str(corpus)], take)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
