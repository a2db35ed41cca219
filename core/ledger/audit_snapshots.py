"""Snapshot files beside a ledger, against what the ledger says of them.

`snapshots/snapshot_<seqno>_<evidence>.committed`: a snapshot, then the receipt (JSON) of the entry that is its
evidence. That entry's claims digest and its table of evidence name the SHA-256 of the file without its receipt. A file
that passes is, byte for byte, what a node of this network wrote; what its encrypted part holds takes keys.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from core import limits
from core.errors import AuthenticationFailed, CocoError, MalformedMessage
from core.ledger.audit_report import Finding, LedgerReport
from core.ledger.receipt import Receipt, verify_receipt
from core.ports import Disk, FileInfo
from core.types import Digest

FOLDER = "snapshots"
_NAME = re.compile(r"snapshot_([1-9][0-9]{0,17})_([1-9][0-9]{0,17})\.committed")
_HEADER_BYTES = 8

Evidence = Mapping[int, tuple[int, str]]
"""Evidence's seqno -> (seqno of the state, hash of the snapshot in hexadecimal)."""


async def audit_snapshots(disk: Disk, evidence: Evidence, report: LedgerReport) -> None:
    """Check every finished snapshot file and record what is wrong. Raises StorageFailed."""
    reached = report.last_signed.seqno if report.last_signed else 0
    for info in await disk.list_files(FOLDER):
        match = _NAME.fullmatch(info.name.rpartition("/")[2])
        if match is None:
            report.warnings.append(
                Finding(info.name, 0, None, "not the name of a finished snapshot: it is not checked")
            )
            continue
        seqno, stated_in = int(match[1]), int(match[2])
        if stated_in >= reached:
            what = f"its evidence would be entry {stated_in}; the ledger is signed up to {reached}: it is not checked"
            report.warnings.append(Finding(info.name, 0, stated_in, what))
            continue
        try:
            await _check(disk, info, seqno, stated_in, evidence, report.service_certificate)
        except CocoError as error:
            report.findings.append(Finding(info.name, 0, stated_in, error.message))


async def _check(
    disk: Disk, info: FileInfo, seqno: int, stated_in: int, evidence: Evidence, service_certificate: str | None
) -> None:
    known = evidence.get(stated_in)
    if known is None or known[0] != seqno:
        raise AuthenticationFailed(f"entry {stated_in} is no evidence of a snapshot at {seqno}")
    header = await disk.read(info.name, 0, _HEADER_BYTES)
    size = _HEADER_BYTES + int.from_bytes(header[2:], "little")
    if len(header) != _HEADER_BYTES or not size < info.size_bytes <= size + limits.RECEIPT_BYTES_MAX:
        raise MalformedMessage("its header does not leave room for a snapshot and its receipt")
    found = hashlib.sha256()
    offset = 0
    while offset < size:
        data = await disk.read(info.name, offset, min(size - offset, limits.DISK_READ_BYTES_MAX))
        if not data:
            raise MalformedMessage("it ends early")
        found.update(data)
        offset += len(data)
    if found.hexdigest() != known[1]:
        raise AuthenticationFailed(f"it is not the snapshot that entry {stated_in} is evidence of: its hash is another")
    receipt = Receipt.decode(await disk.read(info.name, size, info.size_bytes - size))
    if receipt.transaction_id is None or receipt.transaction_id.seqno != stated_in:
        raise AuthenticationFailed(f"its receipt is not that of entry {stated_in}")
    if service_certificate is not None:
        verify_receipt(receipt, service_certificate, claims=Digest(found.digest()))
