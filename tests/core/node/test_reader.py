"""A reader between an executor and gateways that the tests play, over in-memory channels."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest

from core import limits
from core.adapter.interface import (
    Adapter,
    AdapterInfo,
    Executed,
    ExecutionContext,
    QueryContext,
    Route,
    ScopedTransaction,
)
from core.errors import InvariantBroken, MalformedMessage, NodeStopped
from core.governance.constitution import Constitution, Identity
from core.kv.write_set import encode_domain
from core.node.messages import (
    FROM_GATEWAY,
    TO_GATEWAY,
    Answer,
    Ask,
    FromGateway,
    FrontEnd,
    ReplayedEntry,
    Submit,
    ToGateway,
    WireCaller,
)
from core.node.reader import Reader
from core.node.reader_messages import TO_READER, FeedBegin, FeedEntries
from enclave_sim.boundary.memory_transport import memory_pair

CONSTITUTION = Constitution(2, "test", (Identity("a", "member", b"certificate"),), {"one": {}}, "one").encode()
SESSION = bytes(range(32))


class Echo(Adapter):
    """Answers with the seqno it ran at, and keeps the order of what it was asked."""

    info = AdapterInfo("one", "1", "echoes")
    asked: list[tuple[str | None, bytes]]

    def routes(self) -> Sequence[Route]:
        return ()

    def execute(self, transaction: ScopedTransaction, payload: bytes, context: ExecutionContext) -> Executed:
        raise NotImplementedError

    def reset(self, transaction: ScopedTransaction) -> None:
        self.resets = getattr(self, "resets", 0) + 1

    def query(self, payload: bytes, context: QueryContext) -> bytes:
        if payload == b"bug":
            raise ValueError("secret")
        if payload == b"broken":
            raise InvariantBroken("broken")
        self.asked.append((context.caller.identity, payload))
        value = context.transaction.table("data").get(b"key")
        return b"%d %s" % (context.seqno, value or b"")


class Bench:
    def __init__(self) -> None:
        self.executor, theirs = memory_pair()
        self.logged: list[str] = []
        self.beats = 0
        self.ready = 0
        self.adapter = Echo({}, "test")
        self.adapter.asked = []
        self.reader = Reader(
            executor=theirs,
            clock=lambda: 1000.0,
            log=self.logged.append,
            load=self.load,
            beat=self.beat,
            on_ready=self.on_ready,
        )
        self.task = asyncio.create_task(self.reader.run())
        self.head = 0
        self.ticket = 0

    def load(self, settings: Mapping[str, Mapping[str, Any]], network: str) -> dict[str, Adapter]:
        return {"one": self.adapter}

    def beat(self) -> None:
        self.beats += 1

    def on_ready(self) -> None:
        self.ready += 1

    async def begin(self, seqno: int = 1) -> None:
        await self.executor.send(TO_READER.encode(FeedBegin(CONSTITUTION, SESSION, 0)))
        await self.commit(b"first", seqno)

    async def commit(self, value: bytes, last: int) -> None:
        private = encode_domain({"one.data": {b"key": value}})
        entries = (ReplayedEntry(last - 1, encode_domain({}), private),) if last - 1 > self.head else ()
        await self.executor.send(TO_READER.encode(FeedEntries(self.head, entries, last, True, 5)))
        self.head = last

    def gateway(self) -> Gateway:
        ours, theirs = memory_pair()
        self.reader.attach_gateway(theirs)
        return Gateway(self, ours)


class Gateway:
    def __init__(self, bench: Bench, transport: Any) -> None:
        self.bench = bench
        self.transport = transport
        self.answers: dict[int, Answer] = {}
        self.committed: list[int] = []

    async def send(self, *items: Submit | Ask) -> None:
        await self.transport.send(FROM_GATEWAY.encode(FromGateway(items)))

    async def ask(self, payload: bytes, *, identity: str = "alice", after: int = 0, adapter: str = "one") -> int:
        item = make_ask(self.bench, payload, identity=identity, after=after, adapter=adapter)
        await self.send(item)
        return item.ticket

    async def hear(self) -> None:
        message = TO_GATEWAY.decode(await asyncio.wait_for(self.transport.receive(), 5))
        assert isinstance(message, ToGateway)
        self.committed.append(message.committed)
        self.answers.update({answer.ticket: answer for answer in message.items})

    async def answer(self, ticket: int) -> Answer:
        while ticket not in self.answers:
            await self.hear()
        return self.answers[ticket]


def make_ask(bench: Bench, payload: bytes, *, identity: str, after: int = 0, adapter: str = "one") -> Ask:
    bench.ticket += 1
    return Ask(bench.ticket, adapter, payload, WireCaller(identity, False, "token"), after)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    yield made
    made.reader.request_stop()
    with contextlib.suppress(NodeStopped, MalformedMessage, InvariantBroken):
        await made.task


async def test_a_query_runs_on_the_newest_committed_state(bench: Bench) -> None:
    gateway = bench.gateway()
    await bench.begin(5)
    assert await bench.reader.session() == SESSION
    assert (await gateway.answer(await gateway.ask(b"x"))).reply == b"5 first"
    await bench.commit(b"second", 8)
    assert (await gateway.answer(await gateway.ask(b"x", after=8))).reply == b"8 second"
    assert (bench.ready, bench.adapter.resets) == (1, 1)
    assert bench.beats >= 2


async def test_what_a_gateway_has_seen_is_waited_for(bench: Bench) -> None:
    gateway, other = bench.gateway(), bench.gateway()
    await bench.begin(5)
    late = await gateway.ask(b"late", after=8)
    now = await other.ask(b"now", identity="bob", after=5)
    assert (await other.answer(now)).reply == b"5 first"
    assert late not in gateway.answers
    await bench.commit(b"second", 8)
    assert (await gateway.answer(late)).reply == b"8 second"


async def test_commits_are_announced_after_they_can_be_read(bench: Bench) -> None:
    gateway = bench.gateway()
    await bench.begin(5)
    while 5 not in gateway.committed:
        await gateway.hear()
    await bench.commit(b"second", 8)
    await gateway.hear()
    assert gateway.committed[-1] == 8
    late = bench.gateway()
    await late.hear()
    assert late.committed == [8]
    assert (await late.answer(await late.ask(b"x"))).reply == b"8 second"


async def test_before_the_replica_is_complete_queries_wait(bench: Bench) -> None:
    gateway = bench.gateway()
    ticket = await gateway.ask(b"x")
    await bench.executor.send(TO_READER.encode(FeedBegin(CONSTITUTION, SESSION, 0)))
    await bench.executor.send(TO_READER.encode(FeedEntries(0, (), 2, False, 5)))
    for _ in range(20):
        await asyncio.sleep(0)
    assert (bench.adapter.asked, bench.ready, bench.beats) == ([], 0, 0)
    bench.head = 2
    await bench.commit(b"value", 4)
    assert (await gateway.answer(ticket)).reply == b"4 value"


async def test_identities_take_turns(bench: Bench) -> None:
    gateway = bench.gateway()
    many = [make_ask(bench, b"%d" % number, identity="alice") for number in range(4)]
    await gateway.send(*many, make_ask(bench, b"0", identity="bob"))
    for _ in range(5):
        await asyncio.sleep(0)
    await bench.begin()
    await gateway.answer(many[-1].ticket)
    assert [identity for identity, _ in bench.adapter.asked] == ["alice", "bob", "alice", "alice", "alice"]


async def test_failures_are_answers(bench: Bench) -> None:
    gateway = bench.gateway()
    await bench.begin()
    assert (await gateway.answer(await gateway.ask(b"bug"))).failure == "failed"
    assert (await gateway.answer(await gateway.ask(b"x", adapter="two"))).failure == "no_such_adapter"
    await gateway.send(Submit(9000, "one", b"x", WireCaller("alice", False, "token")))
    assert (await gateway.answer(9000)).failure == "no_such_adapter"
    assert (await gateway.answer(await gateway.ask(b"x"))).failure == ""
    assert bench.logged == ["the adapter one failed on a query (ValueError)"]


async def test_over_its_bound_an_identity_is_refused_and_others_are_not(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.reader._queue, "_per_identity_max", 2)
    gateway = bench.gateway()
    many = [make_ask(bench, b"%d" % number, identity="alice") for number in range(3)]
    await gateway.send(*many, make_ask(bench, b"0", identity="bob"))
    assert (await gateway.answer(many[2].ticket)).failure == "overloaded"
    await bench.begin()
    assert (await gateway.answer(bench.ticket)).failure == ""


async def test_a_state_that_does_not_come_is_not_waited_for_for_ever(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.node.reader.BEAT_SECONDS", 0.01)
    monkeypatch.setattr(limits, "QUERY_WAIT_SECONDS_MAX", 0.05)
    gateway = bench.gateway()
    await bench.begin(5)
    assert (await gateway.answer(await gateway.ask(b"x", after=99))).failure == "overloaded"


async def test_malformed_messages_of_a_gateway_are_refused(bench: Bench) -> None:
    gateway, other = bench.gateway(), bench.gateway()
    await bench.begin()
    for data in (b"", b"\x01", b"\x02junk", b"\x01\x91\x7f", FROM_GATEWAY.encode(FromGateway(()))[:-1]):
        await gateway.transport.send(data)
    assert (await gateway.answer(await gateway.ask(b"x"))).failure == ""
    assert (await other.answer(await other.ask(b"x"))).failure == ""
    assert len(bench.logged) == 5
    assert all(line.startswith("a message of a gateway was refused") for line in bench.logged)


async def test_a_gateway_that_goes_leaves_the_others(bench: Bench) -> None:
    gateway, other = bench.gateway(), bench.gateway()
    await bench.begin()
    gateway.transport.crash()
    assert (await other.answer(await other.ask(b"x"))).failure == ""


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"\x01\x91\x7f", MalformedMessage),
        (TO_GATEWAY.encode(FrontEnd(b"", "", b"", b"", b"")), MalformedMessage),
        (TO_READER.encode(FeedEntries(4, (), 9, True, 0)), InvariantBroken),
        (TO_READER.encode(FeedBegin(CONSTITUTION, SESSION, 0)), InvariantBroken),
    ],
)
async def test_a_feed_that_cannot_be_right_ends_the_reader(bench: Bench, data: bytes, error: type[Exception]) -> None:
    gateway = bench.gateway()
    await bench.begin(5)
    await gateway.answer(await gateway.ask(b"x"))
    await bench.executor.send(data)
    with pytest.raises(error):
        await bench.task


async def test_a_broken_invariant_ends_the_reader(bench: Bench) -> None:
    gateway = bench.gateway()
    await bench.begin(5)
    await gateway.ask(b"broken")
    with pytest.raises(InvariantBroken):
        await bench.task


async def test_the_end_of_the_executor_ends_the_reader(bench: Bench) -> None:
    await bench.begin(5)
    await bench.executor.close()
    with pytest.raises(NodeStopped):
        await bench.task


async def test_a_stop_answers_what_waits(bench: Bench) -> None:
    gateway = bench.gateway()
    await bench.begin(5)
    ticket = await gateway.ask(b"x", after=99)
    await gateway.answer(await gateway.ask(b"x", identity="bob"))
    bench.reader.request_stop()
    assert (await gateway.answer(ticket)).failure == "overloaded"
    await bench.task
