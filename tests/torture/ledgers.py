"""The ledgers that a run leaves behind: audited as `coco ledger verify` does, and read for the checker."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from cli.ledger_disk import ReadOnlyDisk
from core.ledger.entry import parse_entry
from core.ledger.files import FOLDER, arrange_chunks, read_records
from core.node.audit import audit_ledgers
from core.types import NO_CLAIMS
from enclave_sim.host_config import NodePaths
from tests.torture.checker import Violation
from tests.torture.history import Ledger, Place


def ledger_disk(directory: Path) -> ReadOnlyDisk:
    """Return the ledger of the node in a directory."""
    return ReadOnlyDisk(NodePaths(directory).disk / FOLDER)


def audit(directories: Mapping[str, Path]) -> list[Violation]:
    """Verify the ledgers, each for itself and against each other. directories: by node."""
    disks = [(node, ledger_disk(directory)) for node, directory in directories.items()]
    report = asyncio.run(audit_ledgers(disks))
    return [Violation("audit", str(finding)) for finding in report.all_findings]


def read_ledger(node: str, directory: Path) -> Ledger:
    """Read a node's ledger without keys."""
    return asyncio.run(_read(node, ledger_disk(directory)))


async def _read(node: str, disk: ReadOnlyDisk) -> Ledger:
    claims: list[tuple[str, Place]] = []
    leaves: list[str] = []
    for chunk in arrange_chunks(await disk.list_files(FOLDER)):
        async for record in read_records(disk, chunk):
            if not record.whole:
                continue
            entry = parse_entry(record.data)
            leaves.append(entry.leaf.hex())
            if entry.claims != NO_CLAIMS:
                claims.append((entry.claims.hex(), Place(entry.view, entry.seqno)))
    return Ledger(node, claims, leaves)
