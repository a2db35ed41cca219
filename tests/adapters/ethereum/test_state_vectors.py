"""ethereum/tests GeneralStateTests (MIT licence), Cancun, through the block executor, compiled and interpreted.

The vectors lie beside the repository (../shared/vectors/state-tests); without them the tests are skipped. The executor
keeps no state trie, so the Merkle-Patricia root that a vector expects is computed here from the flat state.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters.ethereum import chain, records
from adapters.ethereum.account_db import AccountDatabase
from adapters.ethereum.compiler.computation import interpret
from adapters.ethereum.compiler.program import ProgramCache
from adapters.ethereum.execution import BlockExecutor
from adapters.ethereum.fees import FeeRules
from adapters.ethereum.keccak import keccak
from adapters.ethereum.model import Block, Header, Receipt, SignedTransaction
from adapters.ethereum.rlp_codec import encode, encode_int
from adapters.ethereum.settings import Evm, Settings
from adapters.ethereum.signatures import check_signature, recover
from adapters.ethereum.transaction_codec import parse, signing_hash
from adapters.ethereum.transactions import decode_transaction
from adapters.ethereum.tries import root
from adapters.jsonrpc import RpcError
from core.adapter.interface import ANONYMOUS, ExecutionContext, ScopedTransaction
from core.kv.store import Store
from core.types import Seqno

WAYS = pytest.mark.parametrize("way", ["compiled", "interpreted"])

VECTORS = Path(__file__).resolve().parents[4] / "shared" / "vectors" / "state-tests"

SLOW = frozenset({"stAttackTest", "stQuadraticComplexityTest", "stTimeConsuming"})
"""Directories whose cases run for seconds."""

UNSUPPORTED = {
    "Cancun/opcodeBlobhBounds/0": "a valid blob transaction: blobs are refused by the adapter",
    "stTimeConsuming/CALLBlake2f_MaxRounds/0": "4,294,967,295 rounds: agrees, but takes more than a minute, so by hand",
}
"""Case -> why it is not run."""


def cases(names: list[str]) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    for name in names:
        for test, body in json.loads((VECTORS / f"{name}.json").read_text()).items():
            for number, post in enumerate(body["post"]["Cancun"]):
                yield f"{name}/{test}/{number}", body, post


def names() -> list[str]:
    return sorted(path.stem for path in VECTORS.glob("*.json"))


def number(text: str) -> int:
    return int(text, 16)


def to_bytes(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def load(store: Store, body: dict[str, Any]) -> None:
    """Write the pre-state, and ancestors whose hashes are the keccak of their number in decimal."""
    transaction = ScopedTransaction(store.begin(), "ethereum")
    database = AccountDatabase()
    database.begin(transaction)
    for address_text, account in body["pre"].items():
        address = to_bytes(address_text)
        database.set_balance(address, number(account["balance"]))
        if number(account["nonce"]):
            database.set_nonce(address, number(account["nonce"]))
        if account["code"] != "0x":
            database.set_code(address, to_bytes(account["code"]))
        for slot, value in account["storage"].items():
            database.set_storage(address, number(slot), number(value))
    database.flush()
    current = number(body["env"]["currentNumber"])
    for ancestor in range(max(0, current - 256), current):
        chain.write_block(transaction, ancestor_block(ancestor), ())
    store.commit(transaction.inner, Seqno(1))


def ancestor_block(block_number: int) -> Block:
    zero = bytes(32)
    header = Header(zero, bytes(20), zero, zero, zero, bytes(256), block_number, 0, 0, 0, b"", zero, 0, zero, None)
    return Block(header, keccak(str(block_number).encode()), (), 1)


def state_root(transaction: ScopedTransaction) -> bytes:
    storage: dict[bytes, list[tuple[bytes, bytes]]] = {}
    table = transaction.table("storage")
    for key in table.keys(b""):
        value = records.decode_integer(table.get(key))
        storage.setdefault(key[:20], []).append((keccak(key[20:]), encode_int(value)))
    accounts = []
    for address in transaction.table("accounts").keys(b""):
        account = chain.account(transaction, address)
        storage_root = root(storage.get(address, []))
        accounts.append((keccak(address), encode([account.nonce, account.balance, storage_root, account.code_hash])))
    return root(accounts)


def signed_transaction(raw: bytes, settings: Settings) -> SignedTransaction:
    """As a gateway does, but unprotected legacy transactions pass: the vectors have them."""
    if raw[0] >= 0xC0:
        parsed = parse(raw)
        if parsed.chain_id is None:
            check_signature(parsed.y_parity, parsed.r, parsed.s)
            sender = recover(signing_hash(parsed), parsed.y_parity, parsed.r, parsed.s)
            return parsed.signed(sender, keccak(raw), raw)
    return decode_transaction(raw, settings)


def run(body: dict[str, Any], post: dict[str, Any], way: Evm) -> tuple[str | None, bytes, bytes]:
    """Return (error, state root, logs hash). Compiled: at first sight, which a node does only for what comes back."""
    env = body["env"]
    settings = Settings(
        chain_id=1,
        block_gas_limit=number(env["currentGasLimit"]),
        transaction_gas_limit=2**63,
        transaction_seconds_max=3600,
        coinbase=to_bytes(env["currentCoinbase"]),
        evm=way,
    )
    fees = FeeRules(number(env["currentBaseFee"]), charged=True)
    executor = BlockExecutor(settings, fees=fees, programs=ProgramCache(interpret, threshold=0))
    store = Store({"ethereum.storage": 20})
    load(store, body)
    transaction = ScopedTransaction(store.begin(), "ethereum")
    context = ExecutionContext(
        seqno=Seqno(2),
        block=1,
        time_s=number(env["currentTimestamp"]),
        entropy=number(env["currentRandom"]).to_bytes(32, "big"),
        caller=ANONYMOUS,
        random=bytes,
    )
    error, receipt = None, None
    try:
        receipt = executor.execute(transaction, signed_transaction(to_bytes(post["txbytes"]), settings), context)
    except RpcError as refused:
        error = refused.message
    return error, state_root(transaction), logs_hash(receipt)


def logs_hash(receipt: Receipt | None) -> bytes:
    logs = () if receipt is None else receipt.logs
    return keccak(encode([[log.address, list(log.topics), log.data] for log in logs]))


def miss(body: dict[str, Any], post: dict[str, Any], way: Evm) -> str | None:
    """Return how the executor differs from the vector, None when it agrees."""
    error, got_root, got_logs = run(body, post, way)
    expected = post.get("expectException")
    if (error is None) != (expected is None):
        return f"expected {expected}, got {error}"
    if got_root != to_bytes(post["hash"]):
        return f"state root differs (error {error})"
    return None if got_logs == to_bytes(post["logs"]) else "logs differ"


def misses(name: str, way: Evm) -> dict[str, str]:
    found = {}
    for case, body, post in cases([name]):
        difference = None if case in UNSUPPORTED else miss(body, post, way)
        if difference is not None:
            found[case] = difference
    return found


@pytest.mark.skipif(not VECTORS.is_dir(), reason="the state-test vectors do not lie beside the repository")
@WAYS
@pytest.mark.parametrize("name", [name for name in names() if name not in SLOW])
def test_vectors(name: str, way: Evm) -> None:
    assert misses(name, way) == {}


@pytest.mark.slow
@pytest.mark.skipif(not VECTORS.is_dir(), reason="the state-test vectors do not lie beside the repository")
@WAYS
@pytest.mark.parametrize("name", [name for name in names() if name in SLOW])
def test_slow_vectors(name: str, way: Evm) -> None:
    assert misses(name, way) == {}


@WAYS
@pytest.mark.skipif(not VECTORS.is_dir(), reason="the state-test vectors do not lie beside the repository")
def test_a_wrong_expectation_is_noticed(way: Evm) -> None:
    _, body, post = next(case for case in cases(["stExample"]) if "expectException" not in case[2])
    assert miss(body, post, way) is None
    assert miss(body, {**post, "hash": "0x" + "00" * 32}, way) is not None
    assert miss(body, {**post, "logs": "0x" + "00" * 32}, way) is not None
    assert miss(body, {**post, "expectException": "any"}, way) is not None
