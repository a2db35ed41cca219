"""What goes into one message of a gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from core.node.exchange import BUSY_REQUESTS, Exchange
from core.node.messages import FROM_GATEWAY, TO_GATEWAY, Answer, Submit, ToGateway, WireCaller
from core.ports import Transport
from enclave_sim.boundary.memory_transport import memory_pair

CALLER = WireCaller("alice", False, "token")


class Asker:
    """An exchange and its other end."""

    def __init__(self) -> None:
        mine, self.other = memory_pair()
        self.exchange = Exchange(mine, "executor", lambda line: None, on_committed=lambda seqno: None)
        self.tasks: list[asyncio.Task[object]] = [
            asyncio.create_task(self.exchange.read()),
            asyncio.create_task(self.exchange.write()),
        ]
        self.ticket = 0

    def ask(self, count: int) -> list[asyncio.Task[Answer]]:
        asked = []
        for _ in range(count):
            self.ticket += 1
            item = Submit(self.ticket, "one", b"payload", CALLER)
            asked.append(asyncio.create_task(self.exchange.ask(item, 60.0)))
        self.tasks += asked
        return asked


@pytest.fixture
async def asker() -> AsyncIterator[Asker]:
    made = Asker()
    yield made
    for task in made.tasks:
        task.cancel()
    await asyncio.gather(*made.tasks, return_exceptions=True)


async def received(transport: Transport) -> list[int]:
    message = await asyncio.wait_for(transport.receive(), 5)
    return [item.ticket for item in FROM_GATEWAY.decode(message).items]


async def test_a_few_requests_are_sent_as_they_come(asker: Asker) -> None:
    asker.ask(1)
    assert await received(asker.other) == [1]
    asker.ask(2)
    assert await received(asker.other) == [2, 3]


async def test_under_load_what_comes_within_a_moment_goes_together(asker: Asker) -> None:
    asker.ask(BUSY_REQUESTS)
    assert await received(asker.other) == list(range(1, BUSY_REQUESTS + 1))
    for _ in range(3):
        asker.ask(1)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert await received(asker.other) == [BUSY_REQUESTS + 1, BUSY_REQUESTS + 2, BUSY_REQUESTS + 3]


async def test_what_is_gathered_is_answered_and_ends_with_the_channel(asker: Asker) -> None:
    asked = asker.ask(BUSY_REQUESTS + 1)
    await received(asker.other)
    answers = ToGateway((Answer(1, b"reply", "", 1, 3),), 3)
    await asker.other.send(TO_GATEWAY.encode(answers))
    assert (await asyncio.wait_for(asked[0], 5)).reply == b"reply"
    asker.ask(1)
    await asker.other.close()
    assert [(await asyncio.wait_for(one, 5)).failure for one in asked[1:]] == ["unknown_outcome"] * BUSY_REQUESTS
