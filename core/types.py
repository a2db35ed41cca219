"""Identifiers and small values that the whole of core shares. NewTypes keep them from being mixed."""

from __future__ import annotations

import re
from typing import NewType

import msgspec

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

ADAPTER_NAMES_RESERVED = frozenset({"ccf", "coco", "node", "public", "token"})
"""What the node's own tables and paths begin with."""

_ADAPTER_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_TRANSACTION_ID = re.compile(r"([0-9]{1,18})\.([0-9]{1,18})")


class TransactionId(msgspec.Struct, frozen=True, order=True, gc=False):
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


def check_adapter_name(name: str) -> str:
    """Return a name that an adapter may have: it starts its tables and its path. Raises CocoError."""
    if _ADAPTER_NAME.fullmatch(name) is None or name in ADAPTER_NAMES_RESERVED:
        raise CocoError(
            f"not an adapter's name: {name[:40]!r}",
            hint="Use up to 32 of a-z, 0-9 and _, a letter first, and none of "
            f"{', '.join(sorted(ADAPTER_NAMES_RESERVED))}.",
        )
    return name
