"""The commonest instructions, each in one function: py-evm takes several calls and range checks for each.

The others stay py-evm's. What each does, in which order gas and stack are checked, and with which exceptions it fails
is as there; the tests run both on random stacks (tests/adapters/ethereum/test_instructions.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from eth.exceptions import (
    FullStack,
    Halt,
    InsufficientStack,
    InvalidInstruction,
    InvalidJumpDestination,
    OutOfGas,
)
from eth.vm.logic.invalid import InvalidOpcode

from adapters.ethereum.keccak import keccak
from adapters.ethereum.machine import STACK_ITEMS_MAX, expansion_gas
from adapters.ethereum.transactions import INITCODE_BYTES_MAX

Instruction = Callable[[Any], None]

WORD_MASK = 2**256 - 1
SIGN_BIT = 2**255
JUMPDEST = 0x5B
CREATE = 0xF0
CREATE2 = 0xF5
SELFDESTRUCT = 0xFF


def instruction_table(theirs: Mapping[int, Any]) -> tuple[Instruction, ...]:
    """Return the 256 instructions of a fork: ours where there is one, py-evm's for the rest."""
    ours = _ours()
    # py-evm wraps SELFDESTRUCT in a warning for whoever writes contracts.
    theirs = {**theirs, SELFDESTRUCT: theirs[SELFDESTRUCT].__wrapped__}
    made = [
        ours[code] if code in ours and code in theirs else _as_function(theirs.get(code) or InvalidOpcode(code))
        for code in range(256)
    ]
    for code in (CREATE, CREATE2):
        made[code] = _with_bounded_initcode(made[code])
    return tuple(made)


def _with_bounded_initcode(create: Instruction) -> Instruction:
    """Return CREATE or CREATE2 with EIP-3860's bound before all else.

    py-evm comes to it last, so that a creation which fails for another reason (balance, depth, nonce, collision) goes
    on with a zero where it has to end the frame.
    """

    def bounded(computation: Any) -> None:
        values = computation._stack.values
        if len(values) >= 3:
            size = values[-3]
            if (int.from_bytes(size, "big") if type(size) is bytes else size) > INITCODE_BYTES_MAX:
                raise OutOfGas(f"initcode of more than {INITCODE_BYTES_MAX} bytes")
        create(computation)

    return bounded


def _as_function(theirs: Any) -> Instruction:
    """Return an instruction of py-evm, an object with a __call__, as the function behind it.

    A call of the object goes through C, and CPython 3.12 bounds nested calls of that kind at about 500 whatever the
    recursion limit says; EVM calls nest 1,024 deep. A bound method is called without leaving the interpreter.
    """
    bound: Instruction = theirs.__call__
    return bound


def _ours() -> dict[int, Instruction]:
    made: dict[int, Instruction] = {
        0x00: stop,
        0x15: _unary("ISZERO", lambda value: 0 if value else 1),
        0x19: _unary("NOT", lambda value: WORD_MASK - value),
        0x20: hash_memory,
        0x50: pop,
        0x51: load_memory,
        0x52: store_memory,
        0x56: jump,
        0x57: jump_if,
        0x5B: jump_destination,
        0x5F: push_zero,
    }
    made.update({0x60 + size - 1: _push(size) for size in range(1, 33)})
    made.update({0x80 + position - 1: _duplicate(position) for position in range(1, 17)})
    made.update({0x90 + position - 1: _swap(position) for position in range(1, 17)})
    for code, (name, gas, result) in _BINARY.items():
        made[code] = _binary(name, gas, result)
    return made


def _signed(value: int) -> int:
    return value if value < SIGN_BIT else value - 2**256


_BINARY: dict[int, tuple[str, int, Callable[[int, int], int]]] = {
    0x01: ("ADD", 3, lambda left, right: left + right & WORD_MASK),
    0x02: ("MUL", 5, lambda left, right: left * right & WORD_MASK),
    0x03: ("SUB", 3, lambda left, right: left - right & WORD_MASK),
    0x04: ("DIV", 5, lambda left, right: left // right if right else 0),
    0x06: ("MOD", 5, lambda left, right: left % right if right else 0),
    0x10: ("LT", 3, lambda left, right: 1 if left < right else 0),
    0x11: ("GT", 3, lambda left, right: 1 if left > right else 0),
    0x12: ("SLT", 3, lambda left, right: 1 if _signed(left) < _signed(right) else 0),
    0x13: ("SGT", 3, lambda left, right: 1 if _signed(left) > _signed(right) else 0),
    0x14: ("EQ", 3, lambda left, right: 1 if left == right else 0),
    0x16: ("AND", 3, lambda left, right: left & right),
    0x17: ("OR", 3, lambda left, right: left | right),
    0x18: ("XOR", 3, lambda left, right: left ^ right),
    0x1A: ("BYTE", 3, lambda left, right: right >> 8 * (31 - left) & 0xFF if left < 32 else 0),
    0x1B: ("SHL", 3, lambda left, right: right << left & WORD_MASK if left < 256 else 0),
    0x1C: ("SHR", 3, lambda left, right: right >> left if left < 256 else 0),
    0x1D: ("SAR", 3, lambda left, right: _signed(right) >> min(left, 256) & WORD_MASK),
}
"""Opcode -> mnemonic, gas, and the result of (top, second)."""


def _binary(name: str, gas: int, result: Callable[[int, int], int]) -> Instruction:
    def instruction(computation: Any) -> None:
        meter = computation._gas_meter
        left_gas = meter.gas_remaining - gas
        if left_gas < 0:
            raise OutOfGas(f"Out of gas: {name}")
        meter.gas_remaining = left_gas
        values = computation._stack.values
        if len(values) < 2:
            raise InsufficientStack(f"Insufficient stack items for {name}")
        left, right = values.pop(), values[-1]
        if type(left) is bytes:
            left = int.from_bytes(left, "big")
        if type(right) is bytes:
            right = int.from_bytes(right, "big")
        values[-1] = result(left, right)

    return instruction


def _unary(name: str, result: Callable[[int], int]) -> Instruction:
    def instruction(computation: Any) -> None:
        _charge(computation, 3, name)
        values = computation._stack.values
        if not values:
            raise InsufficientStack(f"Insufficient stack items for {name}")
        value = values[-1]
        values[-1] = result(int.from_bytes(value, "big") if type(value) is bytes else value)

    return instruction


def _charge(computation: Any, gas: int, name: str) -> None:
    meter = computation._gas_meter
    left = meter.gas_remaining - gas
    if left < 0:
        raise OutOfGas(f"Out of gas: {name}")
    meter.gas_remaining = left


def _push(size: int) -> Instruction:
    from_bytes = int.from_bytes

    def push(computation: Any) -> None:
        meter = computation._gas_meter
        left = meter.gas_remaining - 3
        if left < 0:
            raise OutOfGas("Out of gas: PUSH")
        meter.gas_remaining = left
        values = computation._stack.values
        if len(values) >= STACK_ITEMS_MAX:
            raise FullStack("Stack limit reached")
        code = computation.code
        start = code.program_counter
        code.program_counter = end = start + size
        values.append(from_bytes(code.padded[start:end], "big"))

    return push


def push_zero(computation: Any) -> None:
    _charge(computation, 2, "PUSH0")
    values = computation._stack.values
    if len(values) >= STACK_ITEMS_MAX:
        raise FullStack("Stack limit reached")
    values.append(0)


def _duplicate(position: int) -> Instruction:
    def duplicate(computation: Any) -> None:
        meter = computation._gas_meter
        left = meter.gas_remaining - 3
        if left < 0:
            raise OutOfGas("Out of gas: DUP")
        meter.gas_remaining = left
        values = computation._stack.values
        if len(values) >= STACK_ITEMS_MAX:
            raise FullStack("Stack limit reached")
        if len(values) < position:
            raise InsufficientStack(f"Insufficient stack items for DUP{position}")
        values.append(values[-position])

    return duplicate


def _swap(position: int) -> Instruction:
    other = -1 - position

    def swap(computation: Any) -> None:
        meter = computation._gas_meter
        left = meter.gas_remaining - 3
        if left < 0:
            raise OutOfGas("Out of gas: SWAP")
        meter.gas_remaining = left
        values = computation._stack.values
        if len(values) <= position:
            raise InsufficientStack(f"Insufficient stack items for SWAP{position}")
        values[-1], values[other] = values[other], values[-1]

    return swap


def stop(computation: Any) -> None:
    raise Halt("STOP")


def pop(computation: Any) -> None:
    _charge(computation, 2, "POP")
    _pop(computation)


def _pop(computation: Any) -> int:
    try:
        value = computation._stack.values.pop()
    except IndexError:
        raise InsufficientStack("Wanted 1 stack item, had none") from None
    return int.from_bytes(value, "big") if type(value) is bytes else value


def jump_destination(computation: Any) -> None:
    meter = computation._gas_meter
    left = meter.gas_remaining - 1
    if left < 0:
        raise OutOfGas("Out of gas: JUMPDEST")
    meter.gas_remaining = left


def jump(computation: Any) -> None:
    _charge(computation, 8, "JUMP")
    _jump_to(computation, _pop(computation))


def jump_if(computation: Any) -> None:
    _charge(computation, 10, "JUMPI")
    values = computation._stack.values
    if len(values) < 2:
        raise InsufficientStack("Insufficient stack items for JUMPI")
    destination, condition = _pop(computation), _pop(computation)
    if condition:
        _jump_to(computation, destination)


def _jump_to(computation: Any, destination: int) -> None:
    code = computation.code
    if destination >= len(code) or code.padded[destination] != JUMPDEST:
        raise InvalidJumpDestination("Invalid Jump Destination")
    if not code.is_valid_opcode(destination):
        raise InvalidInstruction("Jump resulted in invalid instruction")
    code.program_counter = destination


def load_memory(computation: Any) -> None:
    _charge(computation, 3, "MLOAD")
    start = _pop(computation)
    memory = computation._memory._bytes
    if start + 32 > len(memory):
        _expand(computation, start, 32)
    computation._stack.values.append(int.from_bytes(memory[start : start + 32], "big"))


def store_memory(computation: Any) -> None:
    _charge(computation, 3, "MSTORE")
    start = _pop(computation)
    value = _pop(computation)
    memory = computation._memory._bytes
    if start + 32 > len(memory):
        _expand(computation, start, 32)
    memory[start : start + 32] = value.to_bytes(32, "big")


def _expand(computation: Any, start: int, size: int) -> None:
    memory = computation._memory._bytes
    computation.consume_gas(expansion_gas(len(memory), start + size), "Expanding memory")
    memory.extend(bytes((start + size + 31 & ~31) - len(memory)))


def hash_memory(computation: Any) -> None:
    """SHA3, which is Keccak-256."""
    _charge(computation, 30, "SHA3")
    if len(computation._stack.values) < 2:
        raise InsufficientStack("Insufficient stack items for SHA3")
    start, size = _pop(computation), _pop(computation)
    memory = computation._memory._bytes
    if size and start + size > len(memory):
        _expand(computation, start, size)
    _charge(computation, 6 * (size + 31 >> 5), "SHA3: word gas cost")
    computation._stack.values.append(keccak(memory[start : start + size]) if size else keccak(b""))
