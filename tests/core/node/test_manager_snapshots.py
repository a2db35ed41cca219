"""Snapshots as the manager writes them and starts from them; what a worker may not send; the ledger before them."""

from __future__ import annotations

import hashlib
import json

import pytest

from core.errors import InvariantBroken, LedgerDamaged, StorageFailed
from core.kv.write_set import decode_domain
from core.ledger.backfill import BackfilledHistory
from core.ledger.entry import ParsedEntry, parse_entry
from core.ledger.files import arrange_chunks, read_records
from core.ledger.secrets import Keyring
from core.ledger.snapshot_format import SnapshotName, encode_rows
from core.ledger.state_digest import digest_of
from core.ledger.tables import SINGLETON_KEY, SNAPSHOT_EVIDENCE
from core.node.ledger_state import AnotherState, rebuild, snapshot_digests
from core.node.manager_keys import load_secrets
from core.node.manager_receipts import ReceiptMaker
from core.node.messages import (
    TO_MANAGER,
    Message,
    ReceiptRequest,
    SnapshotEnd,
    SnapshotRows,
    SnapshotTable,
)
from core.node.system_tables import is_system_table
from core.types import Digest, Seqno
from tests.support.manager_bench import Machine, kv_draft, replayed_state
from tests.support.memory_disk import MemoryDisk
from tests.support.snapshot_bench import (
    ENTRIES,
    EVIDENCE,
    block_committed,
    fill,
    flip,
    listen,
    make_machine,
    past_credits,
    send_state,
    snapshot_begun,
    snapshots_of,
    state_of,
    take_snapshot,
    two_snapshots,
    written,
)


async def entries_of(machine: Machine) -> list[ParsedEntry]:
    found = []
    for chunk in arrange_chunks(await machine.disk.list_files("ledger")):
        found += [parse_entry(record.data) async for record in read_records(machine.disk, chunk) if record.whole]
    return found


async def test_a_snapshot_stands_at_a_signature_with_evidence_in_the_ledger() -> None:
    machine = make_machine()
    file = await written(machine)
    name = SnapshotName.parse(file)
    assert name is not None
    data = machine.disk.files[file]
    size = 8 + (int.from_bytes(data[:8], "little") >> 16)
    entries = await entries_of(machine)
    assert entries[name.seqno - 1].is_signature
    evidence = entries[name.evidence - 1]
    assert evidence.claims == hashlib.sha256(data[:size]).digest()
    stated = json.loads(decode_domain(evidence.public)[SNAPSHOT_EVIDENCE][SINGLETON_KEY] or b"")
    assert (stated["hash"], stated["version"]) == (evidence.claims.hex(), name.seqno)
    assert json.loads(data[size:])["leaf_components"]["claims_digest"] == evidence.claims.hex()


async def test_the_evidence_states_the_digest_of_the_whole_state() -> None:
    machine = make_machine()
    async with machine.node() as node:
        await listen(node)
        await fill(node, 3)
        adapters = state_of(node)
        file = await take_snapshot(node)
    name = SnapshotName.parse(file)
    assert name is not None
    rows = [(table, *row) for table, its_rows in adapters.items() for row in its_rows]
    for entry in (await entries_of(machine))[: name.seqno]:
        if not entry.is_signature:
            for table, writes in decode_domain(entry.public).items():
                if is_system_table(table):
                    rows += [(table, key, entry.seqno, value) for key, value in writes.items() if value is not None]
    evidence = (await entries_of(machine))[name.evidence - 1]
    stated = json.loads(decode_domain(evidence.public)[SNAPSHOT_EVIDENCE][SINGLETON_KEY] or b"")
    assert stated["state_digest"] == digest_of(rows).hex()


async def test_a_start_takes_the_snapshot_and_what_follows_it() -> None:
    machine = make_machine()
    file = await written(machine)
    name = SnapshotName.parse(file)
    assert name is not None
    async with make_copy(machine, without_snapshots=True).node() as whole:
        pass
    async with machine.node() as node:
        assert node.restored_at == name.seqno
        assert min(entry.seqno for entry in node.replayed) == name.evidence
        assert state_of(node) == state_of(whole)
        assert node.ready is not None
        assert whole.ready is not None
        assert node.ready.view_history == whole.ready.view_history
        assert node.ready.last_seqno == whole.ready.last_seqno
        await listen(node)
        await fill(node, 1, first=200)
    assert any(f"started from {file}" in line for line in machine.log)
    assert any("entries before the snapshot are verified" in line for line in machine.log)
    async with make_copy(machine, without_snapshots=True).node():
        pass


def make_copy(machine: Machine, *, without_snapshots: bool = False) -> Machine:
    disk = machine.disk.copy()
    if without_snapshots:
        disk.files = {name: data for name, data in disk.files.items() if not name.startswith("snapshots/")}
    return Machine(disk=disk, sealer=machine.sealer, attestor=machine.attestor, config=machine.config)


async def test_the_newest_two_are_kept_and_the_next_start_goes_on_from_the_newest() -> None:
    machine = make_machine()
    files = []
    async with machine.node() as node:
        await listen(node)
        await fill(node, 3)
        for number in range(4):
            files.append(await take_snapshot(node))
            await fill(node, 3, first=10 * number)
    assert sorted(snapshots_of(machine)) == sorted(files[-2:])
    for blocks in (1, 2):
        async with machine.node() as node:
            await listen(node)
            assert f"snapshot_{node.restored_at}_" in files[-1]
            await fill(node, blocks)
            files.append(await take_snapshot(node))


async def test_what_was_being_written_at_the_end_is_removed_at_the_start() -> None:
    machine = make_machine()
    async with machine.node() as node:
        await listen(node)
        await fill(node, 3)
        begin = await snapshot_begun(node)
        await send_state(node, state_of(node), begin.seqno)
        await past_credits(node)
        assert snapshots_of(machine) == [f"snapshots/snapshot_{begin.seqno}.partial"]
    async with machine.node() as node:
        assert not node.restored_at
    assert snapshots_of(machine) == []


async def test_none_is_written_when_off_save_when_asked_for() -> None:
    machine = make_machine(entries=0)
    async with machine.node() as node:
        await listen(node)
        await fill(node, 20)
        await node.manager.request_snapshot()
        file = await take_snapshot(node)
        await node.manager.request_snapshot()
        await node.manager.request_snapshot()
        other = await take_snapshot(node)
    assert sorted(snapshots_of(machine)) == sorted([file, other])


async def test_nothing_is_begun_before_the_executor_listens() -> None:
    machine = make_machine(entries=1)
    async with machine.node() as node:
        await node.manager.request_snapshot()
        for number in range(5):
            await node.commit(kv_draft(b"a", b"%d" % number))
        await listen(node)
        await node.commit(kv_draft(b"a", b"last"))
        await take_snapshot(node)


async def test_blocks_commit_while_a_snapshot_is_under_way() -> None:
    machine = make_machine()
    async with machine.node() as node:
        await listen(node)
        await fill(node, 3)
        begin = await snapshot_begun(node)
        before = state_of(node)
        await fill(node, 10, first=50)
        await node.manager.request_snapshot()
        await fill(node, 1, first=70)
        await send_state(node, before, begin.seqno)
        await past_credits(node)
        await fill(node, 1, first=80)
        await node.propose(EVIDENCE)
        await block_committed(node)
    async with machine.node():
        pass


# What a worker may not do.

HOSTILE_PARTS: dict[str, list[Message]] = {
    "a system table": [SnapshotTable("public:coco.constitution", 40)],
    "a table of CCF's": [SnapshotTable("public:ccf.gov.nodes.info", 40)],
    "rows before a table": [SnapshotRows(encode_rows([(b"a", 1, b"b")]))],
    "more rows than said": [SnapshotTable("kv.data", 8), SnapshotRows(encode_rows([(b"a", 1, b"b")]))],
    "fewer rows than said": [SnapshotTable("kv.data", 800), SnapshotEnd(0)],
    "half a row": [SnapshotTable("kv.data", 800), SnapshotRows(encode_rows([(b"a", 1, b"b")])[:-1])],
    "no row": [SnapshotTable("kv.data", 800), SnapshotRows(b"\xff" * 40)],
    "a row of the future": [SnapshotTable("kv.data", 40), SnapshotRows(encode_rows([(b"a", 2**40, b"b")]))],
    "a row of no entry": [SnapshotTable("kv.data", 40), SnapshotRows(encode_rows([(b"a", 0, b"b")]))],
    "the state at another seqno": [SnapshotEnd(3)],
    "a public table after a private one": [
        SnapshotTable("kv.data", 40),
        SnapshotRows(encode_rows([(b"a", 1, b"b")])),
        SnapshotTable("public:kv.data", 40),
    ],
    "more than there is room for": [SnapshotTable("kv.data", 4_000)]
    + [SnapshotRows(encode_rows([(b"%d" % number, 1, b"b")])) for number in range(9)],
}


@pytest.mark.parametrize("parts", HOSTILE_PARTS.values(), ids=HOSTILE_PARTS.keys())
async def test_a_worker_that_sends_something_else_stops_the_node(parts: list[Message]) -> None:
    machine = make_machine()

    async def play() -> None:
        async with machine.node() as node:
            await listen(node)
            await fill(node, 3)
            await snapshot_begun(node)
            for part in parts:
                await node.executor.send(TO_MANAGER.encode(part))  # type: ignore[arg-type]
            await past_credits(node)

    with pytest.raises(InvariantBroken, match=r"worker|snapshot"):
        await play()
    assert not any(name.endswith(".committed") for name in snapshots_of(machine))


@pytest.mark.parametrize("begun", [False, True])
async def test_evidence_that_is_not_due_stops_the_node(begun: bool) -> None:
    machine = make_machine(ENTRIES if begun else 0)

    async def play() -> None:
        async with machine.node() as node:
            await listen(node)
            await fill(node, 3)
            await node.propose(EVIDENCE)
            for _ in range(2):
                await past_credits(node)

    with pytest.raises(InvariantBroken, match="evidence of a snapshot that was not written"):
        await play()


async def test_parts_of_a_snapshot_that_nobody_asked_for_stop_the_node() -> None:
    machine = make_machine(0)

    async def play() -> None:
        async with machine.node() as node:
            await listen(node)
            await node.executor.send(TO_MANAGER.encode(SnapshotEnd(1)))
            await past_credits(node)

    with pytest.raises(InvariantBroken, match="nobody asked for"):
        await play()


# The ledger before the snapshot is verified after the start.


async def test_damage_before_the_snapshot_stops_the_node_after_the_start() -> None:
    machine = make_machine()
    await written(machine)
    file, offset, size = (await machine.record_bounds())[3]
    data = machine.disk.files[file]
    machine.disk.files[file] = flip(data, offset + size - 1)

    async def play() -> None:
        async with machine.node() as node:
            assert node.restored_at
            await node.running

    with pytest.raises(LedgerDamaged) as caught:
        await play()
    assert caught.value.file == file
    assert caught.value.entry is not None


async def test_a_receipt_of_the_older_part_waits_for_its_verification() -> None:
    """Every entry can be proven once the older part is verified, whichever chunk it stands in."""
    machine = make_machine(chunk_bytes_min=1_500)
    await written(machine, blocks_after=6)
    async with machine.node() as node:
        await listen(node)
        await fill(node, 6, first=300)
        running = node.manager._running
        assert running is not None
        while not running.snapshots.provable:
            await node.next_or_news()
        assert running.started.ledger.history.last_seqno == node.next_seqno - 1
        for seqno in range(1, node.next_seqno):
            assert (await running.receipts.make(0, seqno)).receipt  # type: ignore[arg-type]


async def test_a_receipt_that_cannot_be_made_yet_is_asked_for_again() -> None:
    history = BackfilledHistory(Seqno(3))
    for seqno in (4, 5):
        history.add(Digest(bytes(32)), Seqno(4), 8 + 100 * (seqno - 4), 100)
    maker = ReceiptMaker(history, MemoryDisk(), Keyring([]), {}, log=lambda line: None)
    answers = [maker.take(ReceiptRequest(1, seqno)) for seqno in (3, 5, 6)]
    assert [answer and answer.failure for answer in answers] == ["overloaded", "overloaded", "not_committed"]


# The disk fails.


@pytest.mark.parametrize("fault", ["fsync", "full"])
async def test_a_disk_that_fails_during_a_snapshot_stops_the_node(fault: str) -> None:
    machine = make_machine()

    async def play() -> None:
        async with machine.node() as node:
            await listen(node)
            await fill(node, 3)
            begin = await snapshot_begun(node)
            if fault == "fsync":
                machine.disk.fail_fsync = True
            else:
                machine.disk.capacity_bytes = 0
            await send_state(node, state_of(node), begin.seqno)
            await past_credits(node)

    with pytest.raises(StorageFailed):
        await play()
    machine.disk.fail_fsync, machine.disk.capacity_bytes = False, None
    async with machine.node() as node:
        assert replayed_state(node.replayed)["kv.data"][b"key 2"] == b"value 2"


# The digest in the evidence, against a state made from the ledger alone.


async def rebuilt(machine: Machine) -> None:
    kept = await load_secrets(machine.disk, machine.sealer)
    assert kept is not None
    digests = await snapshot_digests(machine.disk)
    assert digests
    await rebuild(machine.disk, kept.epochs, snapshots=digests)


async def test_every_snapshot_is_of_the_state_that_the_ledger_makes() -> None:
    machine = make_machine()
    await two_snapshots(machine)
    assert len(await snapshot_digests(machine.disk)) == 2
    await rebuilt(machine)


async def test_rows_that_a_worker_put_into_a_snapshot_are_found() -> None:
    machine = make_machine()
    async with machine.node() as node:
        await listen(node)
        await fill(node, 3)
        state = state_of(node)
        forged = [(key, version, b"forged" if key == b"key 1" else value) for key, version, value in state["kv.data"]]
        await take_snapshot(node, state | {"kv.data": forged})
    with pytest.raises(AnotherState, match="holds another state than the ledger makes"):
        await rebuilt(machine)
