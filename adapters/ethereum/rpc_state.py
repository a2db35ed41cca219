"""Answers about accounts, from committed state."""

from __future__ import annotations

from typing import assert_never

from adapters.ethereum import chain
from adapters.ethereum.formatting import data, quantity
from adapters.ethereum.requests import GetBalance, GetCode, GetNonce, GetStorage, StateQuery
from adapters.ethereum.scope import Scope

PROXY_SLOTS = frozenset(
    bytes.fromhex(slot)
    for slot in (
        "360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc",
        "b53127684a568b3173ae13b9f8a6016e243e63b6e8ee1178d6a717850b5d6103",
        "a3f0ad74e5423aebfd80d3ef4346578335a9a72aeaee59ff6cb3582b35133d50",
    )
)
"""ERC-1967: where a proxy has its implementation, its admin and its beacon. Tools read them, and no secret is there."""
ZERO_WORD = "0x" + "00" * 32


def answer(scope: Scope, query: StateQuery, next_nonce: int) -> object:
    """Return the result of a query; raises RpcError. next_nonce: as in get_nonce."""
    match query:
        case GetBalance():
            return get_balance(scope, query)
        case GetNonce():
            return get_nonce(scope, query, next_nonce)
        case GetCode():
            return get_code(scope, query)
        case GetStorage():
            return get_storage(scope, query)
        case _:
            assert_never(query)


def get_balance(scope: Scope, query: GetBalance) -> str:
    """Answer eth_getBalance; somebody else's account looks like an unknown one."""
    state = scope.state_at(scope.require_block(query.block))
    return quantity(chain.account(state, query.address).balance if scope.sight.sees_account(query.address) else 0)


def get_nonce(scope: Scope, query: GetNonce, next_nonce: int) -> str:
    """Answer eth_getTransactionCount. next_nonce: after what waits in the queue, 0 when that is not asked for."""
    state = scope.state_at(scope.require_block(query.block))
    if not scope.sight.sees_account(query.address):
        return quantity(0)
    nonce = chain.account(state, query.address).nonce
    return quantity(max(nonce, next_nonce) if query.address in scope.addresses else nonce)


def get_code(scope: Scope, query: GetCode) -> str:
    """Answer eth_getCode."""
    state = scope.state_at(scope.require_block(query.block))
    return data(chain.code(state, query.address) if scope.sees_code(query.address) else b"")


def get_storage(scope: Scope, query: GetStorage) -> str:
    """Answer eth_getStorageAt: zero, but for the slots of ERC-1967 of a contract whose code is visible.

    Storage is where contracts keep what their own code tells to some and not to others.
    """
    state = scope.state_at(scope.require_block(query.block))
    if query.slot not in PROXY_SLOTS or not scope.sees_code(query.address):
        return ZERO_WORD
    return data(chain.storage_at(state, query.address, int.from_bytes(query.slot, "big")).to_bytes(32, "big"))
