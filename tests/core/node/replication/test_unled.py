"""A survivor of a lost majority ends, so that its disk counts; one that is only cut off goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

import core.node.replication.joining
from core.consensus.configuration import Configuration
from core.consensus.engine import Role
from core.node.replication import restart_desk, unled
from core.node.replication.unled import MajorityLost, may_come_back
from tests.consensus.wording import node_id
from tests.support.cluster import Cluster, Node, cluster

MEMBERS = {"node1": "alpha", "node2": "beta", "node3": "beta"}
NAMES = tuple(MEMBERS)
A, B, C, D, E = (node_id(number) for number in range(1, 6))


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core.node.replication.joining, "BACKOFF_SECONDS", (0.05, 0.5))
    monkeypatch.setattr(restart_desk, "POLL_SECONDS", 0.02)


@pytest.mark.parametrize(
    ("configuration", "gone", "possible"),
    [
        (Configuration((A, B, C)), set(), True),
        (Configuration((A, B, C)), {A}, True),
        (Configuration((A, B, C)), {A, B}, False),
        (Configuration((A, B, C)), {A, D, E}, True),
        (Configuration((A, B, C, D)), {A, B}, False),
        (Configuration((A, D, E), (A, B, C)), {B, C}, False),
        (Configuration((A, D, E), (A, B, C)), {B, D}, True),
    ],
)
def test_when_a_majority_may_come_back(configuration: Configuration, gone: set[str], possible: bool) -> None:
    assert may_come_back(configuration, gone) is possible  # type: ignore[arg-type]


async def three(made: Cluster) -> dict[str, bytes]:
    first = await made.found()
    await made.grow(3)
    for number in range(5):
        await first.submit(b"k%d=%d" % (number, number))
    await made.settled()
    return {name: made.authorize(name, member) for name, member in MEMBERS.items()}


def back(made: Cluster, node: Node, signed: dict[str, bytes], *, contacts: tuple[str, ...] = NAMES) -> Node:
    others = [name for name in contacts if name != node.name]
    return made.launch(node.name, authorization=signed[node.name], contacts=others, disk=node.disk)


def why(node: Node) -> BaseException | None:
    """Return what a node's manager ended with, None while it runs."""
    return node.tasks[0].exception() if node.tasks[0].done() else None


async def ticks(made: Cluster, count: int) -> None:
    """Let so many ticks pass, whatever becomes of nodes."""
    await until(lambda start=made.clock.now: made.clock.now > start + 0.1 * count)  # type: ignore[misc]


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - nothing tells.
            await asyncio.sleep(0.004)


async def ended(node: Node) -> BaseException:
    await until(lambda: why(node) is not None)
    error = why(node)
    assert error is not None
    return error


async def test_a_survivor_ends_when_the_others_were_started_anew() -> None:
    async with cluster() as made:
        signed = await three(made)
        survivor, *others = made.living
        for node in others:
            node.crash()
        # One comes back, and waits: with the survivor's disk there would be a majority of them.
        came = back(made, others[0], signed)
        await ticks(made, 2 * unled.UNLED_TICKS_MAX)
        assert why(survivor) is None  # The other one may still run, for all that is known.
        later = back(made, others[1], signed)
        error = await ended(survivor)
        assert isinstance(error, MajorityLost)
        assert "were started anew" in error.message
        survivor.crash()
        again = back(made, survivor, signed)
        await made.until(lambda: all(node.ready and node.role is not Role.LEARNER for node in (again, came, later)))
        await made.equal()
        assert (await again.submit(b"after=1")).reply == b"6"


async def test_a_survivor_that_nobody_asks_asks_itself() -> None:
    """Those who wait know nobody, and the survivor's disk is the one that is needed."""
    async with cluster() as made:
        signed = await three(made)
        survivor, *others = made.living
        for node in others:
            node.crash()
        waiting = [back(made, node, signed, contacts=("nobody",)) for node in others]
        error = await ended(survivor)
        assert isinstance(error, MajorityLost)
        assert not any(node.ready for node in waiting)
        survivor.crash()


async def test_a_node_that_is_cut_off_goes_on() -> None:
    async with cluster() as made:
        await three(made)
        cut = made.followers()[0]
        made.hub.cut(cut.id)
        await ticks(made, 3 * unled.UNLED_TICKS_MAX)
        assert why(cut) is None
        made.hub.heal()
        await made.until(lambda: cut.core.leadership.leader is not None)
        await made.leader().submit(b"after=1")
        await made.equal()


async def test_one_node_of_three_that_was_started_anew_ends_nobody() -> None:
    async with cluster() as made:
        signed = await three(made)
        lost = made.followers()[0]
        others = [node for node in made.living if node is not lost]
        lost.crash()
        again = back(made, lost, signed)
        await made.until(lambda: again.ready and again.role is Role.FOLLOWER)
        made.hub.cut(others[0].id, others[1].id)
        await ticks(made, 2 * unled.UNLED_TICKS_MAX)
        made.hub.heal()
        assert all(why(node) is None for node in made.living)
        await made.until(made.elected)


async def test_what_no_attested_node_says_counts_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request to join without evidence, or without what a member signed, is nothing."""
    from core.node.peer_messages import Inbound, JoinRequest

    async with cluster() as made:
        signed = await three(made)
        survivor, *others = made.living
        for node in others:
            node.crash()
        for name in ("node2", "node3"):
            key = made.hub.nodes[others[0].id]._key
            survivor.core.unled.asked(Inbound(others[0].id, key, None, JoinRequest(signed[name], f"{name}:1")),
                                      JoinRequest(signed[name], f"{name}:1"))  # fmt: skip
            survivor.core.unled.asked(
                Inbound(others[0].id, key, made.hub.claims, JoinRequest(b"junk", "")), JoinRequest(b"junk", "")
            )
        await ticks(made, 2 * unled.UNLED_TICKS_MAX)
        assert why(survivor) is None
