"""A node that joins: it shows what its member signed, is let in, and fetches the ledger. DESIGN sections 5 and 7.

It believes nothing of an answer before it has checked that the service which its ticket names endorsed the node that
answers. Then it has the network's keys, and takes part in consensus as a learner that has nothing, until the leader
offers it the ledger. What is on its disk from earlier is removed then: a node never goes on under an old identity.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from random import SystemRandom

from core.consensus.configuration import Configuration, SnapshotReference, encode_snapshot, sorted_nodes
from core.consensus.engine import ConsensusEngine
from core.consensus.raft.engine import RaftEngine
from core.consensus.raft.settings import RaftSettings
from core.crypto.keys import PrivateKey, PublicKey
from core.errors import AuthenticationFailed, CocoError, InvariantBroken, MalformedMessage, StorageFailed
from core.governance.authorizations import Authorization
from core.governance.constitution import Constitution
from core.governance.join_refusals import NodeRegistered
from core.governance.joining import check_welcome
from core.ledger.secrets import EpochSecret
from core.node.attested_tls.errors import HandshakeTruncated
from core.node.config import ManagerConfig
from core.node.manager_keys import NodeSecrets, store_secrets
from core.node.peer_messages import (
    CatchUp,
    CaughtUp,
    ConsensusMessage,
    Introduction,
    JoinAccepted,
    JoinDenied,
    JoinRequest,
    NodeEvidence,
    PeerNetwork,
    PeerNode,
    PeerUnreachable,
)
from core.node.replication import restart_desk
from core.node.replication.fetching import Fetcher, fetch_files
from core.node.replication.restart_desk import RestartDesk
from core.node.replication.restarting import Restarting
from core.node.start_checks import StartPermit
from core.ports import Disk, Sealer
from core.types import Digest, NodeId, Seqno, View

INTRODUCTION_SECONDS_MAX = 30.0
UNTAKEN_CONNECTIONS_MAX = 8
BACKOFF_SECONDS = (0.5, 15.0)
"""From, and up to, between two rounds in which no node was reached."""

Log = Callable[[str], None]
_random = SystemRandom()


class JoinEnded(CocoError):
    """The network does not let this node in, and waiting changes nothing. reason: its word."""

    exit_code = 6

    def __init__(self, denied: JoinDenied) -> None:
        super().__init__(f"this node may not join ({denied.reason}): {denied.message}", hint=denied.hint)
        self.reason = denied.reason


@dataclass(frozen=True, slots=True)
class Joined:
    """A node that was let in. engine: a learner, which knows nothing of the log yet."""

    secrets: NodeSecrets
    constitution: Constitution
    engine: ConsensusEngine


class StartsNetwork(Exception):
    """No network runs, and this node is the one to start it again, from its own disk. permit: by what."""

    def __init__(self, permit: StartPermit) -> None:
        super().__init__("starts the network again")
        self.permit = permit


class IdentityUsed(Exception):
    """This node's key stands in the ledger already: a leader recorded it that could not let it in. Join with another.

    A node that is refused for that hears nothing (core/node/attested_tls/register.py), so that it may be a guess.
    """


ReadDisk = Callable[[], Awaitable[tuple[Restarting, RestartDesk] | None]]
"""Reads this node's disk, from which a network may be started; None when there is nothing of one."""


def random_ticks(low: int, high: int) -> int:
    """Draw an election timeout."""
    return _random.randint(low, high)


class Joiner:
    """See the module. authorization: checked (manager_joining.py). evidence: over this node's key."""

    def __init__(
        self,
        config: ManagerConfig,
        node_key: PrivateKey,
        peers: PeerNetwork,
        *,
        disk: Disk,
        sealer: Sealer,
        clock: Callable[[], float],
        log: Log,
        read_disk: ReadDisk,
        authorization: Authorization,
        evidence: NodeEvidence,
        patience: int = UNTAKEN_CONNECTIONS_MAX,
    ) -> None:
        """patience: after so many connections, one after the other, that nobody took, the key is given up."""
        self._authorization = authorization
        self._evidence = evidence
        self._patience = patience
        self._untaken = 0
        self._read_disk = read_disk
        self._restarting: Restarting | None = None
        self._desk: RestartDesk | None = None
        self._has_read = False
        self._config = config
        self._node = node_key.public_key().node_id()
        self._peers = peers
        self._disk = disk
        self._sealer = sealer
        self._clock = clock
        self._log = log
        self._told = ""

    async def ask(self) -> Joined:
        """Ask the contacts in turn until one lets this node in.

        Raises StartsNetwork, IdentityUsed, JoinEnded, a JoinRefused, StorageFailed, LedgerDamaged.
        """
        works = (self._ask(), self._answer_others(), self._ask_members())
        tasks = [asyncio.create_task(work) for work in works]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return await next(task for task in tasks if task.done())
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self) -> Joined:
        contacts = deque(self._config.contacts)
        if not contacts:
            await self._look_at_disk()
            if self._restarting is not None and self._restarting.is_won:
                await asyncio.Event().wait()  # Its members decide.
            raise CocoError("this node is to join, but knows no other", hint="Give the addresses of other nodes.")
        pause, asked, silent = BACKOFF_SECONDS[0], 0, 0
        while True:
            address = contacts[0]
            contacts.rotate(-1)
            answer = await self._introduce(address)
            asked += 1
            if isinstance(answer, Introduction) and isinstance(answer.answer, JoinAccepted):
                return await self._accepted(answer, answer.answer)
            wait = 0.0
            if isinstance(answer, Introduction) and isinstance(answer.answer, JoinDenied):
                wait, silent = await self._denied(address, answer.answer, contacts), 0
            else:
                silent += 1
            if asked >= len(contacts) and not self._has_read:
                # Everybody was asked, and nobody is in a network that runs: what is on the disk here matters.
                await self._look_at_disk()
            if silent >= len(contacts):
                silent, wait, pause = 0, pause, min(2 * pause, BACKOFF_SECONDS[1])
            await asyncio.sleep(wait)

    async def _look_at_disk(self) -> None:
        """Take part in starting the network again, if there is one on this node's disk."""
        self._has_read, found = True, await self._read_disk()
        if found is not None:
            self._restarting, self._desk = found
            await self._restarting.consider()
            self._end_if_won()

    def _end_if_won(self) -> None:
        """Start the network, where that is for the nodes alone to decide."""
        if self._restarting is None or self._desk is None or not self._restarting.is_won:
            return
        claim = self._restarting.claim()
        if claim is not None and not self._desk.needs_members(claim):
            raise StartsNetwork(self._desk.permit)

    async def _ask_members(self) -> Joined:
        """Look what members and this node's operator say to what is waited for; never returns."""
        while True:
            if self._restarting is not None and self._desk is not None:
                permit = await self._desk.look(self._restarting)
                if permit is not None:
                    raise StartsNetwork(permit)
            await asyncio.sleep(restart_desk.POLL_SECONDS)

    async def _answer_others(self) -> Joined:
        """Answer whoever asks this node meanwhile; never returns."""
        while True:
            inbound = await self._peers.receive()
            if not isinstance(inbound.message, JoinRequest) or inbound.answer is None:
                continue
            if self._restarting is None:
                await inbound.answer(JoinDenied("joining", "this node is joining itself", "Ask another.", 1))
            else:
                await inbound.answer(await self._restarting.take(inbound.message))

    async def _introduce(self, address: str) -> Introduction | None:
        restarting = self._restarting
        request = JoinRequest(
            self._authorization.message,
            self._config.peer_address,
            restarting.shown if restarting is not None else None,
            restarting is not None and restarting.asks_grant,
            evidence=self._evidence,
            accepts_loss=restarting is not None and restarting.accepts_loss,
        )
        try:
            answer = await self._peers.introduce(address, request, seconds_max=INTRODUCTION_SECONDS_MAX)
        except (PeerUnreachable, AuthenticationFailed) as error:
            self._tell(f"{address} does not answer: {error.message}")
            self._untaken += isinstance(error.__cause__, HandshakeTruncated)
            if self._untaken >= self._patience and (restarting is None or restarting.claim() is None):
                raise IdentityUsed from None
            return None
        self._untaken = 0
        return answer

    async def _denied(self, address: str, denied: JoinDenied, contacts: deque[str]) -> float:
        """Return how long to wait before the next one is asked; raises JoinEnded when that is of no use."""
        if denied.reason == NodeRegistered.reason:
            raise IdentityUsed
        if not denied.retry_seconds:
            raise JoinEnded(denied)
        if self._restarting is not None:
            await self._restarting.hear(denied)
            self._end_if_won()
        if denied.leader and denied.leader != address:
            if denied.leader in contacts:
                contacts.remove(denied.leader)
            contacts.appendleft(denied.leader)
            return 0.0
        self._tell(f"{address} does not let this node in yet ({denied.reason}): {denied.message}")
        return float(denied.retry_seconds)

    def _tell(self, line: str) -> None:
        """Say why this node waits; the same only once."""
        if line != self._told:
            self._told = line
            self._log(f"waits to join: {line}")

    async def _accepted(self, by: Introduction, accepted: JoinAccepted) -> Joined:
        constitution = Constitution.decode(self._config.genesis)
        check_welcome(
            self._authorization,
            constitution=constitution,
            claims=by.claims,
            peer=by.public_key,
            node_certificate=accepted.node_certificate,
            service_certificate=accepted.service_certificate,
            answered_constitution=accepted.constitution,
            now=self._clock(),
        )
        try:
            secrets = _secrets_of(accepted, constitution, self._node)
            nodes = {
                NodeId(one.node): PeerNode(PublicKey.from_der(one.public_key), one.address) for one in accepted.nodes
            }
        except MalformedMessage as error:
            raise InvariantBroken(f"the node that let this one in sent what is no answer: {error.message}") from error
        if any(one.public_key.node_id() != node for node, one in nodes.items()) or self._node not in nodes:
            raise InvariantBroken("the node that let this one in sent a register that is wrong")
        await store_secrets(self._disk, self._sealer, secrets)
        self._peers.update(nodes, frozenset())
        self._log(f"let in by node {by.node[:16]} as node {self._node[:16]} in slot {accepted.slot}")
        return Joined(secrets, constitution, self._make_engine(nodes))

    def _make_engine(self, nodes: dict[NodeId, PeerNode]) -> ConsensusEngine:
        """Make a learner that has nothing. Who votes it learns with the ledger; it has no vote itself."""
        others = sorted_nodes(frozenset(nodes) - {self._node})
        reference = SnapshotReference(0, 0, Configuration(others, learners=(self._node,)))
        return RaftEngine(self._node, RaftSettings(), random_ticks, snapshot=encode_snapshot(reference))

    async def fetch(self, engine: ConsensusEngine) -> tuple[NodeId, CatchUp]:
        """Wait for a leader's offer, and fetch all of it; returns who offered, and what. Raises StorageFailed.

        Meanwhile the engine answers, so that the leader knows that this node is there.
        """
        while True:
            source, offer = await self._next_offer(engine)
            self._log(f"fetches {offer.seqno} entries from node {source[:16]}")
            fetching = asyncio.create_task(fetch_files(Fetcher(self._peers, source), offer, self._disk))
            serving = asyncio.create_task(self._serve(engine))
            try:
                await asyncio.wait((fetching, serving), return_when=asyncio.FIRST_COMPLETED)
            finally:
                serving.cancel()
                if not fetching.done():
                    fetching.cancel()
                results = await asyncio.gather(fetching, serving, return_exceptions=True)
            error = results[0] if not isinstance(results[1], Exception) else results[1]
            if error is None:
                return source, offer
            if not isinstance(error, CocoError) or isinstance(error, StorageFailed):
                raise error
            self._log(f"fetching failed, and will be tried again: {error.message}")
            self._peers.send(source, CaughtUp(0, False))

    async def _serve(self, engine: ConsensusEngine) -> None:
        while True:
            await self._next_offer(engine)

    async def _next_offer(self, engine: ConsensusEngine) -> tuple[NodeId, CatchUp]:
        while True:
            inbound = await self._peers.receive()
            match inbound.message:
                case ConsensusMessage(payload) if inbound.claims is None:
                    try:
                        engine.step(inbound.sender, payload)
                    except MalformedMessage:
                        continue
                    _answer(engine, self._peers)
                case CatchUp() as offer if inbound.claims is None:
                    return inbound.sender, offer
                case JoinRequest() if inbound.answer is not None:
                    await inbound.answer(JoinDenied("joining", "this node is joining itself", "Ask another.", 1))
                case _:
                    pass


def _answer(engine: ConsensusEngine, peers: PeerNetwork) -> None:
    """Send what the engine of a node without a ledger has to say."""
    while engine.has_ready():
        ready = engine.ready()
        if ready.entries or ready.committed:
            raise InvariantBroken("a node that has no ledger was sent the end of one")
        for message in ready.messages:
            peers.send(message.to, ConsensusMessage(message.payload))
        engine.advance()


def _secrets_of(accepted: JoinAccepted, constitution: Constitution, node: NodeId) -> NodeSecrets:
    epochs: Sequence[EpochSecret] = [
        EpochSecret(one.epoch, Seqno(one.first_seqno), View(one.first_view), NodeId(one.node), one.key)
        for one in accepted.epochs
    ]
    return NodeSecrets(
        constitution=Digest(constitution.digest()),
        service_key=PrivateKey.from_pkcs8_der(accepted.service_key),
        service_certificate=accepted.service_certificate,
        front_end_key=PrivateKey.from_pkcs8_der(accepted.front_end_key),
        front_end_certificate=accepted.front_end_certificate,
        epochs=tuple(epochs),
        known_seqno=Seqno(0),
        node=node,
    )
