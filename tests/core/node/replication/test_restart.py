"""A network whose nodes were all lost at once starts again: from a quorum's best disk, and from nothing less."""

from __future__ import annotations

import pytest

import core.node.replication.joining
from core.consensus.engine import Role
from tests.support.cluster import Cluster, Node, cluster

MEMBERS = {"node1": "alpha", "node2": "beta", "node3": "beta"}
NAMES = tuple(MEMBERS)


@pytest.fixture(autouse=True)
def _asks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes that reach nobody ask again soon."""
    monkeypatch.setattr(core.node.replication.joining, "BACKOFF_SECONDS", (0.05, 0.5))


async def make_three(made: Cluster, commands: int = 10) -> dict[str, bytes]:
    """Form a network of three nodes with some commands; returns what its members sign for each node's return."""
    first = await made.found()
    await made.grow(3)
    for number in range(commands):
        await first.submit(b"k%d=%d" % (number, number))
    await made.settled()
    return {name: made.authorize(name, member) for name, member in MEMBERS.items()}


def lose_all(made: Cluster) -> dict[str, Node]:
    """Crash every node; returns them by name."""
    lost = {node.name: node for node in made.living}
    for node in lost.values():
        node.crash()
    return lost


def come_back(made: Cluster, lost: dict[str, Node], signed: dict[str, bytes], *names: str) -> list[Node]:
    """Start nodes again on their own disks."""
    return [
        made.launch(
            name, authorization=signed[name], contacts=[one for one in NAMES if one != name], disk=lost[name].disk
        )
        for name in names
    ]


def told(node: Node, text: str) -> bool:
    return any(text in line for line in node.log)


async def test_all_lost_at_once_and_all_come_back() -> None:
    async with cluster() as made:
        signed = await make_three(made)
        lost = lose_all(made)
        nodes = come_back(made, lost, signed, *NAMES)
        await made.until(lambda: all(node.ready and node.role is not Role.LEARNER for node in nodes))
        assert len({node.id for node in nodes} | {node.id for node in lost.values()}) == 6
        await made.equal()
        outcome = await nodes[0].submit(b"after=1")
        assert outcome.reply == b"11"
        assert outcome.transaction_id is not None
        assert outcome.transaction_id.view > 1_000
        await made.equal()


async def test_one_of_three_starts_nothing_until_another_comes() -> None:
    async with cluster() as made:
        signed = await make_three(made)
        lost = lose_all(made)
        before = dict(lost["node2"].disk.files)
        (second,) = come_back(made, lost, signed, "node2")
        await made.until(lambda: told(second, "no network runs; of the disks known"))
        await made.until(lambda: told(second, "not heard of: "))
        assert not second.ready
        ledger = {name: data for name, data in before.items() if name.startswith("ledger/")}
        assert {name: data for name, data in second.disk.files.items() if name.startswith("ledger/")} == ledger
        (third,) = come_back(made, lost, signed, "node3")
        await made.until(lambda: second.ready and third.ready)
        await made.until(lambda: Role.LEARNER not in (second.role, third.role))
        assert (await third.submit(b"after=1")).reply == b"11"
        (first,) = come_back(made, lost, signed, "node1")
        await made.until(lambda: first.ready and first.role is Role.FOLLOWER)
        await made.equal()


async def test_the_disk_that_holds_more_is_taken() -> None:
    async with cluster() as made:
        signed = await make_three(made, commands=3)
        behind = next(node for node in made.followers() if node.name == "node2")
        made.hub.cut(behind.id)
        leader = made.leader()
        for number in range(5):
            await leader.submit(b"later%d=1" % number)
        lost = lose_all(made)
        made.hub.heal()
        nodes = come_back(made, lost, signed, "node2", "node3")
        await made.until(lambda: all(node.ready and node.role is not Role.LEARNER for node in nodes))
        assert told(nodes[1], "starts the network again")
        assert not told(nodes[0], "starts the network again")
        assert (await nodes[0].submit(b"after=1")).reply == b"9"
        await made.equal()


async def test_a_damaged_disk_counts_for_nothing() -> None:
    async with cluster() as made:
        signed = await make_three(made)
        lost = lose_all(made)
        disk = lost["node3"].disk
        name = next(one for one in disk.files if one.startswith("ledger/"))
        data = bytearray(disk.files[name])
        data[len(data) // 2] ^= 1
        disk.files[name] = bytes(data)
        (third,) = come_back(made, lost, signed, "node3")
        await made.until(lambda: told(third, "own disk does not count"))
        (second,) = come_back(made, lost, signed, "node2")
        await made.until(lambda: told(second, "no network runs"))
        assert not second.ready
        (first,) = come_back(made, lost, signed, "node1")
        await made.until(lambda: first.ready and second.ready and third.ready)
        await made.equal()


async def test_a_granted_disk_stays_granted_after_a_crash() -> None:
    async with cluster() as made:
        signed = await make_three(made)
        lost = lose_all(made)
        second, third = come_back(made, lost, signed, "node2", "node3")
        await made.until(lambda: told(second, "is granted to") and told(third, "is granted to"))
        chosen = next(node for node in (second, third) if told(node, "is granted to itself"))
        other = third if chosen is second else second
        chosen.crash()
        other.crash()
        again, first = come_back(made, lost, signed, other.name, "node1")
        await made.until(lambda: told(first, "no network runs") and told(again, "no network runs"))
        for _ in range(200):
            await made.until(lambda: True)
        assert not first.ready
        assert not again.ready
        (back,) = come_back(made, lost, signed, chosen.name)
        await made.until(lambda: all(node.ready for node in (again, first, back)))
        await made.equal()
