"""Calls that leave nothing behind: eth_call and eth_estimateGas.

Runs in the context of a closed block, as geth does for a block tag. As there, nonce and sender's code are not checked,
a price of zero needs no balance for gas, and the base fee then reads as zero. A request, however many runs it needs,
gets as much processor time as geth gives by default. Source: geth's internal/ethapi and eth/gasestimator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from eth.exceptions import OutOfGas

from adapters.deadline import Deadline, TimeExceeded
from adapters.ethereum import chain
from adapters.ethereum.account_db import AccountDatabase
from adapters.ethereum.call_errors import error_text, execution_error, revert_reason
from adapters.ethereum.call_state import CallDatabase, sighted
from adapters.ethereum.evm import make_state
from adapters.ethereum.fees import FREE, FeeRules
from adapters.ethereum.gas import CALL_STIPEND, TRANSACTION_GAS, floor_gas, intrinsic_gas
from adapters.ethereum.model import Block, CallRequest, CallResult
from adapters.ethereum.settings import Settings
from adapters.ethereum.state_transition import Invocation, Outcome, apply
from adapters.ethereum.transactions import INITCODE_BYTES_MAX
from adapters.ethereum.vm import BlockEnvironment
from adapters.jsonrpc import RpcError
from core.adapter.interface import ScopedTransaction

__all__ = ["estimate_gas", "execution_error", "revert_reason", "simulate"]

REJECTED = -32000
SIMULATION_SECONDS_MAX = 5.0
"""Processor time (geth's default of rpc.evmtimeout)."""
_ResultT = TypeVar("_ResultT")

ERROR_RATIO = 0.015
"""How far an estimate may be above the least gas that suffices (geth's estimateGasErrorRatio)."""


def simulate(
    transaction: ScopedTransaction,
    call: CallRequest,
    block: Block,
    settings: Settings,
    *,
    gas_cap: int,
    seconds_max: float = SIMULATION_SECONDS_MAX,
    database: AccountDatabase | None = None,
) -> CallResult:
    """Run a call on the state that `transaction` sees, after `block`; its writes are left in nobody's tables.

    database: the state as the caller may see it, with overrides (call_state.py); None: the state as it is.
    Raises RpcError when the call is not one that could be executed, or takes too long; what fails in the EVM is in the
    result.
    """
    deadline = Deadline(seconds_max)
    simulation = _Simulation(transaction, call, block, settings, deadline, database)
    gas = gas_cap if call.gas is None else min(call.gas, gas_cap)
    outcome = _within(deadline, lambda: simulation.run(gas))
    return CallResult(
        return_data=outcome.output,
        gas_used=outcome.gas_used,
        error=None if outcome.error is None else error_text(outcome.error),
        logs=outcome.logs,
    )


def estimate_gas(
    transaction: ScopedTransaction,
    call: CallRequest,
    block: Block,
    settings: Settings,
    *,
    gas_cap: int,
    seconds_max: float = SIMULATION_SECONDS_MAX,
    database: AccountDatabase | None = None,
) -> int:
    """Return a gas limit with which the call succeeds; raises RpcError when none does, or the search takes too long.

    database: as in simulate.
    """
    deadline = Deadline(seconds_max)
    simulation = _Simulation(transaction, call, block, settings, deadline, database)
    return _within(deadline, lambda: _estimate(simulation, call, settings, gas_cap))


def _within(deadline: Deadline, work: Callable[[], _ResultT]) -> _ResultT:
    try:
        return deadline.run(work)
    except TimeExceeded as exceeded:
        raise RpcError(REJECTED, f"execution aborted (timeout = {exceeded.seconds:g}s)") from None


def _estimate(simulation: _Simulation, call: CallRequest, settings: Settings, gas_cap: int) -> int:
    highest = min(gas_cap, settings.transaction_gas_limit, settings.block_gas_limit)
    if call.gas is not None and call.gas >= TRANSACTION_GAS:
        highest = min(highest, call.gas)
    highest = simulation.affordable(highest)
    if simulation.is_plain_transfer and highest >= TRANSACTION_GAS and simulation.run(TRANSACTION_GAS).error is None:
        return TRANSACTION_GAS
    if highest < simulation.least_gas:
        raise _exceeds_allowance(highest)
    outcome = simulation.run(highest)
    if outcome.error is not None:
        if isinstance(outcome.error, OutOfGas):
            raise _exceeds_allowance(highest)
        failed = CallResult(outcome.output, outcome.gas_used, error_text(outcome.error))
        raise execution_error(failed)
    return _search(simulation, outcome, highest)


def _search(simulation: _Simulation, outcome: Outcome, highest: int) -> int:
    """Search between what was used and what sufficed; a call may pass on 63/64 of its gas only, so try that first."""
    lowest = outcome.gas_used - 1
    likely = (outcome.gas_peak + CALL_STIPEND) * 64 // 63
    if likely < highest:
        if simulation.suffices(likely):
            highest = likely
        else:
            lowest = likely
    while lowest + 1 < highest:
        if (highest - lowest) / highest < ERROR_RATIO:
            break
        middle = min((highest + lowest) // 2, lowest * 2)
        if simulation.suffices(middle):
            highest = middle
        else:
            lowest = middle
    return highest


def _exceeds_allowance(allowance: int) -> RpcError:
    return RpcError(REJECTED, f"gas required exceeds allowance ({allowance})")


@dataclass(frozen=True, slots=True)
class _Offer:
    max_fee: int
    max_priority_fee: int


class _Simulation:
    """A call that can be run again and again with other gas limits."""

    def __init__(
        self,
        transaction: ScopedTransaction,
        call: CallRequest,
        block: Block,
        settings: Settings,
        deadline: Deadline,
        database: AccountDatabase | None,
    ) -> None:
        self._deadline = deadline
        self._transaction = transaction
        self._call = call
        self._settings = settings
        self._offer = _offer(call)
        self._fees: FeeRules = settings.fees if self._offer.max_fee else FREE
        self._database = AccountDatabase() if database is None else database
        self._database.begin(transaction)
        if self._fees.charged and self._offer.max_fee < self._fees.base_fee:
            text = f"max fee per gas less than block base fee: address 0x{call.sender.hex()}, "
            text += f"maxFeePerGas: {self._offer.max_fee}, baseFee: {self._fees.base_fee}"
            raise RpcError(REJECTED, text)
        if call.to is None and len(call.data) > INITCODE_BYTES_MAX:
            text = f"max initcode size exceeded: code size {len(call.data)}, limit {INITCODE_BYTES_MAX}"
            raise RpcError(REJECTED, text)
        self._environment = _environment(transaction, block, self._fees)
        self._intrinsic = intrinsic_gas(call.data, call.to is None, call.access_list, len(call.authorizations))
        self.least_gas = self._intrinsic
        if settings.is_prague:
            self.least_gas = max(self.least_gas, floor_gas(call.data))

    @property
    def is_plain_transfer(self) -> bool:
        call = self._call
        return (
            call.to is not None
            and not call.data
            and not call.access_list
            and not call.authorizations
            and not self._database.get_code(call.to)
        )

    def affordable(self, gas: int) -> int:
        """Return how much of this gas the sender can pay for after the value; raises RpcError for the value."""
        self._database.begin(self._transaction)
        balance = self._database.get_balance(self._call.sender)
        if not self._fees.charged:
            return gas
        if balance < self._call.value:
            raise RpcError(REJECTED, "insufficient funds for transfer")
        return min(gas, (balance - self._call.value) // self._offer.max_fee)

    def suffices(self, gas: int) -> bool:
        return gas >= self.least_gas and self.run(gas).error is None

    def run(self, gas: int) -> Outcome:
        """Run with this gas limit; raises RpcError when it could not begin."""
        call, fees, offer = self._call, self._fees, self._offer
        if gas < self._intrinsic:
            raise RpcError(REJECTED, f"intrinsic gas too low: have {gas}, want {self._intrinsic}")
        if gas < self.least_gas:
            raise RpcError(REJECTED, f"insufficient gas for floor data gas cost: have {gas}, want {self.least_gas}")
        self._database.begin(self._transaction)
        self._check_balance(gas)
        state = make_state(self._database, self._settings, self._environment, self._deadline)
        if isinstance(self._database, CallDatabase):
            state.computation_class = sighted(state.computation_class)
        invocation = Invocation(
            sender=call.sender,
            to=call.to,
            value=call.value,
            data=call.data,
            gas_limit=gas,
            price=fees.effective_price(offer.max_fee, offer.max_priority_fee),
            tip=fees.tip(offer.max_fee, offer.max_priority_fee),
            intrinsic=self._intrinsic,
            access_list=call.access_list,
            authorizations=call.authorizations,
        )
        return apply(state, self._database, invocation, self._settings)

    def _check_balance(self, gas: int) -> None:
        call = self._call
        balance = self._database.get_balance(call.sender)
        address = f"address 0x{call.sender.hex()}"
        if self._fees.charged:
            want = gas * self._offer.max_fee + call.value
            if balance < want:
                text = f"insufficient funds for gas * price + value: {address} have {balance} want {want}"
                raise RpcError(REJECTED, text)
        elif balance < call.value:
            raise RpcError(REJECTED, f"insufficient funds for transfer: {address}")


def _offer(call: CallRequest) -> _Offer:
    if call.gas_price is not None:
        return _Offer(call.gas_price, call.gas_price)
    tip = call.max_priority_fee or 0
    max_fee = tip if call.max_fee is None else call.max_fee
    if tip > max_fee:
        text = f"max priority fee per gas higher than max fee per gas: address 0x{call.sender.hex()}, "
        raise RpcError(REJECTED, text + f"maxPriorityFeePerGas: {tip}, maxFeePerGas: {max_fee}")
    return _Offer(max_fee, tip)


def _environment(transaction: ScopedTransaction, block: Block, fees: FeeRules) -> BlockEnvironment:
    header, hashes = block.header, dict[int, bytes | None]()

    def block_hash(number: int) -> bytes | None:
        if number not in hashes:
            hashes[number] = chain.block_hash(transaction, number)
        return hashes[number]

    return BlockEnvironment(
        number=header.number,
        timestamp=header.timestamp,
        coinbase=header.coinbase,
        gas_limit=header.gas_limit,
        base_fee=fees.base_fee,
        prevrandao=header.mix_hash,
        block_hash=block_hash,
    )
