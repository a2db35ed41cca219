"""Faults drawn by a seed, under load: whatever was acknowledged is there in the end, on all nodes, and once."""

from __future__ import annotations

import asyncio
import random

import pytest

from core import limits
from core.adapter.interface import CommandFailed, OutcomeUnknown, Overloaded
from core.consensus.engine import Role
from core.node.peer_messages import Body, ConsensusMessage
from core.types import NodeId
from tests.support.cluster import USER, Cluster, Node, cluster

STEPS = 12


async def write(made: Cluster, node: Node, name: str, acknowledged: set[bytes], stop: asyncio.Event) -> None:
    number = 0
    while not stop.is_set() and not node.crashed:
        number += 1
        key = f"{name}.{number}".encode()
        try:
            await node.submit(key + b"=" + bytes(100))
            acknowledged.add(key)
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
        acknowledged: set[bytes] = set()
        stop = asyncio.Event()
        writers = [
            asyncio.create_task(write(made, node, f"{node.name}.{number}", acknowledged, stop))
            for node in made.living
            for number in range(3)
        ]
        for _ in range(steps):
            await fault(made, draw)
            await made.until(made.elected)
        stop.set()
        for node in made.nodes:
            if node.crashed:
                await node.client._executor._transport.close()
        for writer in writers:
            writer.cancel()
        await asyncio.gather(*writers, return_exceptions=True)
        await made.until(made.elected)
        await made.leader().submit(b"end=1")
        await made.equal()
        assert acknowledged
        for node in made.living:
            table = node.executor._state.store.table("kv.data").current
            assert acknowledged <= set(table)
        assert await made.leader().client.ask("kv", b"end", USER) == b"1"


@pytest.mark.parametrize("seed", range(3))
async def test_faults_lose_nothing(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CONSENSUS_KEPT_ENTRIES", 20)
    await run(seed, STEPS)
