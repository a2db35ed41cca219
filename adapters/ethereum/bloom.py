"""The 2048-bit Bloom filter of logs. Yellow Paper, section 4.3.1."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from adapters.ethereum.keccak import keccak
from adapters.ethereum.model import Log

BLOOM_BYTES = 256
EMPTY_BLOOM = bytes(BLOOM_BYTES)
PARTS_MAX = 4_096
"""Addresses and topics whose bits are kept."""


def logs_bloom(logs: Iterable[Log]) -> bytes:
    """Return the filter of the addresses and topics of logs (256 bytes)."""
    parts = {log.address for log in logs}
    for log in logs:
        parts.update(log.topics)
    if not parts:
        return EMPTY_BLOOM
    bits = 0
    for part in parts:
        bits |= _bits(part)
    return bits.to_bytes(BLOOM_BYTES, "big")


@lru_cache(maxsize=PARTS_MAX)
def _bits(part: bytes) -> int:
    """Return the three bits of an address or topic. Contracts, events and parties come again and again."""
    digest = keccak(part)
    bits = 0
    for start in (0, 2, 4):
        bits |= 1 << (int.from_bytes(digest[start : start + 2], "big") & 2047)
    return bits


def combine(blooms: Iterable[bytes]) -> bytes:
    """Return the filter of a block from those of its receipts."""
    bits = 0
    for bloom in blooms:
        if bloom is not EMPTY_BLOOM:
            bits |= int.from_bytes(bloom, "big")
    return bits.to_bytes(BLOOM_BYTES, "big") if bits else EMPTY_BLOOM
