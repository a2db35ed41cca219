"""A network that was lost starts again by its members' word: what they must be shown, and what does not do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import pytest

import core.node.replication.joining
from core.consensus.engine import Role
from core.errors import IncompatibleData
from core.governance.restarts import RESTARTS, RestartRecord, RestartRequest, sign_approval
from core.node.audit import audit_ledgers
from core.node.ledger_state import public_state
from core.node.replication import restart_desk
from core.node.replication.restart_desk import RestartState, decode_state
from core.types import Seqno
from tests.support.cluster import CONSTITUTION, Cluster, Node, cluster
from tests.support.governance_bench import CERTIFICATES, KEYS
from tests.support.memory_disk import MemoryDisk

MEMBERS = {"node1": "alpha", "node2": "beta", "node3": "beta"}
NAMES = tuple(MEMBERS)
UNDER_MEMBERS = msgspec.structs.replace(CONSTITUTION, restart="members")
FIVE = (*NAMES, "node4", "node5")


@pytest.fixture(autouse=True)
def _asks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes that reach nobody ask again soon, and look often what people say."""
    monkeypatch.setattr(core.node.replication.joining, "BACKOFF_SECONDS", (0.05, 0.5))
    monkeypatch.setattr(restart_desk, "POLL_SECONDS", 0.02)


@dataclass(slots=True)
class Lost:
    """A network whose nodes are all gone, and what its members signed for their return."""

    made: Cluster
    disks: dict[str, MemoryDisk]
    signed: dict[str, bytes]

    def come_back(self, *names: str) -> list[Node]:
        """Start nodes again on their own disks."""
        return [
            self.made.launch(
                name,
                authorization=self.signed[name],
                contacts=[one for one in self.disks if one != name],
                disk=self.disks[name],
            )
            for name in names
        ]


async def lose(made: Cluster, names: Sequence[str] = NAMES, commands: int = 5) -> Lost:
    """Form a network with some commands, and crash all of it."""
    first = await made.found()
    await made.grow(len(names))
    for number in range(commands):
        await first.submit(b"k%d=%d" % (number, number))
    await made.settled()
    signed = {name: made.authorize(name, MEMBERS.get(name, "beta")) for name in names}
    disks = {node.name: node.disk for node in made.living}
    for node in made.living:
        node.crash()
    return Lost(made, disks, signed)


def told(node: Node, text: str) -> bool:
    return any(text in line for line in node.log)


def state_of(node: Node) -> RestartState | None:
    data = node.disk.files.get(restart_desk.STATE)
    return None if data is None else decode_state(data)


def asks(node: Node) -> bool:
    """Whether the node waits for its members."""
    state = state_of(node)
    return state is not None and state.waits_for == "members"


def request_of(node: Node) -> RestartRequest:
    return RestartRequest.decode(node.disk.files[restart_desk.REQUEST])


def approval(request: RestartRequest, who: str) -> bytes:
    return sign_approval(request, certificate=CERTIFICATES[who], key=KEYS[who], created_at=1_800_000_000)


def submit(node: Node, name: str, data: bytes) -> None:
    node.disk.files[f"{restart_desk.APPROVAL_PREFIX}{name}"] = data


def approve(node: Node, *members: str) -> None:
    """Have members approve of what a node asks."""
    request = request_of(node)
    for member in members:
        submit(node, member, approval(request, member))


async def candidate(made: Cluster, nodes: Sequence[Node]) -> Node:
    await made.until(lambda: any(asks(node) for node in nodes))
    (chosen,) = [node for node in nodes if asks(node)]
    return chosen


async def accept_loss(made: Cluster, *nodes: Node) -> None:
    """Have operators ask their nodes, which wait, to do without what is missing."""
    await made.until(lambda: all(state_of(node) is not None for node in nodes))
    for node in nodes:
        node.disk.files[restart_desk.ACCEPT_LOSS] = b""


async def recorded(node: Node) -> list[RestartRecord]:
    """Return what the ledger says of starts that members approved of."""
    tables = await public_state(node.disk, Seqno(node.committed))
    return [RestartRecord.decode(value) for _, value in tables.get(RESTARTS, {}).values()]


async def pauses(made: Cluster, seconds: float = 0.5) -> None:
    """Let time pass in which nothing should happen."""
    until = asyncio.get_running_loop().time() + seconds
    await made.until(lambda: asyncio.get_running_loop().time() > until)


# The policy `members`.


async def test_no_network_starts_again_without_its_members() -> None:
    async with cluster(constitution=UNDER_MEMBERS) as made:
        lost = await lose(made)
        nodes = lost.come_back(*NAMES)
        chosen = await candidate(made, nodes)
        await pauses(made)
        assert not any(node.ready for node in nodes)
        approve(chosen, "alpha")
        await made.until(lambda: told(chosen, "alpha approves"))
        await pauses(made)
        assert not any(node.ready for node in nodes)
        approve(chosen, "gamma")
        await made.until(lambda: all(node.ready and node.role is not Role.LEARNER for node in nodes))
        await made.equal()
        assert (await nodes[0].submit(b"after=1")).reply == b"6"
        (record,) = await recorded(nodes[0])
        assert record.verify(UNDER_MEMBERS).members == ("alpha", "gamma")
        assert not record.request.accept_loss
        assert record.request.node == chosen.id
        assert not any(name.startswith("restart/") for name in chosen.disk.files)
        await made.settled()
        report = await audit_ledgers([("node", nodes[0].disk)])
        assert [finding.what for finding in report.ledgers[0].findings] == []


async def test_what_does_not_count_is_told_with_its_reason() -> None:
    async with cluster(constitution=UNDER_MEMBERS) as made:
        lost = await lose(made)
        nodes = lost.come_back(*NAMES)
        chosen = await candidate(made, nodes)
        request = request_of(chosen)
        replace = msgspec.structs.replace
        wrong = {
            "junk": b"junk",
            "large": bytes(300_000),
            "partner": approval(request, "partner"),
            "stranger": approval(request, "stranger"),
            "nonce": approval(replace(request, nonce="00" * 32), "alpha"),
            "end": approval(replace(request, seqno=request.seqno - 1), "alpha"),
            "service": approval(replace(request, service="00" * 32), "alpha"),
            "loss": approval(replace(request, accept_loss=True), "alpha"),
        }
        for name, data in wrong.items():
            submit(chosen, name, data)
        approve(chosen, "beta")

        def reasons() -> set[str]:
            state = state_of(chosen)
            return set() if state is None else {reason for _, reason in state.refused}

        await made.until(lambda: len(reasons()) == 7 and told(chosen, "beta approves"))
        submit(chosen, "again", approval(request, "beta"))
        await made.until(lambda: "repeated" in reasons())
        assert reasons() == {
            "malformed", "not-a-member", "not-signed", "another-nonce", "another-end", "another-service",
            "other-terms", "repeated",
        }  # fmt: skip
        await pauses(made)
        assert not any(node.ready for node in nodes)
        state = state_of(chosen)
        assert state is not None
        assert (state.needed, state.approved) == (2, ("beta",))


async def test_approvals_of_an_earlier_start_do_not_count() -> None:
    async with cluster(constitution=UNDER_MEMBERS) as made:
        lost = await lose(made)
        nodes = lost.come_back(*NAMES)
        chosen = await candidate(made, nodes)
        request = request_of(chosen)
        approve(chosen, "alpha")
        await made.until(lambda: told(chosen, "alpha approves"))
        chosen.crash()
        (again,) = lost.come_back(chosen.name)
        await made.until(lambda: asks(again) and request_of(again).nonce != request.nonce)
        assert request_of(again).node != request.node
        for who in ("alpha", "beta"):
            submit(again, who, approval(request, who))
        await made.until(lambda: [reason for _, reason in state_of(again).refused] == ["another-node"] * 2)  # type: ignore[union-attr]
        assert not again.ready
        approve(again, "alpha", "beta")
        others = [node for node in nodes if node is not chosen]
        await made.until(lambda: all(node.ready for node in (again, *others)))


async def test_a_disk_that_changed_after_the_members_were_asked_starts_nothing() -> None:
    async with cluster(constitution=UNDER_MEMBERS) as made:
        node = await made.found()
        await node.submit(b"a=1")
        await made.settled()
        older = {name: data for name, data in node.disk.files.items() if name.startswith("ledger/")}
        await node.submit(b"b=1")
        await made.settled()
        node.crash()
        again = made.launch("node1", disk=node.disk)
        await made.until(lambda: asks(again))
        request = request_of(again)
        again.disk.files.update(older)
        approve(again, "alpha", "beta")
        with pytest.raises(IncompatibleData, match=f"approved of a start after {request.view}.{request.seqno}"):
            await made.until(lambda: again.ready)
        again.crash()


async def test_the_only_node_asks_its_members_too() -> None:
    async with cluster(constitution=UNDER_MEMBERS) as made:
        node = await made.found()
        await node.submit(b"a=1")
        node.crash()
        again = made.launch("node1", disk=node.disk)
        await made.until(lambda: asks(again))
        await pauses(made, 0.2)
        assert not again.ready
        approve(again, "beta", "gamma")
        await made.until(lambda: again.leads)
        assert (await again.submit(b"b=1")).reply == b"2"
        (record,) = await recorded(again)
        assert record.verify(UNDER_MEMBERS).members == ("beta", "gamma")
        await made.settled()
        report = await audit_ledgers([("node", again.disk)])
        assert [finding.what for finding in report.ledgers[0].findings] == []


async def test_a_network_that_the_constitution_gives_one_approver() -> None:
    constitution = msgspec.structs.replace(UNDER_MEMBERS, restart_members=1)
    async with cluster(constitution=constitution) as made:
        node = await made.found()
        node.crash()
        again = made.launch("node1", disk=node.disk)
        await made.until(lambda: asks(again))
        approve(again, "gamma")
        await made.until(lambda: again.leads)


# Fewer disks than a majority.


async def test_a_loss_is_accepted_only_when_the_operator_asks_and_the_members_approve() -> None:
    async with cluster() as made:
        lost = await lose(made)
        (second,) = lost.come_back("node2")
        await made.until(lambda: (state := state_of(second)) is not None and len(state.missing) == 2)
        await pauses(made)
        assert not asks(second)
        await accept_loss(made, second)
        await made.until(lambda: asks(second))
        request = request_of(second)
        assert request.accept_loss
        assert {one.slot for one in request.missing} == {"node1", "node3"}
        assert [one.slot for one in request.disks] == ["node2"]
        approve(second, "alpha")
        await pauses(made)
        assert not second.ready
        approve(second, "beta")
        await made.until(lambda: second.leads)
        assert (await second.submit(b"after=1")).reply == b"6"
        (record,) = await recorded(second)
        assert record.request == request
        # One that was given up comes back: its disk counts for nothing, and it joins.
        gone = next(name for name in NAMES if name != "node2")
        (back,) = lost.come_back(gone)
        await made.until(lambda: back.ready and back.role is Role.FOLLOWER)
        await made.equal()
        report = await audit_ledgers([("node", back.disk)])
        assert [finding.what for finding in report.ledgers[0].findings] == []
        assert report.ledgers[0].facts["losses_accepted"] == [f"{request.view}.{request.seqno}"]


async def test_a_disk_of_the_dead_branch_is_replaced() -> None:
    """What stood only on disks that were given up is gone, also from those disks once they are back."""
    async with cluster() as made:
        first = await made.found()
        await made.grow(3)
        await first.submit(b"a=1")
        await made.settled()
        behind = made.followers()[0]
        signed = {name: made.authorize(name, member) for name, member in MEMBERS.items()}
        made.hub.cut(behind.id)
        await made.leader().submit(b"lost=1")
        disks = {node.name: node.disk for node in made.living}
        for node in list(made.living):
            node.crash()
        made.hub.heal()
        lost = Lost(made, disks, signed)
        (survivor,) = lost.come_back(behind.name)
        await accept_loss(made, survivor)
        await made.until(lambda: asks(survivor))
        approve(survivor, "alpha", "beta")
        await made.until(lambda: survivor.leads)
        assert (await survivor.submit(b"b=1")).reply == b"2"
        others = lost.come_back(*(name for name in NAMES if name != behind.name))
        await made.until(lambda: all(node.ready and node.role is Role.FOLLOWER for node in others))
        await made.equal()
        assert not any(
            b"lost" in key for node in made.living for key in node.executor._state.store.table("kv.data").current
        )


async def test_two_survivors_that_talk_do_not_both_ask() -> None:
    async with cluster() as made:
        lost = await lose(made, FIVE)
        nodes = lost.come_back("node4", "node5")
        await accept_loss(made, *nodes)
        await made.until(lambda: all((s := state_of(node)) is not None and len(s.disks) == 2 for node in nodes))
        chosen = await candidate(made, nodes)
        (other,) = [node for node in nodes if node is not chosen]
        await pauses(made)
        assert not asks(other)
        request = request_of(chosen)
        assert {one.slot for one in request.disks} == {"node4", "node5"}
        approve(chosen, "alpha", "gamma")
        await made.until(lambda: all(node.ready for node in nodes))
        assert len(await recorded(other)) == 1


async def test_a_request_is_made_anew_when_another_disk_comes() -> None:
    async with cluster() as made:
        lost = await lose(made)
        (second,) = lost.come_back("node2")
        await accept_loss(made, second)
        await made.until(lambda: asks(second))
        request = request_of(second)
        (third,) = lost.come_back("node3")
        # The two are a majority: nothing is lost, nobody is asked, and what was signed before does not count.
        for who in ("alpha", "beta"):
            submit(third, who, approval(request, who))
        await made.until(lambda: second.ready and third.ready)
        assert await recorded(second) == []
