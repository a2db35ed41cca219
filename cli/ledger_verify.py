"""`coco ledger verify`: the audit of one or more copies of a ledger, without keys.

Exit codes: 0 sound (there may be warnings); 4 damaged, or not as a ledger must be; 11 equivocation: statements of one
network that contradict each other.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.errors import Equivocation
from cli.files import read_file
from cli.ledger_disk import ReadOnlyDisk, open_ledger
from cli.options import json_option, network_option
from cli.output import note, print_fields, print_json, progress
from cli.store import Store
from core.errors import LedgerDamaged

if TYPE_CHECKING:
    from core.ledger.audit_report import AuditReport, LedgerReport


@click.command()
@click.argument("directories", nargs=-1, type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--service-cert",
    "service_certificate",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="The service's certificate (PEM) as you know it. Default: what the ledger itself says, with a warning.",
)
@click.option(
    "--receipt",
    "receipts",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="A receipt (JSON or COSE) or a signed root that the ledgers must agree with. Repeatable.",
)
@network_option
@json_option
@click.pass_obj
def verify(
    store: Store,
    directories: tuple[Path, ...],
    service_certificate: Path | None,
    receipts: tuple[Path, ...],
    network: str | None,
    as_json: bool,
) -> None:
    """Verify ledgers as anyone can, without keys: each byte, each signature, each rule.

    DIRECTORIES hold copies of one network's ledger, from different nodes or times; none: that of the current network.
    They are checked each by itself, against each other and against receipts.
    """
    disks = [open_ledger(store, directory, network) for directory in directories or (None,)]
    certificate = read_file(service_certificate).decode("ascii", "replace") if service_certificate else None
    names = [str(directory) for directory in directories] or [str(disks[0].ledger)]
    started = time.monotonic()
    report = _audit(disks, names, certificate, receipts)
    seconds = max(time.monotonic() - started, 1e-6)
    entries = sum(ledger.entries for ledger in report.ledgers)
    if as_json:
        speed = {"entries_per_second": round(entries / seconds), "seconds": round(seconds, 3)}
        print_json(report.to_json() | speed)
    else:
        _print(report)
        note(f"{entries} entries in {seconds:.1f} s, {entries / seconds:,.0f} per second.")
    _fail(report)


def _audit(
    disks: Sequence[ReadOnlyDisk], names: Sequence[str], certificate: str | None, receipts: Sequence[Path]
) -> AuditReport:
    from core.ledger.audit_receipts import read_witness
    from core.node.audit import audit_ledgers
    from enclave_sim.verify.manifest import verify_own_evidence

    witnesses = [read_witness(str(path), read_file(path)) for path in receipts]
    with progress("verifying the ledger") as tell:
        started = time.monotonic()

        def told(entries: int) -> None:
            tell(f"{entries:,} entries, {entries / max(time.monotonic() - started, 1e-6):,.0f} per second")

        ledgers = list(zip(names, disks, strict=True))
        return asyncio.run(
            audit_ledgers(
                ledgers,
                witnesses=witnesses,
                service_certificate=certificate,
                verify=verify_own_evidence,
                progress=told,
            )
        )


def _print(report: AuditReport) -> None:
    for ledger in report.ledgers:
        print_fields(_fields(ledger))
        click.echo()
    for finding in report.warnings:
        note(f"warning: {finding}")
    for ledger in report.ledgers:
        for finding in ledger.warnings:
            note(f"warning: {finding}")
    for finding in report.all_findings:
        click.echo(f"{finding.kind}: {finding}")
    click.echo("sound" if report.is_sound else "NOT SOUND")


def _fields(ledger: LedgerReport) -> dict[str, object]:
    last = ledger.last_signed
    views = [f"{view.view} from {view.first_seqno} by {str(view.node)[:16]}" for view in ledger.views]
    return {
        "ledger": ledger.name,
        "network": ledger.facts.get("network"),
        "constitution": ledger.facts.get("constitution_digest"),
        "entries": ledger.entries,
        "signatures": ledger.signatures,
        "files": ledger.chunks,
        "bytes": ledger.size_bytes,
        "views": ", ".join(views[-5:]) + (f" (of {len(views)})" if len(views) > 5 else ""),
        "signed up to": f"{last.view}.{last.seqno}" if last else "nothing",
        "root": last.root.hex() if last else None,
        "unsigned entries": ledger.unsigned_entries or None,
        "torn bytes": ledger.torn_bytes or None,
    }


def _fail(report: AuditReport) -> None:
    if report.is_sound:
        return
    findings = report.all_findings
    many = f"{len(findings)} findings" if len(findings) > 1 else "1 finding"
    if report.is_equivocal:
        raise Equivocation(
            f"the network said two things that cannot both be: {many}",
            hint="Keep every copy and receipt as it is: together they are the proof.",
        )
    first = findings[0]
    raise LedgerDamaged(
        f"the ledger is not sound: {many}",
        file=first.file,
        offset=first.offset,
        entry=first.entry,
        what=first.what,
        hint="Take a copy of the directory before anything else; then compare it with a back-up.",
    )
