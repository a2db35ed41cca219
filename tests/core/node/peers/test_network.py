"""Nodes that know each other: messages, requests, channels that break and come back, nodes that leave."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from core import limits
from core.crypto.keys import PrivateKey
from core.errors import ChannelClosed
from core.node.peer_messages import CatchUp, Fetched, FetchLedger, PeerUnreachable
from enclave_sim.memory_network import MemoryNetwork
from tests.support.peers import Node, consensus, nodes, receive, until


async def test_messages_between_all() -> None:
    async with nodes(3) as made:
        for sender in made:
            for other in made:
                if other is not sender:
                    assert sender.peers.send(other.id, consensus(f"from {sender.name}"))
        for node in made:
            got = [await receive(node) for _ in range(2)]
            assert {one.sender for one in got} == {other.id for other in made} - {node.id}
            assert all(one.claims is None and one.answer is None for one in got)


async def test_messages_of_a_lane_keep_their_order() -> None:
    async with nodes(2) as (first, second):
        for number in range(50):
            assert first.peers.send(second.id, consensus(b"ordered" + bytes([number]) * 5_000))
        for number in range(50):
            got = (await receive(second)).message
            assert got == consensus(b"ordered" + bytes([number]) * 5_000)


async def test_requests_and_their_replies() -> None:
    async with nodes(2) as (first, second):

        async def serve() -> None:
            for _ in range(limits.PEER_REQUESTS_MAX):
                inbound = await receive(second)
                assert isinstance(inbound.message, FetchLedger)
                assert inbound.answer is not None
                await inbound.answer(Fetched(bytes([inbound.message.first]) * 100_000))

        serving = asyncio.create_task(serve())
        replies = await asyncio.gather(
            *(
                first.peers.request(second.id, FetchLedger(number, 0, 100_000), seconds_max=30)
                for number in range(limits.PEER_REQUESTS_MAX)
            )
        )
        assert replies == [Fetched(bytes([number]) * 100_000) for number in range(limits.PEER_REQUESTS_MAX)]
        await serving


async def test_a_request_that_is_not_answered() -> None:
    async with nodes(2) as (first, second):
        for _ in range(limits.PEER_REQUESTS_MAX):
            with pytest.raises(PeerUnreachable, match="did not answer"):
                await first.peers.request(second.id, FetchLedger(1, 0, 1), seconds_max=0.01)
        with pytest.raises(PeerUnreachable, match="the requests before"):
            await first.peers.request(second.id, FetchLedger(1, 0, 1), seconds_max=10)
        late = await receive(second)
        assert late.answer is not None
        await late.answer(Fetched(b"late"))
        assert first.peers.send(second.id, consensus("in between"))
        for _ in range(limits.PEER_REQUESTS_MAX - 1):
            await receive(second)
        assert (await receive(second)).message == consensus("in between")
        assert second.id in first.peers.connected()
        asking = asyncio.create_task(first.peers.request(second.id, FetchLedger(2, 0, 1), seconds_max=10))
        answered = await receive(second)
        assert answered.answer is not None
        await answered.answer(Fetched(b"in time"))
        assert await asking == Fetched(b"in time")


async def test_nobody_there() -> None:
    network = MemoryNetwork()
    node, absent = Node(network, "one"), PrivateKey.generate().public_key().node_id()
    assert not node.peers.send(absent, consensus("x"))
    with pytest.raises(PeerUnreachable):
        await node.peers.request(absent, FetchLedger(1, 0, 1), seconds_max=1)
    await node.peers.close()
    with pytest.raises(ChannelClosed):
        await receive(node)


async def test_a_request_ends_with_its_channel() -> None:
    network = MemoryNetwork()
    async with nodes(2, network) as (first, second):
        asking = asyncio.create_task(first.peers.request(second.id, FetchLedger(1, 0, 1), seconds_max=30))
        inbound = await receive(second)
        network.reset(first.name, second.name)
        with pytest.raises(PeerUnreachable, match="ended before"):
            await asking
        await until(lambda: bool(first.peers.connected() and second.peers.connected()))
        assert inbound.answer is not None
        await inbound.answer(Fetched(b"to nobody"))


async def test_channels_come_back() -> None:
    network = MemoryNetwork()
    async with nodes(2, network) as (first, second):
        for count in range(3):
            network.reset(first.name, second.name)
            await until(lambda: not first.peers.connected() or not second.peers.connected())
            await until(lambda: bool(first.peers.connected() and second.peers.connected()))
            again = consensus(f"again {count}")
            await until(partial(first.peers.send, second.id, again))
            assert (await receive(second)).message == again


async def test_a_cut_is_noticed_and_heals() -> None:
    network = MemoryNetwork()
    async with nodes(3, network) as (first, second, third):
        network.cut(first.name, second.name)
        await until(lambda: first.peers.connected() == {third.id} and second.peers.connected() == {third.id})
        assert first.peers.refused["silent"] == 1
        assert not first.peers.send(second.id, consensus("nothing is kept for later"))
        network.heal(first.name, second.name)
        await until(lambda: len(first.peers.connected()) == 2 and len(second.peers.connected()) == 2)


async def test_the_other_side_calls_when_the_first_cannot() -> None:
    network = MemoryNetwork()
    keys = sorted((PrivateKey.generate() for _ in range(2)), key=lambda key: key.public_key().node_id())
    first, second = (Node(network, name, key=key) for name, key in zip(("first", "second"), keys, strict=True))
    first.peers.update({second.id: second.peer.__class__(second.key.public_key(), "nowhere")}, frozenset())
    second.register([first])
    await until(lambda: bool(first.peers.connected() and second.peers.connected()))
    for node in (first, second):
        await node.peers.close()


async def test_there_is_one_channel_though_both_call() -> None:
    network = MemoryNetwork()
    async with nodes(2, network) as (first, second):
        before = network.dials
        for node in (first, second):
            node.register([first, second])
        for _ in range(20):
            assert first.peers.send(second.id, consensus("x"))
            assert second.peers.send(first.id, consensus("y"))
            await receive(first)
            await receive(second)
        assert network.dials == before


async def test_a_removed_node_gets_nothing_from_then_on() -> None:
    network = MemoryNetwork()
    async with nodes(3, network) as (first, second, third):
        assert third.peers.send(first.id, consensus("was on its way"))
        await asyncio.sleep(0.05)
        for node in (first, second):
            node.register([first, second], frozenset({third.id}))
        assert first.peers.connected() == {second.id}
        assert not first.peers.send(third.id, consensus("x"))
        assert second.peers.send(first.id, consensus("of a member"))
        assert (await receive(first)).message == consensus("of a member")
        await until(lambda: not third.peers.connected())
        refused = first.peers.refused.get("removed-node", 0)
        await until(lambda: first.peers.refused["removed-node"] > refused)


async def test_a_node_that_is_registered_later() -> None:
    network = MemoryNetwork()
    async with nodes(2, network) as (first, second):
        third = Node(network, "third")
        third.register([first, second, third])
        await until(lambda: first.peers.refused.get("unregistered-node", 0) > 0)
        assert third.peers.connected() == set()
        for node in (first, second):
            node.register([first, second, third])
        await until(lambda: len(third.peers.connected()) == 2)
        await third.peers.close()


async def test_large_messages_leave_room_for_short_ones() -> None:
    """Over a slow way, an urgent message overtakes what was queued before it."""
    async with nodes(2) as (first, second):
        large = CatchUp(bytes(4_000_000), 1, 1, ())
        assert first.peers.send(second.id, large)
        assert first.peers.send(second.id, consensus(b"ordered" + bytes(4_000_000)))
        assert first.peers.send(second.id, consensus("urgent"))
        assert (await receive(second)).message == consensus("urgent")
        rest = [(await receive(second)).message for _ in range(2)]
        assert large in rest


async def test_a_flood_slows_only_who_floods() -> None:
    async with nodes(3) as (first, second, third):
        ordered = consensus(b"ordered" + bytes(10_000))
        await until(lambda: not all(third.peers.send(first.id, ordered) for _ in range(100)))
        assert second.peers.send(first.id, consensus("of the other"))
        before = 0
        while (await receive(first)).sender == third.id:
            before += 1
        assert before < limits.PEER_INBOUND_MESSAGES_MAX // 2
        assert third.id in first.peers.connected()
