"""Precompiled contracts where py-evm's own are wrong or load what could be kept.

- 0x05 (EIP-198, EIP-2565): py-evm returns 0 for an empty base even when the exponent is 0, where 0**0 is 1.
- 0x0a (EIP-4844): py-evm reads the trusted setup anew for each call, some two seconds for 50,000 gas.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import ckzg
import eth
from eth.exceptions import VMError
from eth.precompiles.modexp import extract_lengths
from eth.vm.forks.berlin.computation import _compute_modexp_gas_fee_eip_2565

Precompile = Callable[[Any], Any]

MODEXP_ADDRESS = bytes(19) + b"\x05"
POINT_EVALUATION_ADDRESS = bytes(19) + b"\x0a"

POINT_EVALUATION_GAS = 50_000
POINT_EVALUATION_INPUT_BYTES = 192
FIELD_ELEMENTS_PER_BLOB = 4096
BLS_MODULUS = 52435875175126190479447740508185965837690552500527637822603658699938581184513


def with_replacements(precompiles: Mapping[bytes, Precompile]) -> dict[bytes, Precompile]:
    """Return py-evm's precompiles with ours in their places."""
    return {**precompiles, MODEXP_ADDRESS: modexp, POINT_EVALUATION_ADDRESS: point_evaluation}


def modexp(computation: Any) -> Any:
    """base ** exponent % modulus."""
    data: bytes = computation.msg.data_as_bytes
    computation.consume_gas(_compute_modexp_gas_fee_eip_2565(data), reason="MODEXP")
    base_size, exponent_size, modulus_size = extract_lengths(data)
    if modulus_size == 0:
        computation.output = b""
        return computation
    # The gas that was paid bounds all three sizes from here on: the modulus is not empty.
    exponent_start = 96 + base_size
    modulus_start = exponent_start + exponent_size
    modulus = _padded_integer(data, modulus_start, modulus_size)
    if modulus == 0:
        computation.output = bytes(modulus_size)
        return computation
    base = _padded_integer(data, 96, base_size)
    exponent = _padded_integer(data, exponent_start, exponent_size)
    computation.output = pow(base, exponent, modulus).to_bytes(modulus_size, "big")
    return computation


def point_evaluation(computation: Any) -> Any:
    """Check a KZG proof that a blob's polynomial has a value at a point."""
    computation.consume_gas(POINT_EVALUATION_GAS, reason="POINT EVALUATION")
    data: bytes = computation.msg.data_as_bytes
    if len(data) != POINT_EVALUATION_INPUT_BYTES:
        raise VMError("point evaluation: input is not 192 bytes")
    versioned_hash, point, value, commitment, proof = (
        data[:32],
        data[32:64],
        data[64:96],
        data[96:144],
        data[144:],
    )
    if versioned_hash != b"\x01" + hashlib.sha256(commitment).digest()[1:]:
        raise VMError("point evaluation: the commitment does not have this versioned hash")
    try:
        verified = ckzg.verify_kzg_proof(commitment, point, value, proof, _trusted_setup())
    except RuntimeError:
        verified = False
    if not verified:
        raise VMError("point evaluation: the proof does not verify")
    computation.output = FIELD_ELEMENTS_PER_BLOB.to_bytes(32, "big") + BLS_MODULUS.to_bytes(32, "big")
    return computation


def _padded_integer(data: bytes, start: int, size: int) -> int:
    """Read an integer past whose end the data reads as zeros."""
    return int.from_bytes(data[start : start + size].ljust(size, b"\x00"), "big")


@lru_cache(maxsize=1)
def _trusted_setup() -> Any:
    """Load the public setup that comes with py-evm; a pure value, so it is kept."""
    path = Path(eth.__file__).parent / "_utils" / "kzg_trusted_setup.txt"
    return ckzg.load_trusted_setup(str(path), 0)
