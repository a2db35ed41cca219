"""Several nodes' PeerNetworks in one process: real RA-TLS on simulated platforms over a network in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Set
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import msgspec

from core.crypto.certificates import self_signed
from core.crypto.keys import PrivateKey
from core.governance.constitution import Constitution, Identity
from core.node.attested_tls.connection import AttestedConnection
from core.node.attested_tls.hello import Mode
from core.node.attested_tls.transport import AttestedTransport, open_attested
from core.node.peer_messages import BODY, ENVELOPE, Body, ConsensusMessage, Envelope, Inbound, PeerNode
from core.node.peers.kinds import Lane, lane_of
from core.node.peers.network import NodePeers, PeerSettings
from core.node.peers.packets import PIECE_HEADER, encode_greeting
from core.node.peers.timing import PeerTiming
from core.ports import EvidenceSource
from core.types import NodeId
from enclave_sim.memory_network import MemoryNetwork
from enclave_sim.verify.manifest import ManifestVerifier
from enclave_sim.verify.trust import simulated_root
from tests.support.attestation import ENCLAVE, NOW
from tests.support.attested_tls import SGX, SgxEvidence, admit_all, settings
from tests.support.manifests import admitting

TIMING = PeerTiming(keep_alive=0.05, silent_max=40, retry_min=0.01, retry_max=0.05, refused_max=0.1, fallback=0.1)
SECONDS_MAX = 30.0


def constitution_of(**changes: Any) -> Constitution:
    """Return a constitution that admits ENCLAVE on the machines of tests/support/attestation.py."""
    start = datetime.now(UTC) - timedelta(hours=1)
    member = Identity("org1", "member", self_signed("org1", PrivateKey.generate(), not_before=start, days=10), ())
    root = simulated_root("sgx", SGX.authority.root_certificate).digest
    manifests = admitting(roots=(root,), signers=(ENCLAVE.mrsigner,))
    found = Constitution(2, "demo", (member,), {"ethereum": {"chain_id": 1337}}, "ethereum", **manifests)
    return msgspec.structs.replace(found, **changes)


CONSTITUTION = constitution_of()


class Node:
    """One node: its key, its address (its name), its channels and what it logs."""

    def __init__(
        self,
        network: MemoryNetwork,
        name: str,
        *,
        key: PrivateKey | None = None,
        source: EvidenceSource | None = None,
        constitution: Constitution = CONSTITUTION,
        timing: PeerTiming = TIMING,
    ) -> None:
        self.name = name
        self.key = key or PrivateKey.generate()
        self.id = self.key.public_key().node_id()
        self.log: list[str] = []
        self.got: list[Inbound] = []
        made = PeerSettings(
            key=self.key,
            source=source or SgxEvidence(),
            verifier_of=ManifestVerifier,
            constitution=constitution,
            clock=NOW.timestamp,
            timing=timing,
            is_ordered=lambda payload: payload.startswith(b"ordered"),
            random=Random(name),
        )
        self.dialler = network.node(name)
        self.peers = NodePeers(made, self.dialler, self.log.append)
        self.peers.start()

    @property
    def peer(self) -> PeerNode:
        return PeerNode(self.key.public_key(), self.name)

    def register(self, nodes: Iterable[Node], removed: Set[NodeId] = frozenset()) -> None:
        """Take these as the registered nodes."""
        self.peers.update({node.id: node.peer for node in nodes}, removed)

    async def collect(self) -> None:
        """Keep whatever comes in."""
        while True:
            self.got.append(await self.peers.receive())


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds, for SECONDS_MAX."""
    async with asyncio.timeout(SECONDS_MAX):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def receive(node: Node) -> Inbound:
    async with asyncio.timeout(SECONDS_MAX):
        return await node.peers.receive()


@asynccontextmanager
async def nodes(count: int, network: MemoryNetwork | None = None, **options: Any) -> AsyncIterator[list[Node]]:
    """Give nodes that know each other, connected, in the order of their ids."""
    network = network or MemoryNetwork()
    keys = sorted((PrivateKey.generate() for _ in range(count)), key=lambda key: key.public_key().node_id())
    made = [Node(network, f"node{number}", key=key, **options) for number, key in enumerate(keys)]
    for node in made:
        node.register(made)
    try:
        await until(lambda: all(len(node.peers.connected()) == count - 1 for node in made))
        yield made
    finally:
        for node in made:
            await node.peers.close()


class Hostile:
    """A registered node's key in hands that send whatever they like. Made by `hostile`."""

    def __init__(self, transport: AttestedTransport) -> None:
        self.transport = transport

    async def greet(self, data: bytes = encode_greeting()) -> None:
        await self.transport.send(data)

    async def send(self, message: Body, number: int = 0, *, is_reply: bool = False, lane: Lane | None = None) -> None:
        envelope = ENVELOPE.encode(Envelope(number, is_reply, BODY.encode(message)))
        await self.send_raw(envelope, lane_of(message, lambda _: False) if lane is None else lane)

    async def send_raw(self, data: bytes, lane: int = Lane.WORK) -> None:
        await self.transport.send(PIECE_HEADER.pack(lane, 1, len(data)) + data)

    async def read_to_the_end(self) -> None:
        """Take whatever comes; raises ChannelClosed at the end."""
        while True:
            await self.transport.receive()

    async def flood(self, packet: bytes, *, count: int) -> None:
        """Send a packet again and again, then read; raises ChannelClosed at the end."""
        for _ in range(count):
            await self.transport.send(packet)
            await asyncio.sleep(0)
        await self.read_to_the_end()


async def hostile(network: MemoryNetwork, key: PrivateKey, address: str, mode: Mode = Mode.PINNED) -> Hostile:
    """Open a channel to the node at an address with this key, taking whoever answers."""
    connection = AttestedConnection.initiate(settings(key, admit=admit_all), mode, at=NOW)
    stream = network.connect("hostile", address)
    return Hostile(await open_attested(connection, stream, SgxEvidence()))


def consensus(payload: bytes | str) -> ConsensusMessage:
    return ConsensusMessage(payload if isinstance(payload, bytes) else payload.encode())
