"""A node that joins by a ticket for its key: it waits with the key in memory, and takes no other's ticket."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from core.consensus.engine import Role
from core.crypto.certificates import fingerprint
from core.errors import CocoError
from core.governance.authorizations import Measurements, sign_ticket
from core.governance.join_refusals import Refusal, TicketNotGiven
from core.governance.ticket_requests import TicketRequest, parse_request
from core.node.node_evidence import EvidenceRules, verify_evidence
from core.node.peer_messages import JoinDenied, JoinRequest, NodeEvidence
from core.types import Digest, NodeId
from tests.support.cluster import CONSTITUTION, Cluster, Node, cluster
from tests.support.fakes import FakeVerify
from tests.support.governance_bench import CERTIFICATES, DAY, KEYS

OTHER = NodeId("ab" * 32)


class Desk:
    """A host that keeps what is to be signed, and brings what the test puts in."""

    def __init__(self) -> None:
        self.wanted: TicketRequest | None = None
        self.tickets: asyncio.Queue[bytes] = asyncio.Queue()
        self.answers: list[Refusal | None] = []

    async def want(self, request: bytes) -> None:
        self.wanted = parse_request(request)

    async def receive(self) -> bytes:
        return await self.tickets.get()

    async def answer(self, refusal: Refusal | None) -> None:
        self.answers.append(refusal)

    @property
    def reasons(self) -> list[str]:
        return ["" if one is None else one.reason for one in self.answers]


def sign(made: Cluster, node: NodeId, member: str = "beta", **changes: Any) -> bytes:
    service = next(one.core.secrets().service_certificate for one in made.nodes if one.ready)
    now = int(made.clock())
    fields: dict[str, Any] = {
        "network": CONSTITUTION.digest(), "service": fingerprint(service), "slot": "node2", "address": "node2:1",
        "measurements": Measurements("00" * 32, "00" * 32), "not_after": now + DAY, "created_at": now,
        "certificate": CERTIFICATES[member], "key": KEYS[member],
    } | changes  # fmt: skip
    return sign_ticket(node=node, **fields)


async def waiting(made: Cluster, **changes: Any) -> tuple[Node, Desk, NodeId]:
    """Start a node that waits for its ticket."""
    desk = Desk()
    node = made.launch("node2", contacts=("node1",), tickets=desk, **{"ticket_seconds": 3_600} | changes)
    await made.until(lambda: desk.wanted is not None, node)
    assert desk.wanted is not None
    return node, desk, desk.wanted.node_id


async def test_a_node_joins_by_a_ticket_for_its_key() -> None:
    async with cluster() as made:
        first = await made.found()
        await made.admit("node2")
        node, desk, own = await waiting(made)
        request = desk.wanted
        assert request is not None
        assert (request.slot, request.address) == ("node2", "node2:1")
        evidence = NodeEvidence(request.quote_bytes, request.collateral_bytes)
        verify_evidence(evidence, own, EvidenceRules(CONSTITUTION, FakeVerify(), int(made.clock())))
        desk.tickets.put_nowait(sign(made, own))
        await made.until(lambda: node.ready and node.role is Role.FOLLOWER, node)
        assert node.id == own
        assert desk.reasons == [""]
        assert first.core.head.state.slots["node2"].node == own


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "another key": ({"node": OTHER}, "another-nodes-ticket"),
    "another network": ({"network": Digest(bytes(32))}, "wrong-network"),
    "another slot": ({"slot": "node3"}, "slot-differs"),
    "another address": ({"address": "node9:1"}, "address-differs"),
    "expired": ({"created_at": 1_700_000_000, "not_after": 1_700_000_001}, "authorization-expired"),
    "of tomorrow": ({"created_at": 1_900_000_000, "not_after": 1_900_000_001}, "authorization-from-the-future"),
    "another manager": ({"measurements": Measurements("11" * 32, "00" * 32)}, "measurement-differs"),
    "another worker": ({"measurements": Measurements("00" * 32, "11" * 32)}, "measurement-differs"),
    "no actor's": ({"key": KEYS["stranger"], "certificate": CERTIFICATES["stranger"]}, "authorization-not-signed"),
}


@pytest.mark.parametrize(("changes", "reason"), WRONG.values(), ids=WRONG.keys())
async def test_what_is_no_ticket_for_it_is_refused_and_it_waits_on(changes: dict[str, Any], reason: str) -> None:
    async with cluster() as made:
        await made.found()
        await made.admit("node2")
        node, desk, own = await waiting(made)
        desk.tickets.put_nowait(sign(made, **{"node": own} | changes))
        await made.until(lambda: len(desk.answers) == 1, node)
        desk.tickets.put_nowait(b"junk")
        await made.until(lambda: len(desk.answers) == 2, node)
        assert desk.reasons == [reason, "authorization-malformed"]
        assert not node.ready
        desk.tickets.put_nowait(sign(made, own))
        await made.until(lambda: node.ready, node)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"service": "ab" * 32}, "wrong-service"), ({"certificate": CERTIFICATES["alpha"], "key": KEYS["alpha"]}, "not")],
)
async def test_what_only_the_network_can_tell_ends_the_node(changes: dict[str, Any], reason: str) -> None:
    async with cluster() as made:
        await made.found()
        await made.admit("node2")
        node, desk, own = await waiting(made)
        desk.tickets.put_nowait(sign(made, own, **changes))
        with pytest.raises(CocoError, match=reason):
            await made.until(lambda: node.ready, node)
        node.crashed = True


async def test_what_is_decided_meanwhile_does_not_touch_a_ticket() -> None:
    """The digest in a ticket is of the genesis constitution, by which the network is known: no vote changes it."""
    async with cluster() as made:
        await made.found()
        await made.admit("node2")
        node, desk, own = await waiting(made)
        ticket = sign(made, own)
        await made.admit("node3", "gamma")
        await made.remove("node3")
        desk.tickets.put_nowait(ticket)
        await made.until(lambda: node.ready, node)


async def test_a_ticket_is_of_no_use_a_second_time() -> None:
    async with cluster() as made:
        first = await made.found()
        await made.admit("node2")
        node, desk, own = await waiting(made)
        ticket = sign(made, own)
        desk.tickets.put_nowait(ticket)
        await made.until(lambda: first.core.head.state.slots["node2"].state == "active", first)
        node.crash()
        again = made.launch("node2", contacts=("node1",), authorization=ticket, tickets=(other := Desk()),
                            ticket_seconds=3_600)  # fmt: skip
        await made.until(lambda: other.wanted is not None, again)
        assert any("another-nodes-ticket" in line for line in again.log)
        # Whoever had the key itself would be refused, too.
        peers = made.hub.nodes[own]
        peers.closed = False
        request = JoinRequest(ticket, "node2:1", evidence=NodeEvidence(await quote_of(own), b"null"))
        answer = (await peers.introduce("node1:1", request, seconds_max=30)).answer
        assert isinstance(answer, JoinDenied)
        assert answer.reason == "ticket-used"


async def quote_of(node: NodeId) -> bytes:
    return b"fake quote over " + bytes.fromhex(node).ljust(64, b"\0")


async def test_a_node_that_left_does_not_come_back_by_its_ticket() -> None:
    async with cluster() as made:
        first = await made.found()
        await made.admit("node2")
        node, desk, own = await waiting(made)
        ticket = sign(made, own)
        desk.tickets.put_nowait(ticket)
        await made.until(lambda: first.core.head.state.slots["node2"].state == "active", first)
        await made.remove("node2")
        await made.until(lambda: first.core.head.state.slots["node2"].state == "removed", first)
        request = JoinRequest(ticket, "node2:1", evidence=NodeEvidence(await quote_of(own), b"null"))
        answer = (await made.hub.nodes[own].introduce("node1:1", request, seconds_max=30)).answer
        assert isinstance(answer, JoinDenied)
        assert answer.reason == "slot-removed"
        node.crash()


async def test_a_delegation_is_taken_as_well() -> None:
    async with cluster() as made:
        await made.found()
        await made.admit("node2")
        node, desk, _ = await waiting(made)
        desk.tickets.put_nowait(made.authorize("node2"))
        await made.until(lambda: node.ready, node)
        assert desk.reasons == [""]


async def test_the_wait_ends() -> None:
    async with cluster() as made:
        await made.found()
        await made.admit("node2")
        node, _, _ = await waiting(made, ticket_seconds=1)
        with pytest.raises(TicketNotGiven, match="came within 1 s"):
            await made.until(lambda: False, node)
        node.crashed = True


async def test_a_node_that_does_not_wait_is_refused_at_once() -> None:
    async with cluster() as made:
        await made.found()
        node = made.launch("node2", contacts=("node1",), authorization=sign(made, OTHER), tickets=Desk())
        with pytest.raises(CocoError, match="the ticket is for node abababab"):
            await made.until(lambda: node.ready, node)
        node.crashed = True
