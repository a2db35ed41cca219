"""PeerNetwork (core/node/peer_messages.py) over RA-TLS: see `link.py` for what a pair of nodes has in common.

The host dials and accepts; everything else is decided here. What it does can only make channels fail: who the other
side is, TLS shows, and whether that counts, the register and the constitution say.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from random import Random
from typing import Any

from core import limits
from core.consensus.raft.messages import is_append
from core.crypto.keys import PrivateKey
from core.errors import AuthenticationFailed, ChannelClosed, CocoError, InvariantBroken
from core.governance.constitution import Constitution
from core.governance.manifests import MANAGER, TeeEntry
from core.node.attested_tls.connection import AttestedConnection, ChannelSettings
from core.node.attested_tls.hello import Mode
from core.node.attested_tls.peer import Admit
from core.node.attested_tls.register import NodeRegister
from core.node.attested_tls.tls_context import TlsContexts
from core.node.attested_tls.transport import AttestedTransport, ByteStream, open_attested
from core.node.peer_messages import (
    NO_FAREWELLS,
    Body,
    Inbound,
    Introduction,
    JoinRequest,
    PeerNode,
    PeerUnreachable,
    Removed,
)
from core.node.peers.dialler import Dialler
from core.node.peers.errors import HandshakeDisplaced, PeerOther
from core.node.peers.inbox import Inbox
from core.node.peers.joining import JoinDesk, JoinGate, as_unreachable, ask_to_join, receive_join
from core.node.peers.kinds import IsOrdered
from core.node.peers.link import PeerLink
from core.node.peers.packets import PACKET_BYTES_MAX
from core.node.peers.tally import Tally
from core.node.peers.timing import PeerTiming
from core.ports import EvidenceSource, EvidenceVerifier, ReportClaims
from core.types import NodeId

VerifierOf = Callable[[Sequence[TeeEntry]], EvidenceVerifier]
"""Returns what verifies evidence under a TEE manifest."""


@dataclass(frozen=True, slots=True)
class PeerSettings:
    """What a node brings to its channels. key: the node's (P-256). constitution: until `rule` gives another.

    clock: Unix seconds, the host's word. contexts: made before the process was isolated. is_ordered: see kinds.py.
    """

    key: PrivateKey
    source: EvidenceSource
    verifier_of: VerifierOf
    constitution: Constitution
    clock: Callable[[], float]
    contexts: TlsContexts = field(default_factory=TlsContexts)
    timing: PeerTiming = field(default_factory=PeerTiming)
    is_ordered: IsOrdered = is_append
    random: Random = field(default_factory=Random)


class NodePeers:
    """See the module. `start` it, then use it as a PeerNetwork; `receive` raises what is a defect of its own tasks."""

    def __init__(self, settings: PeerSettings, dialler: Dialler, log: Callable[[str], None]) -> None:
        loop = asyncio.get_running_loop()
        self.node_id = settings.key.public_key().node_id()
        self._settings = settings
        self._dialler = dialler
        self._tally = Tally(log)
        self._inbox = Inbox()
        self._joins = self._inbox.source()
        self._desk = JoinDesk(loop.time)
        self._register = NodeRegister({})
        self._links: dict[NodeId, PeerLink] = {}
        self._keeping: dict[NodeId, asyncio.Task[None]] = {}
        self._handshakes: dict[asyncio.Task[None], None] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._channel = self._channel_settings(settings.constitution)
        self._numbers = itertools.count(1)

    @property
    def refused(self) -> Mapping[str, int]:
        """How often channels were refused or ended, by reason."""
        return self._tally.counts

    def start(self) -> None:
        """Begin to accept."""
        self._spawn(self._accept())

    def rule(self, constitution: Constitution) -> None:
        """Judge by this constitution's manifests from now on who may be spoken with before it is registered."""
        self._channel = self._channel_settings(constitution)

    def update(
        self, nodes: Mapping[NodeId, PeerNode], removed: Set[NodeId], farewells: Mapping[NodeId, Removed] = NO_FAREWELLS
    ) -> None:
        """Take the register; see PeerNetwork."""
        if len(nodes) > limits.CONSENSUS_NODES_MAX:
            raise InvariantBroken(f"{len(nodes)} registered nodes; the bound is {limits.CONSENSUS_NODES_MAX}")
        for node_id, message in farewells.items():
            if node_id not in nodes and node_id in self._links:
                self._links[node_id].say_farewell(message)
        self._register.replace({node_id: peer.public_key for node_id, peer in nodes.items()}, removed)
        for node_id in self._links.keys() - nodes.keys():
            self._links.pop(node_id).close()
            self._keeping.pop(node_id).cancel()
            self._tally.forget(node_id)
        for node_id, peer in nodes.items():
            link = self._links.get(node_id)
            if link is not None:
                link.move(peer)
            elif node_id != self.node_id:
                self._links[node_id] = link = self._link(node_id, peer)
                self._keeping[node_id] = self._spawn(link.keep())

    def send(self, to: NodeId, message: Body) -> bool:
        """Queue a one-way message; see PeerNetwork."""
        link = self._links.get(to)
        return link is not None and link.channel is not None and link.channel.send(message)

    async def request(self, to: NodeId, message: Body, *, seconds_max: float) -> Body:
        """Send a request and return its reply; see PeerNetwork."""
        link = self._links.get(to)
        if link is None or link.channel is None:
            raise PeerUnreachable(f"there is no channel to node {to[:16]}")
        return await link.channel.request(message, seconds_max=seconds_max)

    async def introduce(self, address: str, request: JoinRequest, *, seconds_max: float) -> Introduction:
        """Ask the node at HOST:PORT to register this one; see PeerNetwork."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + seconds_max
        try:
            async with asyncio.timeout_at(until_s):
                transport = await self._open(address, Mode.JOIN, self._channel.admit)
        except TimeoutError:
            raise PeerUnreachable(f"{address} did not answer within {seconds_max:.1f} s") from None
        except AuthenticationFailed as error:
            raise as_unreachable(error) from error
        except ChannelClosed as error:
            raise PeerUnreachable(f"{address} ended the connection: {error.message}") from error
        return await ask_to_join(transport, request, self._settings.timing, until_s - loop.time())

    async def receive(self) -> Inbound:
        """Return the next message that came in, of each node in turn."""
        return await self._inbox.take()

    def connected(self) -> Set[NodeId]:
        """Return the registered nodes with an open channel."""
        return frozenset(node_id for node_id, link in self._links.items() if link.channel is not None)

    def generation(self, node: NodeId) -> int:
        """Return the number of the open channel; see PeerNetwork."""
        link = self._links.get(node)
        return 0 if link is None else link.generation

    async def close(self) -> None:
        """End all channels, and accept no more."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._inbox.fail(ChannelClosed("the channels to the other nodes are closed"))

    def _channel_settings(self, constitution: Constitution) -> ChannelSettings:
        """Return what connections are made with. What a node may run on and run is checked inside the handshake."""

        def admit(claims: ReportClaims | None, node_id: NodeId, mode: Mode) -> None:
            self._register.admit(claims, node_id, mode)
            if claims is not None:
                constitution.check_admitted(claims, MANAGER)

        verifier = self._settings.verifier_of(constitution.tee_manifest)
        return ChannelSettings(self._settings.key, verifier, admit, contexts=self._settings.contexts)

    def _link(self, node_id: NodeId, peer: PeerNode) -> PeerLink:
        return PeerLink(
            self.node_id,
            node_id,
            peer,
            source=self._inbox.source(),
            register=self._register,
            connect=self._call,
            timing=self._settings.timing,
            is_ordered=self._settings.is_ordered,
            tally=self._tally,
            random=self._settings.random,
            numbers=self._numbers,
        )

    async def _call(self, node_id: NodeId, address: str) -> AttestedTransport:
        """Open a channel to a registered node, and to no other."""

        def admit(claims: ReportClaims | None, found: NodeId, mode: Mode) -> None:
            self._channel.admit(claims, found, mode)
            if found != node_id:
                raise PeerOther(f"at {address} answers node {found[:16]}", hint="Correct the node's address.")

        return await self._open(address, Mode.PINNED, admit)

    async def _open(self, address: str, mode: Mode, admit: Admit) -> AttestedTransport:
        timing = self._settings.timing
        try:
            async with asyncio.timeout(timing.dial):
                stream = await self._dialler.dial(address)
        except TimeoutError:
            raise PeerUnreachable(f"no connection to {address} within {timing.dial:.1f} s") from None
        connection = AttestedConnection.initiate(replace(self._channel, admit=admit), mode, at=self._now())
        return await open_attested(
            connection,
            stream,
            self._settings.source,
            seconds_max=timing.handshake,
            frame_bytes_max=PACKET_BYTES_MAX,
        )

    async def _accept(self) -> None:
        while True:
            try:
                stream = await self._dialler.accept()
            except ChannelClosed:
                return
            if len(self._handshakes) >= limits.PEER_HANDSHAKES_MAX:
                # Not the newest: whoever holds many open shall not keep the others out.
                oldest = next(iter(self._handshakes))
                del self._handshakes[oldest]
                oldest.cancel()
                self._tally.refused("a connection gave way", HandshakeDisplaced("too many handshakes at a time"))
            task = self._spawn(self._respond(stream))
            self._handshakes[task] = None
            task.add_done_callback(lambda done: self._handshakes.pop(done, None))

    async def _respond(self, stream: ByteStream) -> None:
        connection = AttestedConnection.respond(self._channel, at=self._now())
        try:
            with JoinGate(self._desk, self._settings.source) as gate:
                transport = await open_attested(
                    connection,
                    stream,
                    gate,
                    seconds_max=self._settings.timing.handshake,
                    frame_bytes_max=PACKET_BYTES_MAX,
                )
                self._handshakes.pop(asyncio.current_task(), None)  # type: ignore[arg-type]
                if transport.peer.mode is Mode.JOIN:
                    await self._serve_join(transport)
                    return
            await self._serve_accepted(transport)
        except CocoError as error:
            self._tally.refused("a connection was refused", error)

    async def _serve_join(self, transport: AttestedTransport) -> None:
        refusal = await receive_join(transport, self._joins, self._register, self._settings.timing)
        if refusal is not None:
            raise refusal

    async def _serve_accepted(self, transport: AttestedTransport) -> None:
        peer = transport.peer
        link = self._links.get(peer.node_id)
        if link is None:
            # It was registered during the handshake, and is not any more.
            await transport.close()
            return
        await link.serve(transport, peer.node_id)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._settings.clock(), UTC)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._inbox.fail(error)
