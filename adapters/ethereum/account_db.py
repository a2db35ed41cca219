"""py-evm's account database over the key-value tables: no trie, no copies of state.

One instance serves one execution after another. `begin` binds it to a key-value transaction; what runs then works on
dicts in memory with one undo log (balances, nonces, code, storage, transient storage, and the warm sets of EIP-2929,
which a reverted call restores too); `flush` writes what differs from the tables. Until then the tables are untouched,
so they are also the state "at the start of the transaction" that SSTORE's gas is measured against (EIP-2200).

Invariant: an account without nonce, balance and code has no record (EIP-161), so existing and not being empty are one.
Method names are py-evm's (eth.abc.AccountDatabaseAPI).
"""

from __future__ import annotations

from typing import Any

from adapters.ethereum import records
from adapters.ethereum.chain import STATE_TABLES
from adapters.ethereum.keccak import EMPTY_CODE_HASH, keccak
from adapters.ethereum.records import NO_ACCOUNT, AccountRecord
from core.adapter.interface import ScopedTransaction
from core.errors import InvariantBroken

Writes = dict[str, dict[bytes, bytes | None]]
"""State table -> key -> new value, None for a deletion."""

_ABSENT = object()


class AccountDatabase:
    """The state during one execution. Not thread-safe; reentered only through begin."""

    def begin(self, transaction: ScopedTransaction) -> None:
        """Start an execution on the state that a key-value transaction sees."""
        self._accounts_table = transaction.table("accounts")
        self._storage_table = transaction.table("storage")
        self._code_table = transaction.table("code")
        self._accounts: dict[Any, AccountRecord] = {}
        self._loaded: dict[bytes, AccountRecord] = {}
        self._storage: dict[Any, int] = {}
        self._original: dict[Any, int] = {}
        self._code: dict[bytes, bytes] = {}
        self._transient: dict[Any, bytes] = {}
        self._warm: dict[Any, bool] = {}
        self._undo: list[tuple[dict[Any, Any], Any, Any]] = []

    # Checkpoints.

    def record(self) -> int:
        return len(self._undo)

    def discard(self, checkpoint: int) -> None:
        undo = self._undo
        while len(undo) > checkpoint:
            values, key, before = undo.pop()
            if before is _ABSENT:
                del values[key]
            else:
                values[key] = before

    def _set(self, values: dict[Any, Any], key: Any, value: Any) -> None:
        self._undo.append((values, key, values.get(key, _ABSENT)))
        values[key] = value

    # Accounts.

    def _account(self, address: bytes) -> AccountRecord:
        found = self._accounts.get(address)
        if found is None:
            data = self._accounts_table.get(address)
            # Loading is not a change, so it is not in the undo log.
            found = NO_ACCOUNT if data is None else records.decode_account(data)
            self._accounts[address] = self._loaded[address] = found
        return found

    def get_balance(self, address: bytes) -> int:
        return self._account(address).balance

    def set_balance(self, address: bytes, balance: int) -> None:
        if not 0 <= balance < 2**256:
            raise InvariantBroken(f"balance {balance} of {address.hex()}")
        nonce, before, code_hash = self._account(address)
        if balance != before:
            self._set(self._accounts, address, AccountRecord(nonce, balance, code_hash))

    def get_nonce(self, address: bytes) -> int:
        return self._account(address).nonce

    def set_nonce(self, address: bytes, nonce: int) -> None:
        _, balance, code_hash = self._account(address)
        self._set(self._accounts, address, AccountRecord(nonce, balance, code_hash))

    def increment_nonce(self, address: bytes) -> None:
        nonce, balance, code_hash = self._account(address)
        self._set(self._accounts, address, AccountRecord(nonce + 1, balance, code_hash))

    def get_code(self, address: bytes) -> bytes:
        code_hash = self._account(address).code_hash
        if code_hash == EMPTY_CODE_HASH:
            return b""
        code = self._code.get(code_hash)
        if code is None:
            code = self._code_table.get(code_hash)
            if code is None:
                raise InvariantBroken(f"no code for the hash {code_hash.hex()} of {address.hex()}")
        return code

    def get_code_hash(self, address: bytes) -> bytes:
        return self._account(address).code_hash

    def set_code(self, address: bytes, code: bytes) -> None:
        nonce, balance, _ = self._account(address)
        code_hash = keccak(code)
        self._code[code_hash] = code
        self._set(self._accounts, address, AccountRecord(nonce, balance, code_hash))

    def delete_code(self, address: bytes) -> None:
        self.set_code(address, b"")

    def account_has_code_or_nonce(self, address: bytes) -> bool:
        """Say whether a contract cannot be created here: EIP-684, and storage too (EIP-7610)."""
        nonce, _, code_hash = self._account(address)
        return nonce != 0 or code_hash != EMPTY_CODE_HASH or bool(self._slots(address))

    def account_exists(self, address: bytes) -> bool:
        return self._account(address) != NO_ACCOUNT

    def account_is_empty(self, address: bytes) -> bool:
        return self._account(address) == NO_ACCOUNT

    def touch_account(self, address: bytes) -> None:
        """Nothing to do: empty accounts are never stored, so none is left to be cleared (EIP-161)."""

    def delete_account(self, address: bytes) -> None:
        """Delete an account and its storage, as a self-destruct in its creating transaction does (EIP-6780)."""
        self.delete_storage(address)
        self._set(self._accounts, address, NO_ACCOUNT)

    # Storage.

    def get_storage(self, address: bytes, slot: int, from_journal: bool = True) -> int:
        """from_journal False: the value at the start of the transaction."""
        key = (address, slot)
        if from_journal:
            value = self._storage.get(key)
            if value is not None:
                return value
        original = self._original.get(key)
        if original is None:
            raw_key = address + slot.to_bytes(32, "big")
            original = self._original[key] = records.decode_integer(self._storage_table.get(raw_key))
        return original

    def set_storage(self, address: bytes, slot: int, value: int) -> None:
        self._set(self._storage, (address, slot), value)

    def delete_storage(self, address: bytes) -> None:
        for slot in self._slots(address):
            self._set(self._storage, (address, slot), 0)

    def _slots(self, address: bytes) -> list[int]:
        """Return the slots of an account that are not zero, in no particular order of meaning but always the same."""
        slots = {int.from_bytes(key[20:], "big"): True for key in self._storage_table.keys(address)}
        for (owner, slot), value in self._storage.items():
            if owner == address:
                slots[slot] = value != 0
        return sorted(slot for slot, present in slots.items() if present)

    # Transient storage (EIP-1153) and access sets (EIP-2929). Keys of the latter: an address, or (address, slot).

    def get_transient(self, address: bytes, slot: int) -> bytes:
        return self._transient.get((address, slot), b"")

    def set_transient(self, address: bytes, slot: int, value: bytes) -> None:
        self._set(self._transient, (address, slot), value)

    def is_address_warm(self, address: bytes) -> bool:
        return address in self._warm

    def mark_address_warm(self, address: bytes) -> None:
        if address not in self._warm:
            self._set(self._warm, address, True)

    def is_storage_warm(self, address: bytes, slot: int) -> bool:
        return (address, slot) in self._warm

    def mark_storage_warm(self, address: bytes, slot: int) -> None:
        if (address, slot) not in self._warm:
            self._set(self._warm, (address, slot), True)

    # The end.

    def flush(self) -> Writes:
        """Write what changed to the tables and return it."""
        writes: Writes = {name: {} for name in STATE_TABLES}
        self._flush_accounts(writes)
        for (address, slot), value in self._storage.items():
            if value != self.get_storage(address, slot, from_journal=False):
                raw_key = address + slot.to_bytes(32, "big")
                writes["storage"][raw_key] = records.encode_integer(value) if value else None
        tables = {"accounts": self._accounts_table, "code": self._code_table, "storage": self._storage_table}
        for name, changes in writes.items():
            table = tables[name]
            for key, content in changes.items():
                if content is None:
                    table.delete(key)
                else:
                    table.put(key, content)
        return writes

    def _flush_accounts(self, writes: Writes) -> None:
        loaded = self._loaded
        for address, account in self._accounts.items():
            if loaded.get(address) is account:
                continue
            before = self._accounts_table.get(address)
            after = None if account == NO_ACCOUNT else records.encode_account(account)
            if after == before:
                continue
            writes["accounts"][address] = after
            code = self._code.get(account.code_hash)
            if code and not self._code_table.has(account.code_hash):
                writes["code"][account.code_hash] = code
