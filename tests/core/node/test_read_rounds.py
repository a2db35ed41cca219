"""A gateway asks its executor how new a reader's answer must be: once for many, and never on an older round's word."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from core import limits
from core.adapter.interface import Caller, Overloaded
from core.node.executor_client import ExecutorClient
from core.node.messages import FROM_GATEWAY, TO_GATEWAY, Answer, Ask, FromGateway, ToGateway
from core.node.read_rounds import ReadRounds
from enclave_sim.boundary.memory_transport import memory_pair
from tests.support.classed import Classed

ALICE = Caller("alice")


class Bench:
    """A client of an executor, which is the test, and of one reader, which answers with its name at once."""

    def __init__(self) -> None:
        self.executor, client_end = memory_pair()
        self.reader, reader_end = memory_pair()
        self.client = ExecutorClient(client_end, lambda message: None, lambda line: None, readers=1)
        self.client.adapters = {"one": Classed({}, "test")}
        self.client.linearizable = True
        self.client.attach_reader(1, reader_end)
        self.asked: list[Ask] = []
        self.tasks = [asyncio.create_task(one) for one in (self.client.read(), self.client.write(), self.read())]

    async def read(self) -> None:
        while True:
            for item in FROM_GATEWAY.decode(await self.reader.receive()).items:
                assert isinstance(item, Ask)
                self.asked.append(item)
                await self.reader.send(TO_GATEWAY.encode(ToGateway((Answer(item.ticket, b"read", "", 0, 0),), 1)))

    async def received(self) -> FromGateway:
        async with asyncio.timeout(10):
            return FROM_GATEWAY.decode(await self.executor.receive())

    async def question(self) -> Ask:
        (item,) = (await self.received()).items
        assert isinstance(item, Ask)
        assert (item.adapter, item.fresh) == ("coco", True)
        return item

    async def tell(self, *answers: Answer, committed: int = 1, sole: bool = False) -> None:
        await self.executor.send(TO_GATEWAY.encode(ToGateway(answers, committed, sole)))


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    yield made
    for task in made.tasks:
        task.cancel()
    await asyncio.gather(*made.tasks, return_exceptions=True)


def ask(made: Bench, payload: bytes = b"lookup") -> asyncio.Task[bytes]:
    return asyncio.create_task(made.client.ask("one", payload, ALICE))


async def test_a_read_of_a_reader_waits_for_what_the_executor_says_is_committed(bench: Bench) -> None:
    reads = [ask(bench) for _ in range(3)]
    first = await bench.question()
    later = [ask(bench), ask(bench, b"simulation")]
    await asyncio.sleep(0.01)
    assert bench.asked == []
    await bench.tell(Answer(first.ticket, b"", "", 0, 0), committed=7)
    assert await asyncio.gather(*reads) == [b"read"] * 3
    assert [item.after for item in bench.asked] == [7] * 3
    second = await bench.question()
    assert not any(one.done() for one in later)
    await bench.tell(Answer(second.ticket, b"", "", 0, 0), committed=9)
    assert await asyncio.gather(*later) == [b"read"] * 2
    assert [item.after for item in bench.asked[3:]] == [9] * 2


async def test_no_reader_is_asked_when_nobody_confirms(bench: Bench) -> None:
    read = ask(bench)
    question = await bench.question()
    await bench.tell(Answer(question.ticket, b"", "not_leader", 0, 0))
    with pytest.raises(Overloaded, match="reaches no leader"):
        await read
    assert bench.asked == []


async def test_polls_and_sessions_ask_for_no_round(bench: Bench) -> None:
    assert await bench.client.ask("one", b"poll", ALICE) == b"read"
    bench.client.linearizable = False
    assert await bench.client.ask("one", b"lookup", ALICE) == b"read"


async def test_live_queries_are_held_by_the_executor(bench: Bench) -> None:
    read = ask(bench, b"live")
    (item,) = (await bench.received()).items
    assert isinstance(item, Ask)
    assert item.fresh
    await bench.tell(Answer(item.ticket, b"", "not_leader", 0, 0))
    with pytest.raises(Overloaded, match="reaches no leader"):
        await read


async def test_a_sole_gateway_asks_nobody_until_it_is_told_otherwise_and_says_that_it_heard(bench: Bench) -> None:
    await bench.tell(committed=5, sole=True)
    while not bench.client._executor.sole:  # noqa: ASYNC110 - there is no event for that
        await asyncio.sleep(0)
    assert await bench.client.ask("one", b"lookup", ALICE) == b"read"
    assert bench.asked[0].after == 5
    await bench.tell(committed=6)
    message = await bench.received()
    assert message.heard
    assert not message.items
    read = ask(bench)
    question = await bench.question()
    await bench.tell(Answer(question.ticket, b"", "", 0, 0), committed=6)
    assert await read == b"read"


async def test_reads_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "QUEUED_QUERIES_MAX", 2)
    rounds = ReadRounds(lambda: asyncio.sleep(3600))
    waiting = [asyncio.create_task(rounds.confirm()) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await rounds.confirm()
    for one in waiting:
        one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert rounds._running is not None
    rounds._running.cancel()


async def test_a_round_that_breaks_confirms_nothing() -> None:
    begun = asyncio.Event()

    async def ask() -> None:
        begun.set()
        await asyncio.sleep(3600)

    rounds = ReadRounds(ask)
    waiting = asyncio.create_task(rounds.confirm())
    await begun.wait()
    assert rounds._running is not None
    rounds._running.cancel()
    with pytest.raises(Overloaded):
        await waiting


async def test_a_reads_cancellation_leaves_the_others_their_round() -> None:
    release = asyncio.Event()

    async def ask() -> None:
        await release.wait()

    rounds = ReadRounds(ask)
    given_up, other = (asyncio.create_task(rounds.confirm()) for _ in range(2))
    await asyncio.sleep(0)
    given_up.cancel()
    release.set()
    await other
    with pytest.raises(asyncio.CancelledError):
        await given_up
    assert rounds._running is None
