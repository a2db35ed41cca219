"""Regenerate the token that `coco bench` deploys, cli/load/Token.json: `python -m benchmarks.load_token [--check]`.

It is the examples' token compiled for Paris, the oldest rules that an end point we compare with runs (ganache knows no
Cancun). Needs what `make contracts` needs.
"""

from __future__ import annotations

import sys
from pathlib import Path

from cli.solidity.compile import compile_solidity
from cli.solidity.soljson import read_soljson, verify_soljson
from core.errors import CocoError
from examples.compile import EXAMPLES, OPTIMIZER_RUNS, SOLJSON, hardhat_json

TARGET = Path(__file__).resolve().parent.parent / "cli" / "load" / "Token.json"
EVM_VERSION = "paris"


def compiled() -> str:
    """Return the artifact's text."""
    verify_soljson(read_soljson(SOLJSON), SOLJSON)
    source = EXAMPLES / "contracts" / "Token.sol"
    return hardhat_json(
        compile_solidity(
            source, evm_version=EVM_VERSION, soljson=SOLJSON, optimizer_runs=OPTIMIZER_RUNS, root=EXAMPLES, report=print
        )
    )


def main() -> None:
    text = compiled()
    if "--check" not in sys.argv[1:]:
        TARGET.write_text(text, "utf-8")
    elif TARGET.read_text("utf-8") != text:
        sys.exit(f"{TARGET.name} does not match its source; run this without --check")


if __name__ == "__main__":
    try:
        main()
    except CocoError as error:
        sys.exit(f"{error}\n  Is everything there? Run `npm ci` in examples/ and install the extra `solc`.")
