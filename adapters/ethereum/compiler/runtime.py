"""What generated code calls: memory, storage, logs, and the arithmetic that is more than an expression.

Each does what py-evm's instruction does, in its order: what is charged, what becomes warm, which error comes first.
`c` is the computation (computation.py), `m` its memory, `g` the gas that is left, which helpers take and give back. Gas
that an instruction costs whatever its operands are has been charged by then.
"""

from __future__ import annotations

from typing import Any

import sha3
from eth.exceptions import OutOfBoundsRead, OutOfGas, Revert, WriteProtection

from adapters.ethereum.machine import expansion_gas

WORD_MASK = 2**256 - 1
SIGN_BIT = 2**255
ADDRESS_MASK = 2**160 - 1
WARM_GAS = 100
COLD_SLOT_GAS = 2_100
COLD_ACCOUNT_GAS = 2_600
SSTORE_SET_GAS = 20_000
SSTORE_RESET_GAS = 2_900
SSTORE_CLEAR_REFUND = 4_800
SSTORE_GAS_MIN = 2_300
POLL_GAS = 20_000
"""How much gas a loop inside a trace uses between two looks at a deadline that has no timer."""

_from_bytes = int.from_bytes


def short() -> OutOfGas:
    """Return the error of a piece of code that costs more than is left."""
    return OutOfGas("Out of gas")


def poll(c: Any, g: int) -> int:
    """Look at the deadline; return the gas at which to look again."""
    c.state.deadline.check()
    return g - POLL_GAS


# Arithmetic.


def signed(value: int) -> int:
    return value if value < SIGN_BIT else value - 2**256


def signed_divide(left: int, right: int) -> int:
    numerator, denominator = signed(left), signed(right)
    if denominator == 0:
        return 0
    quotient = abs(numerator) // abs(denominator)
    return (quotient if (numerator < 0) == (denominator < 0) else -quotient) & WORD_MASK


def signed_modulo(left: int, right: int) -> int:
    value, modulus = signed(left), signed(right)
    if modulus == 0:
        return 0
    rest = abs(value) % abs(modulus)
    return (-rest if value < 0 else rest) & WORD_MASK


def sign_extend(size: int, value: int) -> int:
    if size > 30:
        return value
    sign = 1 << 8 * size + 7
    return value | 2**256 - sign if value & sign else value & sign - 1


def shift_arithmetic(shift: int, value: int) -> int:
    return signed(value) >> min(shift, 256) & WORD_MASK


def power(base: int, exponent: int, g: int) -> tuple[int, int]:
    g -= 50 * (exponent.bit_length() + 7 >> 3)
    if g < 0:
        raise short()
    return pow(base, exponent, 2**256), g


# Memory.


def grow(m: bytearray, end: int, g: int) -> int:
    """Make memory reach to `end`, which it does not yet."""
    g -= expansion_gas(len(m), end)
    if g < 0:
        raise short()
    m.extend(bytes((end + 31 & ~31) - len(m)))
    return g


def digest(m: bytearray, g: int, start: int, size: int) -> tuple[int, int]:
    """KECCAK256."""
    g -= 6 * (size + 31 >> 5)
    if g < 0:
        raise short()
    if size and start + size > len(m):
        g = grow(m, start + size, g)
    return _from_bytes(sha3.keccak_256(m[start : start + size] if size else b"").digest(), "big"), g


def copy(m: bytearray, g: int, source: bytes, target: int, start: int, size: int) -> int:
    """CALLDATACOPY and CODECOPY: past its end the source reads as zeros."""
    g -= 3 * (size + 31 >> 5)
    if g < 0:
        raise short()
    if size:
        if target + size > len(m):
            g = grow(m, target + size, g)
        m[target : target + size] = source[start : start + size].ljust(size, b"\x00")
    return g


def copy_returned(c: Any, m: bytearray, g: int, target: int, start: int, size: int) -> int:
    """RETURNDATACOPY."""
    data = c.return_data
    if start + size > len(data):
        raise OutOfBoundsRead(f"bytes {start} to {start + size} of return data of {len(data)} bytes")
    return copy(m, g, data, target, start, size)


def move(m: bytearray, g: int, target: int, start: int, size: int) -> int:
    """MCOPY."""
    g -= 3 * (size + 31 >> 5)
    if g < 0:
        raise short()
    if size:
        end = max(target, start) + size
        if end > len(m):
            g = grow(m, end, g)
        m[target : target + size] = m[start : start + size]
    return g


def read(m: bytearray, g: int, start: int, size: int) -> tuple[bytes, int]:
    """Return a piece of memory, which grows to hold it."""
    if not size:
        return b"", g
    if start + size > len(m):
        g = grow(m, start + size, g)
    return bytes(m[start : start + size]), g


# Storage and logs.


def load(c: Any, g: int, slot: int) -> tuple[int, int]:
    """SLOAD."""
    database, address = c.database, c.address
    key = (address, slot)
    if key in database._warm:
        g -= WARM_GAS
    else:
        database.mark_storage_warm(address, slot)
        g -= COLD_SLOT_GAS
    if g < 0:
        raise short()
    value = database._storage.get(key)
    return (database.get_storage(address, slot) if value is None else value), g


def store(c: Any, g: int, slot: int, value: int) -> int:
    """SSTORE (EIP-2200, EIP-2929, EIP-3529). The slot becomes warm last, as in py-evm."""
    if c.msg.is_static:
        raise WriteProtection("Cannot modify state while inside of a STATICCALL context")
    if g <= SSTORE_GAS_MIN:
        raise OutOfGas("Net-metered SSTORE always fails below 2300 gas, per EIP-2200")
    database, address = c.database, c.address
    key = (address, slot)
    original = database.get_storage(address, slot, False)
    current = database._storage.get(key, original)
    if value == current:
        g -= WARM_GAS
    else:
        if original != current:
            g -= WARM_GAS
        else:
            g -= SSTORE_RESET_GAS if original else SSTORE_SET_GAS
        if g < 0:
            raise short()
        if original or current != original:
            c._gas_meter.gas_refunded += _refund(original, current, value)
        database.set_storage(address, slot, value)
    if g < 0:
        raise short()
    if key not in database._warm:
        database.mark_storage_warm(address, slot)
        g -= COLD_SLOT_GAS
        if g < 0:
            raise short()
    return g


def _refund(original: int, current: int, value: int) -> int:
    """Return what a change of a slot gives back; current is not the new value."""
    if original == current:
        return 0 if value else SSTORE_CLEAR_REFUND
    refund = 0
    if original:
        if not current:
            refund -= SSTORE_CLEAR_REFUND
        if not value:
            refund += SSTORE_CLEAR_REFUND
    if original == value:
        refund += (SSTORE_RESET_GAS if original else SSTORE_SET_GAS) - WARM_GAS
    return refund


def load_transient(c: Any, slot: int) -> int:
    """TLOAD."""
    return _from_bytes(c.database.get_transient(c.address, slot), "big")


def store_transient(c: Any, slot: int, value: int) -> None:
    """TSTORE."""
    if c.msg.is_static:
        raise WriteProtection("Cannot modify state while inside of a STATICCALL context")
    c.database.set_transient(c.address, slot, value.to_bytes(32, "big"))


def log(c: Any, m: bytearray, g: int, start: int, size: int, topics: tuple[int, ...]) -> int:
    """LOG0 to LOG4."""
    if c.msg.is_static:
        raise WriteProtection("Cannot modify state while inside of a STATICCALL context")
    g -= 375 * len(topics) + 8 * size
    if g < 0:
        raise short()
    data, g = read(m, g, start, size)
    c._log_entries.append((0, c.address, topics, data))
    return g


def touch(c: Any, g: int, address: bytes) -> int:
    """Charge for an account that is looked at (EIP-2929). Precompiles are warm from the beginning."""
    database = c.database
    if address in database._warm or address in c._precompiles:
        g -= WARM_GAS
    else:
        database.mark_address_warm(address)
        g -= COLD_ACCOUNT_GAS
    if g < 0:
        raise short()
    return g


def code_size(c: Any, g: int, address: int) -> tuple[int, int]:
    """EXTCODESIZE."""
    raw = (address & ADDRESS_MASK).to_bytes(20, "big")
    g = touch(c, g, raw)
    return len(c.database.get_code(raw)), g


# Ends of a frame.


def give(c: Any, m: bytearray, g: int, start: int, size: int) -> None:
    """RETURN."""
    c._output, g = read(m, g, start, size)
    c._gas_meter.gas_remaining = g


def give_up(c: Any, m: bytearray, g: int, start: int, size: int) -> Revert:
    """REVERT; returns what to raise."""
    c._output, g = read(m, g, start, size)
    c._gas_meter.gas_remaining = g
    return Revert(c._output)


def own(c: Any, g: int, opcode: int, operands: tuple[int, ...]) -> int:
    """Run an instruction as the interpreter does, on operands given from the lowest to the top of the stack.

    Returns what it leaves on the stack, 0 where that is nothing; its gas is then in the meter.
    """
    stack = c._stack
    values = stack.values
    taken = stack.values = list(operands)
    c._gas_meter.gas_remaining = g
    c.instructions[opcode](c)
    stack.values = values
    result = taken.pop() if taken else 0
    return _from_bytes(result, "big") if type(result) is bytes else result
