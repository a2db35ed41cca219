"""Equivocation: copies of one network's ledger against each other, and against receipts and signed roots."""

from __future__ import annotations

import base64
from dataclasses import replace

import msgspec
import pytest

from core.crypto.hashing import sha256
from core.errors import MalformedMessage
from core.kv.write_set import decode_domain
from core.ledger.audit_receipts import read_witness, receipt_witness
from core.ledger.audit_witness import Witness
from core.ledger.entry import ParsedEntry, parse_entry
from core.ledger.merkle import ZERO_LEAF
from core.ledger.receipt import LeafComponents, ProofStep, Receipt
from core.ledger.secrets import Keyring
from core.ledger.tables import SignedRoot
from core.node.manager_keys import load_secrets, store_secrets
from core.types import Digest, Seqno
from tests.support.ledger_bench import audit_disks, governance_draft, write_ledger
from tests.support.manager_bench import Machine, kv_draft
from tests.support.memory_disk import MemoryDisk


async def parsed(machine: Machine) -> list[ParsedEntry]:
    return [
        parse_entry(machine.disk.files[file][offset : offset + size])
        for file, offset, size in await machine.record_bounds()
    ]


def signed_root(entry: ParsedEntry) -> SignedRoot:
    return SignedRoot.from_tables(decode_domain(entry.public))


def proof_of(leaves: list[bytes], at: int) -> list[ProofStep]:
    """Build the whole tree level by level, and take the path from one leaf."""
    steps, level = list[ProofStep](), leaves
    while len(level) > 1:
        sibling = at ^ 1
        if sibling < len(level):
            steps.append(ProofStep(sibling < at, Digest(level[sibling])))
        level = [sha256(*level[i : i + 2]) if i + 1 < len(level) else level[i] for i in range(0, len(level), 2)]
        at //= 2
    return steps


async def receipt_of(machine: Machine, seqno: int) -> Receipt:
    """Make the receipt of a write-set entry under the next signature."""
    entries = await parsed(machine)
    entry, signature = entries[seqno - 1], next(one for one in entries[seqno:] if one.is_signature)
    node = signed_root(signature).node
    secrets = await load_secrets(machine.disk, machine.sealer)
    assert secrets is not None
    key = Keyring(secrets.epochs).find(entry.view, entry.seqno)
    assert key is not None
    leaves = [bytes(ZERO_LEAF), *(one.leaf for one in entries[: signature.seqno - 1])]
    certificates = [
        value
        for one in entries
        if one.public and not one.is_signature
        for name, value in decode_domain(one.public).get("public:ccf.gov.nodes.endorsed_certificates", {}).items()
        if name.decode() == node.node
    ]
    return Receipt(
        certificate=certificates[0].decode(),  # type: ignore[union-attr]
        node=node.node,  # type: ignore[arg-type]
        leaf=LeafComponents(entry.digest, key.commit_evidence(entry.seqno), entry.claims),
        proof=tuple(proof_of(leaves, seqno)),
        signature=base64.b64decode(node.sig),
    )


def ledger_only(disk: MemoryDisk) -> MemoryDisk:
    return MemoryDisk({name: data for name, data in disk.files.items() if name.startswith("ledger/")})


async def fork(machine: Machine, word: bytes, starts: int = 1) -> Machine:
    """Let a host with a copy of everything go on, in a history of its own."""
    twin = Machine(machine.disk.copy(), machine.sealer, machine.attestor, machine.clock, machine.config)
    for _ in range(starts):
        async with twin.node() as node:
            await node.commit(kv_draft(b"fork", word, public=word))
    return twin


async def test_copies_of_one_ledger_from_different_times_agree() -> None:
    machine = await write_ledger(starts=1, blocks=2)
    older = ledger_only(machine.disk)
    later = await fork(machine, b"later")
    report = await audit_disks(older, later.disk, machine.disk)
    assert report.is_sound
    assert (report.findings, report.warnings) == ([], [])
    assert report.ledgers[0].entries < report.ledgers[1].entries


async def test_two_signed_histories_of_one_view_are_equivocation() -> None:
    machine = await write_ledger(starts=1, blocks=2)
    begins = len(await machine.record_bounds()) + 1
    one, other = await fork(machine, b"one"), await fork(machine, b"other")
    report = await audit_disks(one.disk, other.disk)
    assert report.is_equivocal
    assert {finding.kind for finding in report.findings} == {"equivocation"}
    assert report.findings[0].entry == begins
    assert "two histories of view 2" in report.findings[0].what
    assert any("two roots are signed for 2." in finding.what for finding in report.findings)
    assert all(ledger.findings == [] for ledger in report.ledgers)


async def test_histories_of_two_views_are_told_and_are_no_fault_while_one_is_open() -> None:
    machine = await write_ledger(starts=1, blocks=2, chunk_bytes_min=10**6)
    one = await fork(machine, b"one")
    other = await write_ahead(machine)
    report = await audit_disks(one.disk, other.disk)
    assert report.is_sound
    (warning,) = report.warnings
    assert "at most one was committed" in warning.what


async def write_ahead(machine: Machine) -> Machine:
    """Let the copy begin the view after the next one, as a start does that failed after its keys were sealed."""
    twin = Machine(machine.disk.copy(), machine.sealer, machine.attestor, machine.clock, machine.config)
    begun = ledger_only(machine.disk).files
    async with twin.node():
        pass
    twin.disk.files = {name: data for name, data in twin.disk.files.items() if not name.startswith("ledger/")} | begun
    secrets = await load_secrets(twin.disk, twin.sealer)
    assert secrets is not None
    await store_secrets(twin.disk, twin.sealer, replace(secrets, known_seqno=Seqno(1)))
    return await fork(twin, b"other")


async def test_histories_that_both_say_they_are_committed_are_equivocation() -> None:
    machine = await write_ledger(starts=1, blocks=2, chunk_bytes_min=1_000)
    one, other = await fork(machine, b"one"), await write_ahead(machine)
    report = await audit_disks(one.disk, other.disk)
    assert report.is_equivocal
    assert "both say that they are committed" in report.findings[0].what


async def test_a_receipt_is_in_every_ledger_that_reaches_so_far() -> None:
    machine = await write_ledger(starts=1, blocks=1)
    short = ledger_only(machine.disk)
    kept, other = await fork(machine, b"kept"), await fork(machine, b"other")
    entry = len(await machine.record_bounds()) + 3
    receipt = await receipt_of(kept, entry)
    witness = read_witness("receipt.json", msgspec.json.format(receipt.encode()))
    assert (await audit_disks(kept.disk, witnesses=[witness])).is_sound
    report = await audit_disks(other.disk, witnesses=[witness])
    assert report.is_equivocal
    assert f"receipt.json proves that 2.{entry} is committed" in report.findings[0].what
    report = await audit_disks(short, witnesses=[witness])
    assert report.is_sound
    assert f"before 2.{entry}" in report.warnings[0].what


async def test_a_receipt_of_another_network_or_a_changed_one_proves_nothing() -> None:
    machine, stranger = await write_ledger(starts=1, blocks=1), await write_ledger(starts=1, blocks=1)
    receipt = await receipt_of(machine, 5)
    assert (await audit_disks(machine.disk, witnesses=[receipt_witness("r", receipt)])).is_sound
    report = await audit_disks(stranger.disk, witnesses=[receipt_witness("r", receipt)])
    assert [finding.what for finding in report.all_findings] != []
    assert not report.is_equivocal
    assert "it proves nothing here" in report.findings[0].what
    assert isinstance(receipt.leaf, LeafComponents)
    forged = Receipt(
        receipt.certificate,
        receipt.node,
        LeafComponents(receipt.leaf.write_set_digest, receipt.leaf.commit_evidence, Digest(bytes(32))),
        receipt.proof[:-1],
        receipt.signature,
    )
    report = await audit_disks(machine.disk, witnesses=[receipt_witness("r", forged)])
    assert not report.is_sound
    assert not report.is_equivocal


async def test_a_signed_root_binds_its_place() -> None:
    machine = await write_ledger(starts=1, blocks=1)
    one, other = await fork(machine, b"one"), await fork(machine, b"other")
    last = (await parsed(one))[-1]
    witness = read_witness("root.json", signed_root(last).node.encode())
    assert (await audit_disks(one.disk, witnesses=[witness])).is_sound
    report = await audit_disks(other.disk, one.disk, witnesses=[witness])
    assert report.is_equivocal
    assert any("root.json holds a signed root for 2." in finding.what for finding in report.findings)
    stranger = await write_ledger(starts=1, blocks=1)
    report = await audit_disks(stranger.disk, witnesses=[witness])
    assert not report.is_sound
    assert not report.is_equivocal


@pytest.mark.parametrize("data", [b"", b"{}", b"\xd2", b"\xd2\x84", b'{"root":"00"}', b"[1]", b"\xff" * 40])
def test_what_is_no_witness_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        read_witness("x", data)


async def test_a_witness_with_a_root_of_the_wrong_form_is_refused() -> None:
    machine = await write_ledger(starts=1, blocks=1)
    node = signed_root((await parsed(machine))[-1]).node
    for root in ("zz", node.root.upper(), node.root[:-2]):
        with pytest.raises(MalformedMessage):
            read_witness("x", msgspec.structs.replace(node, root=root).encode())
    witness: Witness = read_witness("x", node.encode())
    assert witness.transaction is None


async def test_governance_that_differs_between_copies_is_seen() -> None:
    machine = await write_ledger(starts=1, blocks=1, governance=False)
    one = await fork(machine, b"one")
    twin = Machine(machine.disk.copy(), machine.sealer, machine.attestor, machine.clock, machine.config)
    async with twin.node() as node:
        await node.commit(governance_draft(machine, "kv"))
    assert (await audit_disks(one.disk, twin.disk)).is_equivocal
