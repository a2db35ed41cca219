"""A channel that breaks and is there again before anybody looks: what was on its way is given up, and nothing else."""

from __future__ import annotations

import asyncio

import pytest

from core.adapter.interface import OutcomeUnknown
from core.node.peer_messages import AnswerForwarded, Body
from core.types import NodeId
from tests.support.cluster import Cluster, Node, cluster


async def forwarded_without_answer(made: Cluster) -> tuple[Node, Node, asyncio.Task[object]]:
    """Have a follower forward a command whose answer is lost; returns leader and follower."""
    await made.found()
    first, second, _ = await made.grow(3)
    lost = asyncio.Event()

    def lose(sender: NodeId, to: NodeId, message: Body) -> Body | None:
        if isinstance(message, AnswerForwarded) and not lost.is_set():
            lost.set()
            return None
        return message

    made.hub.changes = lose
    sent: asyncio.Task[object] = asyncio.create_task(second.submit(b"key=1"))
    await lost.wait()
    await made.settled()
    assert not sent.done()
    return first, second, sent


async def test_what_was_on_its_way_over_the_channel_before_is_given_up_at_once() -> None:
    async with cluster() as made:
        first, second, sent = await forwarded_without_answer(made)
        made.hub.reset(first.id, second.id)
        with pytest.raises(OutcomeUnknown):
            await asyncio.wait_for(sent, 10)
        await second.submit(b"key=2")
        assert await second.read(b"key") == b"2"


async def test_a_channel_to_another_node_says_nothing() -> None:
    async with cluster() as made:
        first, second, sent = await forwarded_without_answer(made)
        third = next(node for node in made.living if node not in (first, second))
        made.hub.reset(third.id, second.id)
        made.hub.reset(third.id, first.id)
        await asyncio.sleep(0.3)
        assert not sent.done()
        sent.cancel()


async def test_a_command_on_the_channel_after_gives_up_the_ones_before() -> None:
    """Without waiting for a tick."""
    async with cluster() as made:
        first, second, sent = await forwarded_without_answer(made)
        made.ticking = False
        made.hub.reset(first.id, second.id)
        later = asyncio.create_task(second.submit(b"key=2"))
        with pytest.raises(OutcomeUnknown):
            await asyncio.wait_for(sent, 10)
        made.ticking = True
        await asyncio.wait((later,))
