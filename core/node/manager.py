"""The manager enclave: keys, identity, ledger, consensus and governance of a node. DESIGN sections 1, 3 and 6.

It trusts nothing that the host returns, and takes from the worker only blocks of that worker's own tables. What the
executor proposes is sealed at once; writing, replicating and committing go on beside it (replication/node.py), so that
block n+1 is sealed while block n is being written. Invariant: BlockCommitted is sent only after fdatasync of the block
has returned on a majority; anything that goes wrong with this node's disk ends it before that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, assert_never

import msgspec

from core.crypto.keys import PrivateKey, PublicKey
from core.errors import ChannelClosed, InvariantBroken, LimitExceeded, MalformedMessage
from core.governance.constitution import Constitution
from core.node.admission import Published, VerifyEvidence, check_own_admission, nothing_published
from core.node.config import ManagerConfig
from core.node.manager_joining import TicketDesk, describe_own, own_authorization
from core.node.manager_keys import store_secrets
from core.node.manager_older import LedgerStatus, verify_older
from core.node.manager_receipts import ReceiptMaker
from core.node.manager_running import RunningNode, until_done
from core.node.manager_start import (
    ROLLBACK_WARNING,
    ReplaySender,
    Started,
    begin,
    join,
)
from core.node.manager_starting import keep_snapshots, permit_alone, restarting_of, start_entries
from core.node.messages import (
    FROM_MANAGER,
    TO_MANAGER,
    CertificateIssued,
    CertificateRequest,
    ConfirmReads,
    ForwardAnswers,
    ForwardToLeader,
    FromManager,
    ProposeBlock,
    Ready,
    ReceiptRequest,
    SnapshotEnd,
    SnapshotRows,
    SnapshotTable,
)
from core.node.node_evidence import make_evidence
from core.node.peer_messages import PeerNetwork
from core.node.replication.joining import UNTAKEN_CONNECTIONS_MAX, IdentityUsed, Joiner, StartsNetwork
from core.node.replication.node import ReplicatedNode
from core.node.replication.restart_desk import clear_desk
from core.node.start_checks import StartPermit
from core.ports import Attestor, Disk, ReportClaims, Sealer, Transport
from core.types import NodeId

Connect = Callable[[PrivateKey, Constitution], PeerNetwork]
"""Makes the channels to the other nodes, for a node with this key."""


class Manager:
    """See the module. executor: the paired, sealed channel to the worker. clock: Unix seconds, the host's word.

    worker: what its report said when it paired. verify: how others would verify this node's evidence.
    published: returns a JSON object of the platform's public words (which code runs, collateral), which joins the
    service's. connect: makes the channels to other nodes; None for a network of one. tickets: for a node that waits
    for one.
    """

    def __init__(
        self,
        config: ManagerConfig,
        *,
        disk: Disk,
        sealer: Sealer,
        attestor: Attestor,
        executor: Transport,
        worker: ReportClaims,
        verify: VerifyEvidence,
        clock: Callable[[], float],
        log: Callable[[str], None],
        published: Published = nothing_published,
        connect: Connect | None = None,
        tickets: TicketDesk | None = None,
    ) -> None:
        self._tickets = tickets
        self._published = published
        self._worker = worker
        self._verify = verify
        self._config = config
        self._disk = disk
        self._sealer = sealer
        self._attestor = attestor
        self._executor = executor
        self._clock = clock
        self._log = log
        self._connect = connect
        self._peers: PeerNetwork | None = None
        self._running: RunningNode | None = None
        self._refused = 0
        self._closing = False

    async def run(self) -> None:
        """Run until the executor's channel closes. Raises what must stop the node: CocoError or InvariantBroken."""
        try:
            if self._running is None:
                await self.start()
        except ChannelClosed:
            self._log("a channel closed during start")
            await self._end()
            return
        except BaseException:
            await self._end()
            raise
        await self._serve()

    async def start(self) -> bytes:
        """Read the ledger back and begin a new view, or join; say Ready to the executor; returns the service info.

        Raises ManifestRefused (this node is not admitted; nothing is written then), LedgerDamaged, IncompatibleData,
        StorageFailed, JoinRefused, CocoError (a constitution that cannot be run).
        """
        await self._check_admission()
        sender = ReplaySender(self._executor)
        config, disk, sealer = self._config, self._disk, self._sealer
        if config.joins:
            outcome = await self._join(sender)
        else:
            outcome = await permit_alone(config, disk, sealer, self._clock, self._log)
        self._running = await self._begin(sender, outcome) if isinstance(outcome, StartPermit) else outcome
        await clear_desk(disk)
        return self._running.service_info()

    @property
    def node(self) -> ReplicatedNode:
        """The node's consensus, to look into it; only once started."""
        if self._running is None:
            raise InvariantBroken("the manager has not started")
        return self._running.node

    async def request_snapshot(self) -> None:
        """Begin a snapshot of the newest committed state, unless one is being written; only where this node leads."""
        if self._running is not None:
            try:
                await self._running.snapshots.request()
            except ChannelClosed:
                self._closing = True

    def service_info(self) -> bytes:
        """Return the public JSON about node and service; only once started."""
        if self._running is None:
            raise InvariantBroken("the manager has not started")
        return self._running.service_info()

    @property
    def refused(self) -> int:
        """Messages of the executor that were refused as malformed."""
        return self._refused

    # Starting.

    async def _begin(self, sender: ReplaySender, permit: StartPermit) -> RunningNode:
        """Start a network with one node, or start it again."""
        began = await begin(self._config, self._disk, self._sealer, sender, self._clock, self._log, permit=permit)
        if self._connect is not None:
            self._peers = self._connect(began.node_key, began.ledger.head.state.constitution)
        running = await self._put_together(began.as_started(), sender)
        node, epoch = running.node, began.epoch
        node.leadership.start_entries = start_entries(self._config, began, running.evidence, self._clock())
        block = await running.begin_network(self._config.tick_ms, sender)
        running.snapshots.began(block)
        known = replace(
            began.secrets, known_seqno=block.last, node=epoch.node, next_node=NodeId(""), granted=NodeId("")
        )
        await store_secrets(self._disk, self._sealer, known)
        node.known(known)
        self._log(f"node {epoch.node[:16]} began view {epoch.first_view} after entry {block.first - 1}")
        self._log(f"warning: {ROLLBACK_WARNING}")
        await self._say_ready(running, sender)
        return running

    async def _join(self, sender: ReplaySender, patience: int = UNTAKEN_CONNECTIONS_MAX) -> RunningNode | StartPermit:
        """Join a network that is there; where there is none, return by what it is this node's to start it again."""
        node_key, constitution = PrivateKey.generate(), Constitution.decode(self._config.genesis)
        if self._connect is None:
            raise InvariantBroken("a node that has no channels is to join others")
        own = await describe_own(
            self._config, node_key.public_key(), self._attestor, self._worker, await self._read_published()
        )
        authorization = await own_authorization(own, self._tickets, clock=self._clock, log=self._log)
        self._peers = self._connect(node_key, constitution)
        joiner = Joiner(
            self._config,
            node_key,
            self._peers,
            disk=self._disk,
            sealer=self._sealer,
            clock=self._clock,
            log=self._log,
            read_disk=partial(restarting_of, self._config, self._disk, self._sealer, self._clock, self._log),
            authorization=authorization,
            evidence=own.evidence,
            patience=patience,
        )
        try:
            joined = await joiner.ask()
        except StartsNetwork as starts:
            await self._peers.close()
            self._log("starts the network again")
            return starts.permit
        except IdentityUsed:
            await self._peers.close()
            self._log("goes on joining with another key")
            return await self._join(sender, 2 * patience)
        source, offer = await joiner.fetch(joined.engine)
        started = await join(self._config, joined, offer, node_key, self._disk, sender, self._clock, self._log)
        running = await self._put_together(started, sender)
        running.node.joined(offer)
        await self._say_ready(running, sender)
        running.begin(self._config.tick_ms)
        running.node.caught_up(source, offer)
        return running

    async def _put_together(self, started: Started, sender: ReplaySender) -> RunningNode:
        ledger, head = started.ledger, started.ledger.head
        published = await self._read_published()
        evidence = await make_evidence(self._attestor, published, started.node)
        receipts = ReceiptMaker(ledger.history, self._disk, head.keyring, head.state.certificates, log=self._log)
        status = LedgerStatus(self._executor, ledger.older, ledger.snapshot)
        node = ReplicatedNode(
            started.engine,
            head,
            started.writer,
            ledger.history,
            started.secrets,
            started.node_key,
            committed_end=ledger.committed_end,
            disk=self._disk,
            sealer=self._sealer,
            peers=self._peers,
            tell=self._tell,
            status=status,
            verify=self._verify,
            clock=self._clock,
            log=self._log,
        )
        snapshots = keep_snapshots(
            self._config, started, node, receipts, status, disk=self._disk, executor=self._executor, log=self._log
        )
        node.snapshots = snapshots
        node.update_register()
        return RunningNode(started, node, receipts, snapshots, status, evidence, published)

    async def _say_ready(self, running: RunningNode, sender: ReplaySender) -> None:
        """Tell the executor that it has everything, and whom it follows, or that it leads."""
        node = running.node
        await sender.flush()
        node.before_ready = None
        await self._executor.send(
            FROM_MANAGER.encode(
                Ready(
                    view=node.head.view,
                    last_seqno=node.driver.applied_seqno,
                    constitution=node.head.state.constitution.encode(),
                    service=running.service_info(),
                    view_history=node.head.views,
                    time_s=node.head.time_s,
                )
            )
        )
        await node.leadership.open()

    async def _read_published(self) -> dict[str, Any]:
        return msgspec.json.decode(await self._published(), type=dict[str, Any])

    async def _check_admission(self) -> None:
        await check_own_admission(
            Constitution.decode(self._config.genesis),
            attestor=self._attestor,
            worker=self._worker,
            published=await self._read_published(),
            verify=self._verify,
            at=datetime.fromtimestamp(self._clock(), UTC),
        )

    # Serving.

    async def _tell(self, message: FromManager) -> None:
        """Send to the executor; once that is gone, the node ends."""
        if self._closing:
            return
        try:
            await self._executor.send(FROM_MANAGER.encode(message))
        except ChannelClosed:
            self._closing = True

    async def _serve(self) -> None:
        if self._running is None:
            raise InvariantBroken("the manager has not started")
        receiving = asyncio.create_task(self._receive(self._running))
        beside = (self._prove(self._running), self._running.snapshots.run(), self._verify_older(self._running))
        tasks = (receiving, self._running.task, *(asyncio.create_task(one) for one in beside))
        try:
            await until_done((receiving,), tasks)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            await self._end()
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
                raise result

    async def _end(self) -> None:
        if self._running is not None:
            await self._running.end()
        if self._peers is not None:
            await self._peers.close()

    async def _verify_older(self, running: RunningNode) -> None:
        """Verify what a snapshot stood for; then receipts can be made of all entries, and further snapshots."""
        keyring, older = running.node.head.keyring, running.started.ledger.older
        if older is not None:
            try:
                certificate = running.started.secrets.service_certificate
                await verify_older(older, self._disk, keyring, certificate, running.status, self._log)
            except ChannelClosed:
                self._closing = True
        running.snapshots.provable = True

    async def _prove(self, running: RunningNode) -> None:
        try:
            await running.receipts.run(self._executor)
        except ChannelClosed:
            self._closing = True

    async def _receive(self, running: RunningNode) -> None:
        try:
            while not self._closing:
                try:
                    message = TO_MANAGER.decode(await self._executor.receive())
                except (MalformedMessage, LimitExceeded) as error:
                    self._refuse(error.message)
                    continue
                match message:
                    case ProposeBlock():
                        await running.node.propose(message)
                    case ReceiptRequest():
                        if (refusal := running.receipts.take(message)) is not None:
                            await self._executor.send(FROM_MANAGER.encode(refusal))
                    case CertificateRequest():
                        await self._issue_certificate(running, message.public_key)
                    case SnapshotTable() | SnapshotRows() | SnapshotEnd():
                        running.snapshots.take(message)
                    case ForwardToLeader():
                        running.node.forward(message)
                    case ConfirmReads(number):
                        running.node.driver.confirm_reads(number)
                    case ForwardAnswers():
                        running.node.return_answers(message)
                    case _:
                        assert_never(message)
        except ChannelClosed:
            self._closing = True
        running.receipts.close()
        await running.node.drain()

    async def _issue_certificate(self, running: RunningNode, public_key: bytes) -> None:
        try:
            key = PublicKey.from_der(public_key)
        except MalformedMessage as error:
            self._refuse(error.message)
            return
        network = running.node.head.state.constitution.network
        chain = running.started.secrets.issue_front_end(key, network, self._config.names, self._clock())
        service = running.service_info(await self._read_published())
        await self._executor.send(FROM_MANAGER.encode(CertificateIssued(chain.encode(), service)))
        # From here on the executor takes what it did not ask for.
        running.snapshots.listening = True
        await running.status.listens()

    def _refuse(self, reason: str) -> None:
        self._refused += 1
        if self._refused & (self._refused - 1) == 0:  # 1, 2, 4, 8, ...: a flood does not fill the log.
            self._log(f"refused a message from the executor ({self._refused} so far): {reason}")
