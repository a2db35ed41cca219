"""What arithmetic opcodes become: a constant, one of the operands, a test, or a Python expression with its bound.

Constants are folded by the interpreter's own functions where it has them, so that both agree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from adapters.ethereum.compiler import runtime
from adapters.ethereum.compiler.values import WORD_MAX, Value, boolean, constant, literal
from adapters.ethereum.instructions import _BINARY, SIGN_BIT


@dataclass(frozen=True, slots=True)
class Expression:
    """Python for a value that needs a variable. most: the largest it can be."""

    text: str
    most: int = WORD_MAX


Made = Value | Expression
Use = Callable[[Value], str]
"""Gives a value's text, having put it into a variable where it was in none."""

FOLD_TWO: dict[int, Callable[[int, int], int]] = {
    **{opcode: result for opcode, (_, _, result) in _BINARY.items()},
    0x05: runtime.signed_divide,
    0x07: runtime.signed_modulo,
    0x0B: runtime.sign_extend,
}
FOLD_THREE: dict[int, Callable[[int, int, int], int]] = {
    0x08: lambda left, right, modulus: (left + right) % modulus if modulus else 0,
    0x09: lambda left, right, modulus: left * right % modulus if modulus else 0,
}


def binary(opcode: int, left: Value, right: Value, use: Use) -> Made:
    """Return what an opcode makes of the top of the stack (left) and the item below."""
    if left.number is not None and right.number is not None:
        return constant(FOLD_TWO[opcode](left.number, right.number))
    if left.number is not None and opcode in _COMMUTATIVE:
        left, right = right, left
    return _TWO[opcode](left, right, use)


def ternary(opcode: int, left: Value, right: Value, modulus: Value, use: Use) -> Made:
    """Return what ADDMOD or MULMOD makes of its operands."""
    if left.number is not None and right.number is not None and modulus.number is not None:
        return constant(FOLD_THREE[opcode](left.number, right.number, modulus.number))
    if modulus.number == 0:
        return constant(0)
    sign = "+" if opcode == 0x08 else "*"
    text = f"({use(left)} {sign} {use(right)}) % {use(modulus)}"
    if modulus.number is None:
        return Expression(f"{text} if {use(modulus)} else 0")
    return Expression(text, modulus.number - 1)


def is_zero(value: Value) -> Value | None:
    """Return ISZERO of a value, None where the value has to be put into a variable first."""
    if value.number is not None:
        return constant(int(value.number == 0))
    if value.test:
        return boolean(value.opposite, value.test)
    return boolean(f"not {value.text}", value.text) if value.text else None


def _add(left: Value, right: Value, use: Use) -> Made:
    if left.number == 0:
        return right
    if right.number == 0:
        return left
    most = left.most + right.most
    text = f"{use(left)} + {use(right)}"
    return Expression(text, most) if most <= WORD_MAX else Expression(f"{text} & M")


def _subtract(left: Value, right: Value, use: Use) -> Made:
    if right.number == 0:
        return left
    return Expression(f"{use(left)} - {use(right)} & M")


def _multiply(left: Value, right: Value, use: Use) -> Made:
    for one, other in ((left, right), (right, left)):
        if one.number == 0:
            return constant(0)
        if one.number == 1:
            return other
    most = left.most * right.most
    text = f"{use(left)} * {use(right)}"
    return Expression(text, most) if most <= WORD_MAX else Expression(f"{text} & M")


def _divide(left: Value, right: Value, use: Use) -> Made:
    if right.number is None:
        return Expression(f"{use(left)} // {use(right)} if {use(right)} else 0", left.most)
    if right.number == 0:
        return constant(0)
    return left if right.number == 1 else Expression(f"{use(left)} // {use(right)}", left.most // right.number)


def _modulo(left: Value, right: Value, use: Use) -> Made:
    if right.number is None:
        return Expression(f"{use(left)} % {use(right)} if {use(right)} else 0", left.most)
    if right.number == 0:
        return constant(0)
    return Expression(f"{use(left)} % {use(right)}", min(left.most, right.number - 1))


def _helper(name: str) -> Callable[[Value, Value, Use], Made]:
    return lambda left, right, use: Expression(f"{name}({use(left)}, {use(right)})")


def _sign_extend(left: Value, right: Value, use: Use) -> Made:
    if left.number is not None and (left.number > 30 or right.most < 1 << 8 * left.number + 7):
        return right
    return Expression(f"sign_extend({use(left)}, {use(right)})")


def _comparison(sign: str, opposite: str) -> Callable[[Value, Value, Use], Made]:
    def compare(left: Value, right: Value, use: Use) -> Made:
        if sign == ">" and right.number is not None and left.most <= right.number:
            return constant(0)
        if sign == "<" and left.number is not None and right.most <= left.number:
            return constant(0)
        mine, other = use(left), use(right)
        return boolean(f"{mine} {sign} {other}", f"{mine} {opposite} {other}")

    return compare


def _signed_comparison(sign: str, opposite: str) -> Callable[[Value, Value, Use], Made]:
    def flipped(value: Value, use: Use) -> str:
        if value.number is not None:
            return literal(value.number ^ SIGN_BIT)
        return f"({use(value)} ^ S)"

    def compare(left: Value, right: Value, use: Use) -> Made:
        if left.most < SIGN_BIT and right.most < SIGN_BIT:
            mine, other = use(left), use(right)
        else:
            mine, other = flipped(left, use), flipped(right, use)
        return boolean(f"{mine} {sign} {other}", f"{mine} {opposite} {other}")

    return compare


def _and(left: Value, right: Value, use: Use) -> Made:
    for one, other in ((left, right), (right, left)):
        if one.number == 0:
            return constant(0)
        # A mask of low bits that the other cannot exceed anyway.
        if one.number is not None and one.number & (one.number + 1) == 0 and other.most <= one.number:
            return other
    return Expression(f"{use(left)} & {use(right)}", min(left.most, right.most))


def _either(sign: str) -> Callable[[Value, Value, Use], Made]:
    def combine(left: Value, right: Value, use: Use) -> Made:
        if left.number == 0:
            return right
        if right.number == 0:
            return left
        most = (1 << max(left.most.bit_length(), right.most.bit_length())) - 1
        return Expression(f"{use(left)} {sign} {use(right)}", most)

    return combine


def _byte(left: Value, right: Value, use: Use) -> Made:
    if left.number is None:
        return Expression(f"{use(right)} >> 8 * (31 - {use(left)}) & 255 if {use(left)} < 32 else 0", 255)
    if left.number > 31:
        return constant(0)
    return Expression(f"{use(right)} >> {8 * (31 - left.number)} & 255", 255)


def _shift_left(left: Value, right: Value, use: Use) -> Made:
    if left.number is None:
        return Expression(f"{use(right)} << {use(left)} & M if {use(left)} < 256 else 0")
    if left.number > 255:
        return constant(0)
    if left.number == 0:
        return right
    most = right.most << left.number
    text = f"{use(right)} << {left.number}"
    return Expression(text, most) if most <= WORD_MAX else Expression(f"{text} & M")


def _shift_right(left: Value, right: Value, use: Use) -> Made:
    if left.number is None:
        return Expression(f"{use(right)} >> {use(left)} if {use(left)} < 256 else 0", right.most)
    if left.number > 255:
        return constant(0)
    return right if left.number == 0 else Expression(f"{use(right)} >> {left.number}", right.most >> left.number)


def _shift_arithmetic(left: Value, right: Value, use: Use) -> Made:
    return _shift_right(left, right, use) if right.most < SIGN_BIT else _helper("shift_arithmetic")(left, right, use)


_TWO: dict[int, Callable[[Value, Value, Use], Made]] = {
    0x01: _add,
    0x02: _multiply,
    0x03: _subtract,
    0x04: _divide,
    0x05: _helper("signed_divide"),
    0x06: _modulo,
    0x07: _helper("signed_modulo"),
    0x0B: _sign_extend,
    0x10: _comparison("<", ">="),
    0x11: _comparison(">", "<="),
    0x12: _signed_comparison("<", ">="),
    0x13: _signed_comparison(">", "<="),
    0x14: _comparison("==", "!="),
    0x16: _and,
    0x17: _either("|"),
    0x18: _either("^"),
    0x1A: _byte,
    0x1B: _shift_left,
    0x1C: _shift_right,
    0x1D: _shift_arithmetic,
}

_COMMUTATIVE = frozenset({0x01, 0x02, 0x14, 0x16, 0x17, 0x18})
BINARY_OPCODES = frozenset(_TWO)
TERNARY_OPCODES = frozenset(FOLD_THREE)
