"""A chain in memory for the tests of the EVM half: a store, an executor, and senders with well-known keys."""

from __future__ import annotations

from typing import Any

from eth_account import Account

from adapters.ethereum import chain
from adapters.ethereum.execution import BlockExecutor
from adapters.ethereum.genesis import write_genesis
from adapters.ethereum.model import Block, Receipt, SignedTransaction
from adapters.ethereum.settings import AllocatedAccount, Settings
from adapters.ethereum.transactions import decode_transaction
from core.adapter.interface import ANONYMOUS, ExecutionContext, ScopedTransaction
from core.kv.store import Store
from core.types import Seqno

CHAIN_ID = 1337
GENESIS_TIME = 1_700_000_000
KEYS = [Account.from_key(bytes([number]) * 32) for number in range(1, 5)]
ADDRESSES = [bytes.fromhex(key.address[2:]) for key in KEYS]
ALICE, BOB, CAROL, DAVE = ADDRESSES


def settings_with(**changes: Any) -> Settings:
    funded = {address: AllocatedAccount(balance=10**20) for address in ADDRESSES}
    alloc = {**funded, **changes.pop("alloc", {})}
    return Settings(**{"chain_id": CHAIN_ID, "alloc": alloc, "predeploy": False, **changes})


def sign(key: int, **fields: Any) -> bytes:
    """Sign with KEYS[key]; type 2 unless gasPrice is given. `to` may be bytes."""
    priced = {} if "gasPrice" in fields else {"maxFeePerGas": 0, "maxPriorityFeePerGas": 0}
    body = {"nonce": 0, "gas": 100_000, "value": 0, "data": b"", "chainId": CHAIN_ID, **priced, **fields}
    return bytes(KEYS[key].sign_transaction(body).raw_transaction)


class Chain:
    """Runs transactions as the core would: each in a key-value transaction of its own, at a seqno of its own."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or settings_with()
        self.store = Store({"ethereum.storage": 20})
        self.executor = BlockExecutor(self.settings)
        self.time_s = GENESIS_TIME
        self.entropy = b"\x07" * 32
        transaction = self.read()
        self.genesis = write_genesis(transaction, self.settings, self.context())
        self.commit(transaction)

    def read(self) -> ScopedTransaction:
        return ScopedTransaction(self.store.begin(), "ethereum")

    def commit(self, transaction: ScopedTransaction) -> None:
        self.store.commit(transaction.inner, Seqno(self.store.head + 1))

    def context(self) -> ExecutionContext:
        return ExecutionContext(Seqno(self.store.head + 1), 1, self.time_s, self.entropy, ANONYMOUS, bytes)

    def decode(self, raw: bytes) -> SignedTransaction:
        return decode_transaction(raw, self.settings)

    def send(self, key: int, **fields: Any) -> Receipt:
        """Sign, execute and commit; the nonce is the sender's next unless given."""
        fields.setdefault("nonce", chain.account(self.read(), ADDRESSES[key]).nonce)
        transaction = self.read()
        receipt = self.executor.execute(transaction, self.decode(sign(key, **fields)), self.context())
        self.commit(transaction)
        return receipt

    def close(self) -> Block:
        transaction = self.read()
        block = self.executor.close(transaction, self.context())
        self.commit(transaction)
        return block


def initcode(runtime: bytes) -> bytes:
    """Return the code that deploys runtime, at most 255 bytes."""
    return bytes.fromhex(f"60{len(runtime):02x}600c60003960{len(runtime):02x}6000f3") + runtime
