"""What an audit found: per ledger what it holds, what is wrong and what deserves a look, each with its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from core.types import Digest, NodeId, Seqno, TransactionId, View

Kind = Literal["damage", "equivocation"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, or deserves a look, and where.

    complete: False when reading ended here, so that nothing after it was checked. kind "equivocation": two statements
    that this network can never both have made.
    """

    file: str
    offset: int
    entry: int | None
    what: str
    complete: bool = True
    kind: Kind = "damage"

    def __str__(self) -> str:
        entry = "" if self.entry is None else f", entry {self.entry}"
        return f"{self.file}, byte {self.offset}{entry}: {self.what}"

    def to_json(self) -> dict[str, Any]:
        return {
            "entry": self.entry,
            "file": self.file,
            "kind": self.kind,
            "offset": self.offset,
            "rest_checked": self.complete,
            "what": self.what,
        }


@dataclass(frozen=True, slots=True)
class SignedAt:
    """A signed root: signed in the entry `seqno`, over all entries before it."""

    view: View
    seqno: Seqno
    root: Digest
    node: str

    def to_json(self) -> dict[str, Any]:
        return {"node": self.node, "root": self.root.hex(), "transaction": str(TransactionId(self.view, self.seqno))}


@dataclass(slots=True)
class ViewReport:
    """A view, and the node that signs in it."""

    view: View
    first_seqno: Seqno
    last_seqno: Seqno = field(default_factory=lambda: Seqno(0))
    node: NodeId | str | None = None


@dataclass(slots=True)
class LedgerReport:
    """name: how the ledger was called. entries: that fit. facts: what the rules learned."""

    name: str
    chunks: int = 0
    entries: int = 0
    signatures: int = 0
    size_bytes: int = 0
    unsigned_entries: int = 0
    torn_bytes: int = 0
    last_signed: SignedAt | None = None
    service_certificate: str | None = None
    views: list[ViewReport] = field(default_factory=list)
    facts: dict[str, object] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        facts: Mapping[str, object] = self.facts
        return {
            "directory": self.name,
            "chunks": self.chunks,
            "entries": self.entries,
            "facts": facts,
            "findings": [one.to_json() for one in self.findings],
            "last_signed": self.last_signed.to_json() if self.last_signed else None,
            "service_certificate": self.service_certificate,
            "signatures": self.signatures,
            "size_bytes": self.size_bytes,
            "torn_bytes": self.torn_bytes,
            "unsigned_entries": self.unsigned_entries,
            "views": [
                {"first": one.first_seqno, "last": one.last_seqno, "node": one.node, "view": one.view}
                for one in self.views
            ],
            "warnings": [one.to_json() for one in self.warnings],
        }


@dataclass(slots=True)
class AuditReport:
    """All ledgers together. findings, warnings: between ledgers and receipts."""

    ledgers: list[LedgerReport] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)

    @property
    def all_findings(self) -> list[Finding]:
        return [*self.findings, *(one for ledger in self.ledgers for one in ledger.findings)]

    @property
    def is_sound(self) -> bool:
        return not self.all_findings

    @property
    def is_equivocal(self) -> bool:
        """Whether two statements were found that contradict each other."""
        return any(one.kind == "equivocation" for one in self.all_findings)

    def to_json(self) -> dict[str, Any]:
        return {
            "findings": [one.to_json() for one in self.findings],
            "ledgers": [one.to_json() for one in self.ledgers],
            "sound": self.is_sound,
            "warnings": [one.to_json() for one in self.warnings],
        }
