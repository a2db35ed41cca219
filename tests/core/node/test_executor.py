"""The executor against a manager and gateways that the tests play, over in-memory channels."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import pytest

from core import limits
from core.adapter.interface import (
    Adapter,
    AdapterInfo,
    BlockFull,
    CommandRejected,
    Executed,
    ExecutionContext,
    Pending,
    QueryContext,
    Route,
    ScopedTransaction,
)
from core.errors import CocoError, InvariantBroken, NodeStopped
from core.governance.constitution import Constitution, Identity
from core.kv.write_set import WriteSet, encode_domain
from core.node.config import ExecutorConfig
from core.node.executor import Executor
from core.node.messages import (
    FROM_GATEWAY,
    FROM_MANAGER,
    TO_GATEWAY,
    TO_MANAGER,
    Answer,
    Ask,
    BlockCommitted,
    CertificateIssued,
    CertificateRequest,
    FromGateway,
    FrontEnd,
    GovernanceResult,
    LedgerNews,
    ProposeBlock,
    Ready,
    Replay,
    ReplayedEntry,
    SnapshotBegin,
    SnapshotEnd,
    SnapshotMore,
    SnapshotRows,
    SnapshotTable,
    SnapshotWritten,
    Submit,
    WireCaller,
)
from core.types import NO_CLAIMS, Digest, Seqno
from enclave_sim.boundary.memory_transport import memory_pair

ALICE = WireCaller("alice", False, "token")
BOB = WireCaller("bob", False, "token")
MEMBER = WireCaller("admin", True, "certificate")
VIEW = 3


class HoldQueue:
    """Holds `hold` for 20 ms."""

    def __init__(self) -> None:
        self.ready: list[Pending] = []
        self.held: list[tuple[int, Pending]] = []

    def push(self, pending: Pending, now_ms: int) -> list[tuple[Pending, bytes]]:
        if pending.payload == b"bug in the queue":
            raise ValueError("secret")
        if pending.payload == b"hold":
            self.held.append((now_ms + 20, pending))
        else:
            self.ready.append(pending)
        return []

    def pop(self) -> Pending | None:
        if self.ready and self.ready[0].payload == b"breaks the queue":
            raise ValueError("secret")
        return self.ready.pop(0) if self.ready else None

    def expire(self, now_ms: int) -> list[tuple[Pending, bytes]]:
        gone = [(pending, b"expired") for deadline, pending in self.held if deadline <= now_ms]
        self.held = [item for item in self.held if item[0] > now_ms]
        return gone

    def next_deadline_ms(self) -> int | None:
        return min((deadline for deadline, _ in self.held), default=None)

    def __len__(self) -> int:
        return len(self.ready) + len(self.held)


class Recorder(Adapter):
    """Writes each payload under the next number; some payloads misbehave."""

    info = AdapterInfo("one", "1", "records")

    def routes(self) -> Sequence[Route]:
        return []

    def genesis(self, transaction: ScopedTransaction, context: ExecutionContext) -> None:
        transaction.table("meta").put(b"genesis", b"done")

    def reset(self, transaction: ScopedTransaction) -> None:
        self.resets = getattr(self, "resets", 0) + 1
        self.count = int(transaction.table("meta").get(b"count") or b"0")
        self.block_count = 0

    def make_queue(self, read: Callable[[], ScopedTransaction]) -> HoldQueue:
        return HoldQueue()

    def execute(self, transaction: ScopedTransaction, payload: bytes, context: ExecutionContext) -> Executed:
        if payload == b"reject":
            transaction.table("log").put(b"trace", b"of a rejected command")
            raise CommandRejected(b"rejected")
        if payload == b"bug":
            self.count += 1000
            raise ValueError("secret")
        if payload == b"broken":
            raise InvariantBroken("broken")
        if payload == b"huge":
            for number in range(5):
                transaction.table("log").put(b"%d" % number, bytes(limits.VALUE_BYTES_MAX))
        if payload == b"never fits" or self.block_count == 100:
            raise BlockFull
        self.count += 1
        self.block_count += 1
        transaction.table("log").put(b"%04d" % self.count, payload)
        transaction.table("public:seen").put(b"count", b"%d" % self.count)
        transaction.table("meta").put(b"count", b"%d" % self.count)
        return Executed(b"%d %d %d" % (self.count, context.block, context.time_s))

    def close_block(self, transaction: ScopedTransaction, context: ExecutionContext) -> Digest:
        if transaction.table("log").get(b"%04d" % self.count) == b"spoils the close":
            raise ValueError("secret")
        self.block_count = 0
        transaction.table("headers").put(b"%d" % context.block, b"")
        return NO_CLAIMS

    def query(self, payload: bytes, context: QueryContext) -> bytes:
        if payload == b"bug":
            raise ValueError("secret")
        if payload == b"long":
            return bytes(limits.QUERY_REPLY_BYTES_MAX + 1)
        if payload == b"ahead":
            context.at(Seqno(context.seqno + 1))
        keys = [key.decode() for key in context.transaction.table("log").keys()]  # noqa: SIM118 - not a dict
        return json.dumps([context.seqno, keys]).encode()


class Second(Recorder):
    info = AdapterInfo("two", "2", "records as well")


class Bench:
    """An executor with hands on both of its sides."""

    def __init__(self, *, block_commands_max: int = 1000, gateways: int = 1) -> None:
        self.manager, theirs = memory_pair()
        pairs = [memory_pair() for _ in range(gateways)]
        self.gateways = [mine for mine, _ in pairs]
        self.logged: list[str] = []
        self.now = 1000.5
        self.adapters: dict[str, Adapter] = {}
        self.front_ends: list[FrontEnd] = []
        self.executor = Executor(
            ExecutorConfig(bytes(32), gateways, block_commands_max),
            manager=theirs,
            gateways=[other for _, other in pairs],
            clock=lambda: self.now,
            log=self.logged.append,
            load=self.load,
        )
        self.seqno = 0
        self.ticket = 0
        self.entries: list[tuple[int, WriteSet]] = []
        self.answers: dict[int, Answer] = {}
        self.order: list[int] = []

    def load(self, settings: Mapping[str, Mapping[str, Any]], network: str) -> dict[str, Adapter]:
        self.adapters = {"one": Recorder({}, network), "two": Second({}, network)}
        return self.adapters

    async def from_executor(self) -> ProposeBlock | CertificateRequest:
        return TO_MANAGER.decode(await asyncio.wait_for(self.manager.receive(), 5))

    async def proposed(self) -> ProposeBlock:
        message = await self.from_executor()
        assert isinstance(message, ProposeBlock)
        assert (message.view, message.first_seqno) == (VIEW, self.seqno + 1)
        for entry in message.entries:
            self.seqno += 1
            if entry.adapter != "coco":
                self.entries.append((self.seqno, WriteSet.decode(entry.public, entry.private)))
        self.seqno += 1
        return message

    async def commit(self, last_seqno: int | None = None, governance: tuple[GovernanceResult, ...] = ()) -> None:
        last = self.seqno if last_seqno is None else last_seqno
        await self.manager.send(FROM_MANAGER.encode(BlockCommitted(VIEW, last, governance)))

    async def begin(self, replay: Sequence[tuple[int, WriteSet]] = (), last_seqno: int = 2) -> None:
        """Play the manager through the start; entry 1 is the constitution, 2 its signature."""
        self.run = asyncio.create_task(self.executor.run())
        entries = tuple(ReplayedEntry(seqno, *writes.encode()) for seqno, writes in replay)
        await self.manager.send(FROM_MANAGER.encode(Replay(entries)))
        self.seqno = last_seqno
        ready = Ready(VIEW, last_seqno, constitution().encode(), b'{"service":1}', ((1, 1), (VIEW, last_seqno)))
        await self.manager.send(FROM_MANAGER.encode(ready))
        if not replay:
            self.genesis = await self.proposed()
            await self.commit()
        assert isinstance(await self.from_executor(), CertificateRequest)
        await self.manager.send(FROM_MANAGER.encode(CertificateIssued(b"CHAIN")))
        await self.hear()
        assert len(self.front_ends) == 1

    async def hear(self, gateway: int = 0) -> None:
        message = TO_GATEWAY.decode(await asyncio.wait_for(self.gateways[gateway].receive(), 5))
        if isinstance(message, FrontEnd):
            self.front_ends.append(message)
            return
        for answer in message.items:
            assert answer.ticket not in self.answers
            self.answers[answer.ticket] = answer
            self.order.append(answer.ticket)

    async def submit(self, *payloads: bytes, adapter: str = "one", caller: WireCaller = ALICE) -> list[int]:
        items = []
        for payload in payloads:
            self.ticket += 1
            items.append(Submit(self.ticket, adapter, payload, caller))
        await self.gateways[0].send(FROM_GATEWAY.encode(FromGateway(tuple(items))))
        return [item.ticket for item in items]

    async def answer(self, ticket: int) -> Answer:
        while ticket not in self.answers:
            await self.hear()
        return self.answers[ticket]

    async def ask(self, payload: bytes, adapter: str = "one") -> Answer:
        self.ticket += 1
        ask = Ask(self.ticket, adapter, payload, ALICE)
        await self.gateways[0].send(FROM_GATEWAY.encode(FromGateway((ask,))))
        return await self.answer(self.ticket)

    async def status(self) -> dict[str, Any]:
        return json.loads((await self.ask(b'{"kind":"status"}', "coco")).reply)  # type: ignore[no-any-return]

    async def stop(self) -> None:
        self.executor.request_stop()
        await asyncio.wait_for(self.run, 5)


def constitution(default: str = "one") -> Constitution:
    identities = (Identity("admin", "member", "PEM"), Identity("alice", "participant", "PEM"))
    return Constitution(2, "test", identities, {"one": {}, "two": {}}, default)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    found = Bench()
    await found.begin()
    yield found
    found.run.cancel()
    with contextlib.suppress(asyncio.CancelledError, Exception):
        await found.run


async def test_start_runs_genesis_and_sends_the_front_end(bench: Bench) -> None:
    assert [entry.adapter for entry in bench.genesis.entries] == ["one", "two"]
    writes = WriteSet.decode(bench.genesis.entries[0].public, bench.genesis.entries[0].private)
    assert writes.tables["one.coco_genesis"] == {b"version": b"1"}
    front_end = bench.front_ends[0]
    assert (front_end.certificate_chain, front_end.default_adapter, front_end.service) == (
        b"CHAIN",
        "one",
        b'{"service":1}',
    )
    assert front_end.private_key.startswith(b"-----BEGIN PRIVATE KEY-----")


async def test_restart_replays_and_runs_no_genesis() -> None:
    first = Bench()
    await first.begin()
    await first.submit(b"a")
    await first.proposed()
    await first.commit()
    await first.stop()
    second = Bench()
    await second.begin(first.entries, first.seqno + 1)
    [ticket] = await second.submit(b"b")
    await second.proposed()
    await second.commit()
    assert (await second.answer(ticket)).reply.startswith(b"2 ")
    assert json.loads((await second.ask(b"")).reply)[1] == ["0001", "0002"]
    await second.stop()


async def test_a_lone_command_is_proposed_at_once_and_answered_at_commit(bench: Bench) -> None:
    [ticket] = await bench.submit(b"a")
    block = await bench.proposed()
    assert [entry.adapter for entry in block.entries] == ["one", "one"]
    assert (await bench.status())["blocks_in_flight"] == 1
    assert ticket not in bench.answers
    await bench.commit()
    answer = await bench.answer(ticket)
    assert (answer.reply, answer.failure) == (b"1 1 1000", "")
    assert (answer.view, answer.seqno) == (VIEW, block.first_seqno)


async def test_queries_see_committed_state_only(bench: Bench) -> None:
    await bench.submit(b"a")
    block = await bench.proposed()
    before = json.loads((await bench.ask(b"")).reply)
    assert before == [block.first_seqno - 1, []]
    await bench.commit()
    assert json.loads((await bench.ask(b"")).reply) == [bench.seqno, ["0001"]]


async def test_blocks_fill_while_one_is_in_flight(bench: Bench) -> None:
    await bench.submit(b"a")
    await bench.proposed()
    tickets = await bench.submit(b"b", b"c")
    tickets += await bench.submit(b"d", adapter="two")
    assert (await bench.status())["blocks_in_flight"] == 1
    await bench.commit()
    block = await bench.proposed()
    assert [entry.adapter for entry in block.entries].count("one") == 3
    assert [entry.adapter for entry in block.entries].count("two") == 2
    await bench.commit()
    blocks = {(await bench.answer(ticket)).reply.split()[1] for ticket in tickets}
    assert blocks == {b"2"}


async def test_a_block_closes_at_the_count_and_at_most_two_are_in_flight() -> None:
    bench = Bench(block_commands_max=4)
    await bench.begin()
    tickets = await bench.submit(*[b"x"] * 13)
    first, second = await bench.proposed(), await bench.proposed()
    assert (len(first.entries), len(second.entries)) == (5, 5)
    assert (await bench.status())["blocks_in_flight"] == 2
    await bench.commit(first.first_seqno + 5)
    third = await bench.proposed()
    assert len(third.entries) == 5
    await bench.commit(second.first_seqno + 5)
    await bench.commit(third.first_seqno + 5)
    last = await bench.proposed()
    assert len(last.entries) == 2
    await bench.commit()
    for ticket in tickets:
        await bench.answer(ticket)
    assert [bench.answers[ticket].reply.split()[0] for ticket in tickets] == [b"%d" % n for n in range(1, 14)]
    assert bench.order[-13:] == tickets
    await bench.stop()


async def test_with_nothing_in_flight_a_block_closes_when_it_holds_enough(bench: Bench) -> None:
    await bench.submit(*[b"x"] * 40)
    first = await bench.proposed()
    assert len(first.entries) == limits.BLOCK_COMMANDS_ENOUGH + 1
    await bench.commit()
    second = await bench.proposed()
    assert len(second.entries) == 40 - limits.BLOCK_COMMANDS_ENOUGH + 1


async def test_a_full_block_closes_and_the_command_runs_in_the_next(bench: Bench) -> None:
    await bench.submit(b"a")
    await bench.proposed()
    tickets = await bench.submit(*[b"x"] * 101)
    assert len((await bench.proposed()).entries) == 101
    await bench.commit(bench.seqno - 102)
    await bench.commit()
    last = await bench.proposed()
    assert len(last.entries) == 2
    await bench.commit()
    assert (await bench.answer(tickets[-1])).reply.split()[:2] == [b"102", b"3"]


async def test_a_rejected_command_is_answered_at_once_and_leaves_no_trace(bench: Bench) -> None:
    before = await bench.status()
    [ticket] = await bench.submit(b"reject")
    answer = await bench.answer(ticket)
    assert (answer.reply, answer.failure, answer.seqno) == (b"rejected", "", 0)
    assert await bench.status() == before
    await bench.submit(b"a")
    await bench.proposed()
    assert b"trace" not in bench.entries[-2][1].tables["one.log"]


async def test_a_bug_of_an_adapter_leaves_nothing_and_the_node_runs_on(bench: Bench) -> None:
    await bench.submit(b"in flight")
    await bench.proposed()
    good, bad, rerun = await bench.submit(b"a", b"bug", b"b")
    answer = await bench.answer(bad)
    assert (answer.reply, answer.failure, answer.seqno) == (b"", "failed", 0)
    await bench.commit()
    await bench.proposed()
    await bench.commit()
    assert (await bench.answer(good)).reply.startswith(b"2 2 ")
    assert (await bench.answer(rerun)).reply.startswith(b"3 2 ")
    assert any("ValueError" in line for line in bench.logged)
    assert not any("secret" in line for line in bench.logged)


@pytest.mark.parametrize(
    ("payload", "failure"), [(b"never fits", "failed"), (b"huge", "too_large"), (b"bug in the queue", "failed")]
)
async def test_commands_that_cannot_be_run(bench: Bench, payload: bytes, failure: str) -> None:
    [ticket] = await bench.submit(payload)
    assert (await bench.answer(ticket)).failure == failure
    [after] = await bench.submit(b"a")
    await bench.proposed()
    await bench.commit()
    assert (await bench.answer(after)).reply.startswith(b"1 ")


async def test_a_block_that_cannot_be_closed_fails_its_commands(bench: Bench) -> None:
    [ticket] = await bench.submit(b"spoils the close")
    assert (await bench.answer(ticket)).failure == "failed"
    [after] = await bench.submit(b"a")
    await bench.proposed()
    await bench.commit()
    assert (await bench.answer(after)).reply.startswith(b"1 1 ")


async def test_a_broken_invariant_stops_the_node(bench: Bench) -> None:
    await bench.submit(b"broken")
    with pytest.raises(InvariantBroken):
        await asyncio.wait_for(bench.run, 5)


async def test_a_queue_that_fails_stops_the_node_and_tells_nothing(bench: Bench) -> None:
    await bench.submit(b"breaks the queue")
    with pytest.raises(InvariantBroken, match="ValueError") as broken:
        await asyncio.wait_for(bench.run, 5)
    assert "secret" not in str(broken.value)
    assert broken.value.__suppress_context__


async def test_unknown_adapters_and_oversized_commands_are_refused(bench: Bench) -> None:
    [unknown] = await bench.submit(b"", adapter="three")
    [oversized] = await bench.submit(bytes(limits.COMMAND_BYTES_MAX + 1))
    assert (await bench.answer(unknown)).failure == "no_such_adapter"
    assert (await bench.answer(oversized)).failure == "too_large"
    assert (await bench.ask(b"", "three")).failure == "no_such_adapter"


async def test_queries_that_fail(bench: Bench) -> None:
    assert (await bench.ask(b"bug")).failure == "failed"
    assert (await bench.ask(b"long")).failure == "too_large"
    assert (await bench.ask(b"ahead")).failure == "failed"
    assert not any("secret" in line for line in bench.logged)
    assert (await bench.ask(b"")).failure == ""


async def test_a_caller_that_queues_too_much_is_overloaded_and_others_are_not(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.executor._intake.queues, "_per_caller_max", 3)
    tickets = await bench.submit(*[b"x"] * 5)
    [other] = await bench.submit(b"x", caller=BOB)
    for ticket in tickets[3:]:
        assert (await bench.answer(ticket)).failure == "overloaded"
    await bench.proposed()
    await bench.commit()
    assert (await bench.answer(tickets[0])).failure == ""
    if other not in bench.answers and (await bench.status())["blocks_in_flight"]:
        await bench.proposed()
        await bench.commit()
    assert (await bench.answer(other)).failure == ""


async def test_held_commands_expire_without_other_traffic(bench: Bench) -> None:
    [ticket] = await bench.submit(b"hold")
    answer = await bench.answer(ticket)
    assert (answer.reply, answer.seqno) == (b"expired", 0)


async def test_block_time_never_decreases(bench: Bench) -> None:
    times = []
    for now in (1005.9, 1001.0, 1006.0):
        bench.now = now
        [ticket] = await bench.submit(b"a")
        await bench.proposed()
        await bench.commit()
        times.append(int((await bench.answer(ticket)).reply.split()[2]))
    assert times == [1005, 1005, 1006]


async def test_transaction_status(bench: Bench) -> None:
    async def status(identifier: str) -> str:
        reply = json.loads(
            (await bench.ask(json.dumps({"kind": "transaction", "id": identifier}).encode(), "coco")).reply
        )
        return str(reply["status"])

    await bench.submit(b"a")
    block = await bench.proposed()
    assert await status(f"{VIEW}.{block.first_seqno}") == "Pending"
    await bench.commit()
    assert await status(f"{VIEW}.{block.first_seqno}") == "Committed"
    assert await status("1.1") == "Committed"
    assert await status("2.1") == "Invalid"
    assert await status(f"{VIEW - 1}.{bench.seqno + 5}") == "Invalid"
    assert await status(f"{VIEW}.{bench.seqno + 1}") == "Unknown"
    assert await status(f"{VIEW}.0") == "Invalid"


@pytest.mark.parametrize("query", [b"", b"{}", b'{"kind":"keys"}', b'{"kind":"transaction","id":"x"}', b"\xff"])
async def test_malformed_node_queries(bench: Bench, query: bytes) -> None:
    reply = json.loads((await bench.ask(query, "coco")).reply)
    assert set(reply) == {"error", "hint"}


async def test_governance_runs_in_a_block_of_its_own_and_changes_the_front_end(bench: Bench) -> None:
    await bench.submit(b"a")
    await bench.proposed()
    [before] = await bench.submit(b"b")
    assert (await bench.status())["blocks_in_flight"] == 1
    [ticket] = await bench.submit(b"signed", adapter="coco", caller=MEMBER)
    [after] = await bench.submit(b"c")
    opened = await bench.proposed()
    assert [entry.adapter for entry in opened.entries] == ["one", "one"]
    await bench.commit(opened.first_seqno - 1)
    block = await bench.proposed()
    assert [(entry.adapter, entry.public, entry.private) for entry in block.entries] == [("coco", b"", b"signed")]
    await bench.commit(opened.first_seqno + 2)
    assert (await bench.answer(before)).failure == ""
    changed = encode_domain({"public:coco.settings": {b"default_adapter": b"two"}})
    await bench.commit(governance=(GovernanceResult(block.first_seqno, changed, ""),))
    reply = json.loads((await bench.answer(ticket)).reply)
    assert reply == {"accepted": True, "reason": "", "transaction": f"{VIEW}.{block.first_seqno}"}
    while len(bench.front_ends) < 2:
        await bench.hear()
    assert bench.front_ends[1].default_adapter == "two"
    assert (await bench.status())["default_adapter"] == "two"
    await bench.proposed()
    await bench.commit()
    assert (await bench.answer(after)).failure == ""


async def test_refused_governance_changes_nothing(bench: Bench) -> None:
    [ticket] = await bench.submit(b"signed", adapter="coco", caller=MEMBER)
    block = await bench.proposed()
    await bench.commit(governance=(GovernanceResult(block.first_seqno, b"", "bad signature"),))
    reply = json.loads((await bench.answer(ticket)).reply)
    assert (reply["accepted"], reply["reason"]) == (False, "bad signature")
    assert {front_end.default_adapter for front_end in bench.front_ends} == {"one"}


async def test_a_snapshot_is_sent_and_its_evidence_proposed_as_a_block_of_its_own(bench: Bench) -> None:
    [before] = await bench.submit(b"a")
    await bench.proposed()
    await bench.commit()
    assert (await bench.answer(before)).failure == ""
    for message in (SnapshotBegin(bench.seqno), SnapshotMore(4)):
        await bench.manager.send(FROM_MANAGER.encode(message))
    parts = [await bench.from_executor()]
    while not isinstance(parts[-1], SnapshotEnd):
        parts.append(await bench.from_executor())
        if isinstance(parts[-1], SnapshotRows):
            await bench.manager.send(FROM_MANAGER.encode(SnapshotMore(4)))
    tables = [part.table for part in parts if isinstance(part, SnapshotTable)]
    assert tables == sorted(tables, key=lambda name: not name.startswith("public:"))
    assert {"one.log", "one.meta", "public:one.seen"} <= set(tables)
    assert not any(name.startswith(("public:coco.", "public:ccf.")) for name in tables)
    await bench.manager.send(FROM_MANAGER.encode(SnapshotWritten()))
    block = await bench.proposed()
    assert [(entry.adapter, entry.public, entry.private) for entry in block.entries] == [("coco.snapshot", b"", b"")]
    [after] = await bench.submit(b"b")
    evidence = encode_domain({"public:ccf.internal.snapshot_evidence": {bytes(8): b"{}"}})
    await bench.commit(governance=(GovernanceResult(block.first_seqno, evidence, ""),))
    await bench.proposed()
    await bench.commit()
    assert (await bench.answer(after)).failure == ""
    assert len(bench.front_ends) == 1


@pytest.mark.parametrize("message", [SnapshotBegin(10_000), SnapshotBegin(1)], ids=["the future", "the past"])
async def test_a_snapshot_of_a_state_that_is_not_kept_stops_the_node(bench: Bench, message: SnapshotBegin) -> None:
    [ticket] = await bench.submit(b"a")
    await bench.proposed()
    await bench.commit()
    await bench.answer(ticket)
    await bench.manager.send(FROM_MANAGER.encode(message))
    with pytest.raises(InvariantBroken, match="not kept"):
        await asyncio.wait_for(bench.run, 5)


async def test_what_the_manager_tells_of_the_ledger_stands_in_the_status(bench: Bench) -> None:
    await bench.manager.send(FROM_MANAGER.encode(LedgerNews(b'{"snapshot":7,"verified":"all"}')))
    for _ in range(100):
        if (await bench.status())["ledger"]:
            break
    assert (await bench.status())["ledger"] == {"snapshot": 7, "verified": "all"}


async def test_a_renewed_certificate_reaches_the_front_end(bench: Bench) -> None:
    renewal = asyncio.create_task(bench.executor._front_end_keys._request())
    assert isinstance(await bench.from_executor(), CertificateRequest)
    await renewal
    await bench.manager.send(FROM_MANAGER.encode(CertificateIssued(b"RENEWED")))
    while len(bench.front_ends) < 2:
        await bench.hear()
    first, second = bench.front_ends
    assert (first.certificate_chain, second.certificate_chain) == (b"CHAIN", b"RENEWED")
    assert first.private_key != second.private_key
    assert (first.default_adapter, first.service, first.session) == (
        second.default_adapter,
        second.service,
        second.session,
    )
    renewal = asyncio.create_task(bench.executor._front_end_keys._request())
    assert isinstance(await bench.from_executor(), CertificateRequest)
    await renewal
    await bench.manager.send(FROM_MANAGER.encode(CertificateIssued(b"AGAIN", b"NEW SERVICE")))
    while len(bench.front_ends) < 3:
        await bench.hear()
    assert bench.front_ends[-1].service == b"NEW SERVICE"
    (ticket,) = await bench.submit(b"still at work")
    await bench.proposed()
    await bench.commit()
    assert (await bench.answer(ticket)).failure == ""


async def test_a_certificate_nobody_asked_for_stops_the_node(bench: Bench) -> None:
    await bench.manager.send(FROM_MANAGER.encode(CertificateIssued(b"UNASKED")))
    with pytest.raises(InvariantBroken, match="not asked for"):
        await asyncio.wait_for(bench.run, 5)


async def test_a_changed_constitution_reaches_the_front_end(bench: Bench) -> None:
    await bench.submit(b"signed", adapter="coco", caller=MEMBER)
    block = await bench.proposed()
    changed = encode_domain({"public:coco.constitution": {b"current": constitution("two").encode()}})
    await bench.commit(governance=(GovernanceResult(block.first_seqno, changed, ""),))
    while len(bench.front_ends) < 2:
        await bench.hear()
    assert bench.front_ends[1].constitution == constitution("two").encode()
    assert bench.front_ends[1].default_adapter == "two"


async def test_governance_is_for_members(bench: Bench) -> None:
    [ticket] = await bench.submit(b"signed", adapter="coco", caller=ALICE)
    assert (await bench.answer(ticket)).failure == "no_such_adapter"


async def test_stop_finishes_what_is_in_flight(bench: Bench) -> None:
    [running] = await bench.submit(b"a")
    await bench.proposed()
    [open_block, held] = await bench.submit(b"b", b"hold")
    await bench.status()
    bench.executor.request_stop()
    [late] = await bench.submit(b"c")
    assert (await bench.answer(late)).failure == "overloaded"
    await bench.proposed()
    await bench.commit(bench.seqno - 3)
    await bench.commit()
    assert (await bench.answer(running)).failure == ""
    assert (await bench.answer(open_block)).failure == ""
    assert bench.answers.get(held) or (await bench.answer(held)).failure in ("overloaded", "")
    await asyncio.wait_for(bench.run, 5)


async def test_the_node_stops_when_a_channel_closes(bench: Bench) -> None:
    await bench.gateways[0].close()
    with pytest.raises(NodeStopped):
        await asyncio.wait_for(bench.run, 5)


async def test_the_node_stops_when_the_manager_is_gone() -> None:
    bench = Bench()
    bench.run = asyncio.create_task(bench.executor.run())
    await bench.manager.close()
    with pytest.raises(NodeStopped):
        await asyncio.wait_for(bench.run, 5)


@pytest.mark.parametrize("view", [VIEW, VIEW + 1])
async def test_a_commit_of_what_was_not_proposed_stops_the_node(bench: Bench, view: int) -> None:
    await bench.submit(b"a")
    await bench.proposed()
    await bench.manager.send(FROM_MANAGER.encode(BlockCommitted(view, bench.seqno + (view == VIEW), ())))
    with pytest.raises(InvariantBroken):
        await asyncio.wait_for(bench.run, 5)


async def test_malformed_messages_are_refused_and_the_executor_runs_on(bench: Bench) -> None:
    await bench.gateways[0].send(b"\x01nonsense")
    await bench.manager.send(b"\x09")
    assert (await bench.ask(b"")).failure == ""
    assert sum("refused" in line for line in bench.logged) == 2


async def test_roll_back_returns_to_the_last_commit(bench: Bench) -> None:
    resets = bench.adapters["one"].resets  # type: ignore[attr-defined]
    [in_flight] = await bench.submit(b"a")
    block = await bench.proposed()
    [in_open_block] = await bench.submit(b"b")
    await bench.status()
    bench.executor.roll_back()
    answer = await bench.answer(in_flight)
    assert (answer.failure, answer.view, answer.seqno) == ("unknown_outcome", VIEW, block.first_seqno)
    assert (await bench.answer(in_open_block)).failure == "failed"
    assert bench.adapters["one"].resets == resets + 1  # type: ignore[attr-defined]
    assert json.loads((await bench.ask(b"")).reply)[1] == []
    bench.seqno = block.first_seqno - 1
    [ticket] = await bench.submit(b"c")
    await bench.proposed()
    await bench.commit()
    assert (await bench.answer(ticket)).reply.startswith(b"1 ")


async def test_an_adapter_that_is_not_installed_is_named() -> None:
    manager, theirs = memory_pair()
    executor = Executor(ExecutorConfig(bytes(32)), manager=theirs, gateways=[], clock=lambda: 0, log=print)
    ready = Ready(VIEW, 2, constitution().encode(), b"{}", ((VIEW, 2),))
    await manager.send(FROM_MANAGER.encode(ready))
    with pytest.raises(CocoError, match="no adapter named 'one' is installed"):
        await executor.run()
