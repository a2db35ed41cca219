"""What each opcode becomes in a trace.

Instructions that are not here, or are rare, run as the interpreter's own: on their operands alone where they go on to
the next instruction, else by leaving the trace in front of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.ethereum.compiler import opcodes as op
from adapters.ethereum.compiler.expressions import (
    BINARY_OPCODES,
    TERNARY_OPCODES,
    Expression,
    binary,
    is_zero,
    ternary,
)
from adapters.ethereum.compiler.values import WORD_MAX, Value, constant, literal

if TYPE_CHECKING:
    from adapters.ethereum.compiler.trace import Tracer

_LENGTH_MOST = 2**40 - 1
"""No memory, code or data of a frame is longer."""
_GAS_MOST = 2**64 - 1


def operate(trace: Tracer, opcode: int) -> None:
    """Compile the instruction at the trace's position and move on."""
    if op.PUSH0 <= opcode <= op.PUSH32:
        _push(trace, opcode - op.PUSH0)
    elif opcode in BINARY_OPCODES:
        left, right = trace.stack.pop(), trace.stack.pop()
        trace.push_once(binary(opcode, left, right, trace.use))
        trace.position += 1
    elif op.DUP1 <= opcode <= op.DUP16:
        depth = opcode - op.DUP1 + 1
        trace.stack.ensure(depth)
        trace.push(trace.stack.values[-depth])
        trace.position += 1
    elif op.SWAP1 <= opcode <= op.SWAP16:
        depth = opcode - op.SWAP1 + 2
        trace.stack.ensure(depth)
        values = trace.stack.values
        values[-1], values[-depth] = values[-depth], values[-1]
        trace.position += 1
    elif opcode == op.JUMP:
        trace.jump(trace.stack.pop())
    elif opcode == op.JUMPI:
        target = trace.stack.pop()
        trace.jump_if(target, trace.stack.pop())
    elif opcode in _PLAIN:
        _PLAIN[opcode](trace)
        trace.position += 1
    elif op.LOG0 <= opcode <= op.LOG4:
        _log(trace, opcode - op.LOG0)
    elif opcode in op.CALLS:
        _call(trace, opcode)
    elif opcode in _ENDS:
        _ENDS[opcode](trace)
    else:
        _other(trace, opcode)


def _other(trace: Tracer, opcode: int) -> None:
    if opcode in TERNARY_OPCODES:
        left, right, modulus = trace.stack.pop(), trace.stack.pop(), trace.stack.pop()
        trace.push_once(ternary(opcode, left, right, modulus, trace.use))
        trace.position += 1
    elif opcode in op.ENVIRONMENT:
        known = trace.environment.get(opcode)
        if known is None:
            _, text, bits = op.ENVIRONMENT[opcode]
            trace.push(Expression(text, (1 << bits) - 1))
            trace.environment[opcode] = trace.stack.values[-1]
        else:
            trace.push(known)
        trace.position += 1
    elif opcode in op.OWN:
        _own(trace, opcode)
    else:
        # Not an instruction: the interpreter says so.
        trace.exit(f"leave(c, {trace.position:#x})")


def _push(trace: Tracer, size: int) -> None:
    start = trace.position + 1
    data = trace.code[start : start + size]
    trace.push(constant(int.from_bytes(data.ljust(size, b"\x00"), "big")))
    trace.position = start + size


def _own(trace: Tracer, opcode: int) -> None:
    """Run the interpreter's instruction, which charges for itself."""
    name, count, has_result = op.OWN[opcode]
    operands = [trace.use(trace.stack.pop()) for _ in range(count)]
    given = "".join(f"{operand}, " for operand in reversed(operands))
    call = f"own(c, g, {opcode:#x}, ({given.rstrip(' ')}))"
    if opcode == op.SELFDESTRUCT:
        trace.end(f"{call}  # {name}")
        return
    if has_result:
        result = trace.variable()
        trace.emit(f"{result} = {call}  # {name}")
        trace.push(Value(result))
    else:
        trace.emit(f"{call}  # {name}")
        trace.memory.forget()
    trace.emit("g = q.gas_remaining")
    trace.close_segment()
    trace.position += 1


def _call(trace: Tracer, opcode: int) -> None:
    name, count = op.CALLS[opcode]
    operands = [trace.stack.pop() for _ in range(count)]
    texts = [trace.use(operand) for operand in operands]
    result = trace.variable()
    trace.emit(f"{result}, g = {name}(c, m, g, {', '.join(texts)})")
    trace.push(Value(result, 1))
    for start, size in (operands[-4:-2], operands[-2:]):
        if start.number is not None and size.number:
            trace.memory.size = max(trace.memory.size, start.number + size.number + 31 & ~31)
    trace.memory.forget(*operands[-2:])
    trace.close_segment()
    trace.position += 1


def _log(trace: Tracer, count: int) -> None:
    operands = [trace.use(trace.stack.pop()) for _ in range(count + 2)]
    topics = "".join(f"{topic}, " for topic in operands[2:]).rstrip(" ")
    trace.emit(f"g = log(c, m, g, {operands[0]}, {operands[1]}, ({topics}))")
    trace.close_segment()
    trace.position += 1


# Without effects outside the frame, or ends of a segment that go on.


def _is_zero(trace: Tracer) -> None:
    value = trace.stack.pop()
    result = is_zero(value)
    if result is None:
        trace.use(value)
        result = is_zero(value)
    assert result is not None
    trace.push(result)


def _not(trace: Tracer) -> None:
    value = trace.stack.pop()
    number = value.number
    trace.push_once(Expression(f"{trace.use(value)} ^ M") if number is None else constant(WORD_MAX - number))


def _power(trace: Tracer) -> None:
    base, exponent = trace.stack.pop(), trace.stack.pop()
    if exponent.number is None:
        result = trace.variable()
        trace.emit(f"{result}, g = power({trace.use(base)}, {trace.use(exponent)}, g)")
        trace.push(Value(result))
        return
    trace.charge(50 * (exponent.number.bit_length() + 7 >> 3))
    if base.number is not None:
        trace.push(constant(pow(base.number, exponent.number, 2**256)))
    else:
        trace.push_once(Expression(f"pow({trace.use(base)}, {trace.use(exponent)}, 2**256)"))


def _digest(trace: Tracer) -> None:
    start, size = trace.stack.pop(), trace.stack.pop()
    if start.number is None or not size.number:
        result = trace.variable()
        trace.emit(f"{result}, g = digest(m, g, {trace.use(start)}, {trace.use(size)})")
        trace.push(Value(result))
        return
    trace.charge(6 * (size.number + 31 >> 5))
    trace.touch(start, size.number)
    span = f"{literal(start.number)}:{literal(start.number + size.number)}"
    made = Expression(f"from_bytes(keccak_256(m[{span}]).digest(), 'big')")
    known = trace.memory.text(start.number, size.number)
    if known:
        trace.push_once(made, f"keccak_256({known})")
    else:
        trace.push(made)


def _data(trace: Tracer) -> str:
    """Return the name of the call's data with zeros after it."""
    if op.CALLDATALOAD not in trace.environment:
        trace.environment[op.CALLDATALOAD] = Value("d")
        trace.emit("d = c.padded")
    return "d"


def _load_data(trace: Tracer) -> None:
    data, start = _data(trace), trace.stack.pop()
    trace.push_once(Expression(f"from_bytes({data}[{_span(trace, start)}], 'big')"))


def _copy(source: str) -> _Handler:
    def copy(trace: Tracer) -> None:
        given = source or _data(trace)
        operands = [trace.stack.pop() for _ in range(3)]
        texts = ", ".join(trace.use(operand) for operand in operands)
        trace.emit(f"g = copy(m, g, {given}, {texts})")
        trace.memory.forget(operands[0], operands[2])

    return copy


def _copy_returned(trace: Tracer) -> None:
    operands = [trace.stack.pop() for _ in range(3)]
    texts = ", ".join(trace.use(operand) for operand in operands)
    trace.emit(f"g = copy_returned(c, m, g, {texts})")
    trace.memory.forget(operands[0], operands[2])
    trace.close_segment()


def _move(trace: Tracer) -> None:
    operands = [trace.stack.pop() for _ in range(3)]
    texts = ", ".join(trace.use(operand) for operand in operands)
    trace.emit(f"g = move(m, g, {texts})")
    trace.memory.forget(operands[0], operands[2])


def _span(trace: Tracer, start: Value) -> str:
    """Return the slice of a word."""
    if start.number is not None:
        return f"{literal(start.number)}:{literal(start.number + 32)}"
    return f"{trace.use(start)}:{trace.use(start)} + 32"


def _load_memory(trace: Tracer) -> None:
    start = trace.stack.pop()
    word = trace.memory.words.get(start.number) if start.number is not None else None
    if word is not None and start.number is not None and start.number + 32 <= trace.memory.size:
        trace.push(word)
        return
    trace.touch(start, 32)
    trace.push(Expression(f"from_bytes(m[{_span(trace, start)}], 'big')"))
    if start.number is not None:
        trace.memory.words[start.number] = trace.stack.values[-1]


def _store_memory(trace: Tracer) -> None:
    start, value = trace.stack.pop(), trace.stack.pop()
    trace.touch(start, 32)
    if trace.memory.holds(start, value):
        return
    text = trace.program.word(value.number) if value.number is not None else f"{trace.use(value)}.to_bytes(32, 'big')"
    trace.emit(f"m[{_span(trace, start)}] = {text}")
    trace.memory.write(start, value)


def _store_byte(trace: Tracer) -> None:
    start, value = trace.stack.pop(), trace.stack.pop()
    trace.touch(start, 1)
    text = literal(value.number & 255) if value.number is not None else f"{trace.use(value)} & 255"
    trace.emit(f"m[{trace.use(start)}] = {text}")
    trace.memory.forget(start, constant(1))


def _load(trace: Tracer) -> None:
    slot, result = trace.use(trace.stack.pop()), trace.variable()
    trace.emit(f"{result}, g = load(c, g, {slot})")
    trace.push(Value(result))
    trace.close_segment()


def _store(trace: Tracer) -> None:
    slot, value = trace.stack.pop(), trace.stack.pop()
    trace.emit(f"g = store(c, g, {trace.use(slot)}, {trace.use(value)})")
    trace.close_segment()


def _load_transient(trace: Tracer) -> None:
    trace.push(Expression(f"load_transient(c, {trace.use(trace.stack.pop())})"))


def _store_transient(trace: Tracer) -> None:
    slot, value = trace.stack.pop(), trace.stack.pop()
    trace.emit(f"store_transient(c, {trace.use(slot)}, {trace.use(value)})")
    trace.close_segment()


def _code_size_of(trace: Tracer) -> None:
    address, result = trace.use(trace.stack.pop()), trace.variable()
    trace.emit(f"{result}, g = code_size(c, g, {address})")
    trace.push(Value(result, _LENGTH_MOST))
    trace.close_segment()


def _own_code_size(trace: Tracer) -> None:
    trace.push(constant(len(trace.code)))


def _pop(trace: Tracer) -> None:
    trace.stack.pop()


def _position(trace: Tracer) -> None:
    trace.push(constant(trace.position))


def _gas(trace: Tracer) -> None:
    """What is left after this instruction: its segment ends with it."""
    trace.push(Expression("g", _GAS_MOST))
    trace.close_segment()


# Ends of a frame.


def _stop(trace: Tracer) -> None:
    trace.end("q.gas_remaining = g", "return None")


def _return(trace: Tracer) -> None:
    start, size = trace.use(trace.stack.pop()), trace.use(trace.stack.pop())
    trace.end(f"give(c, m, g, {start}, {size})", "return None")


def _revert(trace: Tracer) -> None:
    start, size = trace.use(trace.stack.pop()), trace.use(trace.stack.pop())
    trace.end(f"raise give_up(c, m, g, {start}, {size})")


if TYPE_CHECKING:
    from collections.abc import Callable

    _Handler = Callable[[Tracer], None]

_PLAIN: dict[int, _Handler] = {
    op.EXP: _power,
    op.ISZERO: _is_zero,
    op.NOT: _not,
    op.KECCAK256: _digest,
    op.CALLDATALOAD: _load_data,
    op.CALLDATACOPY: _copy(""),
    op.CODESIZE: _own_code_size,
    op.CODECOPY: _copy("c.msg.code"),
    op.EXTCODESIZE: _code_size_of,
    op.RETURNDATASIZE: lambda trace: trace.push(Expression("len(c.return_data)", _LENGTH_MOST)),
    op.RETURNDATACOPY: _copy_returned,
    op.SELFBALANCE: lambda trace: trace.push(Expression("c.database.get_balance(c.address)")),
    op.POP: _pop,
    op.MLOAD: _load_memory,
    op.MSTORE: _store_memory,
    op.MSTORE8: _store_byte,
    op.SLOAD: _load,
    op.SSTORE: _store,
    op.PC: _position,
    op.MSIZE: lambda trace: trace.push(Expression("len(m)", _LENGTH_MOST)),
    op.GAS: _gas,
    op.JUMPDEST: lambda trace: trace.arrive(),
    op.TLOAD: _load_transient,
    op.TSTORE: _store_transient,
    op.MCOPY: _move,
}
_ENDS: dict[int, _Handler] = {op.STOP: _stop, op.RETURN: _return, op.REVERT: _revert}
