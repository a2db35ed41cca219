"""Plays the executor's part of a snapshot towards a manager on a memory disk (manager_bench.py)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from core.crypto.keys import PrivateKey
from core.kv.write_set import PUBLIC_PREFIX, WriteSet
from core.ledger.snapshot_format import Row, cut_rows, encode_rows
from core.node.messages import (
    TO_MANAGER,
    BlockCommitted,
    CertificateIssued,
    CertificateRequest,
    EntryDraft,
    LedgerNews,
    SnapshotBegin,
    SnapshotEnd,
    SnapshotMore,
    SnapshotRows,
    SnapshotTable,
    SnapshotWritten,
)
from core.node.system_tables import is_system_table
from core.types import NO_CLAIMS
from tests.support.manager_bench import Machine, Node, kv_draft, make_config

ENTRIES = 8
"""How many entries lie between two snapshots."""
EVIDENCE = EntryDraft("coco.snapshot", b"", b"", NO_CLAIMS)
Tables = Mapping[str, Sequence[Row]]


async def listen(node: Node) -> None:
    """Have the manager know that the executor takes what it did not ask for."""
    key = PrivateKey.generate().public_key()
    await node.executor.send(TO_MANAGER.encode(CertificateRequest(key.to_der())))
    assert isinstance(await node.next(), CertificateIssued)


def state_of(node: Node, at: int | None = None) -> dict[str, list[Row]]:
    """Return what an executor would hold of the adapters' tables, with versions: restored, replayed, written since."""
    state: dict[str, dict[bytes, tuple[int, bytes]]] = {}
    for table, data in node.rows.items():
        rows, end = cut_rows(data)
        assert end == len(data)
        state[table] = rows
    entries = [(entry.seqno, entry.public, entry.private) for entry in node.replayed]
    entries += [(at, draft.public, draft.private) for at, draft in node.written if not draft.adapter.startswith("coco")]
    for seqno, public, private in entries:
        if at is not None and seqno > at:
            break
        for table, changes in WriteSet.decode(public, private).tables.items():
            held = state.setdefault(table, {})
            for key, value in changes.items():
                if value is None:
                    held.pop(key, None)
                else:
                    held[key] = (seqno, value)
    return {
        table: [(key, version, value) for key, (version, value) in rows.items()]
        for table, rows in state.items()
        if rows and not is_system_table(table)
    }


async def send_state(node: Node, tables: Tables, seqno: int, *, rows_at_a_time: int = 100) -> None:
    """Send what SnapshotBegin asked for, as fast as the manager lets us."""

    async def put(part: SnapshotTable | SnapshotRows) -> None:
        while not node.room:
            more = await node.next()
            assert isinstance(more, SnapshotMore)
            node.room += more.slices
        node.room -= 1
        await node.executor.send(TO_MANAGER.encode(part))

    for name in sorted(tables, key=lambda name: not name.startswith(PUBLIC_PREFIX)):
        rows = tables[name]
        await put(SnapshotTable(name, len(encode_rows(rows))))
        for at in range(0, len(rows), rows_at_a_time):
            await put(SnapshotRows(encode_rows(rows[at : at + rows_at_a_time])))
    await node.executor.send(TO_MANAGER.encode(SnapshotEnd(seqno)))


async def past_credits(node: Node) -> object:
    """Return the next message that is not SnapshotMore."""
    while isinstance(message := await node.next(), SnapshotMore):
        node.room += message.slices
    if isinstance(message, SnapshotBegin):
        node.room = 0
    return message


async def block_committed(node: Node) -> BlockCommitted:
    """Return the next block that is committed; a snapshot may begin meanwhile."""
    while isinstance(message := await past_credits(node), SnapshotBegin):
        node.begun = message
    assert isinstance(message, BlockCommitted)
    return message


async def snapshot_begun(node: Node) -> SnapshotBegin:
    """Return what began the snapshot that is under way, or that comes next."""
    begun, node.begun = node.begun, None
    message = begun or await past_credits(node)
    assert isinstance(message, SnapshotBegin)
    return message


async def take_snapshot(node: Node, tables: Tables | None = None) -> str:
    """Play the whole part, from SnapshotBegin on; returns the file."""
    begin = await snapshot_begun(node)
    await send_state(node, state_of(node, at=begin.seqno) if tables is None else tables, begin.seqno)
    assert isinstance(await past_credits(node), SnapshotWritten)
    await node.propose(EVIDENCE)
    committed = await block_committed(node)
    while True:
        message = await node.next_or_news()
        if isinstance(message, LedgerNews) and json.loads(message.status)["snapshot"] == begin.seqno:
            return f"snapshots/snapshot_{begin.seqno}_{committed.last_seqno - 1}.committed"


def snapshots_of(machine: Machine) -> list[str]:
    return [name for name in machine.disk.files if name.startswith("snapshots/")]


def make_machine(entries: int = ENTRIES, chunk_bytes_min: int = 3_000) -> Machine:
    return Machine(config=make_config(chunk_bytes_min=chunk_bytes_min, snapshot_entries=entries))


async def fill(node: Node, blocks: int, first: int = 0) -> None:
    """Commit so many blocks of one entry, and of its signature."""
    for number in range(first, first + blocks):
        drafts = kv_draft(b"key %d" % (number % 5), b"value %d" % number, public=b"log %d" % number)
        await node.propose(drafts)
        await block_committed(node)


async def written(machine: Machine, *, blocks_after: int = 2) -> str:
    """Write a ledger with one snapshot, and what follows it; return the snapshot's file."""
    async with machine.node() as node:
        await listen(node)
        await fill(node, 3)
        file = await take_snapshot(node)
        await fill(node, blocks_after, first=100)
    return file


async def two_snapshots(machine: Machine) -> list[str]:
    async with machine.node() as node:
        await listen(node)
        await fill(node, 3)
        files = [await take_snapshot(node)]
        await fill(node, 4)
        files.append(await take_snapshot(node))
        await fill(node, 1)
    return files


def flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
