"""Ledgers written by the real manager, in process, for those who read them back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from core.governance.constitution import Constitution
from core.governance.messages import set_default_adapter, sign_message
from core.ledger.audit_report import AuditReport
from core.ledger.audit_witness import Witness
from core.node.audit import audit_ledgers
from core.node.messages import EntryDraft
from core.types import Digest
from tests.support.manager_bench import MEMBER_CERTIFICATE, MEMBER_KEY, Machine, kv_draft, make_config
from tests.support.memory_disk import MemoryDisk


def governance_draft(machine: Machine, adapter: str, *, age_seconds: int = 0) -> EntryDraft:
    """Make a member's message that changes the default adapter; one of more than ten minutes is rejected."""
    message = sign_message(
        [set_default_adapter(adapter)],
        network=network_digest(machine),
        certificate=MEMBER_CERTIFICATE,
        key=MEMBER_KEY,
        created_at=int(machine.clock()) - age_seconds,
    )
    return EntryDraft("coco", b"", message, bytes(32))


def network_digest(machine: Machine) -> Digest:
    return Constitution.decode(machine.config.genesis).digest()


async def write_ledger(
    *, starts: int = 3, blocks: int = 3, transactions: int = 2, chunk_bytes_min: int = 5_000, governance: bool = True
) -> Machine:
    """Write a ledger of so many starts (views), each of so many blocks of so many transactions."""
    machine = Machine(config=make_config(chunk_bytes_min=chunk_bytes_min))
    for start in range(starts):
        async with machine.node() as node:
            for block in range(blocks):
                drafts = [
                    kv_draft(b"key %d" % number, b"value %d of block %d" % (number, block), public=b"log %d" % number)
                    for number in range(transactions)
                ]
                await node.commit(*drafts)
            if governance:
                machine.clock.now += 1
                await node.commit(governance_draft(machine, ("kv", "ethereum")[start % 2]))
                await node.commit(governance_draft(machine, "kv", age_seconds=10_000))
    return machine


def store_ledger(disk: MemoryDisk, directory: Path) -> Path:
    """Write the ledger's files into a directory, and return that."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, data in disk.files.items():
        if name.startswith("ledger/"):
            (directory / name.rpartition("/")[2]).write_bytes(data)
    return directory


async def audit_disks(
    *disks: MemoryDisk, witnesses: Sequence[Witness] = (), service_certificate: str | None = None
) -> AuditReport:
    """Audit copies of a ledger, named "0", "1", ..."""
    ledgers = [(str(number), disk) for number, disk in enumerate(disks)]
    return await audit_ledgers(ledgers, witnesses=witnesses, service_certificate=service_certificate)
