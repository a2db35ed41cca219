"""The Multicall3 interface: its artifact matches its source where the compiler is present, and it works.

Run as a program it compiles the artifact anew, with the compiler that `npm ci` brings in examples/.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from eth_abi.abi import decode, encode
from eth_utils.crypto import keccak

from adapters.ethereum.genesis import write_genesis
from adapters.ethereum.model import CallRequest
from adapters.ethereum.multicall import MULTICALL3_ADDRESS
from adapters.ethereum.settings import AllocatedAccount, Settings
from adapters.ethereum.simulate import revert_reason, simulate
from cli.solidity.compile import compile_solidity
from core.adapter.interface import ANONYMOUS, ExecutionContext, ScopedTransaction
from core.kv.store import Store
from core.types import Seqno

ROOT = Path(__file__).resolve().parents[3]
SOURCE = ROOT / "adapters" / "ethereum" / "contracts" / "Multicall3.sol"
ARTIFACT = SOURCE.with_suffix(".json")
SOLJSON = ROOT / "examples" / "node_modules" / "solc" / "soljson.js"

ECHO = bytes.fromhex("366000600037366000f3")
FAIL = bytes.fromhex("60006000fd")
CALLER = bytes.fromhex("11" * 20)


def compiled() -> str:
    artifact = compile_solidity(
        SOURCE, evm_version="cancun", soljson=SOLJSON, optimizer_runs=200, root=SOURCE.parent, report=lambda line: None
    )
    document = {
        "contractName": artifact.contract_name,
        "sourceName": artifact.source_name,
        "compiler": artifact.compiler,
        "abi": artifact.abi,
        "deployedBytecode": "0x" + artifact.deployed_bytecode.hex(),
    }
    return json.dumps(document, indent=2) + "\n"


def call(signature: str, argument_types: list[str], arguments: list[object], value: int = 0) -> tuple[bytes, bool]:
    settings = Settings(
        chain_id=1337,
        alloc={
            b"e" * 20: AllocatedAccount(nonce=1, code=ECHO),
            b"f" * 20: AllocatedAccount(nonce=1, code=FAIL),
            CALLER: AllocatedAccount(balance=10),
        },
    )
    transaction = ScopedTransaction(Store({"ethereum.storage": 20}).begin(), "ethereum")
    context = ExecutionContext(Seqno(1), 1, 1_700_000_000, bytes(32), ANONYMOUS, bytes)
    block = write_genesis(transaction, settings, context)
    data = keccak(text=signature)[:4] + encode(argument_types, arguments)
    request = CallRequest(CALLER, MULTICALL3_ADDRESS, data, value)
    result = simulate(transaction, request, block, settings, gas_cap=1_000_000)
    return result.return_data, result.error is None


@pytest.mark.skipif(not SOLJSON.is_file(), reason="the Solidity compiler is not installed (npm ci in examples/)")
def test_the_artifact_matches_the_source() -> None:
    assert ARTIFACT.read_text("utf-8") == compiled()


def test_aggregate3_returns_every_result() -> None:
    calls = [(b"e" * 20, False, b"one"), (b"f" * 20, True, b""), (b"e" * 20, True, b"two")]
    data, success = call("aggregate3((address,bool,bytes)[])", ["(address,bool,bytes)[]"], [calls])
    assert success
    assert decode(["(bool,bytes)[]"], data) == (((True, b"one"), (False, b""), (True, b"two")),)


def test_aggregate3_reverts_when_a_required_call_fails() -> None:
    calls = [(b"f" * 20, False, b"")]
    data, success = call("aggregate3((address,bool,bytes)[])", ["(address,bool,bytes)[]"], [calls])
    assert not success
    assert revert_reason(data) == "Multicall3: call failed"


def test_aggregate3_value_passes_value_on() -> None:
    types, calls = ["(address,bool,uint256,bytes)[]"], [(b"e" * 20, False, 3, b"x")]
    signature = "aggregate3Value((address,bool,uint256,bytes)[])"
    assert call(signature, types, [calls], value=3)[1]
    data, success = call(signature, types, [calls], value=4)
    assert not success
    assert revert_reason(data) == "Multicall3: value mismatch"


def test_the_getters_answer() -> None:
    assert decode(["uint256"], call("getChainId()", [], [])[0]) == (1337,)
    assert decode(["uint256"], call("getEthBalance(address)", ["address"], [CALLER])[0]) == (10,)


if __name__ == "__main__":
    ARTIFACT.write_text(compiled(), "utf-8")
