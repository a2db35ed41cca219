"""py-evm's Cancun and Prague over the account database. py-evm interprets bytecode; the frame around it is ours.

What is changed in py-evm's classes, and why:
- checkpoints are positions in the account database's undo log, which covers transient storage as well;
- a finished call is folded into its caller (logs, refund, deletions) instead of being kept, so that memory does not
  grow with the number of calls of a transaction;
- the outermost call is known by having no parent, not by its sender: under EIP-7702 an account with code can call as
  itself. It does not pay for initcode here: that is in the intrinsic gas (gas.py);
- BLOCKHASH is looked up when asked for;
- where a code's instructions begin is found once per code, in one pass: py-evm searches back from each jump, by a
  recursion that long runs of PUSH drive past Python's limit;
- the loop, the frame's parts (machine.py) and the commonest instructions (instructions.py) are ours, for speed;
- most precompiles are replaced, see precompiles.py.
EIP-7702's authorizations are processed in execution.py, since py-evm's own loop swallows every exception.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from eth.exceptions import Halt
from eth.vm.execution_context import ExecutionContext as VmContext
from eth.vm.forks.cancun.computation import CancunComputation
from eth.vm.forks.cancun.state import CancunState
from eth.vm.forks.prague.computation import PragueComputation
from eth.vm.forks.prague.state import PragueState

from adapters.deadline import Deadline
from adapters.ethereum.account_db import AccountDatabase
from adapters.ethereum.instructions import Instruction, instruction_table
from adapters.ethereum.machine import AnalysedCode, FrameGas, FrameMemory, FrameMessage, FrameStack, expansion_gas
from adapters.ethereum.precompiles import with_replacements

BLOCK_HASHES_MAX = 256
"""How many blocks back BLOCKHASH reaches."""
CHECK_INSTRUCTIONS = 1_000
"""How often a deadline without a timer is looked at; every call looks at it, too."""


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


class _FoldedComputation:
    """Mixed into py-evm's computations; see the module."""

    instructions: tuple[Instruction, ...]

    def __init__(self, state: Any, message: Any, transaction_context: Any) -> None:
        self.state = state
        self.msg = message
        self.transaction_context = transaction_context
        self.code = AnalysedCode(message.code)
        self._gas_meter = meter = FrameGas(message.gas)
        self._stack = stack = FrameStack()
        self._memory = FrameMemory()
        # What py-evm's instructions use most; its own way there (a cached property) takes longer than they do.
        self.consume_gas = meter.consume_gas
        self.stack_push_int = self.stack_push_bytes = stack.push_int
        self._log_entries: list[Any] = []
        self.accounts_to_delete: list[bytes] = []
        self.beneficiaries: list[bytes] = []
        self.folded_refund = 0
        self.folded_deletions: set[bytes] = set()

    @classmethod
    def apply_computation(
        cls, state: Any, message: Any, transaction_context: Any, parent_computation: Any = None
    ) -> Any:
        """Run one call's code, or precompile. Errors of the EVM end in the computation (its __exit__)."""
        make: Any = cls
        computation = make(state, message, transaction_context)
        with computation:
            if parent_computation is None:
                computation.contracts_created = []
            else:
                computation.contracts_created = parent_computation.contracts_created
            if message.is_create:
                computation.contracts_created.append(message.storage_address)
            precompile = make._precompiles.get(message.code_address)
            if precompile is None:
                _interpret(computation, cls.instructions, state.deadline)
            elif not message.is_delegation:
                precompile(computation)
        return computation

    def stack_pop_ints(self, count: int) -> tuple[int, ...]:
        return self._stack.pop_ints(count)

    def stack_pop_any(self, count: int) -> tuple[Any, ...]:
        return self._stack.pop_any(count)

    def stack_pop1_int(self) -> int:
        return self._stack.pop1_int()

    def stack_pop1_any(self) -> Any:
        return self._stack.pop1_any()

    def stack_pop1_bytes(self) -> bytes:
        return self._stack.pop1_bytes()

    def prepare_child_message(
        self, gas: int, to: bytes, value: int, data: bytes, code: bytes, **other: Any
    ) -> FrameMessage:
        parent: Any = self.msg
        other.setdefault("sender", parent.storage_address)
        return FrameMessage(gas=gas, to=to, value=value, data=data, code=code, depth=parent.depth + 1, **other)

    def extend_memory(self, start_position: int, size: int) -> None:
        this: Any = self
        memory = this._memory
        end = start_position + size
        if size and end > len(memory):
            this.consume_gas(expansion_gas(len(memory), end), "Expanding memory")
            memory.extend(start_position, size)

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
        refund: int = this.msg.refund
        return refund if this._error is not None else refund + this._gas_meter.gas_refunded + this.folded_refund

    def get_accounts_for_deletion(self) -> list[bytes]:
        this: Any = self
        if this._error is not None or not (this.folded_deletions or this.accounts_to_delete):
            return []
        return sorted(this.folded_deletions | set(this.accounts_to_delete))

    def get_raw_log_entries(self) -> tuple[Any, ...]:
        this: Any = self
        return () if this.is_error else tuple(this._log_entries)


def _interpret(computation: Any, instructions: tuple[Instruction, ...], deadline: Deadline) -> None:
    """Run code until it halts; raises what ends it otherwise."""
    code = computation.code
    opcodes = code.padded
    try:
        if not deadline.polling:
            while True:
                position = code.program_counter
                code.program_counter = position + 1
                instructions[opcodes[position]](computation)
        while True:
            deadline.check()
            for _ in range(CHECK_INSTRUCTIONS):
                position = code.program_counter
                code.program_counter = position + 1
                instructions[opcodes[position]](computation)
    except Halt:
        return


class CocoCancunComputation(_FoldedComputation, CancunComputation):  # type: ignore[misc]
    """Cancun's instructions."""

    _precompiles = with_replacements(CancunComputation.get_precompiles())
    instructions = instruction_table(CancunComputation.opcodes)


class CocoPragueComputation(_FoldedComputation, PragueComputation):  # type: ignore[misc]
    """Prague's instructions."""

    _precompiles = with_replacements(PragueComputation.get_precompiles())
    instructions = instruction_table(PragueComputation.opcodes)


class _FlatState:
    """Mixed into py-evm's states: the state is the account database, and a snapshot a position in its undo log."""

    def __init__(
        self,
        database: AccountDatabase,
        context: VmContext,
        block_hash: Callable[[int], bytes | None],
        deadline: Deadline,
    ) -> None:
        self._db = None
        self.deadline = deadline
        self._account_db = database
        self._block_hash = block_hash
        self.execution_context = context

    def renew(self) -> None:
        """Begin another transaction, or call: what is bounded for each starts anew."""

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
