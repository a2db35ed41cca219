"""A block's time: never before that of the block before it, whoever leads, and however the nodes' clocks are set."""

from __future__ import annotations

import pytest

from core import limits
from tests.support.cluster import Cluster, Node, cluster


def times(node: Node) -> list[int]:
    """Return what the commands were told, in their order."""
    table = node.executor._state.store.table("kv.times").current
    return [int(value) for _, (_, value) in sorted(table.items()) if value is not None]


async def three(made: Cluster, *ahead_s: int) -> tuple[Node, Node, Node]:
    """Three nodes, the first of which leads. ahead_s: of their clocks."""
    await made.found(ahead_s=ahead_s[0])
    nodes = [made.nodes[0]]
    for number, ahead in enumerate(ahead_s[1:], start=2):
        await made.admit(f"node{number}")
        node = made.join(f"node{number}", ahead_s=ahead)
        await made.until(lambda node=node: node.ready and node.role.value == "follower", node)  # type: ignore[misc]
        nodes.append(node)
    first, second, third = nodes
    return first, second, third


@pytest.mark.parametrize("ahead_s", [100, 500])
async def test_it_does_not_step_back_with_a_leader_whose_clock_is_behind(ahead_s: int) -> None:
    async with cluster() as made:
        first, second, third = await three(made, ahead_s, 0, -50)
        for number in range(3):
            await first.submit(b"a%d=1" % number)
        await made.settled()
        first.crash()
        await made.until(made.elected)
        for number in range(3):
            await made.leader().submit(b"b%d=1" % number)
        await made.equal(second, third)
        found = times(second)
        assert len(found) == 6
        assert found == sorted(found)
        assert found[0] > made.clock() + ahead_s - 60, "the first leader went by its own clock"
        assert found[-1] - found[0] < 60
        assert second.core.head.time_s == third.core.head.time_s >= found[-1]


async def test_it_does_not_step_back_with_a_clock_that_is_set_back_before_a_start() -> None:
    async with cluster() as made:
        first = await made.found()
        await first.submit(b"a=1")
        first.crash()
        made.clock.now -= 5_000
        again = made.launch("node1", disk=first.disk)
        await made.until(lambda: again.leads, again)
        await again.submit(b"b=1")
        found = times(again)
        assert len(found) == 2
        assert found[0] <= found[1] <= found[0] + 60


async def test_a_clock_that_is_right_is_gone_by() -> None:
    async with cluster() as made:
        first = await made.found()
        await first.submit(b"a=1")
        made.clock.now += 5_000
        await first.submit(b"b=1")
        found = times(first)
        assert found[1] >= found[0] + 5_000
        assert found[1] <= made.clock()


async def test_blocks_dated_far_ahead_are_taken_with_a_warning() -> None:
    async with cluster() as made:
        ahead_s = limits.BLOCK_TIME_AHEAD_SECONDS_MAX + 100
        first, second, third = await three(made, ahead_s, 0, ahead_s)
        await first.submit(b"a=1")
        await made.equal()
        await made.until(lambda: second.executor._node_news.clock_behind_seconds > limits.BLOCK_TIME_AHEAD_SECONDS_MAX)
        assert sum("ahead of this node's clock" in line for line in second.log) == 1
        for node in (first, third):
            assert node.executor._node_news.clock_behind_seconds == 0
            assert not any("ahead of this node's clock" in line for line in node.log)


async def test_blocks_dated_a_little_ahead_are_taken_without_one() -> None:
    async with cluster() as made:
        first, second, _ = await three(made, limits.BLOCK_TIME_AHEAD_SECONDS_MAX - 100, 0, 0)
        await first.submit(b"a=1")
        await made.equal()
        assert not any("ahead of this node's clock" in line for line in second.log)
