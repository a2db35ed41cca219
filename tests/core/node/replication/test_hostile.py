"""Peers and hosts that do what no node does: blocks that are wrong stop who gets them, or are not taken at all.

Nodes are attested, so each of these would have to be a node whose enclave was broken, and that still holds its keys.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import pytest

from core.adapter.interface import OutcomeUnknown
from core.consensus.raft.messages import Append, WireEntry, decode_message, encode_message
from core.errors import InvariantBroken
from core.kv.write_set import encode_domain
from core.ledger.cose import RootSigner
from core.ledger.entry import EntrySealer
from core.ledger.secrets import EntryKey
from core.ledger.tables import NODES, SERVICE, RootSignature, SignedRoot
from core.node.peer_messages import (
    AnswerForwarded,
    Body,
    CaughtUp,
    ConsensusMessage,
    Fetched,
    ForwardCommands,
    ForwardedCaller,
    ForwardedCommand,
)
from core.types import NO_CLAIMS, NodeId, Seqno, View
from tests.support.cluster import USER, Cluster, Node, cluster


class Forger:
    """What a leader with all its keys could seal in place of what it should."""

    def __init__(self, leader: Node) -> None:
        self.leader = leader
        head = leader.core.head
        self.view, self.first = leader.core.leadership.view, Seqno(head.seqno + 1)
        self.frontier = head.frontier.copy()
        self.node_key = leader.core._node_key
        self.service = RootSigner(leader.core.secrets().service_key)
        key = head.keyring.find(self.view, self.first)
        assert key is not None
        self.key = key

    def block(
        self,
        *publics: bytes,
        key: EntryKey | None = None,
        view: int = 0,
        root: bytes = b"",
        other_signer: bool = False,
        unsigned: bool = False,
        earlier_s: int | None = 0,
    ) -> bytes:
        """earlier_s: than the block before; None: no time is said."""
        time_s = None if earlier_s is None else self.leader.core.head.time_s - earlier_s
        key = key or self.key
        if view:
            key = EntryKey(self.leader.core.secrets().epochs[-1].key, self.key.node, View(view))
        sealer, seqno, data = EntrySealer(key, Seqno(self.first - 1)), self.first, []
        for public in publics or (b"",):
            entry = sealer.seal(seqno, public, encode_domain({"kv.data": {b"forged": b"1"}}), NO_CLAIMS)
            self.frontier.append(entry.leaf)
            data.append(entry.data)
            seqno = Seqno(seqno + 1)
        if not unsigned:
            found = type(self.frontier.root())(root or self.frontier.root())
            signer = self.node_key.public_key().node_id()
            node_key = self.node_key
            if other_signer:
                node_key = self.leader.core.secrets().front_end_key
                signer = node_key.public_key().node_id()
            signature = RootSignature.make(node_key, signer, key.view, seqno, found)
            signed = SignedRoot(signature, self.service.sign(found, key.view, seqno, time_s))
            data.append(sealer.seal_signature(seqno, encode_domain(signed.to_tables()), found).data)
        return b"".join(data)


async def three(made: Cluster) -> tuple[Node, Node, Node]:
    await made.found()
    first, second, third = await made.grow(3)
    await first.submit(b"before=1")
    await made.equal()
    return first, second, third


FORGERIES: dict[str, Callable[[Forger], bytes]] = {
    "a root that is not that of the entries": lambda forger: forger.block(root=b"\1" * 32),
    "a key of another epoch": lambda forger: forger.block(key=EntryKey(bytes(32), forger.key.node, forger.view)),
    "a key of another node": lambda forger: forger.block(
        key=EntryKey(forger.leader.core.secrets().epochs[-1].key, NodeId("ab" * 32), forger.view)
    ),
    "an entry of another view": lambda forger: forger.block(view=forger.view + 1),
    "a signer that is no node": lambda forger: forger.block(other_signer=True),
    "no signature": lambda forger: forger.block(unsigned=True),
    "a time before that of the block before it": lambda forger: forger.block(earlier_s=1),
    "no time": lambda forger: forger.block(earlier_s=None),
    "forged tables of nodes": lambda forger: forger.block(encode_domain({NODES: {b"x": b"{}"}})),
    "a deleted node": lambda forger: forger.block(encode_domain({NODES: {forger.key.node.encode(): None}})),
    "a constitution of its own": lambda forger: forger.block(
        encode_domain({"public:coco.constitution": {b"current": b"{}"}})
    ),
    "a service that is none": lambda forger: forger.block(encode_domain({SERVICE: {bytes(8): b"{}"}})),
    "an epoch that is none": lambda forger: forger.block(encode_domain({"public:coco.epochs": {b"x": b"{}"}})),
    "a half entry": lambda forger: forger.block()[:-1],
    "what is no entry": lambda forger: b"\1" * 100,
    "two blocks in one": lambda forger: forger.block() + forger.block(),
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES.keys())
async def test_a_block_that_is_wrong_stops_the_node_before_it_is_written(forge: Callable[[Forger], bytes]) -> None:
    async with cluster() as made:
        first, second, third = await three(made)
        forged = forge(Forger(first))
        before = dict(second.disk.files)

        def changes(sender: NodeId, to: NodeId, message: Body) -> Body | None:
            if sender != first.id or to != second.id or not isinstance(message, ConsensusMessage):
                return message
            raft = decode_message(message.payload)
            if isinstance(raft, Append) and raft.entries:
                entries = (WireEntry(raft.entries[0].term, forged, b""),)
                return ConsensusMessage(encode_message(msgspec.structs.replace(raft, entries=entries)))
            return message

        made.hub.changes = changes
        await first.submit(b"after=1")  # The other follower is enough.
        with pytest.raises(InvariantBroken, match="sent a block that is wrong"):
            await made.until(lambda: False, second)
        assert {name: data for name, data in second.disk.files.items() if name.startswith("ledger")} == {
            name: data for name, data in before.items() if name.startswith("ledger")
        }
        second.crash()
        await made.equal(first, third)


async def test_a_block_of_who_does_not_lead_the_view_is_not_taken() -> None:
    """A follower that sends appends in the leader's own term: there are two leaders in it, which cannot be."""
    async with cluster() as made:
        first, second, third = await three(made)
        status = first.core.driver.status
        forged = Append(status.term, status.last_index, status.term, status.commit_index, ())
        made.hub.nodes[third.id].inject(second.id, ConsensusMessage(encode_message(forged)))
        with pytest.raises(InvariantBroken, match="two leaders"):
            await made.until(lambda: False, third)
        third.crash()
        await first.submit(b"goes on=1")


async def test_messages_of_nobodys_are_counted_and_dropped() -> None:
    async with cluster() as made:
        first, second, _ = await three(made)
        hub = made.hub.nodes[first.id]
        for body in (
            ConsensusMessage(b""),
            ConsensusMessage(b"\1\2\3"),
            Fetched(b"unasked"),
            CaughtUp(9_999, True),
            AnswerForwarded(()),
        ):
            hub.inject(second.id, body)
        await first.submit(b"goes on=1")
        await made.equal()
        assert first.core.driver.refused == 2


FORGED_CALLERS = {
    "unknown identity": ForwardedCaller("nobody", False, "certificate"),
    "participant as member": ForwardedCaller("partner", True, "certificate"),
    "member as participant": ForwardedCaller("alpha", False, "certificate"),
    "token that is none": ForwardedCaller("partner", False, "token", "guess"),
    "no token": ForwardedCaller("partner", False, "token"),
    "certificate with a token": ForwardedCaller("partner", False, "certificate", "x"),
    "nobody with an identity": ForwardedCaller("partner", False, "none"),
    "nobody as a member": ForwardedCaller(None, True, "none"),
}


async def test_commands_of_forged_callers_are_answered_as_if_nothing_had_that_name() -> None:
    async with cluster() as made:
        first, second, _ = await three(made)
        answers: list[AnswerForwarded] = []

        def changes(sender: NodeId, to: NodeId, message: Body) -> Body | None:
            if isinstance(message, AnswerForwarded):
                answers.append(message)
                return None
            return message

        made.hub.changes = changes
        before = first.digest()
        commands = tuple(
            ForwardedCommand(number, "kv", b"forged=1", caller) for number, caller in enumerate(FORGED_CALLERS.values())
        )
        made.hub.nodes[first.id].inject(second.id, ForwardCommands(commands))
        await made.until(lambda: sum(len(one.answers) for one in answers) == len(commands))
        assert {answer.failure for one in answers for answer in one.answers} == {"no_such_adapter"}
        passing_on = first.core._passing_on
        assert passing_on is not None
        assert passing_on.forged == len(commands)
        assert first.digest() == before
        assert any("callers that are not so" in line for line in first.log)


async def test_a_command_of_a_true_caller_runs() -> None:
    async with cluster() as made:
        first, second, _ = await three(made)
        good = ForwardedCommand(7, "kv", b"true=1", ForwardedCaller("partner", False, "certificate"))
        made.hub.nodes[first.id].inject(second.id, ForwardCommands((good,)))
        await made.until(lambda: bool(first.executor._state.store.table("kv.data").current.get(b"true")))


async def test_a_follower_that_cannot_reach_the_leader_says_so() -> None:
    """What it had passed on may have run; what comes later waits, and is refused when no leader is found."""
    async with cluster() as made:
        first, second, third = await three(made)
        asked = asyncio.Event()

        def changes(sender: NodeId, to: NodeId, message: Body) -> Body | None:
            if isinstance(message, AnswerForwarded):
                asked.set()
                return None
            return message

        made.hub.changes = changes
        waiting = asyncio.create_task(second.submit(b"passed on=1"))
        await asked.wait()
        made.hub.cut(second.id, first.id)
        with pytest.raises(OutcomeUnknown):
            await waiting
        made.hub.changes = None
        made.hub.heal()
        await made.until(made.elected)
        assert await third.client.ask("kv", b"passed on", USER) == b"1"
