"""Nodes that replace one another, are removed, or may not join; and a leader that is lost in the middle of it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from core.consensus.configuration import Configuration, decode_snapshot
from core.consensus.engine import Role
from core.errors import CocoError
from core.governance.join_refusals import AddressDiffers, MeasurementDiffers
from core.node.peer_messages import Body, ConsensusMessage
from core.node.replication.joining import JoinEnded
from core.types import NodeId
from tests.support.cluster import USER, Cluster, Node, cluster


def configuration(node: Node) -> Configuration:
    return decode_snapshot(node.core.driver._engine.snapshot()).configuration


def slots(node: Node) -> dict[str, str]:
    return {name: slot.state for name, slot in node.core.driver.committed_state.slots.items()}


async def promoted(made: Cluster, *nodes: Node) -> None:
    """Wait until these, and only these, vote."""
    ids = {node.id for node in nodes}
    await made.until(
        lambda: set(configuration(made.leader()).voters) == ids and not configuration(made.leader()).is_joint
    )


async def test_a_node_that_was_lost_comes_back_in_its_slot_under_a_new_identity() -> None:
    async with cluster() as made:
        await made.found()
        first, second, third = await made.grow(3)
        await promoted(made, first, second, third)
        third.crash()
        again = made.join("node3")
        await made.until(lambda: again.ready and again.role is Role.FOLLOWER, again)
        await promoted(made, first, second, again)
        assert slots(first) == {"node1": "active", "node2": "active", "node3": "active"}
        infos = {raw.decode(): info.status for raw, info in first.core.head.state.nodes.items()}
        assert infos == {first.id: "Trusted", second.id: "Trusted", third.id: "Retired", again.id: "Trusted"}
        # It votes: with it alone the leader goes on.
        second.crash()
        await first.submit(b"with the new one=1")
        await made.equal(first, again)


async def test_a_leader_that_was_lost_comes_back_as_a_follower() -> None:
    async with cluster() as made:
        await made.found()
        first, second, third = await made.grow(3)
        await promoted(made, first, second, third)
        first.crash()
        await made.until(made.elected)
        again = made.join("node1", contacts=("node2", "node3"), member="alpha")
        await made.until(lambda: again.ready and again.role is Role.FOLLOWER, again)
        await promoted(made, second, third, again)
        await made.equal()


async def test_a_removed_node_gets_nothing_more_and_the_others_have_a_new_epoch() -> None:
    async with cluster() as made:
        await made.found()
        first, second, third = await made.grow(3)
        await promoted(made, first, second, third)
        epochs = len(first.core.head.keyring.epochs)
        await made.remove("node3")
        await promoted(made, first, second)
        await made.until(lambda: len(second.core.secrets().epochs) == epochs + 1)
        await made.until(lambda: third.id not in made.hub.nodes[first.id].connected())
        await made.settled(first, second)
        assert slots(first)["node3"] == "removed"
        end = third.core.head.seqno
        received = len(third.disk.files.get("ledger/ledger_1", b""))
        await first.submit(b"secret=1")
        await made.equal(first, second)
        assert third.core.head.seqno == end
        assert len(third.disk.files.get("ledger/ledger_1", b"")) == received
        # Nor would it have the key.
        newest = first.core.secrets().epochs[-1]
        assert newest.epoch not in {one.epoch for one in third.core.head.keyring.epochs}
        assert newest.key in {one.key for one in second.core.secrets().epochs}
        # What is sealed under the new key is read by whoever takes over.
        first.core.driver.transfer_leadership(second.id)
        await made.until(lambda: second.leads)
        await second.submit(b"more=1")
        await made.equal(first, second)


async def test_a_leader_that_removes_itself_hands_over() -> None:
    async with cluster() as made:
        await made.found()
        first, second, third = await made.grow(3)
        await promoted(made, first, second, third)
        await made.remove("node1")
        await made.until(lambda: second.leads or third.leads)
        await promoted(made, second, third)
        await made.until(lambda: len(made.leader().core.head.keyring.epochs) == 2)
        await made.leader().submit(b"after=1")
        await made.equal(second, third)


async def test_what_one_leader_leaves_undone_the_next_one_does() -> None:
    """The slot's removal is decided; the leader dies before it has proposed to carry it out."""
    async with cluster() as made:
        await made.found()
        first, second, third = await made.grow(3)
        await made.admit("node4")
        fourth = made.join("node4")
        await made.until(lambda: fourth.ready and fourth.role is Role.FOLLOWER, fourth)
        await promoted(made, first, second, third, fourth)
        first.core.membership.look = lambda: None  # type: ignore[method-assign]
        await made.remove("node4")
        await made.equal(first, second, third)
        assert slots(second)["node4"] == "removing"
        first.crash()
        await made.until(lambda: second.leads or third.leads)
        await made.until(lambda: slots(made.leader())["node4"] == "removed")
        await promoted(made, *(made.nodes[:3]))
        await made.until(lambda: len(made.leader().core.head.keyring.epochs) == 2)


async def test_a_node_that_joins_is_let_in_by_the_next_leader_when_the_first_dies() -> None:
    async with cluster() as made:
        await made.found()
        first, second, third = await made.grow(3)
        await promoted(made, first, second, third)
        await made.admit("node4")
        joiner = made.join("node4", contacts=("node1", "node2", "node3"))
        await made.until(lambda: any("node4" in line and "joins" in line for line in first.log))
        first.crash()
        await made.until(lambda: joiner.ready and joiner.role is Role.FOLLOWER, joiner, second, third)
        await made.equal(second, third, joiner)


async def test_a_contact_that_does_not_lead_names_the_leader() -> None:
    async with cluster() as made:
        await made.found()
        await made.grow(3)
        await made.admit("node4")
        joiner = made.join("node4", contacts=("node3",))
        await made.until(lambda: joiner.ready, joiner)
        await made.equal()


async def test_a_node_waits_until_its_slot_is_admitted() -> None:
    async with cluster() as made:
        first = await made.found()
        joiner = made.join("node2")
        await made.until(lambda: any("unknown-slot" in line for line in joiner.log), joiner)
        assert not joiner.disk.files
        assert set(first.core.head.state.slots) == {"node1"}


async def test_an_authorization_that_does_not_fit_ends_the_node_before_it_asks() -> None:
    async with cluster() as made:
        await made.found()
        await made.admit("node2")
        good = made.authorize("node2")
        elsewhere = made.launch("node3", authorization=good, contacts=("node1",), slot="node2")
        with pytest.raises(AddressDiffers):
            await made.until(lambda: False, elsewhere)
        other = made.launch("node2", authorization=good, contacts=("node1",))
        other.manager._worker = replace(other.manager._worker, measurement=b"\1" * 32)
        with pytest.raises(MeasurementDiffers):
            await made.until(lambda: False, other)
        for node in (elsewhere, other):
            node.crash()


async def test_a_member_that_the_slot_is_not_for_is_refused() -> None:
    async with cluster() as made:
        await made.found()
        await made.admit("node2", member="beta")
        joiner = made.join("node2", member="gamma")
        with pytest.raises(JoinEnded) as ended:
            await made.until(lambda: False, joiner)
        assert ended.value.reason == "not-the-slots-member"
        joiner.crash()


async def test_a_node_with_other_code_is_refused() -> None:
    async with cluster() as made:
        first = await made.found()
        await made.admit("node2")
        made.hub.claims = replace(made.hub.claims, measurement=b"\2" * 32)
        joiner = made.join("node2")
        with pytest.raises(JoinEnded) as ended:
            await made.until(lambda: False, joiner)
        assert ended.value.reason == "measurement-differs"
        assert not joiner.disk.files
        assert slots(first)["node2"] == "admitted"
        joiner.crash()


async def test_a_node_of_several_does_not_start_again_alone() -> None:
    async with cluster() as made:
        await made.found()
        _, second = (await made.grow(2))[:2]
        await made.equal()
        second.crash()
        alone = made.launch("node2", disk=second.disk)
        alone.manager._sealer = second.manager._sealer
        with pytest.raises(CocoError, match="none of them starts again alone"):
            await made.until(lambda: False, alone)
        alone.crash()


async def test_reconfiguration_under_load_loses_no_request() -> None:
    async with cluster() as made:
        await made.found()
        first, *_ = await made.grow(3)
        answered = 0
        stop = False

        async def write(number: int) -> None:
            nonlocal answered
            while not stop:
                await first.submit(b"key%d=%d" % (number, answered))
                answered += 1

        writers = [asyncio.create_task(write(number)) for number in range(5)]
        await made.admit("node4")
        fourth = made.join("node4")
        await made.until(lambda: fourth.ready and fourth.role is Role.FOLLOWER, fourth)
        before = answered
        await made.remove("node2")
        await made.until(lambda: slots(first)["node2"] == "removed" and answered > before + 50)
        stop = True
        await asyncio.gather(*writers)
        assert len(first.core.head.keyring.epochs) == 2
        await made.equal(*(node for node in made.nodes if node.name != "node2"))


async def test_what_a_node_says_of_the_network() -> None:
    async with cluster() as made:
        await made.found()
        first, second, third = await made.grow(3)
        await promoted(made, first, second, third)
        await made.equal()

        async def nodes(node: Node) -> list[dict[str, str]]:
            found = json.loads(await node.client.ask("coco", b'{"kind":"nodes"}', USER))
            return list(found["nodes"])

        for node in (first, second, third):
            await made.until(lambda node=node: node.executor.news().leader == first.id)  # type: ignore[misc]
            assert {one["node_id"] for one in await nodes(node)} == {first.id, second.id, third.id}


async def test_an_older_nodes_messages_do_not_disturb() -> None:
    """A node that was replaced goes on sending what it likes: nobody listens."""
    async with cluster() as made:
        await made.found()
        first, second, third = await made.grow(3)
        await promoted(made, first, second, third)
        made.hub.cut(third.id)
        again = made.join("node3")
        made.hub.cuts = {cut for cut in made.hub.cuts if third.id in cut}
        await made.until(lambda: again.ready and again.role is Role.FOLLOWER, again)
        await promoted(made, first, second, again)
        made.hub.heal()
        heard: list[NodeId] = []

        def changes(sender: NodeId, to: NodeId, message: Body) -> Body | None:
            if sender == third.id and isinstance(message, ConsensusMessage):
                heard.append(to)
            return message

        made.hub.changes = changes
        for number in range(50):
            await first.submit(b"%d=1" % number)
        await made.equal(first, second, again)
        assert first.leads
        assert not heard
