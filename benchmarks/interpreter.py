"""The executor alone: the same transactions, decoded already, with no node around it (no TLS, sealing, disk, queue)."""

from __future__ import annotations

import time
from collections.abc import Callable

from eth_account.signers.local import LocalAccount

from adapters.ethereum.chain import INDEXED_TABLES
from adapters.ethereum.execution import BlockExecutor
from adapters.ethereum.genesis import write_genesis
from adapters.ethereum.model import SignedTransaction
from adapters.ethereum.settings import parse_settings
from adapters.ethereum.transactions import decode_transaction
from core.adapter.interface import ANONYMOUS, ExecutionContext, ScopedTransaction
from core.kv.store import Store
from core.types import Seqno

Sign = Callable[[LocalAccount, int], tuple[str, str]]


def executor_per_second(chain_id: int, account: LocalAccount, before: list[str], sign: Sign, count: int) -> float:
    """Run `before` (raw transactions), then time `count` transactions made by sign(account, nonce)."""
    settings = parse_settings({"chain_id": chain_id, "alloc": {account.address: {"balance": 10**24}}})
    store = Store({f"ethereum.{name}": length for name, length in INDEXED_TABLES.items()})
    executor = BlockExecutor(settings)

    def scoped() -> ScopedTransaction:
        return ScopedTransaction(store.begin(), "ethereum")

    def context() -> ExecutionContext:
        return ExecutionContext(Seqno(store.head + 1), 1, 1_700_000_000, bytes(32), ANONYMOUS, bytes)

    def run(signed: SignedTransaction) -> None:
        transaction = scoped()
        receipt = executor.execute(transaction, signed, context())
        if receipt.status != 1:
            raise RuntimeError("a transaction of the benchmark failed")
        store.commit(transaction.inner, Seqno(store.head + 1))

    transaction = scoped()
    write_genesis(transaction, settings, context())
    store.commit(transaction.inner, Seqno(1))
    for raw in before:
        run(decode_transaction(bytes.fromhex(raw[2:]), settings))
    sample = [
        decode_transaction(bytes.fromhex(sign(account, len(before) + number)[0][2:]), settings)
        for number in range(count)
    ]
    began = time.perf_counter()
    for signed in sample:
        run(signed)
    return count / (time.perf_counter() - began)
