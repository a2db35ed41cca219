"""One message call or contract creation with everything a transaction puts around it: gas, nonce, refunds, fees.

Follows the execution specs' process_transaction (EELS, forks/cancun and forks/prague). Nothing is checked here: that is
validation.py's and transactions.py's part. The bytecode is py-evm's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from eth.exceptions import ContractCreationCollision, VMError

from adapters.ethereum.account_db import AccountDatabase
from adapters.ethereum.gas import AUTHORIZATION_REFUND, REFUND_QUOTIENT, floor_gas
from adapters.ethereum.keccak import keccak
from adapters.ethereum.machine import FrameMessage, TransactionContext
from adapters.ethereum.model import Authorization, Log
from adapters.ethereum.rlp_codec import encode_bytes, encode_int, encode_list
from adapters.ethereum.settings import Settings
from adapters.ethereum.signatures import SECP256K1_HALF_N, SECP256K1_N, recover_address
from adapters.ethereum.transaction_codec import AccessList, authorization_hash
from adapters.ethereum.validation import DELEGATION_PREFIX, delegation_target
from core.errors import MalformedMessage

SYSTEM_ADDRESS = bytes.fromhex("fffffffffffffffffffffffffffffffffffffffe")
SYSTEM_GAS = 30_000_000
_ZERO_ADDRESS = bytes(20)


class Invocation(msgspec.Struct, frozen=True, gc=False):
    """price: wei per gas that the sender pays; tip: the coinbase's part of it. intrinsic: gas due before the first
    instruction."""

    sender: bytes
    to: bytes | None
    value: int
    data: bytes
    gas_limit: int
    price: int
    tip: int
    intrinsic: int
    access_list: AccessList = ()
    authorizations: tuple[Authorization, ...] = ()


class Outcome(msgspec.Struct, frozen=True):
    """gas_peak: what had to be available, before refunds. created: every address whose creation was begun."""

    gas_used: int
    gas_peak: int
    error: VMError | None
    output: bytes
    logs: tuple[Log, ...]
    contract_address: bytes | None
    created: tuple[bytes, ...]


def contract_address(sender: bytes, nonce: int) -> bytes:
    """Return where a creation by this sender with this nonce puts the contract."""
    return keccak(encode_list((encode_bytes(sender), encode_int(nonce))))[12:]


def apply(state: Any, database: AccountDatabase, call: Invocation, settings: Settings) -> Outcome:
    """Run a transaction's content on the state: py-evm's state object and the database under it, already begun."""
    state.renew()
    sender = call.sender
    nonce = database.get_nonce(sender)
    if call.price:
        database.set_balance(sender, database.get_balance(sender) - call.gas_limit * call.price)
    database.increment_nonce(sender)
    created_address = contract_address(sender, nonce) if call.to is None else None
    refund = process_authorizations(database, call.authorizations, settings.chain_id)
    _warm(database, call, state.coinbase)
    context = TransactionContext(gas_price=call.price, origin=sender)
    computation = _run(state, database, _message(database, call, created_address, refund, settings), context)
    return _finish(state, database, call, settings, computation, created_address)


def system_call(state: Any, database: AccountDatabase, address: bytes, data: bytes) -> None:
    """Call a system contract as the protocol does at the opening of a block; nothing happens where there is none."""
    code = database.get_code(address)
    if not code:
        return
    state.renew()
    message = FrameMessage(gas=SYSTEM_GAS, to=address, sender=SYSTEM_ADDRESS, value=0, data=data, code=code, depth=0)
    context = TransactionContext(gas_price=0, origin=SYSTEM_ADDRESS)
    state.computation_class.apply_message(state, message, context)


def process_authorizations(database: AccountDatabase, authorizations: Sequence[Authorization], chain_id: int) -> int:
    """Set the delegations of EIP-7702 and return the refund. An invalid authorization is passed over."""
    refund = 0
    for authorization in authorizations:
        if authorization.chain_id not in (0, chain_id) or authorization.nonce >= 2**64 - 1:
            continue
        authority = _authority(authorization)
        if authority is None:
            continue
        database.mark_address_warm(authority)
        code = database.get_code(authority)
        if code and delegation_target(code) is None:
            continue
        if database.get_nonce(authority) != authorization.nonce:
            continue
        if database.account_exists(authority):
            refund += AUTHORIZATION_REFUND
        target = authorization.address
        database.set_code(authority, b"" if target == _ZERO_ADDRESS else DELEGATION_PREFIX + target)
        database.increment_nonce(authority)
    return refund


def _authority(authorization: Authorization) -> bytes | None:
    r, s = authorization.r, authorization.s
    if authorization.y_parity > 1 or not 0 < r < SECP256K1_N or not 0 < s <= SECP256K1_HALF_N:
        return None
    try:
        return recover_address(authorization_hash(authorization), authorization.y_parity, r, s)
    except MalformedMessage:
        return None


def _warm(database: AccountDatabase, call: Invocation, coinbase: bytes) -> None:
    database.mark_address_warm(call.sender)
    database.mark_address_warm(coinbase)
    for address, slots in call.access_list:
        database.mark_address_warm(address)
        for slot in slots:
            database.mark_storage_warm(address, slot)


def _message(
    database: AccountDatabase, call: Invocation, created_address: bytes | None, refund: int, settings: Settings
) -> FrameMessage:
    gas = call.gas_limit - call.intrinsic
    if call.to is None:
        return FrameMessage(
            gas=gas,
            to=b"",
            sender=call.sender,
            value=call.value,
            data=b"",
            code=call.data,
            depth=0,
            create_address=created_address,
            refund=refund,
        )
    code = database.get_code(call.to)
    target = delegation_target(code) if settings.is_prague else None
    if target is not None:
        database.mark_address_warm(target)
        code = database.get_code(target)
    return FrameMessage(
        gas=gas,
        to=call.to,
        sender=call.sender,
        value=call.value,
        data=call.data,
        code=code,
        depth=0,
        refund=refund,
        is_delegation=target is not None,
    )


def _run(state: Any, database: AccountDatabase, message: FrameMessage, context: TransactionContext) -> Any:
    database.mark_address_warm(message.storage_address)
    computations = state.computation_class
    if not message.is_create:
        return computations.apply_message(state, message, context)
    if database.account_has_code_or_nonce(message.storage_address):
        collided = computations(state, message, context)
        collided.error = ContractCreationCollision("contract address collision")
        return collided
    return computations.apply_create_message(state, message, context)


def _finish(
    state: Any,
    database: AccountDatabase,
    call: Invocation,
    settings: Settings,
    computation: Any,
    created_address: bytes | None,
) -> Outcome:
    error = computation._error
    gas_left = 0 if error is not None and error.burns_gas else computation._gas_meter.gas_remaining
    gas_peak = call.gas_limit - gas_left
    gas_used = gas_peak - min(computation.get_gas_refund(), gas_peak // REFUND_QUOTIENT)
    if settings.is_prague:
        floor = floor_gas(call.data)
        gas_used, gas_peak = max(gas_used, floor), max(gas_peak, floor)
    if call.price:
        left = (call.gas_limit - gas_used) * call.price
        database.set_balance(call.sender, database.get_balance(call.sender) + left)
        if call.tip:
            coinbase = state.coinbase
            database.set_balance(coinbase, database.get_balance(coinbase) + gas_used * call.tip)
    logs: list[Log] = []
    if error is None:
        for address in computation.get_accounts_for_deletion():
            database.delete_account(address)
        for _, address, topics, data in computation.get_raw_log_entries():
            logs.append(Log(address, tuple([topic.to_bytes(32, "big") for topic in topics]), data))
    return Outcome(
        gas_used=gas_used,
        gas_peak=gas_peak,
        error=error,
        output=bytes(computation.output),
        logs=tuple(logs),
        contract_address=created_address,
        created=tuple(getattr(computation, "contracts_created", ())),
    )
