"""Peers that do what no node does: each is refused, or its channel ended, for a reason of its own.

A registered node's key is in hostile hands here, or what stands between two nodes is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from core import limits
from core.crypto.keys import PrivateKey
from core.errors import AuthenticationFailed, ChannelClosed
from core.governance.manifests import TeeEntry
from core.node.attested_tls.connection import AttestedConnection
from core.node.attested_tls.hello import Mode
from core.node.attested_tls.transport import ByteStream, open_attested
from core.node.peer_messages import (
    Body,
    CaughtUp,
    Fetched,
    FetchLedger,
    FetchSnapshot,
    JoinDenied,
    JoinRequest,
    PeerNode,
    PeerUnreachable,
)
from core.node.peers.kinds import BOUNDS, Lane
from core.node.peers.packets import PACKET_BYTES_MAX, PIECE_HEADER, encode_greeting
from enclave_sim.memory_network import MemoryNetwork
from tests.support.attestation import DEBUG_ENCLAVE, ENCLAVE, NOW
from tests.support.attested_tls import SgxEvidence, admit_all, settings
from tests.support.peers import TIMING, Hostile, Node, consensus, constitution_of, hostile, nodes, receive, until

JOIN = JoinRequest(b"authorization", "joiner:1")
OTHER_CODE = replace(ENCLAVE, mrenclave=bytes([0xBA]) * 32, mrsigner=bytes([0xBA]) * 32)
HARDWARE_ONLY = constitution_of(tee_manifest=(TeeEntry("sgx", ("ab" * 32,)),))


@asynccontextmanager
async def attacked(**options: Any) -> AsyncIterator[tuple[Node, Hostile]]:
    """Give a node, and a channel with it of a registered key in hostile hands, which has greeted."""
    network = MemoryNetwork()
    node, key = Node(network, "victim", **options), PrivateKey.generate()
    node.peers.update({node.id: node.peer, key.public_key().node_id(): PeerNode(key.public_key(), "")}, frozenset())
    attacker = await hostile(network, key, "victim")
    await attacker.greet()
    yield node, attacker
    await node.peers.close()


async def ends_for(node: Node, reason: str, count: int = 1) -> None:
    """Wait until the node has ended channels for this reason, and check that it has none, and told so once."""
    await until(lambda: node.peers.refused.get(reason, 0) >= count and not node.peers.connected())
    assert dict(node.peers.refused) == {reason: count}
    assert sum(reason in line for line in node.log) == 1


# Who is not let in.


@pytest.mark.parametrize(
    ("mode", "removed", "reason"),
    [
        (Mode.PINNED, False, "unregistered-node"),
        (Mode.PINNED, True, "removed-node"),
        (Mode.JOIN, True, "removed-node"),
    ],
)
async def test_a_node_that_is_not_registered_or_was_removed(mode: Mode, removed: bool, reason: str) -> None:
    network, key = MemoryNetwork(), PrivateKey.generate()
    node = Node(network, "victim")
    node.register([node], frozenset({key.public_key().node_id()}) if removed else frozenset())
    with pytest.raises((AuthenticationFailed, ChannelClosed)):
        await hostile(network, key, "victim", mode)
    assert dict(node.peers.refused) == {reason: 1}
    await node.peers.close()


@pytest.mark.parametrize(
    ("source", "constitution", "reason"),
    [
        (SgxEvidence(enclave=OTHER_CODE), None, "signer-not-admitted"),
        (SgxEvidence(enclave=replace(ENCLAVE, isvprodid=2)), None, "product-not-admitted"),
        (SgxEvidence(enclave=replace(ENCLAVE, isvsvn=0)), None, "security-version-too-low"),
        (SgxEvidence(enclave=DEBUG_ENCLAVE), None, "debug-enclave"),
        (SgxEvidence(), constitution_of(code_manifest=()), "code-not-listed"),
        (SgxEvidence(), HARDWARE_ONLY, "simulated-not-admitted"),
        (SgxEvidence(), constitution_of(tee_manifest=(TeeEntry("sgx", ("ab" * 32,), simulated=True),)), "unknown-root"),
    ],
)
async def test_a_joiner_that_the_constitution_does_not_admit(
    source: SgxEvidence, constitution: Any, reason: str
) -> None:
    """And the other way round: a joiner turns from a node that its own constitution does not admit."""
    network = MemoryNetwork()
    victim = Node(network, "victim", **({"constitution": constitution} if constitution else {}))
    joiner = Node(network, "joiner", source=source)
    with pytest.raises((AuthenticationFailed, PeerUnreachable)):
        await joiner.peers.introduce("victim", JOIN, seconds_max=10)
    assert dict(victim.peers.refused) == {reason: 1}
    with pytest.raises(AuthenticationFailed) as refused:
        await victim.peers.introduce("joiner", JOIN, seconds_max=10)
    assert getattr(refused.value, "reason", "") == reason
    await victim.peers.close()
    await joiner.peers.close()


async def test_a_rule_that_changes_meanwhile() -> None:
    network = MemoryNetwork()
    victim, joiner = Node(network, "victim"), Node(network, "joiner")
    victim.peers.rule(HARDWARE_ONLY)
    with pytest.raises((AuthenticationFailed, PeerUnreachable)):
        await joiner.peers.introduce("victim", JOIN, seconds_max=10)
    assert dict(victim.peers.refused) == {"simulated-not-admitted": 1}
    victim.peers.rule(constitution_of())
    asking = asyncio.create_task(joiner.peers.introduce("victim", JOIN, seconds_max=30))
    inbound = await receive(victim)
    assert inbound.claims is not None
    assert inbound.answer is not None
    await inbound.answer(JoinDenied("no", "", "", 1))
    assert (await asking).answer == JoinDenied("no", "", "", 1)
    for node in (victim, joiner):
        await node.peers.close()


async def test_a_node_at_another_nodes_address() -> None:
    """A registered node that answers for another is told apart, and speaks for itself only."""
    network = MemoryNetwork()
    keys = sorted((PrivateKey.generate() for _ in range(3)), key=lambda key: key.public_key().node_id())
    victim, other, absent = (Node(network, f"node{number}", key=key) for number, key in enumerate(keys))
    victim.peers.update(
        {other.id: PeerNode(other.key.public_key(), ""), absent.id: PeerNode(absent.key.public_key(), other.name)},
        frozenset(),
    )
    other.register([victim])
    other.peers.update({victim.id: PeerNode(victim.key.public_key(), "")}, frozenset())
    await until(lambda: victim.peers.refused.get("other-node", 0) > 0)
    assert victim.peers.connected() == set()
    for node in (victim, other, absent):
        await node.peers.close()


async def test_a_node_speaks_only_for_itself() -> None:
    """No message names its sender: it is the channel's, whatever stands in it."""
    async with attacked() as (node, attacker):
        await attacker.send(consensus("I am another"))
        inbound = await receive(node)
        assert {inbound.sender} == node.peers.connected()
        assert inbound.public_key.node_id() == inbound.sender


# What ends a channel.


async def test_an_honest_use_of_the_same_hands() -> None:
    """The accepting twin of all that follows."""
    async with attacked() as (node, attacker):
        await attacker.send(consensus("one way"))
        assert (await receive(node)).message == consensus("one way")
        await attacker.send(FetchLedger(1, 0, 10), 7)
        inbound = await receive(node)
        assert inbound.answer is not None
        await inbound.answer(Fetched(b"piece"))
        await attacker.send(FetchSnapshot("name", 0, 10), 8)
        assert (await receive(node)).message == FetchSnapshot("name", 0, 10)
        assert len(node.peers.connected()) == 1
        assert dict(node.peers.refused) == {}


Attack = Callable[[Hostile], Any]


def _all(*sends: tuple[Body, int]) -> Attack:
    async def attack(attacker: Hostile) -> None:
        for message, number in sends:
            await attacker.send(message, number)

    return attack


ATTACKS: dict[str, tuple[str, Attack]] = {
    "a reply to no request": ("unasked-reply", lambda one: one.send(Fetched(b""), 1, is_reply=True)),
    "a reply without a number": ("unasked-reply", lambda one: one.send(Fetched(b""), 0, is_reply=True)),
    "a request as a reply": ("unasked-reply", lambda one: one.send(FetchLedger(1, 0, 1), 1, is_reply=True)),
    "a number again": ("repeated-request", _all((FetchLedger(1, 0, 1), 1), (FetchLedger(1, 0, 1), 1))),
    "a number that falls": ("repeated-request", _all((FetchLedger(1, 0, 1), 9), (FetchLedger(1, 0, 1), 8))),
    "too many requests": (
        "too-many-requests",
        _all(*((FetchLedger(1, 0, 1), number) for number in range(1, limits.PEER_REQUESTS_MAX + 2))),
    ),
    "a request without a number": ("misplaced-message", lambda one: one.send(FetchLedger(1, 0, 1), 0)),
    "a one-way message with a number": ("misplaced-message", lambda one: one.send(CaughtUp(1, True), 1)),
    "a reply that is none": ("misplaced-message", lambda one: one.send(Fetched(b""), 1)),
    "a request to join among members": ("misplaced-message", lambda one: one.send(JOIN, 1)),
    "consensus in another lane": ("misplaced-message", lambda one: one.send(consensus("x"), lane=Lane.WORK)),
    "a piece of a file in another lane": (
        "misplaced-message",
        lambda one: one.send(Fetched(b""), 1, is_reply=True, lane=Lane.URGENT),
    ),
    "no envelope": ("malformed-message", lambda one: one.send_raw(b"\x01nonsense")),
    "an envelope around nothing": ("malformed-message", lambda one: one.send_raw(b"\x01\x94\x64\x00\xc2\xc4\x00")),
    "another version of the codec": ("malformed-message", lambda one: one.send_raw(b"\x02")),
    "an unknown lane": ("malformed-message", lambda one: one.send_raw(b"x", 9)),
    "half a header": ("malformed-message", lambda one: one.transport.send(b"\0\1\0")),
    "a piece longer than its packet": ("malformed-message", lambda one: one.transport.send(PIECE_HEADER.pack(0, 1, 9))),
    "a piece of nothing": ("malformed-message", lambda one: one.transport.send(PIECE_HEADER.pack(0, 0, 0))),
    "neither last nor not": ("malformed-message", lambda one: one.transport.send(PIECE_HEADER.pack(0, 2, 0))),
    "an oversized packet": ("oversized-message", lambda one: one.transport.send(bytes(PACKET_BYTES_MAX + 1))),
    "an oversized urgent message": (
        "oversized-message",
        lambda one: one.send_raw(bytes(BOUNDS[Lane.URGENT].message_bytes_max + 1), Lane.URGENT),
    ),
}


@pytest.mark.parametrize("name", ATTACKS)
async def test_the_first_offence_ends_the_channel(name: str) -> None:
    reason, attack = ATTACKS[name]
    async with attacked() as (node, attacker):
        await attack(attacker)
        await ends_for(node, reason)
        with pytest.raises(ChannelClosed):
            await attacker.read_to_the_end()


async def test_a_message_that_never_ends() -> None:
    async with attacked() as (node, attacker):
        piece = bytes(60_000)
        packet = PIECE_HEADER.pack(Lane.BULK, 0, len(piece)) + piece
        with pytest.raises(ChannelClosed):
            await attacker.flood(packet, count=BOUNDS[Lane.BULK].message_bytes_max // len(piece) + 100)
        await ends_for(node, "oversized-message")


@pytest.mark.parametrize("greeting", [b"", b"coco peers", encode_greeting(2), encode_greeting() + b"x", bytes(100)])
async def test_another_version(greeting: bytes) -> None:
    network, key = MemoryNetwork(), PrivateKey.generate()
    node = Node(network, "victim")
    node.peers.update({key.public_key().node_id(): PeerNode(key.public_key(), "")}, frozenset())
    attacker = await hostile(network, key, "victim")
    await attacker.greet(greeting)
    await ends_for(node, "unknown-version")
    await node.peers.close()


async def test_a_reply_all() -> None:
    async with attacked() as (node, attacker):
        (peer,) = node.peers.connected()
        asking = asyncio.create_task(node.peers.request(peer, FetchLedger(1, 0, 1), seconds_max=30))
        await asyncio.sleep(0)
        await attacker.send(Fetched(b"one"), 1, is_reply=True)
        assert await asking == Fetched(b"one")
        await attacker.send(Fetched(b"two"), 1, is_reply=True)
        await ends_for(node, "unasked-reply")


async def test_a_reply_of_another_kind() -> None:
    async with attacked() as (node, attacker):
        (peer,) = node.peers.connected()
        asking = asyncio.create_task(node.peers.request(peer, FetchLedger(1, 0, 1), seconds_max=30))
        await asyncio.sleep(0)
        await attacker.send(CaughtUp(1, True), 1, is_reply=True)
        with pytest.raises(PeerUnreachable):
            await asking
        await ends_for(node, "unasked-reply")


async def test_a_silent_peer() -> None:
    async with attacked(timing=replace(TIMING, silent_max=3)) as (node, _):
        await ends_for(node, "silent")


async def test_a_peer_that_takes_nothing() -> None:
    """Whoever does not read loses what has no room; nothing grows, and nobody waits for it."""
    async with attacked() as (node, attacker):
        (peer,) = node.peers.connected()
        message = consensus(b"ordered" + bytes(1_000_000))
        await until(lambda: not node.peers.send(peer, message))
        assert not node.peers.send(peer, message)
        assert node.peers.send(peer, consensus("urgent"))
        assert attacker.transport.peer.node_id == node.id


# What stands between two nodes.


class Tap:
    """A stream that hands on what another gives, and keeps it."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self.sent: list[bytes] = []
        self.holds = False

    async def read(self) -> bytes:
        return await self._stream.read()

    def write(self, data: bytes) -> None:
        if data:
            self.sent.append(bytes(data))
            if not self.holds:
                self._stream.write(data)

    def replay(self, data: bytes) -> None:
        self._stream.write(data)

    async def drain(self) -> None:
        await self._stream.drain()

    async def close(self) -> None:
        await self._stream.close()

    def abort(self) -> None:
        self._stream.abort()


@asynccontextmanager
async def tapped() -> AsyncIterator[tuple[Node, Hostile, Tap]]:
    network, key = MemoryNetwork(), PrivateKey.generate()
    node = Node(network, "victim")
    node.peers.update({key.public_key().node_id(): PeerNode(key.public_key(), "")}, frozenset())
    tap = Tap(network.connect("between", "victim"))
    connection = AttestedConnection.initiate(settings(key, admit=admit_all), Mode.PINNED, at=NOW)
    attacker = Hostile(await open_attested(connection, tap, SgxEvidence()))
    await attacker.greet()
    await until(lambda: bool(node.peers.connected()))
    yield node, attacker, tap
    await node.peers.close()


async def test_a_record_again() -> None:
    async with tapped() as (node, peer, tap):
        await peer.send(consensus("once"))
        assert (await receive(node)).message == consensus("once")
        tap.replay(tap.sent[-1])
        await ends_for(node, "tls-failed")


async def test_records_in_another_order() -> None:
    async with tapped() as (node, peer, tap):
        tap.holds = True
        await peer.send(consensus("first"))
        await peer.send(consensus("second"))
        tap.replay(tap.sent[-1])
        tap.replay(tap.sent[-2])
        await ends_for(node, "tls-failed")


async def test_a_handshake_again() -> None:
    async with tapped() as (node, _, tap):
        connected, fresh = node.peers.connected(), node.dialler.reached_by("between")
        for data in tap.sent:
            fresh.write(data)
        await until(lambda: bool(node.peers.refused))
        assert dict(node.peers.refused) == {"hellos-differ": 1}
        assert node.peers.connected() == connected


async def test_many_slow_handshakes_keep_nobody_out() -> None:
    network = MemoryNetwork()
    async with nodes(2, network) as (first, second):
        slow = []
        for _ in range(limits.PEER_HANDSHAKES_MAX + 5):
            stream = network.connect("slow", first.name)
            stream.write(b"\0")
            slow.append(stream)
            await asyncio.sleep(0)
        await until(lambda: first.peers.refused.get("too-many-handshakes", 0) >= 5)
        for _ in range(5):
            assert await slow[_].read() == b""
        network.reset(first.name, second.name)
        await until(lambda: bool(first.peers.connected() and second.peers.connected()))


async def test_a_handshake_that_takes_too_long() -> None:
    network = MemoryNetwork()
    node = Node(network, "victim", timing=replace(TIMING, handshake=0.05))
    stream = network.connect("slow", "victim")
    assert await stream.read() == b""
    assert dict(node.peers.refused) == {"handshake-timed-out": 1}
    await node.peers.close()
