"""The precompiles of BLS12-381 (EIP-2537) on arkworks' implementation in Rust.

It refuses coordinates that are not below the field's modulus and points that are not on the curve by itself; the order
of a point is checked here where EIP-2537 asks for it. A coordinate on the wire has 64 bytes, of which the first 16 are
zero; arkworks takes 48.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from eth.exceptions import VMError
from eth.precompiles.bls12_381.constants import (
    G1_MSM_DISCOUNTS,
    G1_MSM_MAX_DISCOUNT,
    G2_MSM_DISCOUNTS,
    G2_MSM_MAX_DISCOUNT,
)
from py_arkworks_bls12381 import GT, G1Point, G2Point, Scalar

G1_ADD_GAS = 375
G1_MULTIPLY_GAS = 12_000
G2_ADD_GAS = 600
G2_MULTIPLY_GAS = 22_500
PAIRING_GAS = 37_700
PAIRING_PAIR_GAS = 32_600
MAP_TO_G1_GAS = 5_500
MAP_TO_G2_GAS = 23_800

WORD = 64
"""Bytes of a coordinate on the wire."""
PADDING = bytes(16)
SCALAR = 32
G1 = 2 * WORD
G2 = 4 * WORD


def add_g1(computation: Any) -> None:
    """0x0b: the sum of two points of the curve, whose order is not checked."""
    first, second = _items(computation, 2 * G1, G1, exactly=True)
    computation.consume_gas(G1_ADD_GAS, reason="BLS12_G1ADD")
    computation.output = _padded((_read_g1(first) + _read_g1(second)).to_xy_bytes_be())


def multiply_g1(computation: Any) -> None:
    """0x0c: a sum of multiples of points."""
    items = _items(computation, G1 + SCALAR, G1 + SCALAR)
    computation.consume_gas(
        _sum_gas(len(items), G1_MULTIPLY_GAS, G1_MSM_DISCOUNTS, G1_MSM_MAX_DISCOUNT), reason="BLS12_G1MSM"
    )
    points = [_in_group(_read_g1(item[:G1]), computation) for item in items]
    scalars = [Scalar.from_be_bytes_mod_order(item[G1:]) for item in items]
    computation.output = _padded(G1Point.multiexp_unchecked(points, scalars).to_xy_bytes_be())


def add_g2(computation: Any) -> None:
    """0x0d: the sum of two points of the twist, whose order is not checked."""
    first, second = _items(computation, 2 * G2, G2, exactly=True)
    computation.consume_gas(G2_ADD_GAS, reason="BLS12_G2ADD")
    computation.output = _padded((_read_g2(first) + _read_g2(second)).to_xy_bytes_be())


def multiply_g2(computation: Any) -> None:
    """0x0e: a sum of multiples of points of the twist."""
    items = _items(computation, G2 + SCALAR, G2 + SCALAR)
    computation.consume_gas(
        _sum_gas(len(items), G2_MULTIPLY_GAS, G2_MSM_DISCOUNTS, G2_MSM_MAX_DISCOUNT), reason="BLS12_G2MSM"
    )
    points = [_in_group(_read_g2(item[:G2]), computation) for item in items]
    scalars = [Scalar.from_be_bytes_mod_order(item[G2:]) for item in items]
    computation.output = _padded(G2Point.multiexp_unchecked(points, scalars).to_xy_bytes_be())


def check_pairing(computation: Any) -> None:
    """0x0f: whether a product of pairings is one."""
    items = _items(computation, G1 + G2, G1 + G2)
    computation.consume_gas(PAIRING_GAS + PAIRING_PAIR_GAS * len(items), reason="BLS12_PAIRING_CHECK")
    first = [_in_group(_read_g1(item[:G1]), computation) for item in items]
    second = [_in_group(_read_g2(item[G1:]), computation) for item in items]
    computation.output = int(GT.pairing_check(first, second)).to_bytes(32, "big")


def map_to_g1(computation: Any) -> None:
    """0x10: a point of the group for an element of the field."""
    (item,) = _items(computation, WORD, WORD, exactly=True)
    computation.consume_gas(MAP_TO_G1_GAS, reason="BLS12_MAP_FP_TO_G1")
    computation.output = _padded(_accepted(G1Point.map_from_fp_be, item).to_xy_bytes_be())


def map_to_g2(computation: Any) -> None:
    """0x11: a point of the group for an element of the field of degree 2."""
    (item,) = _items(computation, 2 * WORD, 2 * WORD, exactly=True)
    computation.consume_gas(MAP_TO_G2_GAS, reason="BLS12_MAP_FP2_TO_G2")
    computation.output = _padded(_accepted(G2Point.map_from_fp2_be, item).to_xy_bytes_be())


PRECOMPILES: dict[int, Callable[[Any], None]] = {
    0x0B: add_g1,
    0x0C: multiply_g1,
    0x0D: add_g2,
    0x0E: multiply_g2,
    0x0F: check_pairing,
    0x10: map_to_g1,
    0x11: map_to_g2,
}


def _items(computation: Any, multiple: int, size: int, *, exactly: bool = False) -> list[bytes]:
    """Return the input in parts of `size`; raises VMError unless it is one `multiple` (several unless `exactly`)."""
    data: bytes = computation.msg.data_as_bytes
    if not data or len(data) % multiple or (exactly and len(data) != multiple):
        raise VMError("BLS12-381: the input has a wrong length")
    return [data[start : start + size] for start in range(0, len(data), size)]


def _sum_gas(count: int, gas: int, discounts: Sequence[int], discount_max: int) -> int:
    discount = discounts[count - 1] if count <= len(discounts) else discount_max
    return count * gas * discount // 1_000


def _accepted(make: Callable[[bytes], Any], item: bytes) -> Any:
    coordinates = []
    for start in range(0, len(item), WORD):
        if item[start : start + 16] != PADDING:
            raise VMError("BLS12-381: a coordinate is not below the field's modulus")
        coordinates.append(item[start + 16 : start + WORD])
    try:
        return make(b"".join(coordinates))
    except ValueError as error:
        raise VMError(f"BLS12-381: {error}") from None


def _read_g1(item: bytes) -> Any:
    return _accepted(G1Point.from_xy_bytes_unchecked_be, item)


def _read_g2(item: bytes) -> Any:
    return _accepted(G2Point.from_xy_bytes_unchecked_be, item)


def _in_group(point: Any, computation: Any) -> Any:
    computation.state.deadline.check()
    if not point.is_in_subgroup():
        raise VMError("BLS12-381: a point has a wrong order")
    return point


def _padded(coordinates: bytes) -> bytes:
    return b"".join(PADDING + coordinates[start : start + 48] for start in range(0, len(coordinates), 48))
