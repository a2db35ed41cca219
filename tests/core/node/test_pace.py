"""How long a block waits for more, by itself and in an executor."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from core.node.messages import FROM_MANAGER, Follow, GovernanceResult
from core.node.pace import BlockPace
from tests.support.executor_bench import MEMBER, Bench

MINUTE_MS = 60_000


@asynccontextmanager
async def executor(**pace: int) -> AsyncIterator[Bench]:
    """Give an executor that has just committed a block of three commands."""
    bench = Bench(**pace)
    await bench.begin()
    await bench.submit(b"a")
    await bench.proposed()
    await bench.submit(b"b", b"c", b"d")
    assert (await bench.status())["blocks_in_flight"] == 1
    await bench.commit()
    assert await commands_proposed(bench) == 3
    await bench.commit()
    yield bench
    await bench.stop()


async def commands_proposed(bench: Bench) -> int:
    return len((await bench.proposed()).entries) - 1  # The last one is the adapter's close.


async def is_waiting(bench: Bench) -> bool:
    """Say whether what was submitted has run and is in no proposed block. A query may overtake it a few times."""
    for _ in range(50):
        status = await bench.status()
        if status["blocks_in_flight"] or status["head"] > status["committed"]:
            return bool(status["blocks_in_flight"] == 0)
    return False


def test_the_first_block_waits_for_nobody() -> None:
    pace = BlockPace(32, 5.0)
    pace.opened(100.0)
    assert not pace.waits(1, 100.0)


def test_a_block_waits_for_as_many_as_the_last_one_held_and_no_more() -> None:
    pace = BlockPace(32, 5.0)
    pace.closed(4)
    pace.opened(100.0)
    assert pace.waits(3, 100.0)
    assert not pace.waits(4, 100.0)


def test_a_block_waits_from_its_first_command_on_until_its_time_is_up() -> None:
    pace = BlockPace(32, 5.0)
    pace.closed(4)
    pace.opened(100.0)
    assert pace.deadline_s == 105.0
    assert pace.waits(1, 104.9)
    assert not pace.waits(1, 105.0)


def test_no_block_waits_for_more_than_is_enough() -> None:
    pace = BlockPace(8, 5.0)
    pace.closed(1_000)
    pace.opened(100.0)
    assert pace.waits(7, 100.0)
    assert not pace.waits(8, 100.0)


def test_without_a_time_nothing_waits() -> None:
    pace = BlockPace(32, 0.0)
    pace.closed(10)
    pace.opened(100.0)
    assert not pace.waits(1, 100.0)


async def test_under_load_a_block_closes_with_the_last_command_that_it_waits_for() -> None:
    async with executor(block_wait_ms=MINUTE_MS) as bench:
        tickets = await bench.submit(b"e", b"f")
        assert await is_waiting(bench)
        tickets += await bench.submit(b"g")
        assert await commands_proposed(bench) == 3
        await bench.commit()
        for ticket in tickets:
            assert (await bench.answer(ticket)).failure == ""


async def test_a_block_that_waited_in_vain_closes_and_the_next_one_does_not_wait() -> None:
    async with executor(block_wait_ms=20) as bench:
        await bench.submit(b"e")
        assert await commands_proposed(bench) == 1
        await bench.commit()
    async with executor(block_wait_ms=MINUTE_MS, block_commands_enough=1) as bench:
        await bench.submit(b"e")
        assert await commands_proposed(bench) == 1
        await bench.commit()


async def test_a_stop_does_not_wait() -> None:
    async with executor(block_wait_ms=MINUTE_MS) as bench:
        (ticket,) = await bench.submit(b"e")
        assert await is_waiting(bench)
        bench.executor.request_stop()
        assert await commands_proposed(bench) == 1
        await bench.commit()
        assert (await bench.answer(ticket)).failure == ""


async def test_governance_does_not_wait_for_a_block_that_does() -> None:
    async with executor(block_wait_ms=MINUTE_MS) as bench:
        await bench.submit(b"e")
        assert await is_waiting(bench)
        await bench.submit(b"a signed message", adapter="coco", caller=MEMBER)
        waited, block = await bench.proposed(), await bench.proposed()
        assert len(waited.entries) == 2
        assert [entry.adapter for entry in block.entries] == ["coco"]
        await bench.commit(block.first_seqno - 1)
        await bench.commit(governance=(GovernanceResult(block.first_seqno, b"", "no"),))


async def test_losing_the_lead_drops_a_block_that_waits() -> None:
    async with executor(block_wait_ms=MINUTE_MS) as bench:
        (ticket,) = await bench.submit(b"e")
        assert await is_waiting(bench)
        await bench.manager.send(FROM_MANAGER.encode(Follow("")))
        while (await bench.status())["head"] > bench.seqno:
            pass
        assert ticket not in bench.answers
