"""The executor: the one process of a node that runs commands and holds the application state. DESIGN sections 1 and 3.

Commands come from the gateways, are queued, and run one by one into the open block (core/adapter/block_builder.py).
A block closes when it is full; or, once no other block is in flight, as soon as nothing more is ready or it holds
BLOCK_COMMANDS_ENOUGH commands. No timer is involved: an idle network commits a single command at once, and under load
blocks fill while the manager seals the one before. Queries run between commands, on the last committed state.

Invariant: nothing that depends on a block is answered before the manager says that the block is committed.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any, assert_never

import msgspec

from core import limits
from core.adapter.block_builder import (
    BlockBuilder,
    CloseFailed,
    DoesNotFit,
    Failed,
    Ran,
    Rejected,
    indexed_tables,
    settle,
)
from core.adapter.interface import Adapter, Pending, ScopedTransaction
from core.adapter.loading import load_adapters
from core.errors import ChannelClosed, InvariantBroken, LimitExceeded, MalformedMessage, NodeStopped
from core.governance.constitution import Constitution
from core.kv.write_set import WriteSet, encode_domain
from core.node.config import ExecutorConfig
from core.node.executor_queries import QueryRunner
from core.node.executor_start import replay
from core.node.front_end_keys import FrontEndKeys
from core.node.gateway_link import GatewayLink, flush_all
from core.node.intake import Intake, now_ms
from core.node.manager_tables import CONSTITUTION, CURRENT, DEFAULT_ADAPTER, SETTINGS
from core.node.messages import (
    FROM_MANAGER,
    BlockCommitted,
    CertificateIssued,
    FrontEnd,
    GovernanceResult,
    LedgerNews,
    ReceiptMade,
    ReplayedEntry,
    SnapshotBegin,
    SnapshotMore,
    SnapshotWritten,
)
from core.node.proposals import Proposals, Proposed
from core.node.reader_feed import FeedSource, ReaderFeeds
from core.node.receipt_desk import ReceiptDesk
from core.node.snapshot_stream import SnapshotStream
from core.node.supervision import until_done
from core.node.transaction_status import ViewHistory
from core.ports import Transport
from core.types import Seqno, View

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
        self._intake = Intake(self._wake, now_ms, log)
        self._tickets = self._intake.tickets
        self._links = [GatewayLink(transport, self._intake.take) for transport in gateways]
        self._clock = clock
        self._log = log
        self._load = load
        self._feeds = ReaderFeeds(log)
        self._snapshots = SnapshotStream(manager, self._wake.set)
        self._ledger_news: Any = {}
        self._front_end_keys = FrontEndKeys(manager, clock)
        self._receipts = ReceiptDesk(manager, log)

    def attach_reader(self, transport: Transport) -> None:
        """Feed one more reader (paired already), from now or from when this executor is ready. Its end is no harm."""
        self._feeds.attach(transport)

    def request_stop(self) -> None:
        """Take no more commands, finish the blocks in flight, send their answers, and return from `run`."""
        self._intake.stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Run until `request_stop`. Raises NodeStopped when the manager or a gateway is gone, InvariantBroken."""
        try:
            await self._start()
        except ChannelClosed as error:
            raise NodeStopped("the manager enclave is gone", hint="Start the node again.") from error
        work = asyncio.create_task(self._work())
        parts = (self._feeds, self._front_end_keys, self._receipts, self._snapshots)
        beside = (self._hear_manager(), *(part.run() for part in parts))
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

    # Start.

    async def _start(self) -> None:
        self._store, ready = await replay(self._manager)
        self._committed = Seqno(ready.last_seqno)
        self._view = View(ready.view)
        self._service = ready.service
        self._constitution = Constitution.decode(ready.constitution)
        self._adapters = self._load(self._constitution.adapters, self._constitution.network)
        self._store.index(indexed_tables(self._adapters.values()))
        self._views = ViewHistory(ready.view_history)
        self._builder = BlockBuilder(
            self._store,
            self._adapters,
            clock=self._clock,
            random=secrets.token_bytes,
            commands_max=self._config.block_commands_max,
            bytes_max=self._config.block_bytes_max,
        )
        self._proposals = Proposals(self._manager, self._view)
        self._query_runner = QueryRunner(
            self._store, self._adapters, self._views, self._receipts, self._builder.now_s, self._status, self._log
        )
        self._query_runner.committed = self._committed
        self._receipts.open(self._query_runner.disclose, ready.service)
        await self._genesis()
        self._settle()
        self._intake.open(self._adapters, lambda name: ScopedTransaction(self._store.begin(), name), self._view)
        await self._front_end_keys.obtain()
        self._feeds.open(
            FeedSource(self._store, self._constitution.encode(), lambda: self._committed, self._builder.now_s)
        )
        self._snapshots.open(self._store)
        self._announce()
        self._send_front_end()
        self._log(f"ready: view {self._view}, {self._committed} entries, adapters {', '.join(self._adapters)}")

    async def _genesis(self) -> None:
        self._builder.genesis()
        if not self._builder.is_empty:
            await self._proposals.propose(self._builder.close())
            message = FROM_MANAGER.decode(await self._manager.receive())
            if not isinstance(message, BlockCommitted):
                raise InvariantBroken(f"the manager sent {type(message).__name__} in answer to the genesis block")
            self._block_committed(message)

    def _send_front_end(self) -> None:
        front_end = FrontEnd(
            self._constitution.encode(),
            self._default_adapter(),
            self._front_end_keys.chain,
            self._front_end_keys.private_key,
            self._front_end_keys.service or self._service,
            self._feeds.session,
        )
        for link in self._links:
            link.send_front_end(front_end)

    def _default_adapter(self) -> str:
        """What governance set last, else what the constitution says."""
        chosen = self._store.begin(self._committed).table(SETTINGS).get(DEFAULT_ADAPTER)
        return self._constitution.default_adapter if chosen is None else chosen.decode()

    # What comes from the manager.

    async def _hear_manager(self) -> None:
        while True:
            try:
                message = FROM_MANAGER.decode(await self._manager.receive())
            except (MalformedMessage, LimitExceeded) as error:
                self._log(f"a message of the manager was refused: {error.message}")
                continue
            match message:
                case BlockCommitted():
                    self._block_committed(message)
                    self._wake.set()
                case ReceiptMade():
                    self._receipts.made(message)
                case CertificateIssued():
                    self._front_end_keys.issued(message)
                    self._send_front_end()
                case SnapshotBegin() | SnapshotMore() | SnapshotWritten():
                    self._snapshots.take(message)
                case LedgerNews(status):
                    self._ledger_news = msgspec.json.decode(status)
                case _:
                    raise InvariantBroken(f"the manager sent {type(message).__name__} out of turn")

    def _block_committed(self, message: BlockCommitted) -> None:
        block = self._proposals.committed(message)
        if block.last_seqno is None:
            self._governance_committed(block, message)
        elif message.governance:
            raise InvariantBroken("the manager reports governance in a block that held none")
        else:
            self._pass_on(block.entries, Seqno(message.last_seqno))
        self._settle()
        for ran in block.commands:
            self._tickets.answer(ran.pending.ticket, ran.reply, ran.seqno)

    def _pass_on(self, entries: Sequence[ReplayedEntry], committed: Seqno) -> None:
        """Take committed entries for committed, before anything is answered that depends on them."""
        self._feeds.block(entries, self._committed, committed, self._builder.now_s())
        self._committed = self._query_runner.committed = committed
        self._announce()

    def _announce(self) -> None:
        """Tell the gateways what is committed. Where there are readers, those wake whoever waits for it."""
        for link in self._links:
            (link.note if self._config.readers else link.announce)(self._committed)

    def _settle(self) -> None:
        try:
            settle(self._store, self._adapters, self._committed, pinned=self._feeds.pinned + self._snapshots.pinned)
        except InvariantBroken:
            raise
        except Exception as error:  # noqa: BLE001 - the node loop: adapters are other people's code
            self._log(f"an adapter failed to take note of a commit ({type(error).__name__})")

    def _governance_committed(self, block: Proposed, message: BlockCommitted) -> None:
        entries = []
        for result in message.governance:
            writes = WriteSet.decode(result.public or encode_domain({}), encode_domain({}))
            if writes:
                self._store.apply(Seqno(result.seqno), writes)
                entries.append(ReplayedEntry(result.seqno, result.public, encode_domain({})))
            constitution = writes.tables.get(CONSTITUTION, {}).get(CURRENT)
            if constitution is not None:
                self._change_constitution(Constitution.decode(constitution))
        self._builder.open_after(Seqno(message.last_seqno))
        self._pass_on(entries, Seqno(message.last_seqno))
        if block.ticket is not None:
            self._answer_governance(block.ticket, message.governance)
            self._send_front_end()

    def _change_constitution(self, changed: Constitution) -> None:
        if changed.adapters != self._constitution.adapters:
            self._log("the constitution's adapters changed; that takes effect when the node starts again")
        self._constitution = changed

    def _answer_governance(self, ticket: int, results: Sequence[GovernanceResult]) -> None:
        if not results:
            self._tickets.fail(ticket, "unknown_outcome")
            return
        result = results[0]
        reply = {"accepted": not result.reason, "reason": result.reason, "transaction": f"{self._view}.{result.seqno}"}
        self._tickets.answer(ticket, msgspec.json.encode(reply), Seqno(result.seqno))

    # The work.

    async def _work(self) -> None:
        time = asyncio.get_running_loop().time
        while True:
            turn_end = time() + TURN_SECONDS_MAX
            progressed = True
            while progressed and time() < turn_end:
                progressed = self._answer_query()
                progressed = await self._step() or progressed
            self._intake.expire()
            if progressed:
                await asyncio.sleep(0)
            elif self._intake.stopping and self._builder.is_empty and not self._proposals:
                self._intake.refuse_all()
                self._receipts.refuse_all()
                return
            else:
                await self._sleep()

    async def _sleep(self) -> None:
        """Wait until something arrives or a held command expires."""
        loop = asyncio.get_running_loop()
        deadline_ms = self._intake.queues.next_deadline_ms()
        timer = None if deadline_ms is None else loop.call_at(deadline_ms / 1000 + 0.001, self._wake.set)
        try:
            await self._wake.wait()
            self._wake.clear()
        finally:
            if timer is not None:
                timer.cancel()

    async def _step(self) -> bool:
        """Run one command, or close a block; returns whether there was anything to do."""
        if self._must_close():
            if not self._proposals.has_room:
                return False
            await self._close_block()
            return True
        if self._proposals.awaits_governance:
            return False
        if self._has_manager_entry and not self._intake.stopping:
            return await self._propose_manager_entry()
        item = None if self._intake.stopping else self._next()
        if item is not None:
            self._run(*item)
            return True
        if not self._builder.is_empty and not self._proposals:
            await self._close_block()
            return True
        return False

    def _must_close(self) -> bool:
        if self._builder.is_empty:
            return False
        if self._builder.is_full or self._has_manager_entry or self._intake.stopping:
            return True
        return not self._proposals and len(self._builder.commands) >= limits.BLOCK_COMMANDS_ENOUGH

    @property
    def _has_manager_entry(self) -> bool:
        """Whether there is something to propose whose entry the manager itself fills in, as a block of its own."""
        return bool(self._intake.governance) or self._snapshots.owes_evidence

    def _next(self) -> tuple[str, Pending] | None:
        return self._builder.backlog.popleft() if self._builder.backlog else self._intake.next()

    def _run(self, name: str, pending: Pending) -> None:
        result = self._builder.execute(name, pending)
        match result:
            case Ran() | DoesNotFit():
                pass
            case Rejected(reply):
                self._tickets.answer(pending.ticket, reply)
            case Failed(error):
                self._log(f"the adapter {name} failed on a command ({type(error).__name__})")
                self._tickets.fail(pending.ticket, "too_large" if isinstance(error, LimitExceeded) else "failed")
            case _:
                assert_never(result)

    async def _close_block(self) -> None:
        try:
            block = self._builder.close()
        except CloseFailed as failed:
            self._log(f"the adapter {failed.adapter} failed to close a block ({type(failed.error).__name__})")
            for ran in failed.commands:
                self._tickets.fail(ran.pending.ticket, "failed")
            return
        await self._proposals.propose(block)

    async def _propose_manager_entry(self) -> bool:
        if not self._proposals.has_room:
            return False
        first = Seqno(self._store.head + 1)
        if self._snapshots.owes_evidence:
            self._snapshots.owes_evidence = False
            await self._proposals.propose_evidence(first)
        else:
            ticket, message = self._intake.governance.popleft()
            await self._proposals.propose_governance(first, ticket, message)
        return True

    def _answer_query(self) -> bool:
        waiting = self._intake.queries.pop(self._committed, 0.0)
        if waiting is not None:
            self._query_runner.answer(*waiting.item)
        return waiting is not None

    def roll_back(self) -> None:
        """Go back to the last committed block, as on loss of leadership; commands in flight end "unknown_outcome"."""
        for ran in self._builder.rollback(self._committed):
            self._tickets.fail(ran.pending.ticket, "failed")
        for block in self._proposals.drop_all():
            for ran in block.commands:
                self._tickets.fail(ran.pending.ticket, "unknown_outcome", ran.seqno)
            if block.ticket is not None:
                self._tickets.fail(block.ticket, "unknown_outcome")
        self._wake.set()

    def _status(self) -> dict[str, Any]:
        return {
            "view": self._view,
            "committed": self._committed,
            "head": self._store.head,
            "blocks": self._builder.number,
            "blocks_in_flight": len(self._proposals),
            "queued": self._intake.queues.lengths(),
            "adapters": {name: adapter.info.version for name, adapter in self._adapters.items()},
            "default_adapter": self._default_adapter(),
            "readers": len(self._feeds),
            "ledger": self._ledger_news,
            "stopping": self._intake.stopping,
        }
