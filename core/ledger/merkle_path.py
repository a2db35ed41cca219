"""Paths in the Merkle tree (merkle.py) from complete subtrees that are known already.

A subtree (level, index) covers leaves index * 2^level up to (index + 1) * 2^level, and is complete when all are there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from core.ledger.receipt import ProofStep
from core.types import Digest

Subtree = Callable[[int, int], bytes]
"""(level, index) -> the hash of a complete subtree."""


def path(leaf: int, leaves: int, subtree: Subtree) -> tuple[ProofStep, ...]:
    """Return the siblings from a leaf to the root of the tree over the first `leaves` leaves."""
    steps = []
    level, index = 0, leaf
    while 1 << level < leaves:
        if index & 1:
            steps.append(ProofStep(left=True, digest=Digest(subtree(level, index - 1))))
        elif (index + 1) << level < leaves:
            sibling = cover((index + 1) << level, min(leaves, (index + 2) << level), subtree)
            steps.append(ProofStep(left=False, digest=Digest(sibling)))
        level, index = level + 1, index >> 1
    return tuple(steps)


def cover(first: int, end: int, subtree: Subtree) -> bytes:
    """Return the root over leaves first up to end. first: a multiple of a power of two not less than their number."""
    parts = []
    at = first
    while at < end:
        level = (end - at).bit_length() - 1
        parts.append(subtree(level, at >> level))
        at += 1 << level
    node = parts[-1]
    for part in reversed(parts[:-1]):
        node = hashlib.sha256(part + node).digest()
    return node


def levels_of(leaves: Sequence[bytes]) -> list[list[bytes]]:
    """Return the complete subtrees over leaves that begin at an aligned place, by level."""
    levels = [list(leaves)]
    while len(levels[-1]) > 1:
        below = levels[-1]
        pairs = zip(below[::2], below[1::2], strict=False)
        levels.append([hashlib.sha256(left + right).digest() for left, right in pairs])
    return levels
