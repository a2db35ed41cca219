"""`coco ledger show` on ledgers made by the ledger's own writer: the two must agree on the layout."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cli.ledger_disk import ReadOnlyDisk, find_ledger
from core.errors import StorageFailed
from core.kv.write_set import encode_domain
from core.ledger.entry import EntrySealer
from core.ledger.reader import ReadableEntry, TornTail, read_entries
from core.ledger.secrets import EntryKey
from core.node.manager_tables import WRITE_SETS
from core.types import NO_CLAIMS, NodeId, Seqno, View
from tests.cli.runner import Coco

SECRET = b"the retailer's goods"


def entries() -> list[bytes]:
    sealer = EntrySealer(EntryKey(bytes(32), NodeId("ab" * 32), View(3)), Seqno(0))
    private = encode_domain({"ethereum.accounts": {b"key": SECRET}})
    return [
        sealer.seal(Seqno(1), encode_domain({"public:coco.constitution": {b"\x00": b'{"a":1}'}}), b"").data,
        sealer.seal(Seqno(2), encode_domain({}), private).data,
        sealer.seal_signature(
            Seqno(3), encode_domain({"public:ccf.internal.signatures": {b"k": None}}), NO_CLAIMS
        ).data,
    ]


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    directory = tmp_path / "net" / "node0" / "disk" / "ledger"
    directory.mkdir(parents=True)
    (directory / "ledger_1").write_bytes(bytes(8) + b"".join(entries()))
    return directory


def read(directory: Path) -> list[ReadableEntry | TornTail]:
    async def collect() -> list[ReadableEntry | TornTail]:
        return [entry async for entry in read_entries(ReadOnlyDisk(directory), WRITE_SETS)]

    return asyncio.run(collect())


def test_what_a_host_can_read(coco: Coco, ledger: Path) -> None:
    shown = coco("ledger", "show", str(ledger.parents[2]), "--json")
    first, second, third = shown.json["entries"]
    assert [entry["seqno"] for entry in shown.json["entries"]] == [1, 2, 3]
    assert [entry["view"] for entry in shown.json["entries"]] == [3, 3, 3]
    assert [entry["type"] for entry in shown.json["entries"]] == ["write set", "write set", "signature"]
    assert first["public_tables"] == {"public:coco.constitution": {"0x00": '{"a":1}'}}
    assert second["public_tables"] == {}
    assert second["private_bytes"] == len(encode_domain({"ethereum.accounts": {b"key": SECRET}}))
    assert third["public_tables"] == {"public:ccf.internal.signatures": {"k": None}}
    assert [entry["size_bytes"] for entry in shown.json["entries"]] == [len(data) for data in entries()]
    assert third["offset"] == 8 + first["size_bytes"] + second["size_bytes"]
    assert shown.json["count"] == 3
    assert shown.json["torn"] is None
    assert SECRET.decode() not in shown.out


def test_every_directory_on_the_way_is_understood(coco: Coco, ledger: Path, tmp_path: Path) -> None:
    disk = ledger.parent
    for directory in (ledger, disk, disk.parent, disk.parents[1]):
        assert find_ledger(directory) == ledger
    assert find_ledger(tmp_path) is None
    assert "there is no ledger in" in coco("ledger", "show", str(tmp_path), code=2).err


def test_the_last_entries(coco: Coco, ledger: Path) -> None:
    ran = coco("ledger", "show", str(ledger), "--last", "1")
    assert ran.out.splitlines()[1].startswith("3 ")
    assert "The last 1 of 3 entries" in ran.err
    assert len(coco("ledger", "show", str(ledger), "--last", "0", "--json").json["entries"]) == 3


def test_a_torn_tail_is_shown(coco: Coco, ledger: Path) -> None:
    data = bytes(8) + b"".join(entries())
    (ledger / "ledger_1").write_bytes(data[:-10])
    shown = coco("ledger", "show", str(ledger), "--json").json
    assert shown["count"] == 2
    assert shown["torn"]["size_bytes"] == len(entries()[2]) - 10
    assert "has not finished" in coco("ledger", "show", str(ledger)).err


def test_zeros_at_the_end_are_a_torn_tail(coco: Coco, ledger: Path) -> None:
    data = bytes(8) + b"".join(entries())
    (ledger / "ledger_1").write_bytes(data + bytes(5000))
    shown = coco("ledger", "show", str(ledger), "--json").json
    assert shown["count"] == 3
    assert (shown["torn"]["offset"], shown["torn"]["size_bytes"]) == (len(data), 5000)
    (ledger / "ledger_1").write_bytes(data + bytes(5000) + b"x")
    assert f"byte {len(data)}" in coco("ledger", "show", str(ledger), code=4).err


@pytest.mark.parametrize("offset", [0, 8, 9, 52])
def test_damage_is_placed(coco: Coco, ledger: Path, offset: int) -> None:
    data = bytearray(bytes(8) + b"".join(entries()))
    data[offset] = 0x77
    (ledger / "ledger_1").write_bytes(data)
    ran = coco("ledger", "show", str(ledger), code=4)
    assert "ledger_1" in ran.err


def test_a_missing_file_is_named(coco: Coco, ledger: Path) -> None:
    (ledger / "ledger_1").rename(ledger / "ledger_5")
    assert "entries 1 to 4 are missing" in coco("ledger", "show", str(ledger), code=4).err


def test_nothing_is_written(ledger: Path) -> None:
    disk = ReadOnlyDisk(ledger)
    for attempt in (
        disk.append("ledger/ledger_1", 0, b""),
        disk.replace("ledger/ledger_1", b""),
        disk.truncate("ledger/ledger_1", 0),
        disk.rename("ledger/ledger_1", "ledger/ledger_2"),
    ):
        with pytest.raises(StorageFailed):
            asyncio.run(attempt)
    assert len(read(ledger)) == 3
