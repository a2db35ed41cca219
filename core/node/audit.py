"""The whole audit: ledgers with the rules of this system's tables, receipts, snapshot files."""

from __future__ import annotations

from collections.abc import Sequence

from core.ledger.audit import LedgerAuditor
from core.ledger.audit_compare import Audit, Progress, ignore_progress
from core.ledger.audit_report import AuditReport
from core.ledger.audit_snapshots import audit_snapshots
from core.ledger.audit_witness import Witness
from core.node.admission import VerifyEvidence
from core.node.audit_rules import SystemRules
from core.node.manager_tables import WRITE_SETS
from core.ports import Disk


async def audit_ledgers(
    ledgers: Sequence[tuple[str, Disk]],
    *,
    witnesses: Sequence[Witness] = (),
    service_certificate: str | None = None,
    verify: VerifyEvidence | None = None,
    progress: Progress = ignore_progress,
) -> AuditReport:
    """Audit copies of one network's ledger, each with a name, and what others hold of it.

    service_certificate: PEM; None: the first one that each ledger names is taken, with a warning. Raises StorageFailed,
    and MalformedMessage for a service_certificate that is none. verify: of the nodes' evidence; None: it is left aside,
    and the report says so (`evidence_verified`).
    """
    rules = [SystemRules(verify) for _ in ledgers]
    auditors = [
        (LedgerAuditor(name, WRITE_SETS, [rule], service_certificate), disk)
        for (name, disk), rule in zip(ledgers, rules, strict=True)
    ]
    report = await Audit(auditors, witnesses).run(progress)
    for (auditor, disk), rule in zip(auditors, rules, strict=True):
        await audit_snapshots(disk, rule.snapshots, auditor.report)
    return report
