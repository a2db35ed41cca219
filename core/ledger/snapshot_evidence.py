"""What the ledger says about a snapshot: an entry whose claims digest is the snapshot's hash. CCF 6, "Snapshots"."""

from __future__ import annotations

import msgspec

from core.errors import MalformedMessage
from core.ledger.tables import SINGLETON_KEY, SNAPSHOT_EVIDENCE, Tables
from core.types import Digest, Seqno


class SnapshotEvidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """hash: SHA-256 of the file without its receipt, hexadecimal. version: the seqno whose state it holds.

    state_digest: of that state (core/ledger/state_digest.py), signature tables aside; hexadecimal. It is ours: CCF has
    only the first two.
    """

    hash: str
    version: int
    state_digest: str

    @classmethod
    def make(cls, digest: Digest, seqno: Seqno, state_digest: Digest) -> SnapshotEvidence:
        return cls(digest.hex(), seqno, state_digest.hex())

    def to_tables(self) -> Tables:
        return {SNAPSHOT_EVIDENCE: {SINGLETON_KEY: msgspec.json.encode(self)}}

    @classmethod
    def decode(cls, data: bytes) -> SnapshotEvidence:
        """Decode; raises MalformedMessage for anything but the one form."""
        try:
            evidence = msgspec.json.decode(data, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise MalformedMessage(f"the evidence of a snapshot does not parse: {error}") from None
        for digest in (evidence.hash, evidence.state_digest):
            if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
                raise MalformedMessage("the evidence of a snapshot holds something else than a digest")
        if msgspec.json.encode(evidence) != data:
            raise MalformedMessage("the evidence of a snapshot is not in its one canonical form")
        return evidence
