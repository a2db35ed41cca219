"""Answers about calls, from committed state: eth_call, eth_estimateGas, eth_createAccessList.

A call comes from an address of the caller's, since contracts take msg.sender for who asks; what its code is told is
in call_state.py, what it may assume of accounts in overrides.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, assert_never

from adapters.ethereum.arguments import ZERO_ADDRESS
from adapters.ethereum.binding import check_sender
from adapters.ethereum.call_state import CallDatabase
from adapters.ethereum.call_wire import WireCall, unpack_call, unpack_override
from adapters.ethereum.formatting import data, quantity
from adapters.ethereum.model import CallRequest, CallResult
from adapters.ethereum.overrides import check_overrides
from adapters.ethereum.requests import Call, CreateAccessList, EstimateGas, SimulationQuery
from adapters.ethereum.scope import Scope
from adapters.ethereum.simulate import SIMULATION_SECONDS_MAX, estimate_gas, execution_error, simulate
from adapters.ethereum.state_transition import contract_address
from core.adapter.interface import ScopedTransaction

ACCESS_LIST_RUNS_MAX = 4
"""A list changes the gas and so, perhaps, the run; go-ethereum repeats until it stays the same."""
PRECOMPILES_MAX = 0x11

AccessList = tuple[tuple[bytes, tuple[int, ...]], ...]


def answer(scope: Scope, query: SimulationQuery) -> object:
    """Return the result of a query; raises RpcError, with code 3 for a revert."""
    prepared = _Prepared(scope, query)
    match query:
        case Call():
            result = prepared.simulate(prepared.request)
            if result.error is not None:
                raise execution_error(result)
            return data(result.return_data)
        case EstimateGas():
            return quantity(prepared.estimate())
        case CreateAccessList():
            return _create_access_list(scope, prepared)
        case _:
            assert_never(query)


class _Prepared:
    """A call on its state, checked."""

    def __init__(self, scope: Scope, query: SimulationQuery) -> None:
        self._settings = scope.settings
        self.request = _with_sender(scope, query.call)
        overrides = tuple(unpack_override(one) for one in query.overrides)
        check_overrides(overrides, scope.settings.policy, scope.addresses)
        self._block = scope.require_block(query.block)
        self.state: ScopedTransaction = scope.state_at(self._block)
        self.database = CallDatabase(scope.call_sight, overrides)

    def simulate(self, request: CallRequest, seconds_max: float = SIMULATION_SECONDS_MAX) -> CallResult:
        mark = self.state.checkpoint()
        try:
            return simulate(
                self.state,
                request,
                self._block,
                self._settings,
                gas_cap=self._settings.transaction_gas_limit,
                seconds_max=seconds_max,
                database=self.database,
            )
        finally:
            self.state.revert(mark)

    def estimate(self) -> int:
        mark = self.state.checkpoint()
        cap = self._settings.transaction_gas_limit
        try:
            return estimate_gas(
                self.state, self.request, self._block, self._settings, gas_cap=cap, database=self.database
            )
        finally:
            self.state.revert(mark)


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


def _create_access_list(scope: Scope, prepared: _Prepared) -> dict[str, Any]:
    """Answer eth_createAccessList.

    A contract's slots and callees follow from its storage, which nobody reads. So outside of a public network the list
    holds only what is the caller's own: its addresses and the contract that the call creates. A shorter list is valid,
    too: it is a hint that changes gas and nothing else.
    """
    request = prepared.request
    created = None
    if request.to is None:
        prepared.database.begin(prepared.state)
        created = contract_address(request.sender, prepared.database.get_nonce(request.sender))
    left_out = {
        request.sender,
        request.to or created,
        *(one.to_bytes(20, "big") for one in range(1, PRECOMPILES_MAX + 1)),
    }
    shown = None if scope.settings.policy == "public" else {*scope.addresses, created}
    for _ in range(ACCESS_LIST_RUNS_MAX):
        result = prepared.simulate(request, SIMULATION_SECONDS_MAX / ACCESS_LIST_RUNS_MAX)
        found = _touched(prepared.database, left_out, shown, scope.settings.coinbase)
        if set(found) == set(request.access_list):
            break
        request = replace(request, access_list=found)
    answered: dict[str, Any] = {
        "accessList": [
            {"address": data(address), "storageKeys": [data(slot.to_bytes(32, "big")) for slot in slots]}
            for address, slots in found
        ],
        "gasUsed": quantity(result.gas_used),
    }
    if result.error is not None:
        answered["error"] = execution_error(result).message
    return answered


def _touched(
    database: CallDatabase, left_out: set[bytes | None], shown: set[bytes | None] | None, coinbase: bytes
) -> AccessList:
    """Return what the last run touched; an address that costs nothing to name is left out unless slots are."""
    slots: dict[bytes, list[int]] = {}
    for key in database.touched:
        if isinstance(key, tuple):
            slots.setdefault(key[0], []).append(key[1])
        elif key not in left_out and key != coinbase:
            slots.setdefault(key, [])
    return tuple(
        (address, tuple(sorted(touched)))
        for address, touched in sorted(slots.items())
        if shown is None or address in shown
    )
