"""Faults drawn by a seed, under load: whatever was acknowledged is there in the end, on all nodes, and once.

Meanwhile each node is asked for what was acknowledged last by any: it answers with that, or not at all.
"""

from __future__ import annotations

import asyncio
import random

import pytest

from core import limits
from core.adapter.interface import CommandFailed, OutcomeUnknown, Overloaded
from core.consensus.engine import Role
from core.errors import ChannelClosed
from core.node.peer_messages import Body, ConsensusMessage
from core.types import NodeId
from tests.support.cluster import USER, Cluster, Node, cluster

STEPS = 12


VALUE = bytes(100)


async def write(made: Cluster, node: Node, name: str, acknowledged: dict[bytes, None], stop: asyncio.Event) -> None:
    number = 0
    while not stop.is_set() and not node.crashed:
        number += 1
        key = f"{name}.{number}".encode()
        try:
            await node.submit(key + b"=" + VALUE)
            acknowledged[key] = None
        except (CommandFailed, OutcomeUnknown, Overloaded):
            await asyncio.sleep(0.01)


async def read(node: Node, acknowledged: dict[bytes, None], answers: list[tuple[str, bytes, bool]]) -> None:
    """Ask a node for the newest acknowledged write, whoever was told of it, again and again."""
    while not node.crashed:
        await asyncio.sleep(0.002)
        if acknowledged:
            key = next(reversed(acknowledged))
            try:
                answers.append((node.name, key, await node.read(key) == VALUE))
            except (CommandFailed, OutcomeUnknown, Overloaded):
                await asyncio.sleep(0.01)


async def fault(made: Cluster, draw: random.Random) -> None:
    """Do one thing to the cluster, for a while."""
    node = draw.choice(made.living)
    match draw.choice(("cut", "pair", "transfer", "loss", "delay", "replace")):
        case "cut":
            made.hub.cut(node.id)
        case "pair":
            other = draw.choice(made.living)
            if other is not node:
                made.hub.cut(node.id, other.id)
        case "transfer":
            leaders = [one for one in made.living if one.leads]
            if leaders and leaders[0] is not node:
                leaders[0].core.driver.transfer_leadership(node.id)
        case "loss":

            def lose(sender: NodeId, to: NodeId, message: Body) -> Body | None:
                return None if isinstance(message, ConsensusMessage) and draw.random() < 0.2 else message

            made.hub.changes = lose
        case "delay":
            made.hub.delay_seconds = 0.01
        case _:
            node.crash()
            made.hub.heal()
            await made.until(made.elected)
            contacts = [one.name for one in made.living]
            again = made.join(node.name, contacts=contacts, member="alpha" if node.name == "node1" else "beta")
            await made.until(lambda: again.ready and again.role is Role.FOLLOWER, again)
    await asyncio.sleep(draw.uniform(0.05, 0.3))
    made.hub.heal()
    made.hub.changes, made.hub.delay_seconds = None, 0.0


async def run(seed: int, steps: int) -> None:
    draw = random.Random(seed)
    async with cluster(chunk_bytes_min=20_000, snapshot_entries=draw.choice((0, 300))) as made:
        await made.found()
        await made.grow(3)
        acknowledged: dict[bytes, None] = {}
        answers: list[tuple[str, bytes, bool]] = []
        stop = asyncio.Event()
        writers = [
            asyncio.create_task(write(made, node, f"{node.name}.{number}", acknowledged, stop))
            for node in made.living
            for number in range(3)
        ]
        readers = {node.id: asyncio.create_task(read(node, acknowledged, answers)) for node in made.living}
        for _ in range(steps):
            await fault(made, draw)
            await made.until(made.elected)
            for node in made.living:
                if node.id not in readers:
                    readers[node.id] = asyncio.create_task(read(node, acknowledged, answers))
        stop.set()
        for node in made.nodes:
            if node.crashed:
                await node.client._executor._transport.close()
        for task in (*writers, *readers.values()):
            task.cancel()
        ended = await asyncio.gather(*writers, *readers.values(), return_exceptions=True)
        assert not [one for one in ended if isinstance(one, Exception) and not isinstance(one, ChannelClosed)]
        await made.until(made.elected)
        await made.leader().submit(b"end=1")
        await made.equal()
        assert acknowledged
        assert {name for name, _, _ in answers} == {node.name for node in made.living}
        assert not [(name, key) for name, key, is_there in answers if not is_there]
        for node in made.living:
            table = node.executor._state.store.table("kv.data").current
            assert acknowledged.keys() <= set(table)
        assert await made.leader().client.ask("kv", b"end", USER) == b"1"


@pytest.mark.parametrize("seed", range(3))
async def test_faults_lose_nothing(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CONSENSUS_KEPT_ENTRIES", 20)
    await run(seed, STEPS)
