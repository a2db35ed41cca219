"""CALL, CALLCODE, DELEGATECALL and STATICCALL of compiled code: what py-evm's do, without what they do it with.

The order is theirs (eth/vm/logic/call.py and its forks): memory for input and output, the price of the callee's account
and, under Prague, of the account it delegates to (EIP-7702), value and new account, 63/64 of what is left (EIP-150).
"""

from __future__ import annotations

from typing import Any

from eth.exceptions import WriteProtection

from adapters.ethereum.compiler.runtime import ADDRESS_MASK, grow, short, touch
from adapters.ethereum.gas import CALL_STIPEND
from adapters.ethereum.machine import FrameMessage
from adapters.ethereum.validation import delegation_target

CALL_DEPTH_MAX = 1_024
VALUE_GAS = 9_000
NEW_ACCOUNT_GAS = 25_000

Called = tuple[int, int]
"""1 or 0 for success, and the gas that is left."""


def call(
    c: Any, m: bytearray, g: int, gas: int, to: int, value: int, start: int, size: int, out: int, out_size: int
) -> Called:
    message = c.msg
    if value and message.is_static:
        raise WriteProtection("Cannot modify state while inside of a STATICCALL context")
    address = (to & ADDRESS_MASK).to_bytes(20, "big")
    data, g = _input(m, g, start, size, out, out_size)
    code, target, g = _load(c, g, address)
    extra = 0
    if value:
        extra = VALUE_GAS + (NEW_ACCOUNT_GAS if c.database.account_is_empty(address) else 0)
    child_gas, g = _share(g, gas, extra)
    if value:
        child_gas += CALL_STIPEND
        if c.database.get_balance(c.address) < value:
            c.return_data = b""
            return 0, g + child_gas
    if message.depth >= CALL_DEPTH_MAX:
        c.return_data = b""
        return 0, g + child_gas
    child = FrameMessage(
        gas=child_gas,
        to=address,
        sender=c.address,
        value=value,
        data=data,
        code=code,
        depth=message.depth + 1,
        code_address=target,
        is_static=message.is_static,
        is_delegation=target is not None,
    )
    return _run(c, m, g, child, out, out_size)


def static_call(
    c: Any, m: bytearray, g: int, gas: int, to: int, start: int, size: int, out: int, out_size: int
) -> Called:
    address = (to & ADDRESS_MASK).to_bytes(20, "big")
    data, g = _input(m, g, start, size, out, out_size)
    code, target, g = _load(c, g, address)
    child_gas, g = _share(g, gas, 0)
    depth = c.msg.depth
    if depth >= CALL_DEPTH_MAX:
        c.return_data = b""
        return 0, g + child_gas
    child = FrameMessage(
        gas=child_gas,
        to=address,
        sender=c.address,
        value=0,
        data=data,
        code=code,
        depth=depth + 1,
        code_address=target,
        should_transfer_value=False,
        is_static=True,
        is_delegation=target is not None,
    )
    return _run(c, m, g, child, out, out_size)


def delegate_call(
    c: Any, m: bytearray, g: int, gas: int, to: int, start: int, size: int, out: int, out_size: int
) -> Called:
    address = (to & ADDRESS_MASK).to_bytes(20, "big")
    data, g = _input(m, g, start, size, out, out_size)
    code, target, g = _load(c, g, address)
    child_gas, g = _share(g, gas, 0)
    message = c.msg
    if message.depth >= CALL_DEPTH_MAX:
        c.return_data = b""
        return 0, g + child_gas
    child = FrameMessage(
        gas=child_gas,
        to=c.address,
        sender=message.sender,
        value=message.value,
        data=data,
        code=code,
        depth=message.depth + 1,
        code_address=target or address,
        should_transfer_value=False,
        is_static=message.is_static,
        is_delegation=target is not None,
    )
    return _run(c, m, g, child, out, out_size)


def call_code(
    c: Any, m: bytearray, g: int, gas: int, to: int, value: int, start: int, size: int, out: int, out_size: int
) -> Called:
    message = c.msg
    address = (to & ADDRESS_MASK).to_bytes(20, "big")
    data, g = _input(m, g, start, size, out, out_size)
    code, target, g = _load(c, g, address)
    child_gas, g = _share(g, gas, VALUE_GAS if value else 0)
    if value:
        child_gas += CALL_STIPEND
        if c.database.get_balance(c.address) < value:
            c.return_data = b""
            return 0, g + child_gas
    if message.depth >= CALL_DEPTH_MAX:
        c.return_data = b""
        return 0, g + child_gas
    child = FrameMessage(
        gas=child_gas,
        to=c.address,
        sender=c.address,
        value=value,
        data=data,
        code=code,
        depth=message.depth + 1,
        code_address=target or address,
        is_static=message.is_static,
        is_delegation=target is not None,
    )
    return _run(c, m, g, child, out, out_size)


def _input(m: bytearray, g: int, start: int, size: int, out: int, out_size: int) -> tuple[bytes, int]:
    """Return the input; memory grows to hold it and the output."""
    if size and start + size > len(m):
        g = grow(m, start + size, g)
    if out_size and out + out_size > len(m):
        g = grow(m, out + out_size, g)
    return (bytes(m[start : start + size]) if size else b""), g


def _load(c: Any, g: int, address: bytes) -> tuple[bytes, bytes | None, int]:
    """Return an account's code and, where it is a delegate's, the delegate; both accounts are paid for."""
    g = touch(c, g, address)
    database = c.database
    code: bytes = database.get_code(address)
    target = delegation_target(code) if c.has_delegations else None
    if target is not None:
        g = touch(c, g, target)
        code = database.get_code(target)
    return code, target, g


def _share(g: int, asked: int, extra: int) -> tuple[int, int]:
    """Return the callee's gas and the caller's, without the stipend (EIP-150)."""
    g -= extra
    if g < 0:
        raise short()
    given = min(asked, g - g // 64)
    return given, g - given


def _run(c: Any, m: bytearray, g: int, message: FrameMessage, out: int, out_size: int) -> Called:
    """Run the callee and take over what it leaves."""
    child = c.apply_message(c.state, message, c.transaction_context, c)
    error = child._error
    if error is None:
        output = child._output
        c.return_data = output
        if child._log_entries:
            c._log_entries.extend(child._log_entries)
        c.folded_refund += child._gas_meter.gas_refunded + child.folded_refund
        if child.folded_deletions or child.accounts_to_delete:
            c.folded_deletions |= child.folded_deletions
            c.folded_deletions.update(child.accounts_to_delete)
    elif error.burns_gas:
        c.return_data = b""
        return 0, g
    else:
        output = c.return_data = b"" if error.erases_return_data else child._output
    if out_size and output:
        written = output if len(output) <= out_size else output[:out_size]
        m[out : out + len(written)] = written
    return (1 if error is None else 0), g + child._gas_meter.gas_remaining
