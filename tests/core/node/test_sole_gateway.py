"""A gateway that is the sole way to what is committed asks nobody; another node takes part only once it has heard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from core.node.messages import FROM_GATEWAY, TO_GATEWAY, Follow, FromGateway, Lead, SystemWork, ToGateway
from tests.support.executor_bench import VIEW, RoleBench, running


@pytest.fixture
async def bench() -> AsyncIterator[RoleBench]:
    """An executor that leads VIEW + 1 alone, and whose gateway has been told so."""
    found = RoleBench()
    await found.begin()
    async with running(found):
        await found.tell(Follow(""))
        await found.apply(VIEW + 1)
        await found.tell(Lead(VIEW + 1, found.seqno, alone=True))
        while not await sole(found):
            pass
        yield found


async def sole(bench: RoleBench) -> bool:
    message = TO_GATEWAY.decode(await asyncio.wait_for(bench.gateways[0].receive(), 5))
    assert isinstance(message, ToGateway)
    return message.sole


async def test_system_work_waits_until_the_gateway_has_heard(bench: RoleBench) -> None:
    await bench.tell(SystemWork())
    assert not await sole(bench)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(bench.manager.receive(), 0.05)
    [_] = await bench.submit(b"a")  # Nothing else waits.
    assert [entry.adapter for entry in (await bench.proposed_in(VIEW + 1)).entries] == ["one", "one"]
    await bench.commit_in(VIEW + 1)
    await bench.gateways[0].send(FROM_GATEWAY.encode(FromGateway((), True)))
    assert [entry.adapter for entry in (await bench.proposed_in(VIEW + 1)).entries] == ["coco.system"]


async def test_what_a_gateway_hears_when_another_node_leads(bench: RoleBench) -> None:
    await bench.tell(Follow("other"))
    assert not await sole(bench)


async def test_a_block_is_no_older_than_the_views_first(bench: RoleBench) -> None:
    await bench.tell(Follow(""))
    await bench.apply(VIEW + 2)
    later_s = int(bench.now) + 5_000
    await bench.tell(Lead(VIEW + 2, bench.seqno, False, later_s))
    await bench.submit(b"a")
    assert (await bench.proposed_in(VIEW + 2)).time_s == later_s
