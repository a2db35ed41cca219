"""py-evm as it is published: its own state classes over its own tries.

One thing is not py-evm's: the point evaluation precompile fails, as it does on a network without blobs.
"""

from __future__ import annotations

from typing import Any, ClassVar

from eth.constants import BLANK_ROOT_HASH
from eth.db.atomic import AtomicDB
from eth.exceptions import UnrecognizedTransactionType, VMError
from eth.vm.execution_context import ExecutionContext
from eth.vm.forks.cancun import CancunVM
from eth.vm.forks.cancun.computation import CancunComputation
from eth.vm.forks.cancun.constants import BEACON_ROOTS_ADDRESS, HISTORY_BUFFER_LENGTH
from eth.vm.forks.cancun.state import CancunState
from eth.vm.forks.prague import PragueVM
from eth.vm.forks.prague.computation import PragueComputation
from eth.vm.forks.prague.constants import HISTORY_SERVE_WINDOW, HISTORY_STORAGE_ADDRESS
from eth.vm.forks.prague.state import PragueState
from eth_utils import ValidationError
from rlp.exceptions import RLPException

from tests.fuzz.case import CHAIN_ID, Case, ancestor_hash
from tests.fuzz.results import Result

BLOCK_GAS_LIMIT = 60_000_000
POINT_EVALUATION = bytes(19) + b"\x0a"


def _refuse(computation: Any) -> Any:
    raise VMError("point evaluation")


class _CancunComputation(CancunComputation):  # type: ignore[misc]
    _precompiles: ClassVar[dict[bytes, Any]] = {**CancunComputation.get_precompiles(), POINT_EVALUATION: _refuse}


class _PragueComputation(PragueComputation):  # type: ignore[misc]
    _precompiles: ClassVar[dict[bytes, Any]] = {**PragueComputation.get_precompiles(), POINT_EVALUATION: _refuse}


class _CancunState(CancunState):  # type: ignore[misc]
    computation_class = _CancunComputation


class _PragueState(PragueState):  # type: ignore[misc]
    computation_class = _PragueComputation


class Stock:
    """Runs one case, transaction by transaction, so that a known fault of py-evm can be taken back."""

    def __init__(self, case: Case) -> None:
        is_prague = case.fork == "prague"
        self.vm: Any = PragueVM if is_prague else CancunVM
        self.state_class: Any = _PragueState if is_prague else _CancunState
        self.context = ExecutionContext(
            coinbase=case.coinbase,
            timestamp=case.timestamp,
            block_number=case.number,
            difficulty=0,
            mix_hash=case.prevrandao,
            gas_limit=BLOCK_GAS_LIMIT,
            prev_hashes=[ancestor_hash(number) for number in range(case.number - 1, max(-1, case.number - 257), -1)],
            chain_id=CHAIN_ID,
            base_fee_per_gas=case.base_fee,
            excess_blob_gas=0,
        )
        self.database = AtomicDB()
        self.state = state = self.state_class(self.database, self.context, BLANK_ROOT_HASH)
        for address, account in case.accounts.items():
            if account.balance:
                # Setting 0 would make an empty account, which no state has had since EIP-161.
                state.set_balance(address, account.balance)
            if account.nonce:
                state.set_nonce(address, account.nonce)
            if account.code:
                state.set_code(address, account.code)
            for slot, value in account.storage.items():
                state.set_storage(address, slot, value)
        state.persist()
        self.case = case
        self.is_open = False

    def mark(self) -> tuple[bool, bytes]:
        """Return a place to go back to, before the next transaction."""
        self.state.persist()
        return self.is_open, self.state.make_state_root()

    def back(self, mark: tuple[bool, bytes]) -> None:
        """Take back what was executed since."""
        self.is_open, root = mark
        self.state = self.state_class(self.database, self.context, root)

    def _open(self) -> None:
        """Do what py-evm's block_preprocessing does with the system contracts, at the first transaction."""
        state, case = self.state, self.case
        self.is_open = True
        if state.get_code(BEACON_ROOTS_ADDRESS):
            place = case.timestamp % HISTORY_BUFFER_LENGTH
            state.set_storage(BEACON_ROOTS_ADDRESS, place, case.timestamp)
            state.set_storage(BEACON_ROOTS_ADDRESS, place + HISTORY_BUFFER_LENGTH, 0)
        if case.fork == "prague" and state.get_code(HISTORY_STORAGE_ADDRESS):
            parent = int.from_bytes(ancestor_hash(case.number - 1), "big")
            state.set_storage(HISTORY_STORAGE_ADDRESS, (case.number - 1) % HISTORY_SERVE_WINDOW, parent)

    def apply(self, raw: bytes, mark: tuple[bool, bytes] | None) -> Result:
        """Run a transaction. mark: where to go back to, since py-evm checks some validity only after it began."""
        state = self.state
        state.lock_changes()
        if not self.is_open:
            self._open()
        try:
            transaction = self.vm.get_transaction_builder().decode(raw)
            computation = state.apply_transaction(transaction)
            gas_used = self.vm.finalize_gas_used(transaction, computation)
        except (ValidationError, RLPException, UnrecognizedTransactionType) as error:
            if mark is not None:
                self.back(mark)
            return Result(refused=f"{type(error).__name__}: {error}"[:200], root=self.state.make_state_root())
        except Exception as error:  # noqa: BLE001 - a crash of an oracle is recorded
            return Result(crash=f"{type(error).__name__}: {error}"[:300])
        error = computation._error
        return Result(
            success=error is None,
            gas_used=gas_used,
            output=bytes(computation.output),
            logs=tuple(
                (address, tuple(topic.to_bytes(32, "big") for topic in topics), data)
                for address, topics, data in computation.get_log_entries()
            ),
            error="" if error is None else f"{type(error).__name__}: {error}"[:200],
            root=state.make_state_root(),
        )
