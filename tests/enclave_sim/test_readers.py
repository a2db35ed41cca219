"""Readers of a whole node in one process: equal state, reads of own writes, crashes, foreign and forged channels."""

from __future__ import annotations

import asyncio
import hashlib
import random
import ssl
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from core.adapter.interface import (
    Adapter,
    AdapterInfo,
    Backend,
    Executed,
    ExecutionContext,
    QueryClass,
    QueryContext,
    Request,
    Response,
    Route,
    ScopedTransaction,
)
from core.errors import ChannelClosed
from core.governance.constitution import Constitution, Identity
from core.kv.store import Store
from core.types import Seqno
from enclave_sim.boundary.memory_transport import memory_pair
from enclave_sim.local_node import LocalNode
from enclave_sim.platform.memory import MemoryPlatform
from enclave_sim.reader_channels import Channel, QueuedChannels, attach_to_reader
from tests.support.manifests import AUTHORITY, admitting, root_of_tests

TOKEN = "token of org1"


class Keys(Adapter):
    """PUT /k/v writes; GET /CLASS/k reads by that class of query."""

    info = AdapterInfo("keys", "1", "keys and values")

    def routes(self) -> Sequence[Route]:
        return (Route("PUT", "/{key}/{value}", self.write), Route("GET", "/{kind}/{key}", self.read))

    async def write(self, request: Request, backend: Backend) -> Response:
        named = request.parameters
        outcome = await backend.submit(f"{named['key']} {named['value']}".encode(), request.caller)
        return Response(200, outcome.reply)

    async def read(self, request: Request, backend: Backend) -> Response:
        named = request.parameters
        return Response(200, await backend.query(f"{named['kind']} {named['key']}".encode(), request.caller))

    def query_class(self, payload: bytes) -> QueryClass:
        return payload.decode().split()[0]  # type: ignore[return-value]

    def execute(self, transaction: ScopedTransaction, payload: bytes, context: ExecutionContext) -> Executed:
        key, value = payload.split()
        table = transaction.table("data")
        if value == b"-":
            table.delete(key)
        else:
            table.put(key, value)
        transaction.table("public:count").put(key, b"%d" % context.seqno)
        return Executed(value)

    def query(self, payload: bytes, context: QueryContext) -> bytes:
        return context.transaction.table("data").get(payload.split()[1]) or b"-"

    def retained_from(self, transaction: ScopedTransaction) -> Seqno | None:
        return Seqno(max(0, transaction.inner.snapshot - 10))


def load(settings: Mapping[str, Mapping[str, Any]], network: str) -> dict[str, Adapter]:
    return {name: Keys(settings[name], network) for name in settings}


@pytest.fixture
def genesis(constitution: Constitution) -> bytes:
    certificate = constitution.identities[0].certificate
    identity = Identity("org1", "member", certificate, (hashlib.sha256(TOKEN.encode()).hexdigest(),))
    manifests = admitting("keys", roots=(root_of_tests(),))
    return Constitution(2, "demo", (identity,), {"keys": {}}, "keys", **manifests).encode()


class Client:
    """One connection."""

    def __init__(self, node: LocalNode) -> None:
        self._node = node

    async def open(self) -> Client:
        context = ssl.create_default_context(cadata=self._node.ca_pem)
        self._reader, self._writer = await asyncio.open_connection(
            "127.0.0.1", self._node.port, ssl=context, server_hostname="localhost"
        )
        return self

    async def ask(self, method: str, path: str) -> tuple[int, bytes]:
        headers = f"host: localhost\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: 0"
        self._writer.write(f"{method} {path} HTTP/1.1\r\n{headers}\r\n\r\n".encode())
        head = (await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), 20)).lower()
        length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        return int(head.split()[1]), await self._reader.readexactly(length)

    async def put(self, key: str, value: str) -> None:
        assert await self.ask("PUT", f"/{key}/{value}") == (200, value.encode())

    async def get(self, kind: str, key: str) -> str:
        status, value = await self.ask("GET", f"/{kind}/{key}")
        assert status == 200, value
        return value.decode()

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


def digest(store: Store, at: Seqno) -> str:
    """SHA-256 over every table's rows and versions as of a seqno."""
    found = hashlib.sha256()
    for name in store.table_names():
        table = store.table(name)
        for key in sorted(table.current):
            version, value = table.read(key, at)
            if value is not None:
                found.update(repr((name, key, version, value)).encode())
    return found.hexdigest()


def check_equal(node: LocalNode, number: int) -> None:
    """The replica equals the executor's store at every seqno that both keep, the ones that are asked for among them."""
    ours, theirs = node.executor._store, node.reader(number).replica.store
    committed = node.reader(number).replica.applied
    assert committed == node.executor._committed
    assert theirs.horizon <= max(0, committed - 10)
    for at in range(max(ours.horizon, theirs.horizon), committed + 1):
        assert digest(ours, Seqno(at)) == digest(theirs, Seqno(at))


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.001)


async def churn(node: LocalNode, seed: int, *, gateways_seen: int = 4) -> None:
    """Clients that write random values and read each back at once, by every class."""

    async def work(number: int) -> None:
        source = random.Random(f"{seed} {number}")
        client = await Client(node).open()
        for _ in range(12):
            key, value = f"{number}.{source.randrange(4)}", source.choice(["-", str(source.randrange(100))])
            await client.put(key, value)
            kinds = ["lookup", "simulation", "live"]
            source.shuffle(kinds)
            assert [await client.get(kind, key) for kind in kinds] == [value] * 3
        await client.close()

    await asyncio.gather(*(work(number) for number in range(gateways_seen)))


@pytest.mark.parametrize(("readers", "gateways"), [(0, 1), (1, 1), (2, 1), (2, 2)])
async def test_a_client_reads_what_it_wrote_and_replicas_are_equal(
    tmp_path: Path, genesis: bytes, readers: int, gateways: int
) -> None:
    async with LocalNode(tmp_path, genesis, readers=readers, gateways=gateways, load=load) as node:
        await churn(node, 1)
        for number in range(1, readers + 1):
            await until(lambda number=number: node.reader(number).replica.applied == node.executor._committed)  # type: ignore[misc]
            check_equal(node, number)


async def test_after_a_restart_older_states_are_in_the_replica_at_once(tmp_path: Path, genesis: bytes) -> None:
    async with LocalNode(tmp_path, genesis, load=load) as node:
        await churn(node, 2)
    async with LocalNode(tmp_path, genesis, readers=2, load=load) as node:
        for number in (1, 2):
            check_equal(node, number)
            assert node.reader(number).replica.applied > 20
        await churn(node, 3)


async def test_a_reader_that_crashes_is_replaced_under_load(tmp_path: Path, genesis: bytes) -> None:
    async with LocalNode(tmp_path, genesis, readers=2, load=load) as node:
        client = await Client(node).open()
        await client.put("a", "1")
        for number in (1, 2, 1):
            node.crash_reader(number)
            await client.put("a", str(number))
            waiting = asyncio.create_task(client.get("lookup" if number == 1 else "simulation", "a"))
            await node.start_reader(number)
            assert await waiting == str(number)
            check_equal(node, number)
        await client.close()
        await churn(node, 4)


async def test_without_its_reader_a_query_ends_and_the_rest_goes_on(
    tmp_path: Path, genesis: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with LocalNode(tmp_path, genesis, readers=2, load=load) as node:
        client = await Client(node).open()
        await client.put("a", "1")
        assert node._roles is not None
        monkeypatch.setattr(node._roles.gateways[0]._client._slots[1], "_absent_seconds_max", 0.01)
        node.crash_reader(2)
        status, body = await client.ask("GET", "/simulation/a")
        assert (status, b"interrupted" in body) == (503, True)
        await client.put("a", "2")
        assert (await client.get("lookup", "a"), await client.get("live", "a")) == ("2", "2")
        await client.close()


async def test_channels_that_the_host_forges_are_refused_and_harm_nobody(tmp_path: Path, genesis: bytes) -> None:
    async with LocalNode(tmp_path, genesis, readers=1, load=load) as node:
        assert node._roles is not None
        client = await Client(node).open()
        await client.put("a", "1")
        refused = 0
        for source in node._roles.sources:
            for peer in ("reader", "executor"):
                ours, theirs = memory_pair()
                await ours.send(b"junk")
                source.put(Channel(peer, 1, theirs))
                refused += 1
        await until(lambda: sum("a channel of the host was refused" in line for line in node.log) == refused)
        await client.put("a", "2")
        assert await client.get("lookup", "a") == "2"
        await client.close()


async def test_a_gateway_does_not_ask_a_reader_of_another_network(tmp_path: Path, genesis: bytes) -> None:
    """Same code, same platform, but another executor's session: the pairing fails."""
    first, second = tmp_path / "first", tmp_path / "second"
    platform = MemoryPlatform(authority=AUTHORITY)
    async with (
        LocalNode(first, genesis, platform=platform, readers=1, load=load) as node,
        LocalNode(second, genesis, platform=platform, readers=1, load=load) as other,
    ):
        assert node._roles is not None
        to_gateway, to_reader = memory_pair()
        other._beside.append(asyncio.create_task(_pair_foreign(other, to_reader)))
        node._roles.sources[1].put(Channel("reader", 1, to_gateway))
        await until(lambda: any("a channel of the host was refused" in line for line in node.log))
        client = await Client(node).open()
        await client.put("a", "1")
        assert await client.get("lookup", "a") == "1"
        await client.close()


async def _pair_foreign(other: LocalNode, transport: Any) -> None:
    """Offer another node's reader a gateway, as its own host would."""
    source = QueuedChannels()
    source.put(Channel("gateway", 1, transport))
    await attach_to_reader(other.reader(1), source, other.platform.attestor("worker"), other.log.append)


async def test_a_node_that_has_stopped_starts_no_reader(tmp_path: Path, genesis: bytes) -> None:
    node = LocalNode(tmp_path, genesis, readers=1, load=load)
    async with node:
        pass
    with pytest.raises(ChannelClosed):
        await node.start_reader(1)
