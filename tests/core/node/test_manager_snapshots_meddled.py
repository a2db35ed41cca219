"""What a host may have done to a snapshot's file: each is refused by name, and the whole ledger is used."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from core.ledger.snapshot_format import SnapshotName
from tests.support.manager_bench import replayed_state
from tests.support.memory_disk import MemoryDisk
from tests.support.snapshot_bench import (
    fill,
    flip,
    listen,
    make_machine,
    take_snapshot,
    two_snapshots,
    written,
)


def split(data: bytes) -> tuple[bytes, bytes]:
    size = 8 + (int.from_bytes(data[:8], "little") >> 16)
    return data[:size], data[size:]


def with_receipt(data: bytes, change: Callable[[dict[str, object]], None]) -> bytes:
    body, receipt = split(data)
    document = json.loads(receipt)
    change(document)
    return body + json.dumps(document).encode()


DAMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "version": (lambda data: flip(data, 0), "header is not that of a snapshot"),
    "size": (lambda data: flip(data, 2), "receipt"),
    "tag": (lambda data: flip(data, 8), "not those that the ledger's evidence is for"),
    "seqno": (lambda data: flip(data, 24), "holds the state at"),
    "view": (lambda data: flip(data, 32), "not those that the ledger's evidence is for"),
    "snapshot bit": (lambda data: data[:35] + b"\0" + data[36:], "header is not that of a snapshot"),
    "public length": (lambda data: flip(data, 36), "not those that the ledger's evidence is for"),
    "public domain": (lambda data: flip(data, 50), "not those that the ledger's evidence is for"),
    "private domain": (lambda data: flip(data, len(split(data)[0]) - 1), "not those that the ledger's evidence is for"),
    "receipt gone": (lambda data: split(data)[0], "length is not that"),
    "cut": (lambda data: data[:100], "length is not that"),
    "short": (lambda data: data[:20], "shorter than its header"),
    "empty": (lambda data: b"", "shorter than its header"),
    "something after": (lambda data: data + b" {}", "not JSON"),
    "claims": (
        lambda data: with_receipt(data, lambda one: one["leaf_components"].update(claims_digest="00" * 32)),  # type: ignore[attr-defined]
        "did not sign",
    ),
    "proof": (lambda data: with_receipt(data, lambda one: one.update(proof=[])), "did not sign"),
}


@pytest.mark.parametrize(("damage", "reason"), DAMAGES.values(), ids=DAMAGES.keys())
async def test_a_changed_snapshot_is_refused_and_the_ledger_used(damage: Callable[[bytes], bytes], reason: str) -> None:
    machine = make_machine()
    file = await written(machine)
    machine.disk.files[file] = damage(machine.disk.files[file])
    async with machine.node() as node:
        assert not node.restored_at
        assert not node.rows
        assert node.replayed[0].seqno == 1
        assert replayed_state(node.replayed)["kv.data"][b"key 1"] == b"value 101"
    (line,) = [line for line in machine.log if "snapshot is refused" in line]
    assert file in line
    assert reason in line


async def test_an_older_snapshot_is_used_when_the_newest_is_refused() -> None:
    machine = make_machine()
    older, newer = await two_snapshots(machine)
    machine.disk.files[newer] = flip(machine.disk.files[newer], 60)
    async with machine.node() as node:
        name = SnapshotName.parse(older)
        assert name is not None
        assert node.restored_at == name.seqno
    assert [newer in line for line in machine.log if "snapshot is refused" in line] == [True]


async def test_an_older_one_does_not_pass_for_a_newer_one() -> None:
    machine = make_machine()
    older, newer = await two_snapshots(machine)
    machine.disk.files[newer] = machine.disk.files[older]
    del machine.disk.files[older]
    async with machine.node() as node:
        assert not node.restored_at
    assert any("it holds the state at" in line for line in machine.log)


async def test_the_receipt_of_another_snapshot_does_not_help() -> None:
    machine = make_machine()
    older, newer = await two_snapshots(machine)
    body, _ = split(machine.disk.files[older])
    machine.disk.files[older] = body + split(machine.disk.files[newer])[1]
    first, second = SnapshotName.parse(older), SnapshotName.parse(newer)
    assert first is not None
    assert second is not None
    machine.disk.files[SnapshotName(first.seqno, second.evidence).file] = machine.disk.files.pop(older)
    del machine.disk.files[newer]
    async with machine.node() as node:
        assert not node.restored_at
    assert any("its evidence is for the state at" in line for line in machine.log)


async def test_a_snapshot_of_another_network_is_refused() -> None:
    other = make_machine()
    file = await written(other)
    machine = make_machine()
    async with machine.node() as node:
        await listen(node)
        await fill(node, 12)
    machine.disk.files[file] = other.disk.files[file]
    async with machine.node() as node:
        assert not node.restored_at
    assert any("was not issued by" in line for line in machine.log)


async def test_a_snapshot_without_evidence_in_the_ledger_is_refused() -> None:
    """As when the host keeps a snapshot, and puts back a ledger from before it."""
    machine = make_machine(chunk_bytes_min=100)
    async with machine.node() as node:
        await listen(node)
        await fill(node, 3)
        before = machine.disk.copy()
        file = await take_snapshot(node)
    before.files[file] = machine.disk.files[file]
    machine.disk = before
    async with machine.node() as node:
        assert not node.restored_at
    assert any("the ledger does not hold its evidence" in line for line in machine.log)


async def test_an_entry_that_is_no_evidence_is_refused_as_such() -> None:
    machine = make_machine()
    file = await written(machine)
    name = SnapshotName.parse(file)
    assert name is not None
    machine.disk.files[SnapshotName(name.seqno, name.evidence + 2).file] = machine.disk.files.pop(file)  # type: ignore[arg-type]
    async with machine.node() as node:
        assert not node.restored_at
    assert any("its receipt is not that of entry" in line for line in machine.log)


class TwoFacedDisk(MemoryDisk):
    """Returns other bytes of a snapshot when it is read the second time."""

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(files)
        self.reads = 0

    async def read(self, name: str, offset: int, size_bytes: int) -> bytes:
        data = await super().read(name, offset, size_bytes)
        if name.startswith("snapshots/") and size_bytes > 1_000:
            self.reads += 1
            if self.reads > 2:
                return flip(data, len(data) // 2)
        return data


async def test_a_disk_that_returns_something_else_the_second_time_is_refused() -> None:
    machine = make_machine()
    await written(machine)
    machine.disk = TwoFacedDisk(machine.disk.files)
    async with machine.node() as node:
        assert not node.restored_at
        assert not node.rows
    assert any("other bytes than when it was verified" in line for line in machine.log)
