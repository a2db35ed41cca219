"""The replaced precompiles: through a call, and side by side with py-evm's."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from coincurve import PrivateKey
from eth.exceptions import OutOfGas, VMError
from eth.precompiles.bls12_381.constants import G1_MSM_DISCOUNTS, G1_MSM_MAX_DISCOUNT
from eth.vm.forks.cancun.computation import CancunComputation
from eth.vm.forks.prague.computation import PragueComputation
from hypothesis import given, settings
from hypothesis import strategies as st
from py_ecc import optimized_bls12_381 as bls
from py_ecc import optimized_bn128 as bn128

from adapters.deadline import Deadline
from adapters.ethereum.model import CallRequest, CallResult
from adapters.ethereum.precompiles import with_replacements
from adapters.ethereum.signatures import SECP256K1_N
from adapters.ethereum.simulate import simulate
from tests.adapters.ethereum.evm_support import ALICE, Chain, settings_with

MODEXP = bytes(19) + b"\x05"
POINT_EVALUATION = bytes(19) + b"\x0a"


def call(address: bytes, data: bytes, gas: int = 1_000_000) -> CallResult:
    network = Chain(settings_with())
    request = CallRequest(ALICE, address, data)
    return simulate(network.read(), request, network.genesis, network.settings, gas_cap=gas)


def modexp_input(base: bytes, exponent: bytes, modulus: bytes) -> bytes:
    sizes = b"".join(len(part).to_bytes(32, "big") for part in (base, exponent, modulus))
    return sizes + base + exponent + modulus


@pytest.mark.parametrize(
    ("base", "exponent", "modulus", "expected"),
    [
        (b"\x03", b"\x05", b"\x07", b"\x05"),
        (b"", b"", b"\x05", b"\x01"),  # 0 ** 0
        (b"", b"\x02", b"\x05", b"\x00"),
        (b"\x03", b"", b"\x01", b"\x00"),
        (b"\x03", b"\x05", b"\x00\x00", b"\x00\x00"),
        (b"\x03", b"\x05", b"", b""),
        (b"\x02", b"\x01\x00", b"\x01\x00\x01", b"\x00\x00\x01"),
    ],
)
def test_modexp(base: bytes, exponent: bytes, modulus: bytes, expected: bytes) -> None:
    result = call(MODEXP, modexp_input(base, exponent, modulus))
    assert (result.error, result.return_data) == (None, expected)


def test_modexp_of_short_input_reads_zeros() -> None:
    assert call(MODEXP, b"").return_data == b""
    assert call(MODEXP, modexp_input(b"\x03", b"\x02", b"\x00" * 2)[:-1]).return_data == bytes(2)


def test_modexp_of_huge_sizes_runs_out_of_gas() -> None:
    sizes = (2**255).to_bytes(32, "big") * 3
    assert call(MODEXP, sizes).error == "out of gas"


def test_point_evaluation_is_refused() -> None:
    """Even what would be a good proof elsewhere; it costs all the gas, as a wrong one does."""
    point_at_infinity = b"\xc0" + bytes(47)
    versioned = bytes.fromhex("010657f37554c781402a22917dee2f75def7ab966d7b770905398eba3c444014")
    for data in (b"", bytes(192), versioned + bytes(64) + point_at_infinity * 2):
        result = call(POINT_EVALUATION, data)
        assert result.error is not None
        assert result.gas_used == 1_000_000


class Frame:
    """What a precompile sees of a computation."""

    def __init__(self, data: bytes, gas: int) -> None:
        self.msg = SimpleNamespace(data=data, data_as_bytes=data)
        self.state = SimpleNamespace(deadline=Deadline(60))
        self.gas = gas
        self.output = b""

    def consume_gas(self, amount: int, reason: str) -> None:
        if amount > self.gas:
            raise OutOfGas(reason)
        self.gas -= amount


def outcome(precompile: Callable[[Any], Any], data: bytes, gas: int = 10**7) -> tuple[Any, ...]:
    frame = Frame(data, gas)
    try:
        precompile(frame)
    except VMError as error:
        return ("out of gas" if isinstance(error, OutOfGas) else "failed",)
    return frame.output, frame.gas


THEIRS = PragueComputation.get_precompiles()
OURS = with_replacements(THEIRS)


def same(number: int, data: bytes, gas: int = 10**7) -> tuple[Any, ...]:
    """Return what our precompile leaves, which must be what py-evm's does."""
    address = number.to_bytes(20, "big")
    mine = outcome(OURS[address], data, gas)
    assert mine == outcome(THEIRS[address], data, gas)
    return mine


def g1(scalar: int) -> bytes:
    x, y = bls.normalize(bls.multiply(bls.G1, scalar))
    return int(x).to_bytes(64, "big") + int(y).to_bytes(64, "big")


def g2(scalar: int) -> bytes:
    point = bls.normalize(bls.multiply(bls.G2, scalar))
    return b"".join(int(one).to_bytes(64, "big") for pair in point for one in pair.coeffs)


def bn(scalar: int) -> bytes:
    x, y = bn128.normalize(bn128.multiply(bn128.G1, scalar))
    return int(x).to_bytes(32, "big") + int(y).to_bytes(32, "big")


def bn_twist(scalar: int) -> bytes:
    point = bn128.normalize(bn128.multiply(bn128.G2, scalar))
    return b"".join(int(one).to_bytes(32, "big") for pair in point for one in reversed(pair.coeffs))


OFF_GROUP_G1 = (0).to_bytes(64, "big") + (2).to_bytes(64, "big")
"""A point of y^2 = x^3 + 4 whose order is 3."""
SCALARS = st.one_of(st.integers(0, 2**256 - 1), st.integers(0, 3)).map(lambda one: one.to_bytes(32, "big"))
SMALL = st.integers(1, 2**64)
FIELD = st.integers(0, int(bls.field_modulus) - 1).map(lambda one: one.to_bytes(64, "big"))


def test_all_but_three_are_replaced() -> None:
    kept = [int.from_bytes(address, "big") for address, one in OURS.items() if one is THEIRS[address]]
    assert sorted(kept) == [2, 3, 4]
    assert len(OURS) == 17
    assert len(with_replacements(CancunComputation.get_precompiles())) == 10


@settings(max_examples=30, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.integers(1, 2**256 - 1), st.sampled_from([26, 27, 28, 29, 2**255 + 27]))
def test_recovery(digest: bytes, key: int, v: int) -> None:
    signature = PrivateKey((key % (SECP256K1_N - 1) + 1).to_bytes(32, "big")).sign_recoverable(digest, hasher=None)
    for s in (signature[32:64], (SECP256K1_N - int.from_bytes(signature[32:64], "big")).to_bytes(32, "big"), bytes(32)):
        data = digest + v.to_bytes(32, "big") + signature[:32] + s
        found = same(1, data)
        assert bool(found[0]) == (v in (27, 28) and s != bytes(32))
        same(1, data + b"more")
        same(1, data[:100])


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=160))
def test_recovery_of_anything(data: bytes) -> None:
    same(1, data)


def test_recovery_without_gas() -> None:
    assert same(1, b"", 2_999) == ("out of gas",)


@settings(max_examples=100, deadline=None)
@given(st.binary(min_size=1, max_size=70), st.binary(max_size=40), st.binary(max_size=70), st.integers(0, 10))
def test_modexp_is_pys(base: bytes, exponent: bytes, modulus: bytes, cut: int) -> None:
    data = modexp_input(base, exponent, modulus)
    same(5, data[: len(data) - cut])


@settings(max_examples=30, deadline=None)
@given(SMALL, SMALL, SCALARS, st.integers(0, 140))
def test_bn254_add_and_multiply(first: int, second: int, scalar: bytes, cut: int) -> None:
    assert len(same(6, bn(first) + bn(second))[0]) == 64
    same(6, (bn(first) + bn(second))[:cut])
    same(6, bn(first) + bytes(32) + b"\x01".rjust(32, b"\x00"))
    assert len(same(7, bn(first) + scalar + b"more")[0]) == 64
    same(7, (bn(first) + scalar)[:cut])


def test_bn254_add_of_special_points() -> None:
    negative = bn(int(bn128.curve_order) - 5)
    assert same(6, bn(5) + negative)[0] == bytes(64)
    assert same(6, bn(5) + bn(5))[0] == bn(10)
    assert same(6, b"")[0] == bytes(64)
    assert same(6, (bn128.field_modulus).to_bytes(32, "big") * 2) == ("failed",)
    assert same(6, b"", 149) == same(7, b"", 5_999) == ("out of gas",)


def test_bn254_pairing() -> None:
    order = int(bn128.curve_order)
    good = bn(6) + bn_twist(1) + bn(order - 2) + bn_twist(3)
    assert same(8, good)[0][-1] == 1
    assert same(8, bn(6) + bn_twist(1))[0][-1] == 0
    assert same(8, b"")[0][-1] == 1
    assert same(8, bytes(64) + bn_twist(1))[0][-1] == 1
    assert same(8, bn(6) + bytes(128))[0][-1] == 1
    assert same(8, good[:-1]) == same(8, good[:-1] + b"\x00") == ("failed",)
    assert same(8, good, 112_999) == ("out of gas",)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 40), st.binary(min_size=208, max_size=208), st.sampled_from([0, 1, 2]))
def test_blake2(rounds: int, rest: bytes, final: int) -> None:
    data = rounds.to_bytes(4, "big") + rest + bytes([final])
    assert (same(9, data) == ("failed",)) == (final == 2)
    assert same(9, data[:-1]) == same(9, data + b"\x00") == ("failed",)
    if rounds and final < 2:
        assert same(9, data, rounds - 1) == ("out of gas",)


def test_blake2_of_many_rounds_takes_as_much_gas() -> None:
    data = (2**32 - 1).to_bytes(4, "big") + bytes(209)
    assert outcome(OURS[bytes(19) + b"\x09"], data, 16_777_216) == ("out of gas",)


@settings(max_examples=8, deadline=None)
@given(st.lists(st.tuples(SMALL, SCALARS), min_size=1, max_size=3))
def test_bls12_381_sums(items: list[tuple[int, bytes]]) -> None:
    first = items[0][0]
    assert len(same(0x0B, g1(first) + g1(items[-1][0]))[0]) == 128
    assert len(same(0x0D, g2(first) + g2(items[-1][0]))[0]) == 256
    assert len(same(0x0C, b"".join(g1(point) + scalar for point, scalar in items))[0]) == 128
    assert len(same(0x0E, b"".join(g2(point) + scalar for point, scalar in items))[0]) == 256


@settings(max_examples=5, deadline=None)
@given(FIELD, FIELD)
def test_bls12_381_maps(first: bytes, second: bytes) -> None:
    assert len(same(0x10, first)[0]) == 128
    assert len(same(0x11, first + second)[0]) == 256


def test_bls12_381_special_points() -> None:
    assert same(0x0B, bytes(256))[0] == bytes(128)
    assert same(0x0B, g1(4) + g1(int(bls.curve_order) - 4))[0] == bytes(128)
    assert same(0x0B, g1(4) + g1(4))[0] == g1(8)
    assert same(0x0D, g2(4) + g2(int(bls.curve_order) - 4))[0] == bytes(256)
    assert same(0x0C, bytes(128) + b"\x05".rjust(32, b"\x00"))[0] == bytes(128)
    # Addition does not ask for the group, a sum of multiples does.
    assert len(same(0x0B, OFF_GROUP_G1 + g1(4))[0]) == 128
    assert same(0x0C, OFF_GROUP_G1 + bytes(32)) == ("failed",)
    assert same(0x0F, OFF_GROUP_G1 + g2(1)) == ("failed",)


def test_bls12_381_pairing() -> None:
    order = int(bls.curve_order)
    assert same(0x0F, g1(6) + g2(1) + g1(order - 2) + g2(3))[0][-1] == 1
    assert same(0x0F, g1(6) + g2(2))[0][-1] == 0
    assert same(0x0F, bytes(128) + g2(2))[0][-1] == 1
    assert same(0x0F, g1(6) + g2(2), 70_299) == ("out of gas",)


@pytest.mark.parametrize("number", range(0x0B, 0x12))
@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 127, 128, 160, 161, 256, 288, 384, 512, 513])
def test_bls12_381_wrong_lengths(number: int, size: int) -> None:
    same(number, bytes(size))


@pytest.mark.parametrize("number", [0x0B, 0x0C, 0x0D, 0x0E, 0x0F, 0x10, 0x11])
@pytest.mark.parametrize("place", [0, 15, 16, 48, 63, 64, 127])
def test_bls12_381_coordinates_out_of_range(number: int, place: int) -> None:
    sizes = {0x0B: 256, 0x0C: 160, 0x0D: 512, 0x0E: 288, 0x0F: 384, 0x10: 64, 0x11: 128}
    whole = {0x0B: g1(3) * 2, 0x0C: g1(3) + bytes(32), 0x0D: g2(3) * 2, 0x0E: g2(3) + bytes(32), 0x0F: g1(3) + g2(3)}
    data = bytearray(whole.get(number, bytes(128))[: sizes[number]])
    if place >= len(data):
        return
    data[place] ^= 0xFF
    same(number, bytes(data))


def test_bls12_381_gas_of_long_sums() -> None:
    item = bytes(128) + b"\x01".rjust(32, b"\x00")
    for count in (1, 2, 128, 129, 200):
        frame = Frame(item * count, 10**7)
        OURS[bytes(19) + b"\x0c"](frame)
        discount = [*G1_MSM_DISCOUNTS, *[G1_MSM_MAX_DISCOUNT] * 100][count - 1]
        assert 10**7 - frame.gas == count * 12_000 * discount // 1_000
