"""Runs one adapter over a store without a node: for the tests of those who write adapters.

Blocks are built by the same code as in a node (core/adapter/block_builder.py), so that what passes here passes there.
Every block commits as soon as it closes. Two clocks stand still until `advance_clock`: the block time and the queue's
milliseconds. Randomness comes from `seed`, so that a run repeats.

    harness = AdapterHarness(MyAdapter({}, "test"))
    assert harness.submit(b"put a 1", Caller("alice")) == b"ok"
    response = await harness.request("GET", "/keys/a", caller=Caller("alice"))
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from core import limits
from core.adapter.block_builder import (
    BlockBuilder,
    CloseFailed,
    DoesNotFit,
    Failed,
    Ran,
    Rejected,
    indexed_tables,
    query_context,
    run_query,
    settle,
    written_entry,
)
from core.adapter.interface import (
    ANONYMOUS,
    Adapter,
    Caller,
    CommandRejected,
    Disclosure,
    Outcome,
    Pending,
    Request,
    Response,
    ScopedTransaction,
)
from core.adapter.queue import CommandQueues
from core.adapter.routing import RouteTable, parse_query
from core.errors import CocoError, LimitExceeded
from core.kv.store import Store
from core.kv.write_set import WriteSet
from core.types import Digest, Seqno, TransactionId, View

_VIEW = View(2)
_START_S = 1_700_000_000.0


class CommandHeld(CocoError):
    """The adapter's queue holds the command back; `outcome(ticket)` has its answer once it has run or expired."""

    def __init__(self, ticket: int) -> None:
        super().__init__(
            f"the command with ticket {ticket} is held back", hint="Submit what it waits for, or advance_clock."
        )
        self.ticket = ticket


@dataclass(frozen=True, slots=True)
class RecordedEntry:
    """One entry as the ledger would keep it. public, private: the encoded domains of its write set."""

    seqno: Seqno
    public: bytes
    private: bytes
    claims: bytes


class AdapterHarness:
    """See the module. The adapter under test is `adapter` (a new object after `restart`), its state is `store`."""

    def __init__(
        self,
        adapter: Adapter,
        *,
        clock: Callable[[], float] | None = None,
        seed: int = 0,
        block_commands_max: int = limits.BLOCK_COMMANDS_MAX,
        block_bytes_max: int = limits.BLOCK_BYTES_MAX,
    ) -> None:
        """Run the adapter's genesis. clock: Unix seconds; without it the time stands at a fixed date."""
        self.adapter = adapter
        self.entries: list[RecordedEntry] = []
        """Every entry made so far, in order; signatures are left out."""
        self.blocks = 0
        self._base_clock = clock or (lambda: _START_S)
        self._offset_ms = 0
        self._random = random.Random(seed)  # noqa: S311 - tests repeat; a node uses the operating system's
        self._bounds = (block_commands_max, block_bytes_max)
        self._ticket = 0
        self._outcomes: dict[int, Outcome] = {}
        self._waiters: dict[int, asyncio.Future[Outcome]] = {}
        self._watchers: list[asyncio.Future[None]] = []
        self._begin(Store(self._indexed()))

    @property
    def store(self) -> Store:
        return self._store

    @property
    def committed(self) -> Seqno:
        """The newest committed sequence number (a signature's)."""
        return self._store.head

    def transaction(self) -> ScopedTransaction:
        """Open the committed state as the adapter sees it, to look at its tables."""
        return ScopedTransaction(self._store.begin(), self.adapter.info.name)

    # Commands.

    def submit(self, payload: bytes, caller: Caller = ANONYMOUS) -> bytes:
        """Run one command to its commit and return its reply, also that of a rejection. Raises CommandHeld."""
        ticket = self.enqueue(payload, caller)
        self.run()
        outcome = self.outcome(ticket)
        if outcome is None:
            raise CommandHeld(ticket)
        return outcome.reply

    def submit_many(self, commands: Iterable[tuple[bytes, Caller]]) -> list[bytes | None]:
        """Queue commands together, so that they share blocks; returns their replies, None for those held back."""
        tickets = [self.enqueue(payload, caller) for payload, caller in commands]
        self.run()
        outcomes = [self.outcome(ticket) for ticket in tickets]
        return [None if outcome is None else outcome.reply for outcome in outcomes]

    def enqueue(self, payload: bytes, caller: Caller = ANONYMOUS) -> int:
        """Queue a command without running it; returns its ticket. Raises LimitExceeded, Overloaded."""
        if len(payload) > limits.COMMAND_BYTES_MAX:
            raise LimitExceeded(f"a command of {len(payload)} bytes; the bound is {limits.COMMAND_BYTES_MAX}")
        self._ticket += 1
        pending = Pending(self._ticket, payload, caller)
        try:
            displaced = self._queues.push(self.adapter.info.name, pending, self._now_ms())
        except CommandRejected as rejected:
            self._answer(pending.ticket, Outcome(rejected.reply, None))
        else:
            self._answer_all(displaced)
        return pending.ticket

    def outcome(self, ticket: int) -> Outcome | None:
        """Return a command's outcome, None while it waits."""
        return self._outcomes.get(ticket)

    def run(self) -> None:
        """Run every command that is ready, committing block by block. An exception of the adapter's own passes."""
        while (item := self._next()) is not None:
            name, pending = item
            match self._builder.execute(name, pending):
                case Rejected(reply):
                    self._answer(pending.ticket, Outcome(reply, None))
                case Failed(error):
                    raise error
                case Ran() | DoesNotFit():
                    pass
            if self._builder.is_full:
                self._close_block()
        if not self._builder.is_empty:
            self._close_block()

    # Queries and routes.

    def query(self, payload: bytes, caller: Caller = ANONYMOUS) -> bytes:
        """Run a query on the committed state."""
        return run_query(
            self._store,
            self.adapter,
            payload,
            caller,
            committed=self.committed,
            time_s=self._builder.now_s(),
        )

    def backend(self) -> HarnessBackend:
        """Return the executor as a route handler sees it. Commands submitted together share a block."""
        return HarnessBackend(self)

    async def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        caller: Caller = ANONYMOUS,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Serve one HTTP request as a gateway would. path: relative to the adapter's mount, with the query string."""
        target = urlsplit(path)
        routes = RouteTable(self.adapter.routes())
        match = routes.match(method, target.path)
        if caller.identity is None and (match is None or not match.route.anonymous):
            return Response(401, b'{"error":"no identity"}')
        if match is None:
            return Response(405 if routes.methods(target.path) else 404, b'{"error":"no such route"}')
        lowered = {name.lower(): value for name, value in (headers or {}).items()}
        request = Request(method, target.path, match.parameters, parse_query(target.query), lowered, body, caller)
        return await match.route.handler(request, self.backend())

    def disclose(self, seqno: Seqno, caller: Caller) -> Disclosure | None:
        """Return what the adapter lets a caller have of the receipt of an entry; None for none."""
        for entry in self.entries:
            if entry.seqno == seqno and seqno <= self.committed:
                writes = WriteSet.decode(entry.public, entry.private)
                written = written_entry(self.adapter, seqno, writes, Digest(entry.claims))
                time_s = self._builder.now_s()
                context = query_context(self._store, self.adapter, caller, committed=self.committed, time_s=time_s)
                return self.adapter.disclose(written, context)
        return None

    async def submit_async(self, payload: bytes, caller: Caller) -> Outcome:
        """Queue a command and wait for its outcome."""
        ticket = self.enqueue(payload, caller)
        await asyncio.sleep(0)  # so that commands submitted in the same tick come into one block
        self.run()
        outcome = self.outcome(ticket)
        if outcome is None:
            outcome = await self._waiters.setdefault(ticket, asyncio.get_running_loop().create_future())
        return outcome

    async def committed_after(self, seqno: int) -> Seqno:
        """Wait until a block after seqno is committed; returns the newest committed sequence number."""
        while self.committed <= seqno:
            waiter = asyncio.get_running_loop().create_future()
            self._watchers.append(waiter)
            await waiter
        return self.committed

    # Time and restarts.

    def advance_clock(self, milliseconds: int) -> None:
        """Let time pass: held commands expire, block time moves."""
        self._offset_ms += milliseconds
        self._answer_all(self._queues.expire(self._now_ms()))
        self.run()

    def restart(self) -> None:
        """Make a new adapter of the same class and settings, on a store replayed from the recorded entries.

        Commands that wait are lost, as in a node.
        """
        self.adapter = type(self.adapter)(self.adapter.settings, self.adapter.network)
        head = self.committed
        store = Store(self._indexed())
        for entry in self.entries:
            store.apply(entry.seqno, WriteSet.decode(entry.public, entry.private))
        store.advance(head)
        self._begin(store)

    def _begin(self, store: Store) -> None:
        self._store = store
        name = self.adapter.info.name
        self._adapters = {name: self.adapter}
        self._builder = BlockBuilder(
            store,
            self._adapters,
            clock=lambda: self._base_clock() + self._offset_ms / 1000,
            random=self._random.randbytes,
            commands_max=self._bounds[0],
            bytes_max=self._bounds[1],
        )
        self._builder.genesis()
        if not self._builder.is_empty:
            self._close_block()
        self._queues = CommandQueues()
        self._queues.add(name, self.adapter.make_queue(self.transaction))

    def _next(self) -> tuple[str, Pending] | None:
        return self._builder.backlog.popleft() if self._builder.backlog else self._queues.pop()

    def _close_block(self) -> None:
        try:
            block = self._builder.close()
        except CloseFailed as failed:
            self._builder.backlog.clear()
            raise failed.error from failed
        self.blocks += 1
        self.entries.extend(
            RecordedEntry(entry.seqno, entry.public, entry.private, entry.claims) for entry in block.entries
        )
        settle(self._store, self._adapters, block.last_seqno)
        watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            if not watcher.done():
                watcher.set_result(None)
        for ran in block.commands:
            self._answer(ran.pending.ticket, Outcome(ran.reply, TransactionId(_VIEW, ran.seqno)))

    def _indexed(self) -> dict[str, int]:
        return indexed_tables([self.adapter])

    def _now_ms(self) -> int:
        return self._offset_ms

    def _answer_all(self, answers: Iterable[tuple[Pending, bytes]]) -> None:
        for pending, reply in answers:
            self._answer(pending.ticket, Outcome(reply, None))

    def _answer(self, ticket: int, outcome: Outcome) -> None:
        self._outcomes[ticket] = outcome
        waiter = self._waiters.pop(ticket, None)
        if waiter is not None and not waiter.done():
            waiter.set_result(outcome)


class HarnessBackend:
    """The `Backend` of a harness."""

    def __init__(self, harness: AdapterHarness) -> None:
        self._harness = harness

    async def submit(self, payload: bytes, caller: Caller) -> Outcome:
        """Run a command and return at commit."""
        return await self._harness.submit_async(payload, caller)

    async def query(self, payload: bytes, caller: Caller) -> bytes:
        """Run a query on committed state."""
        return self._harness.query(payload, caller)

    async def receipt(self, seqno: Seqno, caller: Caller) -> bytes | None:
        """Return what a proof would tell the caller; there is no ledger here, so the receipt itself is empty."""
        disclosure = self._harness.disclose(seqno, caller)
        if disclosure is None:
            return None
        identifier = str(TransactionId(_VIEW, seqno))
        proof = {"transactionId": identifier, "receipt": {}, "claims": disclosure.claims, "serviceCertificate": ""}
        return json.dumps(proof, separators=(",", ":")).encode()

    async def committed_after(self, seqno: int) -> int:
        """Wait until something newer is committed."""
        return await self._harness.committed_after(seqno)
