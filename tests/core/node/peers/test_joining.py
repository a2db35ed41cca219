"""Channels of mode join: one request, one answer, few at a time."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from core import limits
from core.crypto.keys import PrivateKey
from core.errors import AuthenticationFailed, ChannelClosed
from core.node.attested_tls.hello import Mode
from core.node.peer_messages import FetchLedger, Introduction, JoinDenied, JoinRequest, PeerUnreachable
from core.node.peers.errors import JoinsExceeded
from core.node.peers.joining import JoinDesk
from enclave_sim.memory_network import MemoryNetwork
from tests.support.attestation import ENCLAVE
from tests.support.peers import TIMING, Node, consensus, hostile, receive, until

JOIN = JoinRequest(b"authorization", "joiner:1")
DENIED = JoinDenied("too-early", "", "", 3, "node2:1")


async def introduced(joiner: Node, node: Node) -> Introduction:
    asking = asyncio.create_task(joiner.peers.introduce(node.name, JOIN, seconds_max=30))
    inbound = await receive(node)
    assert inbound.message == JOIN
    assert inbound.sender == joiner.id
    assert inbound.claims is not None
    assert inbound.claims.measurement == ENCLAVE.mrenclave
    assert inbound.answer is not None
    await inbound.answer(DENIED)
    return await asking


async def test_a_request_and_its_answer() -> None:
    network = MemoryNetwork()
    node, joiner = Node(network, "node"), Node(network, "joiner")
    node.register([node])
    for _ in range(2):
        found = await introduced(joiner, node)
        assert (found.node, found.answer) == (node.id, DENIED)
        assert found.public_key == node.key.public_key()
        assert found.claims.measurement == ENCLAVE.mrenclave
    assert dict(node.peers.refused) == {}
    assert not node.peers.connected()
    for one in (node, joiner):
        await one.peers.close()


async def test_nobody_there_or_nobody_who_answers() -> None:
    network = MemoryNetwork()
    node, joiner = Node(network, "node"), Node(network, "joiner")
    with pytest.raises(PeerUnreachable):
        await joiner.peers.introduce("nowhere", JOIN, seconds_max=10)
    with pytest.raises(PeerUnreachable, match="did not answer"):
        await joiner.peers.introduce("node", JOIN, seconds_max=0.3)
    for one in (node, joiner):
        await one.peers.close()


@pytest.mark.parametrize(
    ("message", "number", "reason"),
    [
        (consensus("x"), 0, "misplaced-message"),
        (FetchLedger(1, 0, 1), 1, "misplaced-message"),
        (JOIN, 0, "misplaced-message"),
        (DENIED, 1, "misplaced-message"),
        (JoinRequest(bytes(limits.PEER_JOIN_REQUEST_BYTES_MAX + 1), ""), 1, "oversized-message"),
    ],
)
async def test_nothing_but_a_request_to_join(message: object, number: int, reason: str) -> None:
    network = MemoryNetwork()
    node = Node(network, "node")
    joiner = await hostile(network, PrivateKey.generate(), "node", Mode.JOIN)
    await joiner.greet()
    if reason == "oversized-message":
        # A packet holds no more than its bound: as many pieces as it takes.
        from core.node.peer_messages import BODY, ENVELOPE, Envelope
        from core.node.peers.kinds import Lane
        from core.node.peers.packets import PIECE_HEADER

        data = ENVELOPE.encode(Envelope(number, False, BODY.encode(message)))  # type: ignore[arg-type]
        for start in range(0, len(data), 50_000):
            piece = data[start : start + 50_000]
            is_last = start + 50_000 >= len(data)
            await joiner.transport.send(PIECE_HEADER.pack(Lane.WORK, is_last, len(piece)) + piece)
    else:
        await joiner.send(message, number)  # type: ignore[arg-type]
    await until(lambda: reason in node.peers.refused)
    await node.peers.close()


async def test_a_second_request() -> None:
    network = MemoryNetwork()
    node = Node(network, "node")
    joiner = await hostile(network, PrivateKey.generate(), "node", Mode.JOIN)
    await joiner.greet()
    await joiner.send(JOIN, 1)
    await joiner.send(JOIN, 2)
    await until(lambda: "too-many-requests" in node.peers.refused)
    await node.peers.close()


async def test_a_joiner_that_stays() -> None:
    network = MemoryNetwork()
    node = Node(network, "node", timing=replace(TIMING, join=0.1))
    await hostile(network, PrivateKey.generate(), "node", Mode.JOIN)
    await until(lambda: "join-overdue" in node.peers.refused)
    await node.peers.close()


async def test_few_at_a_time() -> None:
    network = MemoryNetwork()
    node = Node(network, "node")
    held = [await hostile(network, PrivateKey.generate(), "node", Mode.JOIN) for _ in range(limits.PEER_JOINS_MAX)]
    with pytest.raises((AuthenticationFailed, ChannelClosed)):
        await hostile(network, PrivateKey.generate(), "node", Mode.JOIN)
    assert dict(node.peers.refused) == {"too-many-joins": 1}
    for one in held:
        await one.transport.close()
    await node.peers.close()


async def test_a_removed_node_does_not_join() -> None:
    network = MemoryNetwork()
    node, joiner = Node(network, "node"), Node(network, "joiner")
    node.register([node], frozenset({joiner.id}))
    with pytest.raises((AuthenticationFailed, PeerUnreachable)):
        await joiner.peers.introduce("node", JOIN, seconds_max=10)
    assert dict(node.peers.refused) == {"removed-node": 1}
    for one in (node, joiner):
        await one.peers.close()


async def test_a_joiner_that_is_removed_meanwhile() -> None:
    network = MemoryNetwork()
    node, joiner = Node(network, "node"), Node(network, "joiner")
    asking = asyncio.create_task(joiner.peers.introduce("node", JOIN, seconds_max=30))
    inbound = await receive(node)
    node.register([node], frozenset({joiner.id}))
    assert inbound.answer is not None
    await inbound.answer(DENIED)
    with pytest.raises(PeerUnreachable):
        await asking
    assert dict(node.peers.refused) == {"removed-node": 1}
    for one in (node, joiner):
        await one.peers.close()


def test_the_desk_counts_places_and_pace() -> None:
    now = [0.0]
    desk = JoinDesk(lambda: now[0], at_once=2, per_minute=60)
    desk.enter()
    desk.enter()
    with pytest.raises(JoinsExceeded):
        desk.enter()
    desk.leave()
    with pytest.raises(JoinsExceeded):
        desk.enter()
    now[0] = 1.0
    desk.enter()
    desk.leave()
    desk.leave()
    now[0] = 100.0
    desk.enter()
    desk.enter()
    with pytest.raises(JoinsExceeded):
        desk.enter()
