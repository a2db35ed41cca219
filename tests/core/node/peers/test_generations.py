"""Each channel has a number of its own, by which the layer above notices that one took another's place."""

from __future__ import annotations

from core.crypto.keys import PrivateKey
from core.types import NodeId
from tests.support.peers import MemoryNetwork, nodes, until


async def test_a_new_channel_has_a_new_number() -> None:
    network = MemoryNetwork()
    async with nodes(2, network) as (first, second):
        seen: set[int] = set()
        for _ in range(3):
            number = first.peers.generation(second.id)
            assert number > 0
            assert number not in seen
            assert number == first.peers.generation(second.id)
            seen.add(number)
            network.reset(first.name, second.name)
            await until(lambda number=number: first.peers.generation(second.id) not in (0, number))  # type: ignore[misc]


async def test_channels_to_several_nodes_have_different_numbers() -> None:
    async with nodes(3) as (first, second, third):
        assert first.peers.generation(second.id) != first.peers.generation(third.id)


async def test_no_channel_no_number() -> None:
    network = MemoryNetwork()
    async with nodes(2, network) as (first, second):
        assert first.peers.generation(PrivateKey.generate().public_key().node_id()) == 0
        assert first.peers.generation(NodeId(first.id)) == 0
        network.cut(first.name, second.name)
        await until(lambda: not first.peers.connected())
        assert first.peers.generation(second.id) == 0
