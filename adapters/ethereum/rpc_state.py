"""Answers about accounts and calls, in the executor."""

from __future__ import annotations

from collections.abc import Callable

from adapters.ethereum import chain
from adapters.ethereum.arguments import ZERO_ADDRESS
from adapters.ethereum.binding import check_sender
from adapters.ethereum.formatting import data, quantity
from adapters.ethereum.model import CallRequest
from adapters.ethereum.requests import LATEST, Call, EstimateGas, GetBalance, GetCode, GetNonce, WireCall, unpack_call
from adapters.ethereum.scope import Scope
from adapters.ethereum.simulate import estimate_gas, execution_error

_DELEGATION = b"\xef\x01\x00"
"""EIP-7702: how the code of an account that delegates begins."""


def get_balance(scope: Scope, query: GetBalance) -> str:
    """Answer eth_getBalance; somebody else's account looks like an unknown one."""
    state = scope.state_at(scope.require_block(query.block))
    return quantity(chain.account(state, query.address).balance if scope.sight.sees_account(query.address) else 0)


def get_nonce(scope: Scope, query: GetNonce, next_nonce: Callable[[bytes], int]) -> str:
    """Answer eth_getTransactionCount. next_nonce: counts what waits in the queue, too."""
    state = scope.state_at(scope.require_block(query.block))
    if not scope.sight.sees_account(query.address):
        return quantity(0)
    nonce = chain.account(state, query.address).nonce
    own = query.address in scope.addresses
    is_pending = query.block.pending and query.block.number == LATEST and not query.block.hash
    return quantity(max(nonce, next_nonce(query.address)) if own and is_pending else nonce)


def get_code(scope: Scope, query: GetCode) -> str:
    """Answer eth_getCode. Code without a creator is the genesis's, unless it is a delegation of the account's owner."""
    state = scope.state_at(scope.require_block(query.block))
    code = chain.code(state, query.address)
    creator = chain.creator(scope.transaction, query.address)
    in_genesis = creator is None and not code.startswith(_DELEGATION)
    return data(code if scope.sight.sees_code(query.address, creator, in_genesis=in_genesis) else b"")


def call(scope: Scope, query: Call) -> str:
    """Answer eth_call; raises RpcError with code 3 for a revert."""
    request = _with_sender(scope, query.call)
    block = scope.require_block(query.block)
    result = scope.simulate(scope.state_at(block), request, block)
    if result.error is not None:
        raise execution_error(result)
    return data(result.return_data)


def estimate(scope: Scope, query: EstimateGas) -> str:
    """Answer eth_estimateGas."""
    request = _with_sender(scope, query.call)
    block = scope.require_block(query.block)
    state = scope.state_at(block)
    mark = state.checkpoint()
    try:
        gas = estimate_gas(state, request, block, scope.settings, gas_cap=scope.settings.transaction_gas_limit)
    finally:
        state.revert(mark)
    return quantity(gas)


def _with_sender(scope: Scope, wire: WireCall) -> CallRequest:
    """Return the call from a sender that is the caller's; raises RpcError (-32001) for another.

    Contracts take msg.sender for who asks, so this holds in a public network as well.
    """
    if wire.sender and wire.sender != ZERO_ADDRESS:
        check_sender(scope.transaction, wire.sender, scope.context.caller)
        return unpack_call(wire, wire.sender)
    if wire.sender:
        return unpack_call(wire, ZERO_ADDRESS)
    return unpack_call(wire, scope.addresses[0] if scope.addresses else ZERO_ADDRESS)
