"""Where a gateway sends commands and queries, and what it makes of readers that come and go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from core.adapter.interface import Caller, OutcomeUnknown, Overloaded
from core.errors import ChannelClosed, CocoError
from core.node.executor_client import ExecutorClient
from core.node.messages import FROM_GATEWAY, TO_GATEWAY, Answer, Ask, FrontEnd, ToGateway
from enclave_sim.boundary.memory_transport import memory_pair
from tests.support.classed import Classed

ALICE = Caller("alice")


class End:
    """The other end of one of the client's channels. It answers with its name, unless it is silent."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.transport, self.theirs = memory_pair()
        self.asked: list[Ask] = []
        self.committed = 0
        self.silent = False
        self.heard = asyncio.Event()
        self.task = asyncio.create_task(self.run())

    async def run(self) -> None:
        while True:
            for item in FROM_GATEWAY.decode(await self.transport.receive()).items:
                assert isinstance(item, Ask)
                self.asked.append(item)
                self.heard.set()
                if not self.silent:
                    answer = Answer(item.ticket, self.name.encode(), "", 0, 0)
                    await self.transport.send(TO_GATEWAY.encode(ToGateway((answer,), self.committed)))

    async def announce(self, committed: int) -> None:
        self.committed = committed
        await self.transport.send(TO_GATEWAY.encode(ToGateway((), committed)))


class Bench:
    def __init__(self, readers: int) -> None:
        self.logged: list[str] = []
        self.executor = End("executor")
        self.ends = [self.executor]
        self.client = ExecutorClient(
            self.executor.theirs, lambda front_end: None, self.logged.append, readers=readers, absent_seconds_max=0.2
        )
        self.client.adapters = {"one": Classed({}, "test")}
        self.tasks = [asyncio.create_task(self.client.read()), asyncio.create_task(self.client.write())]

    def reader(self, number: int, name: str = "") -> End:
        end = End(name or f"reader-{number}")
        self.ends.append(end)
        self.client.attach_reader(number, end.theirs)
        return end

    async def ask(self, query_class: str) -> str:
        return (await self.client.ask("one", query_class.encode(), ALICE)).decode()

    async def close(self) -> None:
        tasks = [*self.tasks, *(end.task for end in self.ends)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def make() -> AsyncIterator[Any]:
    made: list[Bench] = []

    def bench(readers: int) -> Bench:
        made.append(Bench(readers))
        return made[-1]

    yield bench
    for one in made:
        await one.close()


async def test_without_readers_everything_goes_to_the_executor(make: Any) -> None:
    bench = make(0)
    assert {await bench.ask(each) for each in ("live", "lookup", "simulation")} == {"executor"}
    with pytest.raises(CocoError, match="no reader 1"):
        bench.reader(1)


async def test_one_reader_takes_all_but_what_is_live(make: Any) -> None:
    bench = make(1)
    bench.reader(1)
    assert [await bench.ask(each) for each in ("live", "lookup", "simulation")] == ["executor", "reader-1", "reader-1"]


async def test_two_readers_part_look_ups_from_simulations(make: Any) -> None:
    bench = make(2)
    bench.reader(1)
    bench.reader(2)
    assert [await bench.ask(each) for each in ("live", "lookup", "simulation")] == ["executor", "reader-1", "reader-2"]
    assert await bench.client.ask("coco", b"lookup", ALICE) == b"executor"
    for number in (0, 3, -1):
        with pytest.raises(CocoError, match=f"no reader {number}"):
            bench.reader(number)


async def test_a_query_carries_the_newest_seqno_that_was_answered_with(make: Any) -> None:
    bench = make(2)
    first, second = bench.reader(1), bench.reader(2)
    bench.executor.committed = 7
    await bench.ask("live")
    await bench.ask("lookup")
    first.committed = 9
    await bench.ask("lookup")
    await bench.ask("simulation")
    await bench.ask("live")
    assert [ask.after for ask in first.asked] == [7, 7]
    assert [ask.after for ask in second.asked] == [9]
    assert [ask.after for ask in bench.executor.asked] == [0, 9]


async def test_news_are_the_first_readers(make: Any) -> None:
    bench = make(2)
    first, second = bench.reader(1), bench.reader(2)
    waiting = asyncio.create_task(bench.client.committed_after(3))
    await bench.executor.announce(5)
    await second.announce(5)
    await bench.ask("live")
    await bench.ask("simulation")
    assert not waiting.done()
    await first.announce(3)
    await bench.ask("lookup")
    assert not waiting.done()
    await first.announce(4)
    assert await waiting == 4
    assert await bench.client.committed_after(2) == 4


async def test_news_are_the_executors_where_there_are_no_readers(make: Any) -> None:
    bench = make(0)
    waiting = asyncio.create_task(bench.client.committed_after(0))
    await bench.executor.announce(5)
    assert await waiting == 5


async def test_who_waits_for_news_learns_of_the_end(make: Any) -> None:
    bench = make(1)
    waiting = asyncio.create_task(bench.client.committed_after(0))
    query = asyncio.create_task(bench.ask("lookup"))
    await asyncio.sleep(0)
    await bench.executor.transport.close()
    with pytest.raises(OutcomeUnknown):
        await waiting
    with pytest.raises((Overloaded, ChannelClosed)):
        await query
    with pytest.raises(ChannelClosed):
        await bench.ask("lookup")


@pytest.mark.parametrize(
    ("query_class", "error"), [("lookup", Overloaded("interrupted")), ("simulation", OutcomeUnknown("not answered"))]
)
async def test_what_a_reader_was_asked_ends_with_it_and_goes_to_no_other(
    make: Any, query_class: str, error: CocoError
) -> None:
    bench = make(1)
    first = bench.reader(1)
    first.silent = True
    query = asyncio.create_task(bench.ask(query_class))
    await first.heard.wait()
    first.transport.crash()
    with pytest.raises(type(error), match=error.message):
        await query
    later = asyncio.create_task(bench.ask("lookup"))
    await asyncio.sleep(0)
    second = bench.reader(1, "another")
    assert await later == "another"
    assert len(second.asked) == 1


async def test_a_reader_that_does_not_come_back(make: Any) -> None:
    bench = make(2)
    bench.reader(1)
    with pytest.raises(Overloaded, match="interrupted"):
        await bench.ask("simulation")
    assert await bench.ask("lookup") == "reader-1"


async def test_a_reader_in_the_place_of_one_that_lives(make: Any) -> None:
    bench = make(1)
    first = bench.reader(1)
    first.silent = True
    query = asyncio.create_task(bench.ask("simulation"))
    await first.heard.wait()
    bench.reader(1, "another")
    with pytest.raises(OutcomeUnknown):
        await query
    assert await bench.ask("lookup") == "another"


async def test_malformed_messages_of_a_reader_are_refused(make: Any) -> None:
    bench = make(1)
    reader = bench.reader(1)
    junk: list[bytes] = [b"", b"\x02junk", b"\x01\x91\x7f", TO_GATEWAY.encode(FrontEnd(b"", "", b"", b"", b""))]
    for data in junk:
        await reader.transport.send(data)
    assert await bench.ask("lookup") == "reader-1"
    assert len(bench.logged) == len(junk)
    assert all(line.startswith("a message of the reader was refused") for line in bench.logged)


async def test_the_channel_of_a_reader_that_was_replaced_is_closed(make: Any) -> None:
    bench = make(1)
    first = bench.reader(1)
    await bench.ask("lookup")
    bench.reader(1)
    with pytest.raises(ChannelClosed):
        await first.task
    assert await bench.ask("lookup") == "reader-1"


async def test_the_end_of_the_executor_closes_the_readers_channels(make: Any) -> None:
    bench = make(2)
    readers = [bench.reader(1), bench.reader(2)]
    await bench.executor.transport.close()
    for reader in readers:
        with pytest.raises(ChannelClosed):
            await reader.task
