"""A history (history.py) of a ledger whose older part is verified while the node already goes on.

Entries after the start are kept aside (48 bytes each) until those before them are here; then they follow. Meanwhile
nothing after the older part can be proven.
"""

from __future__ import annotations

from array import array

from core.errors import InvariantBroken
from core.ledger.history import LedgerHistory
from core.types import Digest, Seqno

_LEAF_BYTES = 32


class BackfilledHistory(LedgerHistory):
    """See the module. after: the last entry of the older part."""

    def __init__(self, after: Seqno) -> None:
        super().__init__()
        self._after = after
        self._leaves = bytearray()
        self._aside_chunks, self._aside_offsets, self._sizes = array("Q"), array("I"), array("I")
        self._closed_after: list[int] = []
        self._is_complete = False

    @property
    def newest_seqno(self) -> Seqno:
        if self._is_complete:
            return self.last_seqno
        return Seqno(self._after + len(self._sizes))

    def add(self, leaf: Digest, chunk: Seqno, offset: int, size_bytes: int) -> None:
        if self._is_complete:
            super().add(leaf, chunk, offset, size_bytes)
            return
        self._leaves += leaf
        self._aside_chunks.append(chunk)
        self._aside_offsets.append(offset)
        self._sizes.append(size_bytes)

    def close_chunk(self) -> None:
        if self._is_complete:
            super().close_chunk()
        else:
            self._closed_after.append(len(self._sizes))

    def add_older(self, leaf: Digest, chunk: Seqno, offset: int, size_bytes: int) -> None:
        """As `add`, for the older part, from entry 1 on."""
        super().add(leaf, chunk, offset, size_bytes)

    def close_older_chunk(self) -> None:
        super().close_chunk()

    def complete(self) -> None:
        """Say that the older part is here: what was kept aside follows it."""
        if self._is_complete or self.last_seqno != self._after:
            raise InvariantBroken(f"the older part of the history ends at {self.last_seqno}, not at {self._after}")
        self._is_complete = True
        closings = iter([*self._closed_after, -1])
        closing = next(closings)
        for number, (chunk, offset, size) in enumerate(
            zip(self._aside_chunks, self._aside_offsets, self._sizes, strict=True)
        ):
            if number == closing:
                super().close_chunk()
                closing = next(closings)
            leaf = Digest(bytes(self._leaves[number * _LEAF_BYTES : (number + 1) * _LEAF_BYTES]))
            super().add(leaf, Seqno(chunk), offset, size)
        if closing == len(self._sizes):
            super().close_chunk()
        self._leaves, self._closed_after = bytearray(), []
        self._aside_chunks, self._aside_offsets, self._sizes = array("Q"), array("I"), array("I")
