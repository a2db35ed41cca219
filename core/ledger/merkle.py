"""The Merkle tree over the ledger, as merklecpp and CCF build it, kept as its right edge only.

Two children hash as SHA-256(left | right); a node without a sibling is lifted unchanged. Leaf 0 is 32 zero bytes, so
that leaf n belongs to seqno n. The frontier holds one hash per set bit of the leaf count: O(log n) memory.
Source: microsoft/merklecpp; CCF, "Merkle tree".
"""

from __future__ import annotations

import hashlib

from core.errors import InvariantBroken, MalformedMessage
from core.types import Digest

ZERO_LEAF = Digest(bytes(32))


class MerkleFrontier:
    """An append-only tree. Entry hashes are leaves as they are; they are not hashed again."""

    __slots__ = ("_leaves", "_subtrees")

    def __init__(self) -> None:
        self._subtrees: list[bytes] = []
        self._leaves = 0
        self.append(ZERO_LEAF)

    @property
    def last_seqno(self) -> int:
        """The seqno of the newest leaf; 0 for a new tree."""
        return self._leaves - 1

    def append(self, leaf: Digest) -> None:
        """Add the next leaf."""
        if len(leaf) != 32:
            raise InvariantBroken("a Merkle leaf has 32 bytes")
        node: bytes = leaf
        carries = self._leaves
        while carries & 1:
            node = hashlib.sha256(self._subtrees.pop() + node).digest()
            carries >>= 1
        self._subtrees.append(node)
        self._leaves += 1

    def root(self) -> Digest:
        """Return the root over all leaves so far."""
        node = self._subtrees[-1]
        for left in reversed(self._subtrees[:-1]):
            node = hashlib.sha256(left + node).digest()
        return Digest(node)

    def copy(self) -> MerkleFrontier:
        """Return a tree that grows apart from this one."""
        twin = MerkleFrontier()
        twin._subtrees = self._subtrees.copy()
        twin._leaves = self._leaves
        return twin

    def to_bytes(self) -> bytes:
        """Return the number of leaves (8, little-endian) and the subtrees, the largest first (32 each)."""
        return self._leaves.to_bytes(8, "little") + b"".join(self._subtrees)

    @classmethod
    def from_bytes(cls, data: bytes) -> MerkleFrontier:
        """Take what `to_bytes` returned; raises MalformedMessage. What it says of the leaves cannot be checked here."""
        leaves = int.from_bytes(data[:8], "little")
        if not leaves or len(data) != 8 + 32 * leaves.bit_count():
            raise MalformedMessage("the frontier of a Merkle tree does not have its form")
        tree = cls()
        tree._leaves = leaves
        tree._subtrees = [data[at : at + 32] for at in range(8, len(data), 32)]
        return tree
