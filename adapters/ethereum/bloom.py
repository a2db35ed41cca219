"""The 2048-bit Bloom filter of logs. Yellow Paper, section 4.3.1."""

from __future__ import annotations

from collections.abc import Iterable

from adapters.ethereum.keccak import keccak
from adapters.ethereum.model import Log

BLOOM_BYTES = 256
EMPTY_BLOOM = bytes(BLOOM_BYTES)


def logs_bloom(logs: Iterable[Log]) -> bytes:
    """Return the filter of the addresses and topics of logs (256 bytes)."""
    parts = {log.address for log in logs}
    for log in logs:
        parts.update(log.topics)
    if not parts:
        return EMPTY_BLOOM
    bits = 0
    for part in parts:
        digest = keccak(part)
        for start in (0, 2, 4):
            bits |= 1 << (int.from_bytes(digest[start : start + 2], "big") & 2047)
    return bits.to_bytes(BLOOM_BYTES, "big")


def combine(blooms: Iterable[bytes]) -> bytes:
    """Return the filter of a block from those of its receipts."""
    bits = 0
    for bloom in blooms:
        if bloom is not EMPTY_BLOOM:
            bits |= int.from_bytes(bloom, "big")
    return bits.to_bytes(BLOOM_BYTES, "big") if bits else EMPTY_BLOOM
