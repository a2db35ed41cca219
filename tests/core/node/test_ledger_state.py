"""A node's state and the one made again from its ledger and keys are the same."""

from __future__ import annotations

import pytest

from core.errors import CocoError, LedgerDamaged
from core.kv.store import Store
from core.kv.write_set import WriteSet
from core.ledger.secrets import EpochSecret
from core.ledger.state_digest import digest_of
from core.node.ledger_state import public_state, rebuild, rows_of
from core.node.manager_keys import load_secrets
from core.types import NO_CLAIMS, Digest, Seqno
from tests.support.ledger_bench import write_ledger
from tests.support.manager_bench import EntryDraft, Machine, Node, kv_draft
from tests.support.memory_disk import MemoryDisk


async def epochs(machine: Machine) -> tuple[EpochSecret, ...]:
    secrets = await load_secrets(machine.disk, machine.sealer)
    assert secrets is not None
    return secrets.epochs


def node_state(node: Node) -> Store:
    """The store of an executor after the replay: what `core/node/executor_start.py` makes of it."""
    store = Store()
    for entry in node.replayed:
        store.apply(Seqno(entry.seqno), WriteSet.decode(entry.public, entry.private))
    return store


def deletion(key: bytes) -> EntryDraft:
    return EntryDraft("kv", *WriteSet({"kv.data": {key: None}, "public:kv.log": {b"log": None}}).encode(), NO_CLAIMS)


async def written() -> Machine:
    machine = await write_ledger(starts=2, blocks=3, transactions=3, chunk_bytes_min=5_000)
    async with machine.node() as node:
        await node.commit(deletion(b"key 1"), kv_draft(b"key 2", b"again"))
    return machine


async def test_the_rebuilt_state_is_the_running_nodes() -> None:
    machine = await written()
    async with machine.node() as node:
        running = node_state(node)
    store = await rebuild(machine.disk, await epochs(machine))
    assert digest_of(rows_of(store)) == digest_of(rows_of(running))
    rows = {(name, key): (version, value) for name, key, version, value in rows_of(store)}
    assert ("kv.data", b"key 1") not in rows
    assert rows["kv.data", b"key 2"][1] == b"again"
    assert not any(name.startswith("public:ccf.internal.") for name, _ in rows)


async def test_every_entry_has_its_state() -> None:
    machine = await written()
    secrets = await epochs(machine)
    reached = len(await machine.record_bounds())
    seen: dict[Digest, int] = {}
    for at in range(1, reached + 1):
        store = await rebuild(machine.disk, secrets, Seqno(at))
        assert store.head == at
        public = await public_state(machine.disk, Seqno(at))
        wanted = {(name, key): (version, value) for name, key, version, value in rows_of(store)}
        found = {(name, key): row for name, rows in public.items() for key, row in rows.items()}
        assert found == {name: row for name, row in wanted.items() if name[0].startswith("public:")}
        seen.setdefault(digest_of(rows_of(store)), at)
    signatures = 2 * (1 + 3 + 2) + 1 + 1
    assert len(seen) == reached - signatures


async def test_keys_that_are_missing_or_wrong_make_no_state() -> None:
    machine = await written()
    first, *rest = await epochs(machine)
    for wrong in ([], rest, [first], [EpochSecret(1, Seqno(1), first.first_view, first.node, bytes(32)), *rest]):
        with pytest.raises(LedgerDamaged):
            await rebuild(machine.disk, wrong)
    with pytest.raises(CocoError, match="names no service"):
        await rebuild(MemoryDisk(), [first])
    with pytest.raises(CocoError, match="was asked for"):
        await rebuild(machine.disk, [first, *rest], Seqno(10_000))
    with pytest.raises(CocoError, match="was asked for"):
        await public_state(machine.disk, Seqno(10_000))
