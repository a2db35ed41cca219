"""A removed node is told so, believes only whom it may, and serves nothing from then on; not being told is harmless."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from core.adapter.interface import Overloaded
from core.consensus.engine import Role
from core.crypto.keys import PrivateKey
from core.node.peer_messages import Body, Inbound, Removed
from core.types import NodeId
from tests.support.cluster import MEMBER, Cluster, Node, cluster
from tests.support.memory_peers import MANAGER_CLAIMS

WAS_REMOVED = "This node was removed from the network"


def says_so(node: Node) -> bool:
    return any(line.startswith(WAS_REMOVED) for line in node.log)


async def three(made: Cluster) -> list[Node]:
    await made.found()
    grown = await made.grow(3)
    await made.until(lambda: {slot.state for slot in made.leader().core.head.state.slots.values()} == {"active"})
    return grown


async def test_a_removed_node_hears_it_and_serves_nothing_any_more() -> None:
    async with cluster() as made:
        first, second, third = await three(made)
        await made.remove("node3")
        await made.until(lambda: third.executor.status()["role"] == "removed")
        assert says_so(third)
        status = third.executor.status()
        assert "node1:1, node2:1" in status["ledger"]["removed"]
        await made.until(lambda: bool(third.client.removed))
        for asked in (third.submit(b"key=1"), third.client.ask("kv", b"key", MEMBER)):
            with pytest.raises(Overloaded, match=WAS_REMOVED):
                await asked
        # What it says of itself, it goes on to say.
        assert b"removed" in await third.client.ask("coco", b'{"kind":"status"}', MEMBER)
        assert not made.hub.nodes[third.id].register
        await first.submit(b"the others=go on")
        await made.settled(first, second)
        assert not says_so(first)
        assert not says_so(second)


async def test_a_node_that_is_replaced_hears_it_as_well() -> None:
    async with cluster() as made:
        _, _, third = await three(made)
        again = made.join("node3")
        await made.until(lambda: again.ready and again.role is Role.FOLLOWER, again)
        await made.until(lambda: says_so(third), third)
        assert not says_so(again)


async def test_a_leader_that_was_removed_hears_it_from_the_next_one() -> None:
    async with cluster() as made:
        first, second, third = await three(made)
        await made.remove("node1")
        await made.until(lambda: says_so(first), first)
        await made.until(made.elected)
        await made.leader().submit(b"goes on=1")
        assert not says_so(second)
        assert not says_so(third)


async def test_a_lost_notice_is_harmless() -> None:
    async with cluster() as made:
        first, second, third = await three(made)
        made.hub.changes = lambda sender, to, message: None if to == third.id else message
        await made.remove("node3")
        await made.until(lambda: first.core.head.state.slots["node3"].state == "removed")
        await made.until(lambda: third.id not in made.hub.nodes[first.id].connected())
        await first.submit(b"the others=go on")
        await made.settled(first, second)
        assert not says_so(third)
        assert third.executor.status()["role"] != "removed"


Forge = Callable[[Node, Node, Node], tuple[NodeId, Removed]]
FORGED: dict[str, tuple[Forge, str]] = {
    "from a follower": (
        lambda first, second, third: (second.id, notice(third, third.core.driver.status.term)),
        "not from the node that leads",
    ),
    "of a view that is over": (
        lambda first, second, third: (first.id, notice(third, third.core.driver.status.term - 1)),
        "which is over",
    ),
    "about another node": (
        lambda first, second, third: (first.id, notice(second, third.core.driver.status.term)),
        "it is about node",
    ),
}


def notice(node: Node, view: int) -> Removed:
    return Removed(node.id, view, 1, ("evil:1",))


@pytest.mark.parametrize(("forge", "why"), FORGED.values(), ids=FORGED.keys())
async def test_a_notice_that_does_not_count_does_nothing(forge: Forge, why: str) -> None:
    async with cluster() as made:
        first, second, third = await three(made)
        sender, forged = forge(first, second, third)
        made.hub.nodes[third.id].inject(sender, forged)
        await made.until(lambda: any(why in line for line in third.log))
        await still_takes_part(made, third)


async def test_a_notice_from_nobody_that_is_registered_does_nothing() -> None:
    async with cluster() as made:
        first, _, third = await three(made)
        stranger = PrivateKey.generate().public_key()
        forged = notice(third, third.core.driver.status.term + 5)
        await third.core.take(Inbound(stranger.node_id(), stranger, None, forged, None))
        assert any("not from a registered node" in line for line in third.log)
        # One that joins is none, even with a registered node's name.
        await third.core.take(Inbound(first.id, stranger, MANAGER_CLAIMS, forged, None))
        await still_takes_part(made, third)


async def still_takes_part(made: Cluster, node: Node) -> None:
    await made.leader().submit(b"still=there")
    await made.settled()
    assert not says_so(node)
    assert (await node.submit(b"by=it")).reply


async def test_the_notice_of_a_later_view_counts() -> None:
    """It comes from a registered node, whose code is attested: this node has missed an election."""
    async with cluster() as made:
        _, second, third = await three(made)
        made.hub.nodes[third.id].inject(second.id, notice(third, third.core.driver.status.term + 1))
        await made.until(lambda: says_so(third), third)


async def test_only_a_leader_says_it() -> None:
    said: list[tuple[NodeId, Body]] = []
    async with cluster() as made:
        first, _, third = await three(made)

        def watch(sender: NodeId, to: NodeId, message: Body) -> Body:
            if isinstance(message, Removed):
                said.append((sender, message))
            return message

        made.hub.changes = watch
        await made.remove("node3")
        await made.until(lambda: says_so(third), third)
        await made.settled(*(node for node in made.nodes if node is not third))
        assert [sender for sender, _ in said] == [first.id]
