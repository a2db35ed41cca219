"""Makes a failing case small: drops transactions, accounts, storage and bytes while the same difference stays."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.fuzz.case import Account, Case, Tx

CODE_PASSES = (512, 128, 32, 8, 4, 2, 1)


def shrink(case: Case, still_fails: Callable[[Case], bool], seconds_max: float) -> Case:
    """Return the smallest case found within the time for which still_fails holds, as it does for the given one."""
    deadline = time.monotonic() + seconds_max
    improved = True
    while improved:
        improved = False
        for step in _STEPS:
            case, changed = _descend(case, step, still_fails, deadline)
            improved |= changed
            if time.monotonic() > deadline:
                return case
    return case


Step = Callable[[Case], Iterator[Case]]


def _descend(case: Case, step: Step, still_fails: Callable[[Case], bool], deadline: float) -> tuple[Case, bool]:
    """Take every smaller case of one kind that still fails, beginning anew after each."""
    changed, skip = False, 0
    while time.monotonic() < deadline:
        for place, smaller in enumerate(step(case)):
            if place < skip:
                continue
            if smaller != case and still_fails(smaller):
                case, changed, skip = smaller, True, place
                break
            if time.monotonic() > deadline:
                return case, changed
        else:
            return case, changed
    return case, changed


def _fewer_transactions(case: Case) -> Iterator[Case]:
    for place in reversed(range(len(case.transactions))):
        if len(case.transactions) > 1:
            yield replace(case, transactions=case.transactions[:place] + case.transactions[place + 1 :])


def _fewer_accounts(case: Case) -> Iterator[Case]:
    for address in list(case.accounts):
        yield replace(case, accounts={key: value for key, value in case.accounts.items() if key != address})


def _plainer_environment(case: Case) -> Iterator[Case]:
    yield replace(case, number=1)
    yield replace(case, base_fee=0)
    yield replace(case, free=False)
    yield replace(case, coinbase=b"\xc0" * 20)


def _plainer_accounts(case: Case) -> Iterator[Case]:
    for address, account in case.accounts.items():
        for slot in account.storage:
            kept = {key: value for key, value in account.storage.items() if key != slot}
            yield _with_account(case, address, replace(account, storage=kept))
        if account.balance:
            yield _with_account(case, address, replace(account, balance=0))
        if account.nonce > 1:
            yield _with_account(case, address, replace(account, nonce=1))


def _shorter_code(case: Case) -> Iterator[Case]:
    for address, account in case.accounts.items():
        for code in _shorter(account.code):
            yield _with_account(case, address, replace(account, code=code))


def _shorter_data(case: Case) -> Iterator[Case]:
    for place, tx in enumerate(case.transactions):
        for data in _shorter(tx.data):
            yield _with_transaction(case, place, replace(tx, data=data))


def _plainer_transactions(case: Case) -> Iterator[Case]:
    for place, tx in enumerate(case.transactions):
        for number in range(len(tx.access_list)):
            yield _with_transaction(case, place, replace(tx, access_list=_without(tx.access_list, number)))
        for number in range(len(tx.authorizations)):
            yield _with_transaction(case, place, replace(tx, authorizations=_without(tx.authorizations, number)))
        plain = {"value": 0, "tip": 0, "fee": case.base_fee, "nonce": 0, "type": 2}
        for name, value in plain.items():
            if getattr(tx, name) != value and not (name == "type" and tx.authorizations):
                yield _with_transaction(case, place, replace(tx, **{name: value}))


def _without(items: tuple[object, ...], place: int) -> tuple[object, ...]:
    return items[:place] + items[place + 1 :]


def _shorter(data: bytes) -> Iterator[bytes]:
    """Cut pieces out, then make them zero (which keeps jump destinations where they are)."""
    for size in CODE_PASSES:
        if size > len(data):
            continue
        for start in range(0, len(data) - size + 1, size):
            yield data[:start] + data[start + size :]
        for filler in (b"\x00", b"\x5b"):
            for start in range(0, len(data) - size + 1, size):
                if any(data[start : start + size].strip(filler)):
                    yield data[:start] + filler * size + data[start + size :]


def _with_account(case: Case, address: bytes, account: Account) -> Case:
    return replace(case, accounts={**case.accounts, address: account})


def _with_transaction(case: Case, place: int, tx: Tx) -> Case:
    return replace(case, transactions=(*case.transactions[:place], tx, *case.transactions[place + 1 :]))


_STEPS: tuple[Step, ...] = (
    _fewer_transactions,
    _fewer_accounts,
    _plainer_environment,
    _plainer_accounts,
    _plainer_transactions,
    _shorter_code,
    _shorter_data,
)
