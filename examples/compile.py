"""Regenerate the committed artifacts of our contracts: `npm ci` in this directory, then run this file.

The compiler and OpenZeppelin's sources come from npm at the versions of package-lock.json; the compiler's checksum
is pinned in cli/solidity/soljson.py. `--check` writes nothing and fails if an artifact would change.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from cli.solidity.artifact import Artifact
from cli.solidity.compile import compile_solidity
from cli.solidity.soljson import read_soljson, verify_soljson
from core.errors import CocoError

EXAMPLES = Path(__file__).resolve().parent
BENCHMARKS = EXAMPLES.parent / "benchmarks"
SOLJSON = EXAMPLES / "node_modules" / "solc" / "soljson.js"
# Both forks that a network may run execute Cancun's bytecode.
EVM_VERSION = "cancun"
OPTIMIZER_RUNS = 200
ARTIFACTS = {
    EXAMPLES / "contracts" / "Token.sol": EXAMPLES / "contracts" / "artifacts" / "Token.json",
    EXAMPLES / "supply_chain" / "SupplyChain.sol": EXAMPLES / "supply_chain" / "artifacts" / "SupplyChain.json",
    **{
        BENCHMARKS / "contracts" / f"{name}.sol": BENCHMARKS / "contracts" / "artifacts" / f"{name}.json"
        for name in ("Loops", "Nft", "Pair", "Router")
    },
}


def compile_example(source: Path) -> str:
    """Compile one example with the pinned compiler and return the text of its artifact."""
    verify_soljson(read_soljson(SOLJSON), SOLJSON)
    in_examples = source.is_relative_to(EXAMPLES)
    artifact = compile_solidity(
        source,
        evm_version=EVM_VERSION,
        soljson=SOLJSON,
        optimizer_runs=OPTIMIZER_RUNS,
        root=EXAMPLES if in_examples else EXAMPLES.parent,
        remappings=() if in_examples else ("@openzeppelin/=examples/node_modules/@openzeppelin/",),
        report=lambda line: print(line, file=sys.stderr),
    )
    return hardhat_json(artifact)


def hardhat_json(artifact: Artifact) -> str:
    """Write an artifact as Hardhat does, with the settings it was compiled with added."""
    document = {
        "_format": "hh-sol-artifact-1",
        "contractName": artifact.contract_name,
        "sourceName": artifact.source_name,
        "abi": artifact.abi,
        "bytecode": "0x" + artifact.bytecode.hex(),
        "deployedBytecode": "0x" + artifact.deployed_bytecode.hex(),
        "linkReferences": {},
        "deployedLinkReferences": {},
        "compiler": {
            "version": artifact.compiler,
            "evmVersion": artifact.evm_version,
            "optimizer": {"enabled": True, "runs": OPTIMIZER_RUNS},
            "metadata": {"bytecodeHash": "none"},
        },
    }
    return json.dumps(document, indent=2) + "\n"


def main() -> int:
    """Compile every example; write its artifact, or with --check compare it."""
    parser = argparse.ArgumentParser(description="Regenerate the artifacts of the example contracts.")
    parser.add_argument("--check", action="store_true", help="write nothing, fail if an artifact would change")
    check = parser.parse_args().check
    changed = []
    for source, target in ARTIFACTS.items():
        text = compile_example(source)
        if check and (not target.is_file() or target.read_text("utf-8") != text):
            changed.append(target.relative_to(EXAMPLES.parent))
        elif not check:
            target.parent.mkdir(exist_ok=True)
            target.write_text(text, "utf-8")
        print(f"{source.relative_to(EXAMPLES.parent)} -> {target.relative_to(EXAMPLES.parent)}")
    for name in changed:
        print(f"{name} does not match its source; run examples/compile.py", file=sys.stderr)
    return 1 if changed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except CocoError as error:
        sys.exit(f"{error}\n  Is everything there? Run `npm ci` in {EXAMPLES.name}/ and install the extra `solc`.")
