"""Frames that run compiled code, under py-evm's rules of what a frame is.

A code is interpreted until it has run a few times (program.py), then each place in it that execution comes to is
compiled. The interpreter also takes over where a trace says so, and gives a frame that goes round in it back.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from eth.exceptions import Halt, InsufficientFunds, OutOfGas, StackDepthLimit, VMError

from adapters.ethereum.compiler.calls import CALL_DEPTH_MAX
from adapters.ethereum.compiler.program import TRANSACTION_COST_MAX, ProgramCache
from adapters.ethereum.compiler.runtime import poll
from adapters.ethereum.instructions import JUMPDEST, Instruction
from adapters.ethereum.machine import AnalysedCode, FrameGas, FrameMemory, FrameStack
from adapters.ethereum.vm import (
    CocoCancunComputation,
    CocoCancunState,
    CocoPragueComputation,
    CocoPragueState,
)

CHECK_INSTRUCTIONS = 1_000
"""How often an interpreted frame looks at a deadline without a timer; compiled code does by gas (POLL_GAS)."""


class _ComeBack(Exception):
    """An interpreted frame has gone round often enough to be compiled from here on."""


def _jump_destination(computation: Any) -> None:
    """JUMPDEST, where a frame that has used enough gas in the interpreter comes back to compiled code."""
    meter = computation._gas_meter
    left = meter.gas_remaining - 1
    if left < computation.come_back_below:
        raise _ComeBack
    if left < 0:
        raise OutOfGas("Out of gas: JUMPDEST")
    meter.gas_remaining = left


def _with_coming_back(instructions: tuple[Instruction, ...]) -> tuple[Instruction, ...]:
    made = list(instructions)
    made[JUMPDEST] = _jump_destination
    return tuple(made)


def interpret(c: Any, q: Any, s: list[Any], m: bytearray) -> Any:
    """Go on in the interpreter from the code's program counter; a trace like any other."""
    del m
    code, instructions, deadline = c.code, c.instructions, c.state.deadline
    opcodes = code.padded
    try:
        if not deadline.polling:
            while True:
                position = code.program_counter
                code.program_counter = position + 1
                instructions[opcodes[position]](c)
        while True:
            deadline.check()
            for _ in range(CHECK_INSTRUCTIONS):
                position = code.program_counter
                code.program_counter = position + 1
                instructions[opcodes[position]](c)
    except Halt:
        return None
    except _ComeBack:
        position = code.program_counter = code.program_counter - 1
        c.come_back_below = q.gas_remaining - c.state.programs.patience_gas
        s[:] = [int.from_bytes(item, "big") if type(item) is bytes else item for item in s]
        return c.state.programs.make(c.msg.code).at(c, position)


class _LazyCode:
    """The analysed code of a frame, made when something asks for it: compiled code does not."""

    def __get__(self, computation: Any, owner: Any = None) -> AnalysedCode:
        code = computation.__dict__["code"] = AnalysedCode(computation.msg.code)
        return code


class _PaddedData:
    """The call's data with a word of zeros after it, made when something asks for it."""

    def __get__(self, computation: Any, owner: Any = None) -> bytes:
        padded: bytes = computation.msg.data_as_bytes + bytes(32)
        computation.__dict__["padded"] = padded
        return padded


class _CompiledComputation:
    """Mixed into the adapter's computations; see the module.

    come_back_below: the gas, as left, below which an interpreted frame comes back at its next JUMPDEST.
    """

    has_delegations = False
    code = _LazyCode()
    padded = _PaddedData()
    folded_refund = 0

    def __init__(self, state: Any, message: Any, transaction_context: Any) -> None:
        self.state = state
        self.msg = message
        self.transaction_context = transaction_context
        self.database = state._account_db
        self.address: bytes = message.storage_address
        self.polls: bool = state.deadline.polling
        self.come_back_below: int = message.gas - state.programs.patience_gas
        self._gas_meter = meter = FrameGas(message.gas)
        self._stack = stack = FrameStack()
        self._memory = FrameMemory()
        self.consume_gas = meter.consume_gas
        self.stack_push_int = self.stack_push_bytes = stack.push_int
        self._log_entries: list[Any] = []
        self.accounts_to_delete: list[bytes] = []
        self.beneficiaries: list[bytes] = []
        self.folded_deletions: set[bytes] = set()

    @classmethod
    def apply_message(cls, state: Any, message: Any, transaction_context: Any, parent_computation: Any = None) -> Any:
        """Move the value, run the code, and take back what it did where it failed."""
        database = state._account_db
        mark = database.record()
        if message.depth > CALL_DEPTH_MAX:
            raise StackDepthLimit("Stack depth limit reached")
        value = message.value
        if value and message.should_transfer_value:
            sender, receiver = message.sender, message.storage_address
            balance = database.get_balance(sender)
            if balance < value:
                raise InsufficientFunds(f"Insufficient funds: {balance} < {value}")
            database.set_balance(sender, balance - value)
            database.set_balance(receiver, database.get_balance(receiver) + value)
        computation = cls.apply_computation(state, message, transaction_context, parent_computation)
        if computation._error is not None:
            database.discard(mark)
        return computation

    @classmethod
    def apply_computation(
        cls, state: Any, message: Any, transaction_context: Any, parent_computation: Any = None
    ) -> Any:
        """Run one call's code, or precompile. Errors of the EVM end in the computation."""
        make: Any = cls
        computation = make(state, message, transaction_context)
        computation.contracts_created = [] if parent_computation is None else parent_computation.contracts_created
        if message.is_create:
            computation.contracts_created.append(message.storage_address)
        try:
            precompile = make._precompiles.get(message.code_address)
            if precompile is None:
                if message.code:
                    _run(computation, message.code, state)
            elif not message.is_delegation:
                precompile(computation)
        except VMError as error:
            # With its traceback the error would hold the frame, and so itself, until Python's collector runs.
            computation._error = error.with_traceback(None)
            if error.burns_gas:
                computation._gas_meter.gas_remaining = 0
            if error.erases_return_data:
                computation.return_data = b""
        return computation


def _run(computation: Any, code: bytes, state: Any) -> None:
    """Run code until it halts; raises what ends it otherwise."""
    q, s, m = computation._gas_meter, computation._stack.values, computation._memory._bytes
    program = state.programs.find(code)
    trace = interpret if program is None else program.at(computation, 0)
    try:
        if not computation.polls:
            while trace is not None:
                trace = trace(computation, q, s, m)
            return
        tick = q.gas_remaining + 1
        while trace is not None:
            if q.gas_remaining < tick:
                tick = poll(computation, q.gas_remaining)
            trace = trace(computation, q, s, m)
    except Halt:
        return


class CompiledCancunComputation(_CompiledComputation, CocoCancunComputation):
    """Cancun's instructions, compiled."""

    instructions = _with_coming_back(CocoCancunComputation.instructions)


class CompiledPragueComputation(_CompiledComputation, CocoPragueComputation):
    """Prague's instructions, compiled."""

    instructions = _with_coming_back(CocoPragueComputation.instructions)
    has_delegations = True


class _CompiledState:
    """Mixed into the adapter's states. compile_cost_left: what this transaction may still have compiled."""

    def __init__(self, *arguments: Any) -> None:
        *others, self.programs = arguments
        self.compile_cost_left = TRANSACTION_COST_MAX
        super().__init__(*others)

    def renew(self) -> None:
        """Begin another transaction, or call."""
        self.compile_cost_left = TRANSACTION_COST_MAX


class CompiledCancunState(_CompiledState, CocoCancunState):
    computation_class = CompiledCancunComputation


class CompiledPragueState(_CompiledState, CocoPragueState):
    computation_class = CompiledPragueComputation


@lru_cache(maxsize=4)
def shared_programs(fork: str) -> ProgramCache:
    """Return this process's programs of a fork: they depend on nothing but the code, so every executor may share them.

    Like other memos of pure functions here (machine.instruction_starts), it is bounded and holds no state.
    """
    del fork
    return ProgramCache(interpret)
