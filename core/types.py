"""Identifiers and small values that the whole of core shares. NewTypes keep them from being mixed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NewType

from core.errors import CocoError

Seqno = NewType("Seqno", int)
"""Position of an entry in the ledger, from 1. 0 means "before the first entry"."""

View = NewType("View", int)
"""Consensus view (Raft term), from 1. Every start of a node makes a new one."""

NodeId = NewType("NodeId", str)
"""Hexadecimal SHA-256 of the node's public key (SubjectPublicKeyInfo DER)."""

Digest = NewType("Digest", bytes)
"""A SHA-256 digest, 32 bytes."""

NO_CLAIMS = Digest(bytes(32))
"""The claims digest of an entry whose adapter claims nothing."""

_TRANSACTION_ID = re.compile(r"([0-9]{1,18})\.([0-9]{1,18})")


@dataclass(frozen=True, slots=True, order=True)
class TransactionId:
    """`view.seqno`, as CCF writes it."""

    view: View
    seqno: Seqno

    def __str__(self) -> str:
        return f"{self.view}.{self.seqno}"

    @classmethod
    def parse(cls, text: str) -> TransactionId:
        """Parse `view.seqno`; raises CocoError on anything else."""
        match = _TRANSACTION_ID.fullmatch(text)
        if match is None:
            raise CocoError(
                f"not a transaction id: {text[:40]!r}", hint="A transaction id looks like 2.17 (view.seqno)."
            )
        return cls(View(int(match[1])), Seqno(int(match[2])))
