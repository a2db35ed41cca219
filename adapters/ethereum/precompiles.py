"""Precompiled contracts: py-evm's for SHA-256, RIPEMD-160 and the identity, ours for the others.

py-evm's own take up to minutes for a transaction's gas, since they are in Python (py_ecc, blake2); these take well
under two seconds (benchmarks/worst_case.py). Beside that, two differ in what they do:
- 0x05 (EIP-198, EIP-2565): py-evm returns 0 for an empty base even when the exponent is 0, where 0**0 is 1.
- 0x0a (EIP-4844) is refused: there are no blobs here, so nothing there could be a proof about. It fails as it does for
  a wrong proof, with all the gas that it was given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import blake2b
from eth.exceptions import VMError
from eth.precompiles.modexp import extract_lengths
from eth.vm.forks.berlin.computation import _compute_modexp_gas_fee_eip_2565
from gmpy2 import mpz, powmod

from adapters.ethereum import bn254
from adapters.ethereum.bls12_381 import PRECOMPILES as BLS12_381_PRECOMPILES
from adapters.ethereum.bn254 import NotOnCurve
from adapters.ethereum.signatures import SECP256K1_N, recover_address
from core.errors import MalformedMessage

Precompile = Callable[[Any], Any]

RECOVERY_GAS = 3_000
EC_ADD_GAS = 150
EC_MULTIPLY_GAS = 6_000
PAIRING_GAS = 45_000
PAIRING_PAIR_GAS = 34_000
PAIRING_PAIR_BYTES = 192
BLAKE2_INPUT_BYTES = 213


def with_replacements(precompiles: Mapping[bytes, Precompile]) -> dict[bytes, Precompile]:
    """Return py-evm's precompiles with ours in their places."""
    ours = {
        _address(0x01): recover_signer,
        _address(0x05): modexp,
        _address(0x06): ec_add,
        _address(0x07): ec_multiply,
        _address(0x08): ec_pairing,
        _address(0x09): blake2_compress,
        _address(0x0A): point_evaluation,
        **{_address(number): precompile for number, precompile in BLS12_381_PRECOMPILES.items()},
    }
    return {address: ours.get(address, theirs) for address, theirs in precompiles.items()}


def _address(number: int) -> bytes:
    return number.to_bytes(20, "big")


def recover_signer(computation: Any) -> None:
    """0x01: the address that signed a hash; nothing when the signature is none."""
    computation.consume_gas(RECOVERY_GAS, reason="ECRECOVER")
    data: bytes = computation.msg.data_as_bytes[:128].ljust(128, b"\x00")
    v, r, s = (int.from_bytes(data[start : start + 32], "big") for start in (32, 64, 96))
    if v not in (27, 28) or not 0 < r < SECP256K1_N or not 0 < s < SECP256K1_N:
        return
    try:
        computation.output = recover_address(data[:32], v - 27, r, s).rjust(32, b"\x00")
    except MalformedMessage:
        return


def modexp(computation: Any) -> None:
    """0x05: base ** exponent % modulus."""
    data: bytes = computation.msg.data_as_bytes
    computation.consume_gas(_compute_modexp_gas_fee_eip_2565(data), reason="MODEXP")
    base_size, exponent_size, modulus_size = extract_lengths(data)
    if modulus_size == 0:
        return
    # The gas that was paid bounds all three sizes from here on: the modulus is not empty.
    exponent_start = 96 + base_size
    modulus_start = exponent_start + exponent_size
    modulus = _padded_integer(data, modulus_start, modulus_size)
    if modulus == 0:
        computation.output = bytes(modulus_size)
        return
    base = _padded_integer(data, 96, base_size)
    exponent = _padded_integer(data, exponent_start, exponent_size)
    computation.output = int(powmod(mpz(base), mpz(exponent), mpz(modulus))).to_bytes(modulus_size, "big")


def _padded_integer(data: bytes, start: int, size: int) -> int:
    """Read an integer past whose end the data reads as zeros."""
    return int.from_bytes(data[start : start + size].ljust(size, b"\x00"), "big")


def ec_add(computation: Any) -> None:
    """0x06 (EIP-196): the sum of two points of alt_bn128."""
    computation.consume_gas(EC_ADD_GAS, reason="ECADD")
    x1, y1, x2, y2 = _words(computation.msg.data_as_bytes, 4)
    try:
        total = bn254.add(bn254.read_point(x1, y1), bn254.read_point(x2, y2))
    except NotOnCurve as error:
        raise VMError(f"ECADD: {error}") from None
    computation.output = _point_bytes(total)


def ec_multiply(computation: Any) -> None:
    """0x07 (EIP-196): a multiple of a point of alt_bn128."""
    computation.consume_gas(EC_MULTIPLY_GAS, reason="ECMUL")
    x, y, scalar = _words(computation.msg.data_as_bytes, 3)
    try:
        product = bn254.multiply(bn254.read_point(x, y), scalar)
    except NotOnCurve as error:
        raise VMError(f"ECMUL: {error}") from None
    computation.output = _point_bytes(product)


def ec_pairing(computation: Any) -> None:
    """0x08 (EIP-197): whether a product of pairings on alt_bn128 is one."""
    data: bytes = computation.msg.data_as_bytes
    if len(data) % PAIRING_PAIR_BYTES:
        raise VMError("ECPAIRING: the input is not a number of pairs")
    count = len(data) // PAIRING_PAIR_BYTES
    computation.consume_gas(PAIRING_GAS + count * PAIRING_PAIR_GAS, reason="ECPAIRING")
    pairs = []
    try:
        for start in range(0, len(data), PAIRING_PAIR_BYTES):
            # On the wire, the imaginary part comes first.
            x, y, x_i, x_r, y_i, y_r = _words(data[start : start + PAIRING_PAIR_BYTES], 6)
            pairs.append((bn254.read_point(x, y), bn254.read_twist_point((x_r, x_i), (y_r, y_i))))
        result = bn254.pairing_check(pairs, computation.state.deadline.check)
    except NotOnCurve as error:
        raise VMError(f"ECPAIRING: {error}") from None
    computation.output = int(result).to_bytes(32, "big")


def _words(data: bytes, count: int) -> list[int]:
    padded = data[: 32 * count].ljust(32 * count, b"\x00")
    return [int.from_bytes(padded[start : start + 32], "big") for start in range(0, 32 * count, 32)]


def _point_bytes(point: bn254.Point) -> bytes:
    if point is None:
        return bytes(64)
    return int(point[0]).to_bytes(32, "big") + int(point[1]).to_bytes(32, "big")


def blake2_compress(computation: Any) -> None:
    """0x09 (EIP-152): the compression function of BLAKE2b with any number of rounds, a gas each."""
    data: bytes = computation.msg.data_as_bytes
    if len(data) != BLAKE2_INPUT_BYTES or data[-1] > 1:
        raise VMError("BLAKE2: the input is malformed")
    computation.consume_gas(int.from_bytes(data[:4], "big"), reason="BLAKE2")
    computation.output = blake2b.decode_and_compress(data)


def point_evaluation(computation: Any) -> None:
    """0x0a: refused, see the module."""
    raise VMError("point evaluation: this network has no blobs")
