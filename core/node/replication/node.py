"""A node's consensus with all that hangs on it: who leads, who takes part, catching up, passing on.

Built once the ledger on disk is read back (or fetched); `run` beside the manager's other work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from typing import Any

from core import limits
from core.consensus.configuration import decode_configuration, decode_snapshot, encode_configuration
from core.consensus.engine import ConsensusEngine, SnapshotNeeded
from core.crypto.keys import PrivateKey
from core.errors import ChannelClosed, InvariantBroken
from core.governance.constitution import Constitution
from core.ledger.cose import RootSigner
from core.ledger.files import LedgerWriter
from core.ledger.history import LedgerHistory
from core.node.admission import VerifyEvidence
from core.node.manager_blocks import Own
from core.node.manager_keys import NodeSecrets, store_secrets
from core.node.manager_older import LedgerStatus
from core.node.manager_snapshots import SnapshotKeeper
from core.node.manager_tables import SNAPSHOT
from core.node.messages import ForwardAnswers, ForwardToLeader, FromManager, ProposeBlock
from core.node.peer_messages import (
    AnswerForwarded,
    CatchUp,
    CaughtUp,
    ConsensusMessage,
    FetchLedger,
    FetchSnapshot,
    ForwardCommands,
    Inbound,
    JoinRequest,
    PeerNetwork,
    PeerUnreachable,
    Removed,
)
from core.node.replication.applying import Applied, Point
from core.node.replication.blocks import SealedBlock
from core.node.replication.disk_log import DiskLog
from core.node.replication.driver import Driver
from core.node.replication.epochs import opener
from core.node.replication.fetching import CatchingUp
from core.node.replication.head import LedgerHead
from core.node.replication.leadership import Leadership
from core.node.replication.membership import Membership
from core.node.replication.node_news import ClockWatch, news_of
from core.node.replication.passing_on import PassingOn
from core.node.replication.removal import Registration
from core.node.replication.serving import LedgerServer
from core.node.replication.unled import Unled
from core.ports import Disk, Sealer
from core.types import NodeId, Seqno, View

Log = Callable[[str], None]
Tell = Callable[[FromManager], Awaitable[None]]
BeforeReady = Callable[[SealedBlock], Awaitable[None]]


class ReplicatedNode:
    """See the module. tell: sends to the executor; it must not raise when that is gone.

    peers: None for a network of one node. kept: this node's keys, sealed already.
    """

    def __init__(
        self,
        engine: ConsensusEngine,
        head: LedgerHead,
        writer: LedgerWriter,
        history: LedgerHistory,
        kept: NodeSecrets,
        node_key: PrivateKey,
        *,
        committed_end: tuple[Seqno, int] | None,
        disk: Disk,
        sealer: Sealer,
        peers: PeerNetwork | None,
        tell: Tell,
        status: LedgerStatus,
        verify: VerifyEvidence,
        clock: Callable[[], float],
        log: Log,
    ) -> None:
        self.head = head
        self._kept = kept
        self._node_key = node_key
        self._disk = disk
        self._sealer = sealer
        self._peers = peers
        self._tell = tell
        self._status = status
        self._log = log
        self._tasks: set[asyncio.Task[None]] = set()
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._news_due = False
        self._clock_watch = ClockWatch(clock, log)
        self._progress = asyncio.Event()
        self.snapshots: SnapshotKeeper | None = None
        self.before_ready: BeforeReady | None = None
        """Takes each committed block until the executor is ready."""
        head.open_epochs = opener(head, node_key)
        self.leadership = self._make_leadership(clock)
        self._disk_log = DiskLog(
            writer, history, term=lambda: engine.status().term, seal_keys=self._seal, committed_end=committed_end
        )
        self.driver = Driver(engine, head, self._disk_log, peers, apply=self._apply, watcher=self.leadership, tell=tell)
        self.leadership.attach(self.driver)
        self.membership = self._make_membership(verify, clock)
        self._configured_by(engine.snapshot())
        self.unled = Unled(
            self.leadership.node, lambda: self.driver.committed_state, peers, clock=clock, spawn=self._spawn, log=log
        )
        self._passing_on: PassingOn | None = None
        self._server: LedgerServer | None = None
        self._catching_up: CatchingUp | None = None
        self._registration: Registration | None = None
        if peers is not None:
            self._work_with(peers, history)

    def _make_leadership(self, clock: Callable[[], float]) -> Leadership:
        return Leadership(
            self.head,
            self._node_key,
            RootSigner(self._kept.service_key),
            clock=clock,
            tell=self._tell,
            fill_in=self._fill_in,
            on_change=self._on_change,
            on_rollback=self._on_rollback,
            need_snapshot=self._need_snapshot,
            log=self._log,
        )

    def _make_membership(self, verify: VerifyEvidence, clock: Callable[[], float]) -> Membership:
        connected = frozenset[NodeId] if self._peers is None else self._peers.connected
        return Membership(
            self.leadership,
            lambda: self.head.state,
            secrets_now=self.secrets,
            connected=connected,
            verify=verify,
            clock=clock,
            spawn=self._spawn,
            log=self._log,
        )

    def _work_with(self, peers: PeerNetwork, history: LedgerHistory) -> None:
        """Make what a node does only where there are others."""
        driver, disk_log, disk, log = self.driver, self._disk_log, self._disk, self._log
        self._registration = Registration(self.leadership.node, peers, log)
        self._passing_on = PassingOn(self.leadership, peers, self._constitution, self._tell, log)
        self._server = LedgerServer(driver, disk_log, history, disk, peers, spawn=self._spawn, log=log)
        configured = self._configured_by
        self._catching_up = CatchingUp(driver, disk_log, self.head, disk, peers, configured=configured, log=log)

    def _configured_by(self, snapshot: bytes) -> None:
        self._configured(encode_configuration(decode_snapshot(snapshot).configuration))

    async def run(self, tick_ms: int) -> None:
        """Run until cancelled; raises what must stop the node. tick_ms: 0: whoever has this node calls `tick`."""
        works: list[Coroutine[Any, Any, None]] = [self.driver.run(), self._disk_log.run(), self._watch()]
        if tick_ms:
            works.append(self._tick_on(tick_ms / 1000))
        if self._peers is not None:
            works.append(self._receive(self._peers))
        tasks = [asyncio.create_task(work) for work in works]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (*tasks, *self._tasks):
                task.cancel()
            results = await asyncio.gather(*tasks, *self._tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
                raise result

    async def _watch(self) -> None:
        await self._failed

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin a task; what it fails with is the node's failure, a channel's end aside."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, ChannelClosed | PeerUnreachable) and not self._failed.done():
            self._failed.set_exception(error)

    async def _tick_on(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        while True:
            await asyncio.sleep(max(0.0, due - loop.time()))
            # A process that was stopped for a while has not heard anybody meanwhile: it does not make up for that.
            due = max(due + seconds, loop.time())
            await self.tick()

    async def tick(self) -> None:
        """Let one tick of the clock pass."""
        if self._why_removed:
            await self._tell_news()
            return
        self.driver.tick()
        if self._server is not None:
            self._server.tick()
        if self._passing_on is not None:
            self._passing_on.tick()
        self.unled.tick(self.driver.status.leader is not None)
        self.membership.look()
        self.leadership.notice()
        await self._tell_news()

    async def _receive(self, peers: PeerNetwork) -> None:
        while True:
            await self.take(await peers.receive())

    async def take(self, inbound: Inbound) -> None:
        """Take a message of another node. One that makes no sense here is dropped."""
        message, sender = inbound.message, inbound.sender
        if self._why_removed:
            return
        if isinstance(message, JoinRequest):
            self.unled.asked(inbound, message)
            self._spawn(self.membership.take(inbound, message))
            return
        if inbound.claims is not None or self._server is None or self._passing_on is None:
            return
        match message:
            case ConsensusMessage(payload):
                self.driver.step(sender, payload)
            case FetchLedger() | FetchSnapshot() if inbound.answer is not None:
                self._spawn(self._server.serve(sender, message, inbound.answer))
            case CatchUp():
                self._catch_up(sender, message)
            case CaughtUp():
                self._server.ended(sender, message)
            case ForwardCommands():
                await self._passing_on.commands(sender, message)
            case AnswerForwarded():
                await self._passing_on.answered(sender, message)
            case Removed() if self._registration is not None:
                status = self.driver.status
                self._news_due |= self._registration.hear(message, inbound, View(status.term), status.leader)
            case _:
                pass

    def _catch_up(self, sender: NodeId, offer: CatchUp) -> None:
        busy = self._catching_up is None or self._catching_up.is_busy
        if self._catching_up is not None and not busy and sender == self.leadership.leader:
            self._spawn(self._catching_up.run(sender, offer))

    # What the executor sends.

    async def propose(self, proposed: ProposeBlock) -> None:
        """Seal and propose a block; see Leadership."""
        await self.leadership.propose(proposed)

    def forward(self, message: ForwardToLeader) -> None:
        """Pass commands on to the leader."""
        if self._passing_on is None:
            raise InvariantBroken("the executor forwards commands of a network of one node")
        self._passing_on.to_leader(message)

    def return_answers(self, message: ForwardAnswers) -> None:
        """Send answers to the node that passed the commands on."""
        if self._passing_on is None:
            raise InvariantBroken("the executor answers another node in a network of one")
        self._passing_on.answers(message)

    # What the parts ask for.

    def secrets(self) -> NodeSecrets:
        """The node's keys, with those of all epochs that are committed."""
        reached = self.driver.applied_seqno + 1
        epochs = tuple(one for one in self.head.keyring.epochs if one.first_seqno <= reached)
        return replace(self._kept, epochs=epochs)

    async def _seal(self) -> None:
        kept = replace(self._kept, epochs=self.head.keyring.epochs)
        await store_secrets(self._disk, self._sealer, kept)

    def known(self, kept: NodeSecrets) -> None:
        """Take over what was sealed of the node's keys besides its epochs."""
        self._kept = kept

    def joined(self, offer: CatchUp) -> None:
        """Say that the ledger on disk is what was offered when this node joined."""
        chunk, end = self._disk_log.committed_end or (Seqno(0), 0)
        self.driver.restored(Point(b"", Seqno(offer.seqno), View(offer.view), chunk, end))

    def caught_up(self, source: NodeId, offer: CatchUp) -> None:
        """Tell the leader that this node has what it was offered."""
        if self._peers is not None:
            self._peers.send(source, CaughtUp(offer.seqno, True))

    async def drain(self) -> None:
        """Return once what is on its way is committed, where that depends on nobody else.

        With other nodes, a leader hands over first: so they need not wait until they miss it.
        """
        if self.driver.has_others:
            if self.membership.hand_over():
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.leadership.lost.wait(), limits.HAND_OVER_SECONDS_MAX)
            return
        while self.driver.uncommitted:
            self._progress.clear()
            await self._progress.wait()

    def _constitution(self) -> Constitution:
        return self.driver.committed_state.constitution

    def _fill_in(self, name: str, seqno: Seqno) -> Own:
        if name != SNAPSHOT:
            return self.membership.fill(self.leadership.view, seqno)
        if self.snapshots is None:
            raise InvariantBroken("the worker proposed evidence of a snapshot that was not written")
        public, claims = self.snapshots.evidence(seqno)
        return Own(public, claims)

    def _on_change(self) -> None:
        """Another node leads, or none, or this one does."""
        self._news_due = True
        if not self.leadership.view:
            if self.snapshots is not None:
                self.snapshots.lose()
            if self._server is not None:
                self._server.lose()
            self.membership.lose()

    def _on_rollback(self, seqno: Seqno) -> None:
        self._log(f"the ledger goes on after entry {seqno}: what came after was not committed")
        if self.snapshots is not None:
            self.snapshots.roll_back(seqno)

    def _need_snapshot(self, needed: SnapshotNeeded) -> None:
        if self._server is None:
            raise InvariantBroken("a network of one node has a node that lags behind")
        self._server.needed(needed)

    def _configured(self, configuration: bytes) -> None:
        members = decode_configuration(configuration).members
        self.membership.configured(configuration)
        self.driver.has_others = bool(members - {self.leadership.node})
        self._news_due = True

    async def _apply(self, applied: Applied) -> None:
        """Carry out a committed entry."""
        block = applied.log_block.block
        if applied.configuration:
            self._configured(applied.configuration)
        if block is not None:
            self._news_due = self._clock_watch.note(block.time_s) or self._news_due
            await self._announce(applied, block)
        self.update_register()
        await self.membership.committed()
        self._progress.set()

    async def _announce(self, applied: Applied, block: SealedBlock) -> None:
        if self.before_ready is not None:
            await self.before_ready(block)
        elif self.snapshots is not None:
            async with self.snapshots.turn:
                is_own = self.leadership.told == block.view
                await self.leadership.applied(applied.log_block, block)
                if is_own:
                    await self.snapshots.committed(block)
                else:
                    self.snapshots.applied(block)
            return
        await self.leadership.applied(applied.log_block, block)

    def update_register(self) -> None:
        """Have the channels follow the register, if that has changed."""
        state, seqno = self.driver.committed_state, self.driver.applied_seqno
        if self._registration is not None:
            self._news_due |= self._registration.follow(state, self.leadership.view, seqno)

    @property
    def _why_removed(self) -> str:
        return "" if self._registration is None else self._registration.text

    async def _tell_news(self) -> None:
        if not self._news_due:
            return
        self._news_due = False
        status, state = self.driver.status, self.driver.committed_state
        news = news_of(status, state, self.leadership.node, self._clock_watch, self._why_removed)
        with suppress(ChannelClosed):
            await self._status.tell(**news)
