"""Reads that wait for a round of confirmation in the executor, and what a gateway is told of having to ask for one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from core import limits
from core.adapter.interface import Overloaded
from core.node.fresh_reads import FreshReads
from core.node.gateway_link import GatewayLink
from core.node.messages import (
    FROM_GATEWAY,
    TO_GATEWAY,
    TO_MANAGER,
    Ask,
    ConfirmReads,
    FromGateway,
    ReadsConfirmed,
    ToGateway,
    WireCaller,
)
from core.types import Seqno
from enclave_sim.boundary.memory_transport import MemoryTransport, memory_pair


class Bench:
    """A FreshReads with one gateway; the test is the manager, and keeps the clock."""

    def __init__(self) -> None:
        executor_end, self.manager = memory_pair()
        link_end, self.gateway = memory_pair()
        self.now_s = 0.0
        self.woken = 0
        self.heard = asyncio.Event()
        self.fresh = FreshReads(executor_end, lambda: self.now_s, self._wake)
        self.link = GatewayLink(link_end, lambda link, item: None, self.heard.set)
        self.fresh.attach([self.link])
        self.ticket = 0

    def _wake(self) -> None:
        self.woken += 1

    def ask(self, identity: str | None = "alice", adapter: str = "kv") -> int:
        self.ticket += 1
        self.fresh.push(self.link, Ask(self.ticket, adapter, b"", WireCaller(identity, False, "token"), 0, True))
        return self.ticket

    def popped(self) -> list[int]:
        found = []
        while (waiting := self.fresh.pop()) is not None:
            found.append(waiting.item[1].ticket)
        return found

    async def round(self) -> int:
        """Return the number of the round that the manager is asked for."""
        async with asyncio.timeout(10):
            message = TO_MANAGER.decode(await self.manager.receive())
        assert isinstance(message, ConfirmReads)
        return message.number

    async def none_asked(self) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await self.manager.receive()

    async def told(self) -> ToGateway:
        async with asyncio.timeout(10):
            message = TO_GATEWAY.decode(await self.gateway.receive())
        assert isinstance(message, ToGateway)
        return message


@contextlib.asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    works = (made.fresh.run(), made.link.write(), made.link.read(lambda line: None))
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield made
        assert not any(task.done() for task in tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_read_waits_for_a_round_and_what_comes_meanwhile_for_the_next() -> None:
    async with bench() as made:
        first = [made.ask(), made.ask()]
        number = await made.round()
        later = [made.ask(), made.ask("bob")]
        assert made.popped() == []
        await made.none_asked()
        made.fresh.confirmed(ReadsConfirmed(number, True))
        assert made.woken == 1
        assert made.popped() == first
        made.fresh.confirmed(ReadsConfirmed(await made.round(), True))
        assert sorted(made.popped()) == later
        await made.none_asked()


async def test_a_round_that_fails_answers_nobody_and_is_followed_by_another() -> None:
    async with bench() as made:
        asked = made.ask()
        number = await made.round()
        made.fresh.confirmed(ReadsConfirmed(number, False))
        assert made.popped() == []
        made.fresh.confirmed(ReadsConfirmed(number, True))
        assert made.popped() == [], "a round ends once"
        made.fresh.confirmed(ReadsConfirmed(number + 1, True))
        assert made.popped() == [], "a round that was not begun confirms nothing"
        again = await made.round()
        assert again == number + 1
        made.fresh.confirmed(ReadsConfirmed(again, True))
        assert made.popped() == [asked]


async def test_reads_that_no_round_confirms_in_time_are_given_up_and_so_are_their_rounds() -> None:
    async with bench() as made:
        asked = made.ask()
        number = await made.round()
        made.now_s = limits.READ_CONFIRM_SECONDS_MAX + 0.1
        assert made.fresh.next_deadline_s() == limits.READ_CONFIRM_SECONDS_MAX
        made.fresh.expire()
        (answer,) = (await made.told()).items
        assert (answer.ticket, answer.failure) == (asked, "not_leader")
        made.fresh.confirmed(ReadsConfirmed(number, False))
        await asyncio.sleep(0.1)
        await made.none_asked()
        assert made.fresh.next_deadline_s() is None
        assert made.popped() == []


async def test_what_waits_is_bounded_but_the_gateways_own_question_has_its_own_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with bench() as made:
        for _ in range(limits.QUEUED_QUERIES_PER_CALLER_MAX):
            made.ask(None)
        with pytest.raises(Overloaded):
            made.ask(None)
        own = made.ask(None, "coco")
        made.fresh.lead(alone=True)
        assert own in made.popped()[:2]


async def test_alone_it_needs_no_rounds_and_then_it_does() -> None:
    async with bench() as made:
        made.fresh.lead(alone=True)
        asked = made.ask()
        await made.none_asked()
        assert made.popped() == [asked]
        made.ask()
        made.fresh.not_alone()
        await made.round()
        assert made.popped() == []


async def test_a_leader_of_others_needs_rounds() -> None:
    async with bench() as made:
        made.fresh.lead(alone=False)
        made.ask()
        await made.round()
        assert made.popped() == []
        assert made.fresh.all_know


async def test_a_sole_gateway_is_told_so_and_others_wait_until_it_has_heard_otherwise() -> None:
    async with bench() as made:
        assert made.fresh.all_know
        made.fresh.lead(alone=True)
        assert (await made.told()).sole
        made.fresh.not_alone()
        assert not made.fresh.all_know
        assert not (await made.told()).sole
        await made.gateway.send(FROM_GATEWAY.encode(FromGateway(())))
        await asyncio.sleep(0.01)
        assert not made.fresh.all_know, "a message of before says nothing"
        await made.gateway.send(FROM_GATEWAY.encode(FromGateway((), True)))
        async with asyncio.timeout(10):
            await made.heard.wait()
        assert made.fresh.all_know


async def test_a_gateway_that_was_never_told_so_has_nothing_to_hear() -> None:
    async with bench() as made:
        made.fresh.lead(alone=True)
        made.fresh.not_alone()
        assert made.fresh.all_know


async def test_of_two_gateways_none_is_sole() -> None:
    async with bench() as made:
        other: MemoryTransport = memory_pair()[0]
        made.fresh.attach([made.link, GatewayLink(other, lambda link, item: None)])
        made.fresh.lead(alone=True)
        made.link.announce(Seqno(1))
        assert not (await made.told()).sole


async def test_all_that_wait_are_refused_at_a_stop() -> None:
    async with bench() as made:
        asked = made.ask()
        made.fresh.refuse_all()
        (answer,) = (await made.told()).items
        assert (answer.ticket, answer.failure) == (asked, "overloaded")
        assert len(made.fresh) == 0
