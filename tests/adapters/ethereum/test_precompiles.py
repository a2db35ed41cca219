"""The replaced precompiles, called through a contract that returns what they return."""

from __future__ import annotations

import pytest

from adapters.ethereum.model import CallRequest, CallResult
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


def test_point_evaluation_refuses() -> None:
    assert call(POINT_EVALUATION, bytes(191)).error is not None
    assert call(POINT_EVALUATION, bytes(192)).error is not None
    point_at_infinity = b"\xc0" + bytes(47)
    versioned = bytes.fromhex("010657f37554c781402a22917dee2f75def7ab966d7b770905398eba3c444014")
    good = versioned + bytes(64) + point_at_infinity * 2
    result = call(POINT_EVALUATION, good)
    assert result.error is None
    assert result.return_data[:32] == (4096).to_bytes(32, "big")
    wrong_value = versioned + bytes(63) + b"\x01" + point_at_infinity * 2
    assert call(POINT_EVALUATION, wrong_value).error is not None
