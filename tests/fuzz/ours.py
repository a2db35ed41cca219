"""The implementation under test: the adapter's BlockExecutor over a key-value store, each transaction committed.

It runs in three ways that must not differ: bytecode compiled at first sight, bytecode compiled where it comes back (so
that frames change between interpreter and compiled code in their midst), and interpreted.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

from adapters.ethereum import chain, records
from adapters.ethereum.account_db import AccountDatabase
from adapters.ethereum.compiler.computation import interpret
from adapters.ethereum.compiler.program import ProgramCache
from adapters.ethereum.execution import BlockExecutor
from adapters.ethereum.fees import FREE, FeeRules
from adapters.ethereum.keccak import EMPTY_CODE_HASH
from adapters.ethereum.model import Block, Header, Receipt, SignedTransaction
from adapters.ethereum.settings import Settings
from adapters.ethereum.transactions import decode_transaction
from adapters.jsonrpc import RpcError
from core.adapter.interface import ANONYMOUS, ExecutionContext, ScopedTransaction
from core.kv.store import Store
from core.types import Seqno
from tests.fuzz.case import CHAIN_ID, Case, ancestor_hash
from tests.fuzz.results import Result, State
from tests.fuzz.signing import sign

BLOCK_GAS_LIMIT = 60_000_000
ANCESTORS = 256
SECONDS_MAX = 600
"""No transaction is stopped for its processor time, which would make a result depend on the machine."""
_ZERO = bytes(32)


class _Observed(BlockExecutor):
    """Keeps the outcome that the receipt is made from, for what a receipt does not hold."""

    outcome: Any = None

    def _receipt(self, signed: SignedTransaction, outcome: Any, cumulative_gas_used: int) -> Receipt:
        self.outcome = outcome
        return super()._receipt(signed, outcome, cumulative_gas_used)


@lru_cache(maxsize=8)
def _base(number: int) -> Store:
    """Return a store with the ancestors of a block at seqno 1; cases are rolled back to there."""
    store = Store({"ethereum.storage": 20})
    transaction = ScopedTransaction(store.begin(), "ethereum")
    for ancestor in range(max(0, number - ANCESTORS - 1), number):
        header = Header(
            _ZERO, bytes(20), _ZERO, _ZERO, _ZERO, bytes(256), ancestor, 0, 0, 0, b"", _ZERO, 0, _ZERO, None
        )
        chain.write_block(transaction, Block(header, ancestor_hash(ancestor), (), 1), ())
    store.commit(transaction.inner, Seqno(1))
    return store


Way = Literal["compiled", "warming", "interpreted"]
_ARRIVALS = {"compiled": 0, "warming": 1}


@lru_cache(maxsize=2)
def _programs(way: Way) -> ProgramCache:
    """Return the programs of a way; as in a node, they stay from one case to the next."""
    return ProgramCache(interpret, _ARRIVALS[way])


class Ours:
    """Runs one case. raws: the transactions as they were signed, for the others."""

    def __init__(self, case: Case, way: Way = "compiled") -> None:
        self.case = case
        self.raws: list[bytes] = []
        self.settings = Settings(
            chain_id=CHAIN_ID,
            fork="prague" if case.fork == "prague" else "cancun",
            block_gas_limit=BLOCK_GAS_LIMIT,
            transaction_gas_limit=BLOCK_GAS_LIMIT,
            coinbase=case.coinbase,
            transaction_seconds_max=SECONDS_MAX,
            base_fee_wei=0 if case.free else case.base_fee,
            evm="interpreted" if way == "interpreted" else "compiled",
        )
        fees = FREE if case.free else FeeRules(case.base_fee, charged=True)
        programs = None if way == "interpreted" else _programs(way)
        self.executor = _Observed(self.settings, fees=fees, programs=programs)
        self.store = _base(case.number)
        self.store.rollback(Seqno(1))
        self._write_accounts()

    def run(self) -> list[Result]:
        return [self._apply(place) for place in range(len(self.case.transactions))]

    def close(self) -> None:
        """Leave the shared store as it was."""
        self.store.rollback(Seqno(1))

    def _begin(self) -> ScopedTransaction:
        return ScopedTransaction(self.store.begin(), "ethereum")

    def _commit(self, transaction: ScopedTransaction) -> None:
        self.store.commit(transaction.inner, Seqno(self.store.head + 1))

    def _write_accounts(self) -> None:
        transaction = self._begin()
        database = AccountDatabase()
        database.begin(transaction)
        for address, account in self.case.accounts.items():
            database.set_balance(address, account.balance)
            if account.nonce:
                database.set_nonce(address, account.nonce)
            if account.code:
                database.set_code(address, account.code)
            for slot, value in account.storage.items():
                database.set_storage(address, slot, value)
        database.flush()
        self._commit(transaction)

    def _apply(self, place: int) -> Result:
        transaction = self._begin()
        raw = sign(self.case.transactions[place], lambda address: chain.account(transaction, address).nonce)
        self.raws.append(raw)
        context = ExecutionContext(
            Seqno(self.store.head + 1), 1, self.case.timestamp, self.case.prevrandao, ANONYMOUS, bytes
        )
        try:
            receipt = self.executor.execute(transaction, decode_transaction(raw, self.settings), context)
        except RpcError as refused:
            return Result(refused=refused.message, state=self.state())
        except Exception as error:  # noqa: BLE001 - a crash of what is under test is a finding
            return Result(crash=f"{type(error).__name__}: {error}")
        self._commit(transaction)
        outcome = self.executor.outcome
        error = outcome.error
        return Result(
            success=receipt.status == 1,
            gas_used=receipt.gas_used,
            output=bytes(outcome.output),
            logs=tuple((log.address, log.topics, log.data) for log in receipt.logs),
            error="" if error is None else f"{type(error).__name__}: {error}"[:200],
            state=self.state(),
        )

    def state(self) -> State:
        transaction = self._begin()
        storage: dict[bytes, dict[int, int]] = {}
        table = transaction.table("storage")
        for key in table.keys():  # noqa: SIM118 - a table, not a dict
            slots = storage.setdefault(key[:20], {})
            slots[int.from_bytes(key[20:], "big")] = records.decode_integer(table.get(key))
        state = {}
        for address in transaction.table("accounts").keys():  # noqa: SIM118
            account = chain.account(transaction, address)
            slots = storage.pop(address, {})
            state[address] = (account.nonce, account.balance, account.code_hash, slots)
        for address, slots in storage.items():
            state[address] = (0, 0, EMPTY_CODE_HASH, slots)
        return state
