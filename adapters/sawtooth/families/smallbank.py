"""The family smallbank: accounts with savings and checking, in cents. Source: Sawtooth's own one, version 1.0."""

from __future__ import annotations

import hashlib
from typing import Any

from adapters.sawtooth.addresses import family_namespace
from adapters.sawtooth.families.messages import FAMILY_MESSAGES, unpack, unpack_state
from adapters.sawtooth.sdk.context import Context, Transaction
from adapters.sawtooth.sdk.exceptions import InvalidTransaction
from adapters.sawtooth.sdk.handler import TransactionHandler

NAMESPACE = family_namespace("smallbank")
BALANCE_MAX = 2**32 - 1
_BOTH = "Both source and dest accounts must exist"


def account_address(customer_id: int) -> str:
    """Return where an account is kept."""
    return NAMESPACE + hashlib.sha512(str(customer_id).encode()).hexdigest()[:64]


class SmallbankHandler(TransactionHandler):
    """Payload: a SmallbankTransactionPayload. Balances do not wrap: what leaves 32 bits is invalid."""

    family_name = "smallbank"
    family_versions = ("1.0",)
    namespaces = (NAMESPACE,)

    def apply(self, transaction: Transaction, context: Context) -> None:
        """Run a transaction."""
        payload = unpack("SmallbankPayload", transaction.payload)
        match payload.payload_type:
            case 1:
                _create(context, payload.create_account)
            case 2:
                account = _existing(context, payload.deposit_checking.customer_id)
                _save(context, account, checking=account.checking_balance + payload.deposit_checking.amount)
            case 3:
                account = _existing(context, payload.write_check.customer_id)
                _save(context, account, checking=account.checking_balance - payload.write_check.amount)
            case 4:
                account = _existing(context, payload.transact_savings.customer_id)
                if account.savings_balance + payload.transact_savings.amount < 0:
                    raise InvalidTransaction("Insufficient funds in source savings account")
                _save(context, account, savings=account.savings_balance + payload.transact_savings.amount)
            case 5:
                _send(context, payload.send_payment)
            case 6:
                _amalgamate(context, payload.amalgamate)
            case _:
                raise InvalidTransaction("Transaction type unset")


def _create(context: Context, given: Any) -> None:
    if not given.customer_name or _load(context, given.customer_id) is not None:
        raise InvalidTransaction("Customer Name must be set")
    account = FAMILY_MESSAGES["Account"](customer_id=given.customer_id, customer_name=given.customer_name)
    _save(context, account, savings=given.initial_savings_balance, checking=given.initial_checking_balance)


def _send(context: Context, given: Any) -> None:
    source = _existing(context, given.source_customer_id, _BOTH)
    _existing(context, given.dest_customer_id, _BOTH)
    if source.checking_balance < given.amount:
        raise InvalidTransaction("Insufficient funds in source checking account")
    _save(context, source, checking=source.checking_balance - given.amount)
    destination = _existing(context, given.dest_customer_id, _BOTH)  # After the source, which may be the same one.
    _save(context, destination, checking=destination.checking_balance + given.amount)


def _amalgamate(context: Context, given: Any) -> None:
    source = _existing(context, given.source_customer_id, _BOTH)
    _existing(context, given.dest_customer_id, _BOTH)
    savings = source.savings_balance
    _save(context, source, savings=0)
    destination = _existing(context, given.dest_customer_id, _BOTH)
    _save(context, destination, checking=destination.checking_balance + savings)


def _load(context: Context, customer_id: int) -> Any:
    found = context.get_state([account_address(customer_id)])
    return unpack_state("Account", found[0].data) if found else None


def _existing(context: Context, customer_id: int, message: str = "Account must exist") -> Any:
    account = _load(context, customer_id)
    if account is None:
        raise InvalidTransaction(message)
    return account


def _save(context: Context, account: Any, *, savings: int | None = None, checking: int | None = None) -> None:
    for balance in (savings, checking):
        if balance is not None and not 0 <= balance <= BALANCE_MAX:
            raise InvalidTransaction("the balance would leave the range of 32 bits")
    if savings is not None:
        account.savings_balance = savings
    if checking is not None:
        account.checking_balance = checking
    context.set_state({account_address(account.customer_id): account.SerializeToString()})
