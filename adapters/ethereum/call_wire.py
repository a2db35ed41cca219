"""Call objects and state overrides on their way from gateway to executor.

256-bit integers travel as big-endian bytes, since MessagePack's integers have 64 bits.
"""

from __future__ import annotations

from adapters.ethereum.model import AccountOverride, Authorization, CallRequest, Slots
from core.codec import Message


class WireAuthorization(Message, frozen=True):
    """model.Authorization on the wire."""

    chain_id: bytes
    address: bytes
    nonce: int
    y_parity: int
    r: bytes
    s: bytes


class WireCall(Message, frozen=True):
    """model.CallRequest on the wire. sender b"": the caller's first address, or zero."""

    sender: bytes
    to: bytes | None
    data: bytes
    value: bytes
    gas: int | None
    gas_price: bytes | None
    max_fee: bytes | None
    max_priority_fee: bytes | None
    access_list: tuple[tuple[bytes, tuple[bytes, ...]], ...]
    authorizations: tuple[WireAuthorization, ...]


class WireOverride(Message, frozen=True):
    """model.AccountOverride on the wire."""

    address: bytes
    nonce: int | None
    balance: bytes | None
    code: bytes | None
    state: tuple[tuple[bytes, bytes], ...] | None
    state_diff: tuple[tuple[bytes, bytes], ...]


def pack_integer(value: int) -> bytes:
    """Encode a non-negative integer as big-endian bytes, b"" for 0."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def unpack_integer(data: bytes) -> int:
    """Decode what pack_integer made."""
    return int.from_bytes(data, "big")


def _pack_optional(value: int | None) -> bytes | None:
    return None if value is None else pack_integer(value)


def _unpack_optional(data: bytes | None) -> int | None:
    return None if data is None else unpack_integer(data)


def pack_call(call: CallRequest, *, has_sender: bool) -> WireCall:
    """Put a call object on the wire."""
    return WireCall(
        call.sender if has_sender else b"",
        call.to,
        call.data,
        pack_integer(call.value),
        call.gas,
        _pack_optional(call.gas_price),
        _pack_optional(call.max_fee),
        _pack_optional(call.max_priority_fee),
        tuple((address, tuple(pack_integer(slot) for slot in slots)) for address, slots in call.access_list),
        tuple(
            WireAuthorization(
                pack_integer(one.chain_id),
                one.address,
                one.nonce,
                one.y_parity,
                pack_integer(one.r),
                pack_integer(one.s),
            )
            for one in call.authorizations
        ),
    )


def unpack_call(wire: WireCall, sender: bytes) -> CallRequest:
    """Return the call object with this sender."""
    return CallRequest(
        sender,
        wire.to,
        wire.data,
        unpack_integer(wire.value),
        wire.gas,
        _unpack_optional(wire.gas_price),
        _unpack_optional(wire.max_fee),
        _unpack_optional(wire.max_priority_fee),
        tuple((address, tuple(unpack_integer(slot) for slot in slots)) for address, slots in wire.access_list),
        tuple(
            Authorization(
                unpack_integer(one.chain_id),
                one.address,
                one.nonce,
                one.y_parity,
                unpack_integer(one.r),
                unpack_integer(one.s),
            )
            for one in wire.authorizations
        ),
    )


def pack_override(one: AccountOverride) -> WireOverride:
    """Put an override on the wire."""
    state = None if one.state is None else _pack_slots(one.state)
    return WireOverride(
        one.address, one.nonce, _pack_optional(one.balance), one.code, state, _pack_slots(one.state_diff)
    )


def unpack_override(wire: WireOverride) -> AccountOverride:
    """Return the override."""
    state = None if wire.state is None else _unpack_slots(wire.state)
    return AccountOverride(
        wire.address, wire.nonce, _unpack_optional(wire.balance), wire.code, state, _unpack_slots(wire.state_diff)
    )


def _pack_slots(slots: Slots) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((pack_integer(slot), pack_integer(value)) for slot, value in slots)


def _unpack_slots(slots: tuple[tuple[bytes, bytes], ...]) -> Slots:
    return tuple((unpack_integer(slot), unpack_integer(value)) for slot, value in slots)
