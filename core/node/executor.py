"""The executor: the one process of a node that runs commands and holds the application state. DESIGN sections 1 and 3.

The manager says whether this node leads. If it does, commands come from the gateways and from other nodes, are queued,
and run one by one into blocks (leading.py). If it follows, what is committed is applied out of the ledger
(executor_state.py) and commands go to the leader (forwarding.py). Queries run between all that, on the last committed
state, in whatever role.

Invariant: the manager's messages are taken one after the other, each as a whole, in the order in which they were sent:
a role, and the blocks that are committed before and in it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from core import limits
from core.adapter.block_builder import BlockBuilder, indexed_tables
from core.adapter.interface import Adapter, ScopedTransaction
from core.adapter.loading import load_adapters
from core.errors import ChannelClosed, InvariantBroken, LimitExceeded, MalformedMessage, NodeStopped
from core.governance.constitution import Constitution
from core.node.config import ExecutorConfig
from core.node.executor_queries import QueryRunner
from core.node.executor_start import replay
from core.node.executor_state import ExecutorState
from core.node.forwarding import Forwarder, Returns
from core.node.fresh_reads import FreshReads
from core.node.front_end_keys import FrontEndKeys
from core.node.gateway_link import GatewayLink, flush_all
from core.node.intake import Intake, now_ms, now_s
from core.node.leading import Leading
from core.node.messages import (
    FROM_MANAGER,
    AnswersReturned,
    BlockApplied,
    BlockCommitted,
    CertificateIssued,
    CommandsForwarded,
    Follow,
    FromManager,
    FrontEnd,
    Lead,
    LedgerNews,
    ReadsConfirmed,
    ReceiptMade,
    SnapshotBegin,
    SnapshotMore,
    SnapshotWritten,
    SystemWork,
)
from core.node.node_documents import NodeFigures, status_document
from core.node.node_news import NodeNews, read_news
from core.node.outcomes import Outcomes
from core.node.pace import BlockPace
from core.node.reader_feed import FeedSource, ReaderFeeds
from core.node.receipt_desk import ReceiptDesk
from core.node.snapshot_stream import SnapshotStream
from core.node.supervision import until_done
from core.node.tickets import Tickets
from core.ports import Transport
from core.types import Seqno, TransactionId, View

TURN_SECONDS_MAX = 0.001
"""How long commands run before the event loop may look at its sockets."""

LoadAdapters = Callable[[Mapping[str, Mapping[str, Any]], str], dict[str, Adapter]]


class Executor:
    """See the module. clock: Unix seconds. The transports are paired already. `run` is called once."""

    def __init__(
        self,
        config: ExecutorConfig,
        *,
        manager: Transport,
        gateways: Sequence[Transport],
        clock: Callable[[], float],
        log: Callable[[str], None],
        load: LoadAdapters = load_adapters,
    ) -> None:
        self._config = config
        self._manager = manager
        self._wake = asyncio.Event()
        tickets = Tickets()
        self._outcomes = Outcomes(tickets)
        self._forwarder = Forwarder(manager, tickets, now_s, self._wake.set)
        self._returns = Returns(manager)
        self._fresh = FreshReads(manager, now_s, self._wake.set)
        self._intake = Intake(tickets, self._forwarder, self._returns, self._fresh, self._wake, now_ms, log)
        self._links = [GatewayLink(transport, self._intake.take, self._wake.set) for transport in gateways]
        self._fresh.attach(self._links)
        self._clock = clock
        self._log = log
        self._load = load
        self._feeds = ReaderFeeds(log)
        self._snapshots = SnapshotStream(manager, self._wake.set)
        self._ledger_news: Mapping[str, Any] = {}
        self._node_news = NodeNews()
        self._front_end_keys = FrontEndKeys(manager, clock)
        self._receipts = ReceiptDesk(manager, log)
        self._leading: Leading | None = None
        self._pace = BlockPace(config.block_commands_enough, config.block_wait_ms / 1000)
        self._leader = ""
        self._is_open = False
        self._stop_at_s: float | None = None

    def attach_reader(self, transport: Transport) -> None:
        """Feed one more reader (paired already), from now or from when this executor is ready. Its end is no harm."""
        self._feeds.attach(transport)

    def request_stop(self) -> None:
        """Take no more commands, finish what is in flight, send the answers, and return from `run`."""
        self._intake.stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Run until `request_stop`. Raises NodeStopped when the manager or a gateway is gone, InvariantBroken."""
        try:
            await self._start()
        except ChannelClosed as error:
            raise NodeStopped("the manager enclave is gone", hint="Start the node again.") from error
        work = asyncio.create_task(self._work())
        parts = (self._feeds, self._front_end_keys, self._receipts, self._snapshots, self._forwarder, self._returns)
        beside = (self._hear_manager(), self._fresh.run(), *(part.run() for part in parts))
        others = [asyncio.create_task(one) for one in beside]
        for link in self._links:
            others += [asyncio.create_task(link.read(self._log)), asyncio.create_task(link.write())]
        try:
            await until_done(work, set(others), may_close=lambda: self._intake.stopping)
            await flush_all(self._links)
        finally:
            for task in (work, *others):
                task.cancel()
            await asyncio.gather(work, *others, return_exceptions=True)

    # What the node says of itself (AboutNode).

    def news(self) -> NodeNews:
        """Return what the manager has told of the nodes."""
        return self._node_news

    def figures(self) -> NodeFigures:
        """Return the figures as of now."""
        state, leading = self._state, self._leading
        return NodeFigures(
            node_id=self._node_id,
            leads=leading is not None,
            committed=TransactionId(state.views.view_at(state.committed), state.committed),
            head=state.store.head,
            started=state.started,
            blocks=state.builder.number,
            blocks_in_flight=0 if leading is None else leading.blocks_in_flight,
            unresolved_blocks=len(self._outcomes),
            queued=self._intake.queues.lengths(),
            queries=len(self._intake.queries) + len(self._fresh),
            forwarded=len(self._forwarder),
            unanswered=len(self._intake.tickets),
            readers=len(self._feeds),
            stopping=self._intake.stopping,
        )

    def status(self) -> Mapping[str, Any]:
        """Return what /node/status answers."""
        document = status_document(self.figures(), self._node_news, self._leader)
        adapters = {name: adapter.info.version for name, adapter in self._state.adapters.items()}
        about = {"adapters": adapters, "default_adapter": self._state.default_adapter(), "ledger": self._ledger_news}
        return document | about

    # Start.

    async def _start(self) -> None:
        store, ready = await replay(self._manager)
        constitution = Constitution.decode(ready.constitution)
        adapters = self._load(constitution.adapters, constitution.network)
        store.index(indexed_tables(adapters.values()))
        builder = BlockBuilder(
            store,
            adapters,
            clock=self._clock,
            random=secrets.token_bytes,
            commands_max=self._config.block_commands_max,
            bytes_max=self._config.block_bytes_max,
        )
        self._service = ready.service
        self._node_id = str(msgspec.json.decode(ready.service).get("node_id", ""))
        self._state = ExecutorState(
            ready,
            store,
            adapters,
            builder,
            self._feeds,
            announce=self._announce,
            pinned=lambda: self._feeds.pinned + self._snapshots.pinned,
            log=self._log,
        )
        self._query_runner = QueryRunner(self._state, self._receipts, self, self._log)
        self._receipts.open(self._query_runner.disclose, ready.service)
        self._snapshots.open(store)
        self._intake.open(adapters, lambda name: ScopedTransaction(store.begin(), name))
        self._forwarder.reached(self._state.committed)
        self._state.wake_adapters(reset=True)
        self._open_when_complete()

    def _open_when_complete(self) -> None:
        """Once there is something to serve: have the front end's key certified, which opens the rest."""
        if self._state.is_complete:
            self._front_end_keys.open()

    def _certificate_issued(self, message: CertificateIssued) -> None:
        self._front_end_keys.issued(message)
        if not self._is_open:
            self._is_open = True
            state = self._state
            self._feeds.open(
                FeedSource(state.store, state.constitution.encode(), lambda: state.committed, state.builder.now_s)
            )
            self._announce(state.committed)
            self._log(
                f"ready: view {state.views.view}, {state.committed} entries, adapters {', '.join(state.adapters)}"
            )
        self._send_front_end()

    def _send_front_end(self) -> None:
        front_end = FrontEnd(
            self._state.constitution.encode(),
            self._state.default_adapter(),
            self._front_end_keys.chain,
            self._front_end_keys.private_key,
            self._front_end_keys.service or self._service,
            self._feeds.session,
            str(self._ledger_news.get("removed", "")),
        )
        for link in self._links:
            link.send_front_end(front_end)

    def _announce(self, committed: Seqno) -> None:
        """Tell the gateways what is committed. Where there are readers, those wake whoever waits for it."""
        for link in self._links if self._is_open else ():
            (link.note if self._config.readers else link.announce)(committed)

    # What comes from the manager.

    async def _hear_manager(self) -> None:
        while True:
            try:
                message = FROM_MANAGER.decode(await self._manager.receive())
            except (MalformedMessage, LimitExceeded) as error:
                self._log(f"a message of the manager was refused: {error.message}")
                continue
            self._hear(message)
            self._wake.set()

    def _hear(self, message: FromManager) -> None:
        match message:
            case BlockCommitted():
                self._leadership(message).committed(message)
                self._reached()
            case BlockApplied():
                self._apply(message)
            case Lead():
                self._lead(message)
            case Follow(leader):
                self._follow(leader)
            case SystemWork():
                self._leadership(message).system_work()
            case CommandsForwarded():
                self._intake.take_forwarded(message)
            case AnswersReturned(items):
                self._forwarder.returned(items)
            case ReadsConfirmed():
                self._fresh.confirmed(message)
            case ReceiptMade():
                self._receipts.made(message)
            case CertificateIssued():
                self._certificate_issued(message)
            case SnapshotWritten() if self._leading is None:
                pass  # Evidence is for a leader to propose; the manager that leads again says so again.
            case SnapshotBegin() | SnapshotMore() | SnapshotWritten():
                self._snapshots.take(message)
            case LedgerNews(status):
                self._ledger_news, self._node_news = read_news(status)
                self._state.front_end_changed |= "removed" in self._ledger_news
                self._reached()
            case _:
                raise InvariantBroken(f"the manager sent {type(message).__name__} out of turn")

    def _leadership(self, message: BlockCommitted | SystemWork) -> Leading:
        if self._leading is None:
            raise InvariantBroken(f"the manager sent {type(message).__name__} to an executor that does not lead")
        return self._leading

    def _reached(self) -> None:
        """After each committed block: whoever waits for it is answered, and gateways learn what has changed."""
        self._forwarder.reached(self._state.committed)
        self._open_when_complete()
        if self._state.front_end_changed:
            self._state.front_end_changed = False
            if self._is_open:
                self._send_front_end()

    # Roles.

    def _lead(self, message: Lead) -> None:
        self._follow("")
        self._state.begin_view(message)
        self._reached()
        view = View(message.view)
        self._outcomes.view_began(view)
        self._leading = Leading(view, self._state, self._intake, self._snapshots, self._manager, self._log, self._pace)
        self._intake.lead(alone=message.alone)
        self._log(f"leads view {view} after entry {self._state.committed}")

    def _follow(self, leader: str) -> None:
        if self._leading is not None:
            leading, self._leading = self._leading, None
            self._outcomes.remember(leading.view, leading.depose(), now_s())
            self._log(f"leads view {leading.view} no more")
        self._leader = leader
        self._intake.follow(leader, self._outcomes.tickets)

    def _apply(self, message: BlockApplied) -> None:
        if self._leading is not None:
            raise InvariantBroken("the manager applies blocks of others to an executor that leads")
        self._state.apply(message)
        self._outcomes.applied(message)
        self._reached()

    # The work.

    async def _work(self) -> None:
        time = asyncio.get_running_loop().time
        while True:
            turn_end = time() + TURN_SECONDS_MAX
            progressed = True
            while progressed and time() < turn_end:
                progressed = self._answer_query()
                if self._leading is not None:
                    progressed = await self._leading.step() or progressed
            self._intake.expire()
            self._forwarder.expire()
            self._outcomes.expire(time())
            if progressed:
                await asyncio.sleep(0)
            elif self._intake.stopping and self._may_end():
                self._end()
                return
            else:
                await self._sleep()

    def _may_end(self) -> bool:
        """Whether nothing is in flight any more, or it takes too long."""
        if self._stop_at_s is None:
            self._stop_at_s = now_s() + limits.STOP_SECONDS_MAX
        is_idle = self._leading is None or self._leading.is_idle
        return now_s() >= self._stop_at_s or (is_idle and not self._outcomes and not self._forwarder.outstanding)

    def _end(self) -> None:
        self._follow("")
        self._outcomes.fail_all()
        self._forwarder.give_up_all()
        self._intake.refuse_all()
        self._receipts.refuse_all()

    async def _sleep(self) -> None:
        """Wait until something arrives or a held command expires."""
        loop = asyncio.get_running_loop()
        deadlines = (
            self._intake.next_deadline_s(),
            self._forwarder.next_deadline_s(),
            self._outcomes.next_deadline_s(),
            self._stop_at_s,
            None if self._leading is None else self._leading.next_deadline_s(),
        )
        deadline_s = min((one for one in deadlines if one is not None), default=None)
        timer = None if deadline_s is None else loop.call_at(deadline_s + 0.001, self._wake.set)
        try:
            await self._wake.wait()
            self._wake.clear()
        finally:
            if timer is not None:
                timer.cancel()

    def _answer_query(self) -> bool:
        query = self._intake.next_query(self._state.committed)
        if query is not None:
            self._query_runner.answer(*query)
        return query is not None
