"""Reads on several nodes: whoever was answered, by any node, is seen by every read that begins after that."""

from __future__ import annotations

import asyncio

import pytest

from core import limits
from core.adapter.interface import ANONYMOUS, Overloaded
from tests.support.cluster import Cluster, Node, cluster


def stop_clock(node: Node) -> None:
    """A leader whose clock stands still does not notice that it is cut off."""

    async def stand_still() -> None:
        pass

    node.core.tick = stand_still  # type: ignore[method-assign]


async def overtake(made: Cluster) -> tuple[Node, Node]:
    """Cut the leader off without its noticing, and have another one commit; returns both."""
    await made.found()
    first, second, third = await made.grow(3)
    await first.submit(b"key=old")
    await made.equal()
    stop_clock(first)
    made.hub.cut(first.id)
    await made.until(lambda: second.leads or third.leads)
    assert first.leads, "the old leader still believes that it leads"
    leader = second if second.leads else third
    await leader.submit(b"key=new")
    return first, leader


async def test_a_leader_that_was_overtaken_does_not_answer_from_its_old_state() -> None:
    async with cluster() as made:
        first, leader = await overtake(made)
        asked = [asyncio.create_task(first.read(b"key")) for _ in range(10)]
        await asyncio.sleep(0.3)
        assert first.leads
        assert not any(one.done() for one in asked)
        assert await leader.read(b"key") == b"new"
        made.hub.heal()
        assert await asyncio.gather(*asked) == [b"new"] * 10


async def test_without_linearizable_reads_it_does() -> None:
    async with cluster() as made:
        first, _ = await overtake(made)
        first.client.linearizable = False
        assert await first.read(b"key") == b"old"


async def test_a_read_that_nobody_confirms_ends_with_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "READ_CONFIRM_SECONDS_MAX", 0.2)
    async with cluster() as made:
        first, leader = await overtake(made)
        for _ in range(2):
            with pytest.raises(Overloaded, match="reaches no leader"):
                await first.read(b"key")
        # What a node says of itself depends on nobody.
        assert b'"transaction_id"' in await first.client.ask("coco", b'{"kind":"commit"}', ANONYMOUS)
        assert await leader.read(b"key") == b"new"


async def test_a_follower_that_is_behind_waits_until_it_has_what_was_acknowledged() -> None:
    async with cluster() as made:
        await made.found()
        first, second, third = await made.grow(3)
        made.hub.delay_seconds = 0.005
        stale = 0
        for number in range(5):
            await first.submit(b"key=%d" % number)
            answers = await asyncio.gather(second.read(b"key"), third.read(b"key"))
            assert [*answers] == [b"%d" % number] * 2
        second.client.linearizable = False
        for number in range(5, 10):
            await first.submit(b"key=%d" % number)
            stale += await second.read(b"key") != b"%d" % number
        assert stale, "without a round the follower answers before it knows"


@pytest.mark.parametrize("place", ["leader", "follower"])
async def test_reads_that_come_together_share_a_round(place: str) -> None:
    async with cluster() as made:
        await made.found()
        first, second, _ = await made.grow(3)
        await first.submit(b"key=1")
        node = first if place == "leader" else second
        before = node.executor._fresh._begun
        assert await asyncio.gather(*(node.read(b"key") for _ in range(500))) == [b"1"] * 500
        assert 1 <= node.executor._fresh._begun - before <= 20
        assert not len(node.executor._fresh)


async def test_a_network_of_one_node_needs_no_rounds_until_another_may_take_part() -> None:
    async with cluster() as made:
        first = await made.found()
        await first.submit(b"key=1")
        assert await first.read(b"key") == b"1"
        assert first.executor._fresh._begun == 0
        await made.grow(2)
        assert await first.read(b"key") == b"1"
        assert first.executor._fresh._begun > 0


async def test_reads_go_on_over_a_change_of_leader() -> None:
    async with cluster() as made:
        await made.found()
        first, second, third = await made.grow(3)
        await first.submit(b"key=1")
        first.crash()
        assert [*await asyncio.gather(second.read(b"key"), third.read(b"key"))] == [b"1", b"1"]
        await made.until(made.elected)


async def test_a_round_that_the_engine_has_no_room_for_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with cluster() as made:
        await made.found()
        first, second, _ = await made.grow(3)
        await first.submit(b"key=1")
        monkeypatch.setattr(limits, "CONSENSUS_READS_MAX", 0)
        asked = [asyncio.create_task(node.read(b"key")) for node in (first, second)]
        await asyncio.sleep(0.2)
        assert not any(one.done() for one in asked)
        monkeypatch.undo()
        assert [*await asyncio.gather(*asked)] == [b"1", b"1"]
