"""Gas that a transaction costs whatever it does. EIP-2028, EIP-2930, EIP-3860, EIP-7623, EIP-7702."""

from __future__ import annotations

from collections.abc import Sequence

TRANSACTION_GAS = 21_000
CREATION_GAS = 32_000
ZERO_BYTE_GAS = 4
OTHER_BYTE_GAS = 16
INITCODE_WORD_GAS = 2
ACCESS_LIST_ADDRESS_GAS = 2_400
ACCESS_LIST_SLOT_GAS = 1_900
AUTHORIZATION_GAS = 25_000
AUTHORIZATION_REFUND = 12_500
"""Of an authorization whose account exists already (EIP-7702)."""
FLOOR_TOKEN_GAS = 10
REFUND_QUOTIENT = 5
"""EIP-3529: at most a fifth of the gas used is refunded."""
CALL_STIPEND = 2_300


def calldata_gas(data: bytes) -> int:
    zeros = data.count(0)
    return ZERO_BYTE_GAS * zeros + OTHER_BYTE_GAS * (len(data) - zeros)


def initcode_gas(size: int) -> int:
    return INITCODE_WORD_GAS * ((size + 31) // 32)


def intrinsic_gas(
    data: bytes,
    is_creation: bool,
    access_list: Sequence[tuple[bytes, Sequence[int]]],
    authorizations: int,
) -> int:
    """Return the gas due before the first instruction runs."""
    total = TRANSACTION_GAS + calldata_gas(data)
    if is_creation:
        total += CREATION_GAS + initcode_gas(len(data))
    for _, slots in access_list:
        total += ACCESS_LIST_ADDRESS_GAS + ACCESS_LIST_SLOT_GAS * len(slots)
    return total + AUTHORIZATION_GAS * authorizations


def floor_gas(data: bytes) -> int:
    """Return the least that a transaction uses under Prague (EIP-7623): ten gas per token of its data."""
    zeros = data.count(0)
    return TRANSACTION_GAS + FLOOR_TOKEN_GAS * (zeros + 4 * (len(data) - zeros))
