"""Keccak-256 by the C implementation of safe-pysha3: about 1 us, where the pure packages take 10 and more."""

from __future__ import annotations

from typing import cast

import sha3


def keccak(data: bytes) -> bytes:
    """Return the Keccak-256 hash of data (32 bytes)."""
    return cast(bytes, sha3.keccak_256(data).digest())


EMPTY_CODE_HASH = keccak(b"")
"""The code hash of an account without code."""
