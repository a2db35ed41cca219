"""py-evm's Cancun and Prague over the account database. py-evm interprets bytecode; the frame around it is ours.

What is changed in py-evm's classes, and why:
- checkpoints are positions in the account database's undo log, which covers transient storage as well;
- a finished call is folded into its caller (logs, refund, deletions) instead of being kept, so that memory does not
  grow with the number of calls of a transaction;
- the outermost call is known by its depth, not by its sender: under EIP-7702 an account with code can call as itself;
- BLOCKHASH is looked up when asked for;
- where a code's instructions begin is found once per code, in one pass: py-evm searches back from each jump, by a
  recursion that long runs of PUSH drive past Python's limit;
- two precompiles are replaced, see precompiles.py.
EIP-7702's authorizations are processed in execution.py, since py-evm's own loop swallows every exception.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from eth.vm.code_stream import CodeStream
from eth.vm.execution_context import ExecutionContext as VmContext
from eth.vm.forks.cancun.computation import CancunComputation
from eth.vm.forks.cancun.state import CancunState
from eth.vm.forks.prague.computation import PragueComputation
from eth.vm.forks.prague.state import PragueState

from adapters.ethereum.account_db import AccountDatabase
from adapters.ethereum.precompiles import with_replacements
from adapters.ethereum.settings import Settings

BLOCK_HASHES_MAX = 256
"""How many blocks back BLOCKHASH reaches."""
ANALYSED_CODES_MAX = 256
"""Codes whose instruction starts are kept, each at most 49,152 bytes (initcode)."""


@dataclass(frozen=True, slots=True)
class BlockEnvironment:
    """What the instructions may know of the block. block_hash: number -> hash of one of the last 256 blocks."""

    number: int
    timestamp: int
    coinbase: bytes
    gas_limit: int
    base_fee: int
    prevrandao: bytes
    block_hash: Callable[[int], bytes | None]


@lru_cache(maxsize=ANALYSED_CODES_MAX)
def instruction_starts(code: bytes) -> bytes:
    """Return one byte per byte of code: 1 where an instruction begins, 0 in the data of a PUSH."""
    starts = bytearray(len(code))
    position, end = 0, len(code)
    while position < end:
        starts[position] = 1
        opcode = code[position]
        position += opcode - 0x5E if 0x60 <= opcode <= 0x7F else 1
    return bytes(starts)


class AnalysedCode(CodeStream):  # type: ignore[misc]
    """Code that knows its jump destinations."""

    def is_valid_opcode(self, position: int) -> bool:
        starts = instruction_starts(self._raw_code_bytes)
        return position < len(starts) and starts[position] == 1


class _FoldedComputation:
    """Mixed into py-evm's computations; see the module."""

    @property
    def is_origin_computation(self) -> bool:
        return bool(self.msg.depth == 0)  # type: ignore[attr-defined]

    def __init__(self, state: Any, message: Any, transaction_context: Any) -> None:
        super().__init__(state, message, transaction_context)  # type: ignore[call-arg]
        self.code = AnalysedCode(message.code)
        self.folded_refund = 0
        self.folded_deletions: set[bytes] = set()

    @classmethod
    def consume_initcode_gas_cost(cls, computation: Any) -> None:
        """Nothing to do: a creation transaction pays for its initcode in its intrinsic gas (gas.py)."""

    def add_child_computation(self, child: Any) -> None:
        """Take over what a finished call leaves. Calls end in order, so the logs stay in order."""
        this: Any = self
        if child.is_error:
            keeps_output = child.msg.is_create or not child.should_burn_gas
            this.return_data = child.output if keeps_output else b""
            return
        this.return_data = b"" if child.msg.is_create else child.output
        this._log_entries.extend(child._log_entries)
        this.folded_refund += child.get_gas_refund()
        this.folded_deletions |= child.folded_deletions
        this.folded_deletions.update(child.accounts_to_delete)

    def get_gas_refund(self) -> int:
        this: Any = self
        if this.is_error:
            return int(this.msg.refund)
        return int(this.msg.refund + this._gas_meter.gas_refunded + this.folded_refund)

    def get_accounts_for_deletion(self) -> list[bytes]:
        this: Any = self
        if this.is_error:
            return []
        return sorted(this.folded_deletions | set(this.accounts_to_delete))

    def get_raw_log_entries(self) -> tuple[Any, ...]:
        this: Any = self
        return () if this.is_error else tuple(this._log_entries)


class CocoCancunComputation(_FoldedComputation, CancunComputation):  # type: ignore[misc]
    """Cancun's instructions."""

    _precompiles = with_replacements(CancunComputation.get_precompiles())


class CocoPragueComputation(_FoldedComputation, PragueComputation):  # type: ignore[misc]
    """Prague's instructions."""

    _precompiles = with_replacements(PragueComputation.get_precompiles())


class _FlatState:
    """Mixed into py-evm's states: the state is the account database, and a snapshot a position in its undo log."""

    def __init__(
        self, database: AccountDatabase, context: VmContext, block_hash: Callable[[int], bytes | None]
    ) -> None:
        self._db = None
        self._account_db = database
        self._block_hash = block_hash
        self.execution_context = context

    def snapshot(self) -> tuple[bytes, int]:
        return b"", self._account_db.record()

    def revert(self, snapshot: tuple[bytes, int]) -> None:
        self._account_db.discard(snapshot[1])

    def commit(self, snapshot: tuple[bytes, int]) -> None:
        """Nothing to do: what was written stays in the undo log of whoever called."""

    def get_transient_storage(self, address: bytes, slot: int) -> bytes:
        return self._account_db.get_transient(address, slot)

    def set_transient_storage(self, address: bytes, slot: int, value: bytes) -> None:
        self._account_db.set_transient(address, slot, value)

    def get_ancestor_hash(self, block_number: int) -> bytes:
        current: int = self.execution_context.block_number
        if not max(0, current - BLOCK_HASHES_MAX) <= block_number < current:
            return b""
        return self._block_hash(block_number) or b""


class CocoCancunState(_FlatState, CancunState):  # type: ignore[misc]
    computation_class = CocoCancunComputation


class CocoPragueState(_FlatState, PragueState):  # type: ignore[misc]
    computation_class = CocoPragueComputation


def make_state(database: AccountDatabase, settings: Settings, environment: BlockEnvironment) -> Any:
    """Return py-evm's state of the network's fork for one block."""
    context = VmContext(
        coinbase=environment.coinbase,
        timestamp=environment.timestamp,
        block_number=environment.number,
        difficulty=0,
        mix_hash=environment.prevrandao,
        gas_limit=environment.gas_limit,
        prev_hashes=(),
        chain_id=settings.chain_id,
        base_fee_per_gas=environment.base_fee,
        excess_blob_gas=0,
    )
    state_class = CocoPragueState if settings.is_prague else CocoCancunState
    return state_class(database, context, environment.block_hash)
