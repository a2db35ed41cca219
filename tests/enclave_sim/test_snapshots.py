"""Snapshots of a whole node in one process: written while it answers, started from, readers and all."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from core.adapter.interface import (
    Adapter,
    AdapterInfo,
    Backend,
    Executed,
    ExecutionContext,
    QueryContext,
    Request,
    Response,
    Route,
    ScopedTransaction,
)
from core.governance.constitution import Constitution
from core.kv.errors import SnapshotGone
from core.kv.store import Store
from core.ledger.state_digest import digest_of
from core.node.ledger_state import rebuild, rows_of
from core.node.manager_keys import load_secrets
from core.types import Seqno
from enclave_sim.local_node import LocalNode
from enclave_sim.platform.memory import MemoryPlatform
from tests.support.manifests import AUTHORITY, admitting, root_of_tests
from tests.support.memory_disk import MemoryDisk

ROWS = 60_000


class Keys(Adapter):
    """PUT /k/v writes; PUT /many/N writes N keys; GET /k reads, GET /k/N as of seqno N. Keeps ten entries' states."""

    info = AdapterInfo("keys", "1", "keys and values")

    def routes(self) -> Sequence[Route]:
        return (
            Route("PUT", "/{key}/{value}", self.write),
            Route("GET", "/{key}", self.read),
            Route("GET", "/{key}/{at}", self.read),
        )

    async def write(self, request: Request, backend: Backend) -> Response:
        named = request.parameters
        outcome = await backend.submit(f"{named['key']} {named['value']}".encode(), request.caller)
        return Response(200, outcome.reply)

    async def read(self, request: Request, backend: Backend) -> Response:
        named = request.parameters
        query = f"{named['key']} {named.get('at', '')}"
        return Response(200, await backend.query(query.encode(), request.caller))

    def execute(self, transaction: ScopedTransaction, payload: bytes, context: ExecutionContext) -> Executed:
        key, value = payload.split()
        table = transaction.table("data")
        if key == b"many":
            for number in range(int(value)):
                table.put(b"many %d" % number, value)
        elif value == b"-":
            table.delete(key)
        else:
            table.put(key, value)
        transaction.table("public:count").put(key, b"%d" % context.seqno)
        return Executed(b"%d" % context.seqno)

    def query(self, payload: bytes, context: QueryContext) -> bytes:
        key, *at = payload.split()
        try:
            transaction = context.at(Seqno(int(at[0]))) if at else context.transaction
        except SnapshotGone:
            return b"gone"
        return transaction.table("data").get(key) or b"-"

    def retained_from(self, transaction: ScopedTransaction) -> Seqno | None:
        return Seqno(max(0, transaction.inner.snapshot - 10))


def load(settings: Mapping[str, Mapping[str, Any]], network: str) -> dict[str, Adapter]:
    return {name: Keys(settings[name], network) for name in settings}


class Network:
    """What outlives its nodes."""

    def __init__(self, constitution: Constitution, snapshot_entries: int) -> None:
        self.disk, self.platform = MemoryDisk(), MemoryPlatform(authority=AUTHORITY)
        manifests = admitting("keys", roots=(root_of_tests(),))
        self.constitution = replace(constitution, adapters={"keys": {}}, default_adapter="keys", **manifests)
        self.snapshot_entries = snapshot_entries

    def node(self, readers: int = 0) -> LocalNode:
        return LocalNode(
            self.disk,
            self.constitution.encode(),
            platform=self.platform,
            readers=readers,
            chunk_bytes_min=20_000,
            snapshot_entries=self.snapshot_entries,
            load=load,
        )

    def snapshots(self) -> list[str]:
        return [name for name in self.disk.files if name.startswith("snapshots/") and name.endswith(".committed")]


async def ask(node: LocalNode, method: str, path: str) -> str:
    context = ssl.create_default_context(cadata=node.ca_pem)
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port, ssl=context, server_hostname="localhost")
    headers = "host: localhost\r\nauthorization: Bearer token of org1\r\ncontent-length: 0\r\nconnection: close"
    writer.write(f"{method} /keys/{path} HTTP/1.1\r\n{headers}\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 200"), answer
    return answer.rpartition(b"\r\n\r\n")[2].decode()


def contents(store: Store, at: int) -> dict[str, dict[bytes, tuple[int, bytes]]]:
    found: dict[str, dict[bytes, tuple[int, bytes]]] = {}
    for name in store.table_names():
        table = store.table(name)
        rows = {key: table.read(key, at) for key in table.current}
        found[name] = {key: (version, value) for key, (version, value) in rows.items() if value is not None}
    return {name: rows for name, rows in found.items() if rows}


async def until_snapshots(network: Network, count: int) -> None:
    while len(network.snapshots()) < count:  # noqa: ASYNC110 - a disk tells nobody
        await asyncio.sleep(0.005)


@pytest.fixture
def network(constitution: Constitution) -> Network:
    return Network(constitution, snapshot_entries=30)


async def test_a_node_goes_on_from_a_snapshot_as_from_its_ledger(network: Network) -> None:
    async with network.node() as node:
        for number in range(20):
            await ask(node, "PUT", f"key{number % 7}/{number}")
        await ask(node, "PUT", "key3/-")
        await until_snapshots(network, 1)
        store = node.executor._store
        written = contents(store, store.head)
    async with network.node(readers=1) as node:
        assert any("started from snapshots/" in line for line in node.log), node.log
        store = node.executor._store
        restored = contents(store, store.head)
        assert {name: rows for name, rows in restored.items() if "keys." in name} == {
            name: rows for name, rows in written.items() if "keys." in name
        }
        replica = node.reader(1).replica
        assert contents(replica.store, replica.applied) == contents(store, replica.applied)
        assert await ask(node, "GET", "key3") == "-"
        assert await ask(node, "GET", "key5") == "19"
        assert await ask(node, "GET", "key5/3") == "gone"
        before = int(await ask(node, "PUT", "key5/new"))
        await ask(node, "PUT", "key5/newer")
        assert await ask(node, "GET", f"key5/{before}") == "new"
        assert await ask(node, "GET", "key5") == "newer"


async def test_commands_are_answered_while_a_snapshot_is_under_way(network: Network) -> None:
    """Counted in slices of the snapshot, not in time."""
    network.snapshot_entries = 0
    async with network.node() as node:
        await ask(node, "PUT", f"many/{ROWS}")
        stream = node.executor._snapshots
        await node.take_snapshot()
        answered_at = []
        while stream.pinned or not answered_at:
            await ask(node, "PUT", f"during/{len(answered_at)}")
            answered_at.append(stream.slices)
        await until_snapshots(network, 1)
        total = stream.slices
    inside = [slices for slices in answered_at if 0 < slices < total]
    assert total > 2 * ROWS // 500
    assert len(inside) >= 3
    async with network.node() as node:
        assert any("started from snapshots/" in line for line in node.log)
        assert await ask(node, "GET", "during") == str(len(answered_at) - 1)
        assert await ask(node, "GET", "count") == "-"


async def test_the_evidence_states_the_digest_of_the_state_rebuilt_from_the_ledger(network: Network) -> None:
    async with network.node() as node:
        for number in range(20):
            await ask(node, "PUT", f"key{number % 7}/{number}")
        await until_snapshots(network, 1)
    (file,) = network.snapshots()
    seqno = int(file.split("_")[1])
    kept = await load_secrets(network.disk, network.platform.sealer("manager"))
    assert kept is not None
    at_snapshot = digest_of(rows_of(await rebuild(network.disk, kept.epochs, Seqno(seqno))))
    now = await rebuild(network.disk, kept.epochs)
    evidence = now.table("public:ccf.internal.snapshot_evidence").current[bytes(8)][1]
    assert evidence is not None
    assert at_snapshot.hex().encode() in evidence
