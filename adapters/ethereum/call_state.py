"""The state as a call may see it: eth_call, eth_estimateGas, eth_createAccessList, and contracts' own checks.

A call runs on the caller's word alone and leaves no trace, so its code is told no more than the caller's look-ups are:

- an account without code that the caller does not see (visibility.py) is one that does not exist: no balance, no nonce;
- a contract's balance is its own affair: its code has it (SELFBALANCE, BALANCE of itself, transfers), so that contracts
  work as they do in a transaction. BALANCE of an unseen contract by other code tells what it received in this call;
- EXTCODECOPY and EXTCODEHASH by code that the caller supplies (creation, override) find no code that eth_getCode hides.
  Deployed code reads all code: it stands on the ledger. EXTCODESIZE is true always, for Solidity asks it before calls.

In a transaction the EVM is the EVM: what a contract reads there, and tells, is on the record. Gas follows what is
seen: sending value to an unseen account is charged as making a new one, so an estimate is at worst too high.

Overrides are applied as geth does: they are the state before the call. Which ones are allowed is overrides.py's part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from adapters.ethereum import records
from adapters.ethereum.account_db import AccountDatabase
from adapters.ethereum.keccak import EMPTY_CODE_HASH, keccak
from adapters.ethereum.model import AccountOverride
from adapters.ethereum.records import NO_ACCOUNT, AccountRecord
from core.adapter.interface import ScopedTransaction

BALANCE, EXTCODECOPY, EXTCODEHASH = 0x31, 0x3C, 0x3F


@dataclass(frozen=True, slots=True)
class CallSight:
    """What the caller of a call sees by look-up: accounts (balance and nonce), and codes."""

    sees_account: Callable[[bytes], bool]
    sees_code: Callable[[bytes], bool]


class CallDatabase(AccountDatabase):
    """See the module. touched: the addresses and (address, slot) pairs of the last run, reverted calls included."""

    def __init__(self, sight: CallSight, overrides: Sequence[AccountOverride] = ()) -> None:
        self._sight = sight
        self._overrides = overrides
        self._replaced = frozenset(one.address for one in overrides if one.state is not None)
        self._supplied = frozenset(one.address for one in overrides if one.code is not None)
        self.touched: dict[bytes | tuple[bytes, int], None] = {}

    def begin(self, transaction: ScopedTransaction) -> None:
        """Start a run on the state that a key-value transaction sees, with the overrides."""
        super().begin(transaction)
        self.touched = {}
        for one in self._overrides:
            nonce, balance, code_hash = self._account(one.address)
            if one.code is not None:
                code_hash = keccak(one.code)
                self._code[code_hash] = one.code
            self._accounts[one.address] = AccountRecord(
                nonce if one.nonce is None else one.nonce, balance if one.balance is None else one.balance, code_hash
            )
            for slot, value in one.state if one.state is not None else one.state_diff:
                self._original[one.address, slot] = value

    def _account(self, address: bytes) -> AccountRecord:
        found = self._accounts.get(address)
        if found is None:
            found = super()._account(address)
            if found.code_hash == EMPTY_CODE_HASH and found != NO_ACCOUNT and not self._sight.sees_account(address):
                found = self._accounts[address] = NO_ACCOUNT
        return found

    def get_storage(self, address: bytes, slot: int, from_journal: bool = True) -> int:
        """from_journal False: the value at the start of the call."""
        if address in self._replaced:
            self._original.setdefault((address, slot), 0)
        return super().get_storage(address, slot, from_journal)

    def _slots(self, address: bytes) -> list[int]:
        if address not in self._replaced:
            return super()._slots(address)
        slots = {slot for owner, slot in self._original if owner == address}
        slots.update(slot for owner, slot in self._storage if owner == address)
        return sorted(slot for slot in slots if self.get_storage(address, slot))

    def mark_address_warm(self, address: bytes) -> None:
        self.touched[address] = None
        super().mark_address_warm(address)

    def mark_storage_warm(self, address: bytes, slot: int) -> None:
        self.touched[address, slot] = None
        super().mark_storage_warm(address, slot)

    def hidden_balance(self, address: bytes) -> int:
        """Return how much of a balance other code may not know of: what an unseen contract had before the call."""
        if self._sight.sees_account(address):
            return 0
        data = self._accounts_table.get(address)
        if data is None:
            return 0
        before = records.decode_account(data)
        return 0 if before.code_hash == EMPTY_CODE_HASH else before.balance

    def hides_code(self, address: bytes, reader: bytes) -> bool:
        """Say whether code that runs from `reader`'s code may not read the code of an address."""
        if address == reader or self._accounts_table.get(address) is None:
            return False
        return self._is_supplied(reader) and not self._sight.sees_code(address)

    def _is_supplied(self, address: bytes) -> bool:
        """Say whether the code of an address is the caller's: overridden, or not on the chain."""
        data = None if address in self._supplied else self._accounts_table.get(address)
        return data is None or records.decode_account(data).code_hash == EMPTY_CODE_HASH


@lru_cache(maxsize=4)
def sighted(computations: type[Any]) -> type[Any]:
    """Return a class of computations whose instructions ask a CallDatabase what may be told."""
    theirs = computations.instructions
    instructions = list(theirs)
    instructions[BALANCE] = _balance(theirs[BALANCE])
    instructions[EXTCODECOPY] = _copy_code(theirs[EXTCODECOPY])
    instructions[EXTCODEHASH] = _hash_code(theirs[EXTCODEHASH])
    return type(f"Sighted{computations.__name__}", (computations,), {"instructions": tuple(instructions)})


def _peek(computation: Any, depth: int) -> int:
    """Return a stack item that the instruction will pop; 0 where there is none, which it will find out itself."""
    values = computation._stack.values
    if len(values) <= depth:
        return 0
    value = values[-1 - depth]
    return int.from_bytes(value, "big") if isinstance(value, bytes) else int(value)


def _address(computation: Any) -> bytes:
    return (_peek(computation, 0) & (1 << 160) - 1).to_bytes(20, "big")


def _database(computation: Any) -> CallDatabase:
    database: CallDatabase = computation.state._account_db
    return database


def _balance(original: Callable[[Any], None]) -> Callable[[Any], None]:
    def balance(computation: Any) -> None:
        address = _address(computation)
        original(computation)
        if address != computation.msg.storage_address:
            known = computation._stack.pop1_int() - _database(computation).hidden_balance(address)
            computation._stack.push_int(max(0, known))

    return balance


def _copy_code(original: Callable[[Any], None]) -> Callable[[Any], None]:
    def copy_code(computation: Any) -> None:
        address, start, size = _address(computation), _peek(computation, 1), _peek(computation, 3)
        original(computation)
        if size and _database(computation).hides_code(address, computation.msg.code_address):
            computation._memory.write(start, size, bytes(size))

    return copy_code


def _hash_code(original: Callable[[Any], None]) -> Callable[[Any], None]:
    def hash_code(computation: Any) -> None:
        address = _address(computation)
        original(computation)
        if _peek(computation, 0) and _database(computation).hides_code(address, computation.msg.code_address):
            computation._stack.pop1_int()
            computation._stack.push_int(int.from_bytes(EMPTY_CODE_HASH, "big"))

    return hash_code
