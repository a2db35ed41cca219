"""The account database against a plain model, and what it leaves in the tables."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.ethereum import chain
from adapters.ethereum.account_db import AccountDatabase
from adapters.ethereum.keccak import keccak
from core.adapter.interface import ScopedTransaction
from core.errors import InvariantBroken
from core.kv.store import Store

A, B = b"a" * 20, b"b" * 20


def begun() -> tuple[AccountDatabase, ScopedTransaction]:
    transaction = ScopedTransaction(Store({"ethereum.storage": 20}).begin(), "ethereum")
    database = AccountDatabase()
    database.begin(transaction)
    return database, transaction


def test_nothing_is_written_before_flush() -> None:
    database, transaction = begun()
    database.set_balance(A, 5)
    database.set_storage(A, 1, 2)
    database.set_code(A, b"code")
    assert not transaction.inner.take_write_set()
    writes = database.flush()
    assert chain.account(transaction, A).balance == 5
    assert chain.code(transaction, A) == b"code"
    assert chain.storage_at(transaction, A, 1) == 2
    assert set(writes["code"]) == {keccak(b"code")}


def test_only_differences_are_written() -> None:
    database, transaction = begun()
    database.set_balance(A, 5)
    database.set_storage(A, 1, 2)
    database.flush()
    database.begin(transaction)
    mark = len(transaction.inner.undo_log)
    database.set_balance(A, 6)
    database.set_balance(A, 5)
    database.set_storage(A, 1, 3)
    database.set_storage(A, 1, 2)
    database.set_balance(B, 1)
    database.set_balance(B, 0)
    database.set_code(B, b"gone")
    database.delete_account(B)
    assert database.flush() == {"accounts": {}, "code": {}, "storage": {}}
    assert len(transaction.inner.undo_log) == mark


def test_an_account_exists_exactly_when_it_is_not_empty() -> None:
    database, _ = begun()
    assert not database.account_exists(A)
    database.touch_account(A)
    database.set_balance(A, 0)
    assert not database.account_exists(A)
    database.increment_nonce(A)
    assert database.account_exists(A)
    assert not database.account_is_empty(A)


def test_a_contract_cannot_be_created_over_storage() -> None:
    database, transaction = begun()
    assert not database.account_has_code_or_nonce(A)
    database.set_storage(A, 9, 1)
    assert database.account_has_code_or_nonce(A)
    database.set_balance(A, 1)
    database.flush()
    database.begin(transaction)
    assert database.account_has_code_or_nonce(A)
    assert not database.account_has_code_or_nonce(B)


def test_original_storage_is_that_of_the_start() -> None:
    database, transaction = begun()
    database.set_storage(A, 1, 7)
    database.flush()
    database.begin(transaction)
    database.set_storage(A, 1, 8)
    assert database.get_storage(A, 1) == 8
    assert database.get_storage(A, 1, from_journal=False) == 7
    database.delete_storage(A)
    assert database.get_storage(A, 1) == 0
    assert database.get_storage(A, 1, from_journal=False) == 7


def test_deleting_storage_takes_one_accounts_slots() -> None:
    database, transaction = begun()
    for slot in (1, 2**255):
        database.set_storage(A, slot, 7)
        database.set_storage(B, slot, 7)
    database.flush()
    database.begin(transaction)
    database.set_storage(A, 3, 1)
    database.delete_storage(A)
    database.flush()
    assert list(transaction.table("storage").keys(A)) == []
    assert len(list(transaction.table("storage").keys(B))) == 2


def test_warm_sets_and_transient_storage_go_back_too() -> None:
    database, _ = begun()
    database.mark_address_warm(A)
    mark = database.record()
    database.mark_address_warm(B)
    database.mark_storage_warm(A, 1)
    database.set_transient(A, 1, b"x")
    database.discard(mark)
    assert database.is_address_warm(A)
    assert not database.is_address_warm(B)
    assert not database.is_storage_warm(A, 1)
    assert database.get_transient(A, 1) == b""


def test_broken_invariants() -> None:
    database, transaction = begun()
    with pytest.raises(InvariantBroken):
        database.set_balance(A, -1)
    with pytest.raises(InvariantBroken):
        database.set_balance(A, 2**256)
    database.set_code(A, b"code")
    database.flush()
    transaction.table("code").delete(keccak(b"code"))
    database.begin(transaction)
    with pytest.raises(InvariantBroken):
        database.get_code(A)


ADDRESSES = st.sampled_from([A, B])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("balance"), ADDRESSES, st.integers(0, 3)),
        st.tuples(st.just("nonce"), ADDRESSES, st.integers(0, 3)),
        st.tuples(st.just("code"), ADDRESSES, st.sampled_from([b"", b"x", b"y"])),
        st.tuples(st.just("storage"), ADDRESSES, st.tuples(st.integers(0, 2), st.integers(0, 2))),
        st.tuples(st.just("delete"), ADDRESSES, st.none()),
        st.tuples(st.just("mark"), ADDRESSES, st.none()),
        st.tuples(st.just("back"), ADDRESSES, st.none()),
        st.tuples(st.just("flush"), ADDRESSES, st.none()),
    ),
    max_size=40,
)


@given(STEPS)
@settings(max_examples=120, deadline=None)
def test_against_a_model(steps: list[tuple[str, bytes, Any]]) -> None:
    database, transaction = begun()
    model: dict[bytes, dict[Any, Any]] = {A: {}, B: {}}
    marks: list[tuple[int, Any]] = []
    for action, address, value in steps:
        _step(database, model, marks, action, address, value)
        if action == "flush":
            database.flush()
            database.begin(transaction)
            marks.clear()
    database.flush()
    for address, expected in model.items():
        account = chain.account(transaction, address)
        assert (account.balance, account.nonce) == (expected.get("balance", 0), expected.get("nonce", 0))
        assert chain.code(transaction, address) == expected.get("code", b"")
        for slot in range(3):
            assert chain.storage_at(transaction, address, slot) == expected.get(slot, 0)
        empty = not (account.balance or account.nonce or expected.get("code"))
        assert transaction.table("accounts").has(address) is not empty


def _step(
    database: AccountDatabase,
    model: dict[bytes, dict[Any, Any]],
    marks: list[tuple[int, Any]],
    action: str,
    address: bytes,
    value: Any,
) -> None:
    match action:
        case "balance":
            database.set_balance(address, value)
            model[address]["balance"] = value
        case "nonce":
            database.set_nonce(address, value)
            model[address]["nonce"] = value
        case "code":
            database.set_code(address, value)
            model[address]["code"] = value
        case "storage":
            database.set_storage(address, *value)
            model[address][value[0]] = value[1]
        case "delete":
            database.delete_account(address)
            model[address] = {}
        case "mark":
            marks.append((database.record(), copy.deepcopy(model)))
        case "back" if marks:
            mark, saved = marks.pop()
            database.discard(mark)
            model.clear()
            model.update(saved)
