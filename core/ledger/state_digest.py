"""One digest of a whole state, the same whatever the order in which its rows are visited.

A row is (table, key, version, value), version being the seqno of the entry that wrote it; deleted keys are no rows.

    leaf    = SHA-256(length of table 8 | table | length of key 8 | key | version 8 | value)
    bucket  = SHA-256(the leaves whose first byte is the bucket's number, sorted, one after the other)
    digest  = SHA-256(the 256 bucket hashes | number of rows 8)

Lengths and numbers are little-endian. Equal digests mean equal states: the encoding of a row is unambiguous, and a
bucket's leaves are in one order. It takes 32 bytes per row and no more; `finish` works in slices, so that a node can
go on with other work in between.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Generator, Iterable

from core.errors import InvariantBroken
from core.types import Digest, Seqno

BUCKETS = 256
LEAF_BYTES = 32
_U64 = struct.Struct("<Q")

Row = tuple[str, bytes, int, bytes]


def row_leaf(table: str, key: bytes, version: int, value: bytes) -> bytes:
    """Return the leaf of one row."""
    name = table.encode()
    head = b"".join((_U64.pack(len(name)), name, _U64.pack(len(key)), key, _U64.pack(version)))
    return hashlib.sha256(head + value).digest()


class StateDigest:
    """Takes rows one at a time, each once, then gives the digest once."""

    def __init__(self) -> None:
        self._buckets = [bytearray() for _ in range(BUCKETS)]
        self._rows = 0
        self._finished = False

    @property
    def rows(self) -> int:
        """How many rows were added."""
        return self._rows

    def add(self, table: str, key: bytes, version: Seqno | int, value: bytes) -> None:
        """Add a row; raises InvariantBroken once finished."""
        if self._finished:
            raise InvariantBroken("a row is added to a digest that is finished")
        leaf = row_leaf(table, key, version, value)
        self._buckets[leaf[0]] += leaf
        self._rows += 1

    def slices(self) -> Generator[None, None, Digest]:
        """Compute the digest, yielding after each of 256 slices; it is the generator's return value.

        A slice sorts and hashes one bucket: of a million rows some 4,000. Frees the rows as it goes.
        """
        if self._finished:
            raise InvariantBroken("a digest is computed twice")
        self._finished = True
        whole = hashlib.sha256()
        for number, bucket in enumerate(self._buckets):
            leaves = sorted(bytes(bucket[at : at + LEAF_BYTES]) for at in range(0, len(bucket), LEAF_BYTES))
            whole.update(hashlib.sha256(b"".join(leaves)).digest())
            self._buckets[number] = bytearray()
            yield
        whole.update(_U64.pack(self._rows))
        return Digest(whole.digest())

    def finish(self) -> Digest:
        """Compute the digest in one go."""
        running = self.slices()
        while True:
            try:
                next(running)
            except StopIteration as done:
                return Digest(done.value)


def digest_of(rows: Iterable[Row]) -> Digest:
    """Return the digest of a state at hand."""
    digest = StateDigest()
    for table, key, version, value in rows:
        digest.add(table, key, version, value)
    return digest.finish()
