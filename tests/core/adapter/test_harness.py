"""The adapter harness: real blocks, real queues, real routes, one adapter."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence

import pytest

from core.adapter.harness import AdapterHarness, CommandHeld
from core.adapter.interface import (
    Adapter,
    AdapterInfo,
    Backend,
    BlockFull,
    Caller,
    CommandRejected,
    Executed,
    ExecutionContext,
    Pending,
    QueryContext,
    Request,
    Response,
    Route,
    ScopedTransaction,
)
from core.types import NO_CLAIMS, Digest

ALICE = Caller("alice")


class GapQueue:
    """Holds the command `hold` for 1000 ms."""

    def __init__(self) -> None:
        self.ready: list[Pending] = []
        self.held: list[tuple[int, Pending]] = []

    def push(self, pending: Pending, now_ms: int) -> list[tuple[Pending, bytes]]:
        if pending.payload == b"refuse":
            raise CommandRejected(b"refused")
        if pending.payload == b"hold":
            displaced = [(old, b"displaced") for _, old in self.held]
            self.held = [(now_ms + 1000, pending)]
            return displaced
        if pending.payload == b"release":
            self.ready += [held for _, held in self.held]
            self.held = []
        self.ready.append(pending)
        return []

    def pop(self) -> Pending | None:
        return self.ready.pop(0) if self.ready else None

    def expire(self, now_ms: int) -> list[tuple[Pending, bytes]]:
        gone = [(pending, b"expired") for deadline, pending in self.held if deadline <= now_ms]
        self.held = [item for item in self.held if item[0] > now_ms]
        return gone

    def next_deadline_ms(self) -> int | None:
        return min((deadline for deadline, _ in self.held), default=None)

    def __len__(self) -> int:
        return len(self.ready) + len(self.held)


class Counter(Adapter):
    """Appends payloads to a log; keeps a count outside the tables as well."""

    info = AdapterInfo("counter", "1", "counts", {"log": 1})

    def routes(self) -> Sequence[Route]:
        async def add(request: Request, backend: Backend) -> Response:
            outcome = await backend.submit(request.parameters["what"].encode(), request.caller)
            return Response(200, outcome.reply, headers=[("x", str(outcome.transaction_id))])

        async def get(request: Request, backend: Backend) -> Response:
            return Response(200, await backend.query(request.query["what"].encode(), request.caller))

        return [Route("POST", "/add/{what}", add), Route("GET", "/count", get, anonymous=True)]

    def genesis(self, transaction: ScopedTransaction, context: ExecutionContext) -> None:
        transaction.table("meta").put(b"count", b"0")

    def reset(self, transaction: ScopedTransaction) -> None:
        self.count = int(transaction.table("meta").get(b"count") or b"")
        self.in_block = 0

    def make_queue(self, read: Callable[[], ScopedTransaction]) -> GapQueue:
        return GapQueue()

    def execute(self, transaction: ScopedTransaction, payload: bytes, context: ExecutionContext) -> Executed:
        if payload == b"reject":
            transaction.table("log").put(b"nothing", b"may remain")
            raise CommandRejected(b"no")
        if payload == b"crash" or (payload == b"big" and not transaction.table("log").has(b"z")):
            self.count += 1000
            raise ValueError("a bug")
        if self.in_block == 2:
            raise BlockFull
        self.count += 1
        self.in_block += 1
        transaction.table("log").put(b"%04d" % self.count, payload)
        transaction.table("meta").put(b"count", b"%d" % self.count)
        return Executed(b"%d@%d" % (self.count, context.block))

    def close_block(self, transaction: ScopedTransaction, context: ExecutionContext) -> Digest:
        self.in_block = 0
        transaction.table("public:headers").put(b"%d" % context.block, context.entropy)
        return NO_CLAIMS

    def query(self, payload: bytes, context: QueryContext) -> bytes:
        return json.dumps([key.decode() for key in context.transaction.table("log").keys(payload)]).encode()


@pytest.fixture
def harness() -> AdapterHarness:
    return AdapterHarness(Counter({}, "test"))


def test_a_command_runs_in_a_block_of_its_own(harness: AdapterHarness) -> None:
    before = harness.blocks
    assert harness.submit(b"a", ALICE) == b"1@1"
    assert harness.blocks == before + 1
    assert harness.query(b"0") == b'["0001"]'


def test_commands_together_share_blocks_and_a_full_block_closes(harness: AdapterHarness) -> None:
    assert harness.submit_many([(b"a", ALICE)] * 3) == [b"1@1", b"2@1", b"3@2"]


def test_a_rejected_command_leaves_nothing(harness: AdapterHarness) -> None:
    before = (harness.committed, len(harness.entries))
    assert harness.submit(b"reject") == b"no"
    assert harness.submit(b"refuse") == b"refused"
    assert (harness.committed, len(harness.entries)) == before
    assert harness.query(b"") == b"[]"


def test_a_crash_takes_the_block_back_and_the_others_run_again(harness: AdapterHarness) -> None:
    first, second = harness.enqueue(b"a"), harness.enqueue(b"crash")
    with pytest.raises(ValueError, match="a bug"):
        harness.run()
    harness.run()
    outcome = harness.outcome(first)
    assert outcome is not None
    assert outcome.reply == b"1@1"
    assert harness.outcome(second) is None


def test_held_commands_run_when_released_or_expire(harness: AdapterHarness) -> None:
    with pytest.raises(CommandHeld) as held:
        harness.submit(b"hold")
    harness.submit(b"release")
    released = harness.outcome(held.value.ticket)
    assert released is not None
    assert released.reply == b"1@1"
    ticket = harness.enqueue(b"hold")
    harness.advance_clock(999)
    assert harness.outcome(ticket) is None
    harness.advance_clock(1)
    expired = harness.outcome(ticket)
    assert expired is not None
    assert (expired.reply, expired.transaction_id) == (b"expired", None)


def test_restart_keeps_what_was_recorded(harness: AdapterHarness) -> None:
    harness.submit(b"a")
    old = harness.adapter
    entries = list(harness.entries)
    harness.restart()
    assert harness.adapter is not old
    assert harness.entries == entries
    assert harness.submit(b"b").startswith(b"2@")
    assert harness.query(b"0") == b'["0001", "0002"]'


def test_the_same_seed_gives_the_same_entries() -> None:
    runs = []
    for seed in (1, 1, 2):
        harness = AdapterHarness(Counter({}, "test"), seed=seed)
        harness.submit(b"a")
        runs.append(harness.entries)
    assert runs[0] == runs[1] != runs[2]


async def test_routes(harness: AdapterHarness) -> None:
    response = await harness.request("POST", "/add/a%20b", caller=ALICE)
    assert (response.status, response.body) == (200, b"1@1")
    assert response.headers[0][1].startswith("2.")
    assert (await harness.request("GET", "/count?what=0")).body == b'["0001"]'
    assert (await harness.request("GET", "/nowhere", caller=ALICE)).status == 404
    assert (await harness.request("PUT", "/count", caller=ALICE)).status == 405


async def test_routes_refuse_the_anonymous(harness: AdapterHarness) -> None:
    refused = await harness.request("POST", "/add/a")
    assert refused.status == 401
    assert refused == await harness.request("POST", "/nowhere")


async def test_commands_submitted_together_share_a_block(harness: AdapterHarness) -> None:
    backend = harness.backend()
    outcomes = await asyncio.gather(backend.submit(b"a", ALICE), backend.submit(b"b", ALICE))
    assert [outcome.reply for outcome in outcomes] == [b"1@1", b"2@1"]


async def test_a_held_command_is_awaited(harness: AdapterHarness) -> None:
    task = asyncio.create_task(harness.backend().submit(b"hold", ALICE))
    await asyncio.sleep(0.01)
    assert not task.done()
    harness.advance_clock(1000)
    assert (await task).reply == b"expired"
