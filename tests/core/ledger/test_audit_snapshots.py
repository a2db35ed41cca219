"""Snapshot files beside a ledger: only the one that the ledger has evidence of passes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from core.crypto.certificates import issue, self_signed
from core.crypto.hashing import sha256
from core.crypto.keys import PrivateKey
from core.ledger.audit_report import LedgerReport, SignedAt
from core.ledger.audit_snapshots import audit_snapshots
from core.ledger.receipt import LeafComponents, Receipt
from core.types import Digest, Seqno, View
from tests.support.memory_disk import MemoryDisk

START = datetime(2026, 1, 1, tzinfo=UTC)
SERVICE_KEY, NODE_KEY = PrivateKey.generate(), PrivateKey.generate()
SERVICE = self_signed("service", SERVICE_KEY, not_before=START, days=99)
NODE = issue(
    "n", NODE_KEY.public_key(), issuer=SERVICE, issuer_key=SERVICE_KEY, not_before=START, days=9, usage="signing"
)
BODY = b"\1\0" + (500).to_bytes(6, "little") + bytes(500)
HASH = sha256(BODY)
NAME = "snapshots/snapshot_10_13.committed"


def receipt(seqno: int = 13, claims: Digest = HASH) -> bytes:
    leaf = LeafComponents(Digest(bytes(32)), f"ce:1.{seqno}:{'ab' * 32}", claims)
    made = Receipt(NODE, NODE_KEY.public_key().node_id(), leaf, (), b"")
    return replace(made, signature=NODE_KEY.sign_digest(made.root)).encode()


async def findings(files: dict[str, bytes], evidence: dict[int, tuple[int, str]] | None = None) -> LedgerReport:
    report = LedgerReport("x", service_certificate=SERVICE)
    report.last_signed = SignedAt(View(1), Seqno(20), Digest(bytes(32)), "n")
    await audit_snapshots(MemoryDisk(files), {13: (10, HASH.hex())} if evidence is None else evidence, report)
    return report


async def test_the_snapshot_that_the_ledger_names() -> None:
    report = await findings({NAME: BODY + receipt()})
    assert (report.findings, report.warnings) == ([], [])


FLIPPED = BODY[:100] + bytes([BODY[100] ^ 1]) + BODY[101:]


@pytest.mark.parametrize(
    ("name", "data", "what"),
    [
        (NAME, FLIPPED + receipt(), "its hash is another"),
        (NAME, BODY[:-1] + receipt(), "hash is another"),
        (NAME, BODY, "room"),
        (NAME, b"", "room"),
        (NAME, b"\1\0" + b"\xff" * 6 + BODY[8:], "room"),
        (NAME, BODY + receipt(12), "its receipt is not that of entry 13"),
        (NAME, BODY + receipt(claims=Digest(bytes(32))), "claims"),
        (NAME, BODY + receipt().replace(b'"signature":"M', b'"signature":"!'), "signature"),
        (NAME, BODY + b"junk", "receipt"),
        ("snapshots/snapshot_9_13.committed", BODY + receipt(), "no evidence of a snapshot at 9"),
        ("snapshots/snapshot_10_12.committed", BODY + receipt(), "no evidence"),
    ],
)
async def test_any_other_is_found(name: str, data: bytes, what: str) -> None:
    report = await findings({name: data})
    (finding,) = report.findings
    assert finding.file == name
    assert what in finding.what


async def test_what_cannot_be_judged_is_told() -> None:
    for name in ("snapshots/snapshot_10.partial", "snapshots/notes.txt", "snapshots/snapshot_30_33.committed"):
        report = await findings({name: BODY})
        assert report.findings == []
        assert "not checked" in report.warnings[0].what
