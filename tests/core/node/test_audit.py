"""The audit: a ledger that the manager wrote is sound, and no byte of it can be changed unnoticed, without any key."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

import pytest

from core.ledger.audit_report import AuditReport, Finding
from core.node.manager_keys import load_secrets
from tests.support.ledger_bench import audit_disks, write_ledger
from tests.support.manager_bench import Machine, kv_draft
from tests.support.memory_disk import MemoryDisk


async def service_certificate(machine: Machine) -> str:
    secrets = await load_secrets(machine.disk, machine.sealer)
    assert secrets is not None
    return secrets.service_certificate


def ledger_of(disk: MemoryDisk) -> dict[str, bytes]:
    return {name: data for name, data in disk.files.items() if name.startswith("ledger/")}


def only(report: AuditReport) -> Finding:
    (finding,) = report.all_findings
    return finding


async def changed(machine: Machine, file: str, offset: int, mask: int = 1) -> AuditReport:
    data = bytearray(machine.disk.files[file])
    data[offset] ^= mask
    return await audit_disks(MemoryDisk({**ledger_of(machine.disk), file: bytes(data)}))


async def test_a_sound_ledger_and_what_is_told_of_it() -> None:
    machine = await write_ledger(starts=3, blocks=3, transactions=2, chunk_bytes_min=5_000)
    bounds = await machine.record_bounds()
    report = await audit_disks(machine.disk, service_certificate=await service_certificate(machine))
    (ledger,) = report.ledgers
    assert report.is_sound
    assert (ledger.findings, ledger.warnings) == ([], [])
    assert (ledger.entries, ledger.chunks) == (len(bounds), len(ledger_of(machine.disk)))
    assert ledger.size_bytes == sum(size for _, _, size in bounds)
    assert ledger.signatures == 3 * (1 + 3 + 2)
    assert [view.view for view in ledger.views] == [1, 2, 3]
    assert ledger.views[0].first_seqno == 1
    assert ledger.views[-1].last_seqno == len(bounds)
    assert len({view.node for view in ledger.views}) == 3
    assert ledger.last_signed is not None
    assert (ledger.last_signed.view, ledger.last_signed.seqno) == (3, len(bounds))
    assert ledger.facts["network"] == "bench"
    assert ledger.facts["settings"] == {"default_adapter": "kv"}
    assert ledger.facts["messages_rejected"] == 3
    assert len(ledger.facts["messages_accepted"]) == 3  # type: ignore[arg-type]


async def test_the_ledgers_own_certificate_is_taken_with_a_warning_and_another_one_is_refused() -> None:
    machine, other = await write_ledger(starts=1, blocks=1), await write_ledger(starts=1, blocks=1)
    report = await audit_disks(machine.disk)
    assert report.is_sound
    (warning,) = report.ledgers[0].warnings
    assert "--service-cert" in warning.what
    assert report.ledgers[0].service_certificate == await service_certificate(machine)
    report = await audit_disks(machine.disk, service_certificate=await service_certificate(other))
    assert only(report).what.startswith("the ledger names another service than the certificate given")
    assert only(report).entry == 2


def places(machine: Machine, last_signature: tuple[str, int, int], step: int) -> Iterator[tuple[str, int]]:
    """Every byte of file headers, tables, heads of entries and the last signature; every `step`th of the rest."""
    last_file, begins, _ = last_signature
    for file, data in ledger_of(machine.disk).items():
        table_at = int.from_bytes(data[:8], "little") or len(data)
        for offset in range(len(data)):
            if offset < 60 or offset >= table_at or (file == last_file and offset >= begins) or offset % step == 0:
                yield file, offset


@pytest.mark.parametrize("step", [23, pytest.param(1, marks=pytest.mark.slow)])
async def test_any_changed_byte_anywhere_is_found(step: int) -> None:
    machine = await write_ledger(starts=1, blocks=2, transactions=1, chunk_bytes_min=4_000, governance=False)
    bounds = await machine.record_bounds()
    assert len(ledger_of(machine.disk)) == 2
    assert (await audit_disks(machine.disk)).is_sound
    chance = random.Random(step)
    tried = 0
    for file, offset in places(machine, bounds[-1], step):
        report = await changed(machine, file, offset, 1 << chance.randrange(8))
        assert not report.is_sound, f"{file}, byte {offset}"
        tried += 1
    assert tried > 1_200


async def test_a_changed_byte_is_placed_in_its_block() -> None:
    machine = await write_ledger(starts=1, blocks=3, transactions=3, governance=False, chunk_bytes_min=10**6)
    bounds = await machine.record_bounds()
    signatures = [3, 7, 11, 15]
    for seqno, (file, offset, size) in enumerate(bounds, 1):
        finding = only(await changed(machine, file, offset + size - 1))
        if seqno in (2, *signatures):  # Certificates in public tables are wrong where they stand.
            assert (finding.file, finding.offset, finding.entry) == (file, offset, seqno)
        else:
            begins = max((one + 1 for one in signatures if one < seqno), default=1)
            assert (finding.file, finding.offset, finding.entry) == (file, bounds[begins - 1][1], begins)
            assert seqno == 1 or "what was signed" in finding.what
        assert not finding.complete


async def test_any_changed_character_of_a_files_name_is_found() -> None:
    machine = await write_ledger(starts=1, blocks=3, chunk_bytes_min=1_500, governance=False)
    files = ledger_of(machine.disk)
    assert len(files) > 2
    for name, data in files.items():
        folder = len("ledger/")
        for at in range(folder, len(name)):
            for character in {chr(ord(name[at]) ^ 1), "0", "9", "x"} - {name[at], "/"}:
                other = name[:at] + character + name[at + 1 :]
                renamed = {key: value for key, value in files.items() if key != name}
                if other in renamed:
                    continue
                report = await audit_disks(MemoryDisk({**renamed, other: data}))
                assert not report.is_sound, other


async def test_every_truncation_is_found_or_is_an_older_ledger() -> None:
    """A ledger cut at a signature is an older ledger; no copy can tell that it once was longer."""
    machine = await write_ledger(starts=1, blocks=2, transactions=1, governance=False, chunk_bytes_min=10**6)
    bounds = await machine.record_bounds()
    file = bounds[0][0]
    data = machine.disk.files[file]
    ends = {offset + size: seqno for seqno, (_, offset, size) in enumerate(bounds, 1)}
    for cut in [*range(0, len(data), 41), *ends]:
        report = await audit_disks(MemoryDisk({file: data[:cut]}))
        (ledger,) = report.ledgers
        last = ledger.last_signed.seqno if ledger.last_signed else 0
        if ends.get(cut) in (3, 5, 7):
            assert report.is_sound
            assert last == ends[cut]
        elif cut in ends:
            assert "not under any signature" in only(report).what
            assert ledger.unsigned_entries == ends[cut] - last
        elif last:
            assert report.is_sound
            assert any("a write that never finished" in one.what for one in ledger.warnings)
            assert ledger.torn_bytes > 0


async def test_zeros_are_an_unfinished_write_and_anything_after_them_is_damage() -> None:
    machine = await write_ledger(starts=1, blocks=1, governance=False, chunk_bytes_min=10**6)
    ((file, data),) = ledger_of(machine.disk).items()
    report = await audit_disks(MemoryDisk({file: data + bytes(5000)}))
    assert report.is_sound
    assert "zero bytes" in report.ledgers[0].warnings[-1].what
    assert not (await audit_disks(MemoryDisk({file: data + bytes(5000) + b"x"}))).is_sound


@pytest.mark.parametrize("bit", range(0, 48, 3))
async def test_a_flipped_length_is_damage_and_not_a_torn_write(bit: int) -> None:
    machine = await write_ledger(starts=1, blocks=2, transactions=1, governance=False, chunk_bytes_min=10**6)
    for seqno, (file, offset, _) in enumerate(await machine.record_bounds(), 1):
        report = await changed(machine, file, offset + 2 + bit // 8, 1 << bit % 8)
        assert not report.is_sound, seqno
        finding = only(report)
        begins = re.search(r"the block that begins at byte (\d+)", finding.what)
        assert (int(begins[1]) if begins else finding.offset) <= offset


async def test_a_closing_that_was_cut_short_is_no_damage() -> None:
    machine = await write_ledger(starts=1, blocks=3, chunk_bytes_min=4_000, governance=False)
    files = ledger_of(machine.disk)
    last = max(files, key=lambda name: int(name.split("_")[1].split("-")[0]))
    if not last.endswith(".committed"):
        files.pop(last)
        last = max(files, key=lambda name: int(name.split("_")[1].split("-")[0]))
    data = files.pop(last)
    table_at = int.from_bytes(data[:8], "little")
    unnamed = last.partition("-")[0]
    for kept, word in ((data, "last name"), (bytes(8) + data[8:-3], "table"), (bytes(8) + data[8:table_at], "")):
        report = await audit_disks(MemoryDisk({**files, unnamed: kept}))
        assert report.is_sound
        assert any(word in one.what for one in report.ledgers[0].warnings)
    report = await audit_disks(MemoryDisk({**files, unnamed: bytes(8) + data[8:-1] + b"\xff"}))
    assert not report.is_sound


async def test_parts_that_are_missing_repeated_swapped_or_older_are_named() -> None:
    machine = await write_ledger(starts=2, blocks=4, chunk_bytes_min=4_000, governance=False)
    other = await write_ledger(starts=2, blocks=4, chunk_bytes_min=4_000, governance=False)
    files, foreign = ledger_of(machine.disk), ledger_of(other.disk)
    names = sorted(files, key=lambda name: int(name.split("_")[1].split("-")[0]))
    first, second, third = names[:3]
    for change, named in (
        ({first: None}, first),
        ({second: None}, second),
        ({second: files[third], third: files[second]}, second),
        ({second: files[first]}, second),
        ({second: files[second][: len(files[second]) // 2]}, second),
        ({second: files[second] * 2}, second),
        ({second: foreign[second]}, second),
        ({second.partition("-")[0]: b""}, second.partition("-")[0]),
        ({"ledger/notes.txt": b"mine"}, "ledger/notes.txt"),
        ({"ledger/ledger_01": b""}, "ledger/ledger_01"),
    ):
        kept = {name: data for name, data in {**files, **change}.items() if data is not None}
        report = await audit_disks(MemoryDisk(kept))
        assert [finding.file for finding in report.all_findings] == [named], change.keys()
    assert only(await audit_disks(MemoryDisk())).what == "there is no ledger here"


async def test_a_ledger_that_goes_on_after_a_crash_is_sound() -> None:
    machine = await write_ledger(starts=1, blocks=1, governance=False, chunk_bytes_min=10**6)
    file, offset, size = (await machine.record_bounds())[-1]
    machine.disk.files[file] = machine.disk.files[file][: offset + size // 2]
    async with machine.node() as node:
        await node.commit(kv_draft(b"new", b"1"))
    report = await audit_disks(machine.disk)
    assert report.is_sound
    assert [view.view for view in report.ledgers[0].views] == [1, 2]
