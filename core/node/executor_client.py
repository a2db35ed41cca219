"""A gateway's way to the executor and the readers: commands to the one, queries to whoever can answer them.

Each query carries the newest committed seqno that this gateway has answered with, and a reader answers from no older
state: a client reads what it has written, and never an older state than it has read. Where the constitution wants reads
to be linearizable, the executor is asked first what is committed by now (read_rounds.py), or itself answers no sooner
than it knows (fresh_reads.py): a client reads what anybody was told before, by any node.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import assert_never

import msgspec

from core import limits
from core.adapter.interface import (
    ANONYMOUS,
    Adapter,
    Caller,
    CommandFailed,
    Outcome,
    OutcomeUnknown,
    Overloaded,
    QueryClass,
    TransactionStatus,
)
from core.errors import CocoError, InvariantBroken, LimitExceeded
from core.node.exchange import Exchange
from core.node.messages import Answer, Ask, FrontEnd, Submit, WireCaller
from core.node.proposals import GOVERNANCE
from core.node.read_rounds import ReadRounds
from core.node.reader_slot import ReaderSlot
from core.node.receipt_answer import RECEIPT_ANSWER, ReceiptAnswer
from core.ports import Transport
from core.types import Seqno, TransactionId, View

_COMMIT = msgspec.json.encode({"kind": "commit"})


class _StatusReply(msgspec.Struct, frozen=True):
    status: TransactionStatus


class ExecutorClient:
    """See the module. on_front_end: called with each FrontEnd that the executor sends. readers: how many there are.

    adapters: by name, once they are loaded; they say where their queries belong.
    """

    def __init__(
        self,
        transport: Transport,
        on_front_end: Callable[[FrontEnd], None],
        log: Callable[[str], None],
        *,
        readers: int = 0,
        seconds_max: float = limits.REQUEST_SECONDS_MAX,
        absent_seconds_max: float = limits.READER_ABSENT_SECONDS_MAX,
    ) -> None:
        self._log = log
        self._seconds_max = seconds_max
        self._executor = Exchange(
            transport,
            "executor",
            log,
            on_committed=self._raise_floor if readers else self._hear_news,
            on_front_end=on_front_end,
        )
        self._slots = [
            ReaderSlot(
                lambda channel, first=number == 0: self._reader_exchange(channel, first),  # type: ignore[misc]
                log,
                absent_seconds_max=absent_seconds_max,
            )
            for number in range(readers)
        ]
        self.adapters: Mapping[str, Adapter] = {}
        self.removed = ""
        """Why this node serves nothing any more: only what it says of itself is asked for then."""
        self.linearizable = False
        """Whether the constitution wants that of reads; set with each FrontEnd."""
        self._rounds = ReadRounds(self._confirm)
        self._ticket = 0
        self._floor = 0
        self._news = 0
        self._watchers: set[asyncio.Future[None]] = set()
        self._closed = False

    def __len__(self) -> int:
        """How many requests wait for the executor's answer."""
        return len(self._executor)

    def attach_reader(self, number: int, transport: Transport) -> None:
        """Ask this reader (paired already) from now on, as number 1 or 2. Raises CocoError for another number."""
        if not 1 <= number <= len(self._slots):
            raise CocoError(f"there is no reader {number} here", hint="The host connects those that it configured.")
        self._slots[number - 1].attach(transport)

    def backend(self, adapter: str, caller: Caller, token: str) -> AdapterBackend:
        """Return the executor as an adapter's route handlers see it. token: the caller's, "" when it showed none."""
        return AdapterBackend(self, adapter, caller, token)

    async def submit(self, adapter: str, payload: bytes, caller: Caller, token: str = "") -> Outcome:
        """Run a command to its commit. Raises Overloaded, OutcomeUnknown, LimitExceeded, CommandFailed.

        token: by which the caller is known; the leader's manager verifies it again when the command is forwarded.
        """
        if len(payload) > limits.COMMAND_BYTES_MAX:
            raise LimitExceeded(f"a command of {len(payload)} bytes; the bound is {limits.COMMAND_BYTES_MAX}")
        self._require_serving()
        item = Submit(self._next(), adapter, payload, _wire(caller, token))
        answer = await self._executor.ask(item, self._seconds_max)
        identifier = TransactionId(View(answer.view), Seqno(answer.seqno)) if answer.seqno else None
        if answer.failure:
            raise _error(answer, identifier)
        return Outcome(answer.reply, identifier)

    async def ask(self, adapter: str, payload: bytes, caller: Caller) -> bytes:
        """Run a query on committed state. Raises Overloaded, OutcomeUnknown, LimitExceeded, CommandFailed.

        A look-up that a reader took with it may be asked again; a simulation may be what ended the reader.
        """
        if len(payload) > limits.COMMAND_BYTES_MAX:
            raise LimitExceeded(f"a query of {len(payload)} bytes; the bound is {limits.COMMAND_BYTES_MAX}")
        if adapter != GOVERNANCE:
            self._require_serving()
        query_class = self._class_of(adapter, payload) if self._slots else "live"
        fresh = self.linearizable and self._needs_newest(adapter, payload)
        where = self._place(query_class)
        if fresh and where is not self._executor:
            if not self._executor.sole:
                await self._rounds.confirm()
            fresh = False
        item = Ask(self._next(), adapter, payload, _wire(caller), self._floor, fresh)
        answer = await where.ask(item, self._seconds_max)
        if answer.failure == "unknown_outcome" and query_class == "lookup":
            raise Overloaded("the node's queries are interrupted", hint="Try again in a moment.")
        if answer.failure == "unknown_outcome":
            raise OutcomeUnknown("the query was not answered in time", hint="Ask again, or for less at a time.")
        _raise_for_query(answer)
        return answer.reply

    async def receipt(self, query: Mapping[str, object], caller: Caller) -> ReceiptAnswer:
        """Ask for a receipt (executor_queries.py). Raises as `ask`; CommandFailed when the disk does not return it."""
        self._require_serving()
        reply = await self.ask(GOVERNANCE, msgspec.json.encode({"kind": "receipt", **query}), caller)
        if reply.startswith(b"{"):
            document = msgspec.json.decode(reply)
            raise CocoError(str(document.get("error")), hint=str(document.get("hint")))
        answer = RECEIPT_ANSWER.decode(reply)
        if answer.state == "unreadable":
            raise CommandFailed(
                "the disk does not return this entry as it was committed", hint="Tell the node's operator."
            )
        return answer

    async def status(self, identifier: TransactionId, caller: Caller) -> TransactionStatus:
        """Return where a transaction id stands. Raises as `ask`."""
        query = msgspec.json.encode({"kind": "transaction", "id": str(identifier)})
        reply = await self.ask(GOVERNANCE, query, caller)
        return msgspec.json.decode(reply, type=_StatusReply).status

    async def committed_after(self, seqno: int) -> int:
        """Wait until something newer is committed, and can be read; returns the newest committed sequence number."""
        while self._news <= seqno:
            if self._closed:
                raise OutcomeUnknown("the executor is gone", hint="The node is stopping.")
            watcher: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._watchers.add(watcher)
            try:
                await watcher
            finally:
                self._watchers.discard(watcher)
        return self._news

    async def read(self) -> None:
        """Take answers until the executor's channel closes (ChannelClosed); then everything that waits ends."""
        try:
            await self._executor.read()
        finally:
            self._closed = True
            for slot in self._slots:
                slot.close()
            self._wake_watchers()

    async def write(self) -> None:
        """Send what the executor is asked, as it comes, until the channel closes (ChannelClosed)."""
        await self._executor.write()

    def _require_serving(self) -> None:
        if self.removed:
            raise Overloaded(self.removed, hint="Ask another node. Nothing was written.")

    def _next(self) -> int:
        self._ticket += 1
        return self._ticket

    def _class_of(self, adapter: str, payload: bytes) -> QueryClass:
        found = self.adapters.get(adapter)
        return "live" if found is None else found.query_class(payload)

    def _needs_newest(self, adapter: str, payload: bytes) -> bool:
        """What a node says of itself, it says without asking others."""
        found = self.adapters.get(adapter)
        return adapter != GOVERNANCE if found is None else found.needs_newest(payload)

    async def _confirm(self) -> None:
        """Learn what is committed by now: the answer raises the floor. Raises as `ask`."""
        item = Ask(self._next(), GOVERNANCE, _COMMIT, _wire(ANONYMOUS), 0, True)
        answer = await self._executor.ask(item, self._seconds_max)
        if answer.failure == "unknown_outcome":
            raise OutcomeUnknown("the query was not answered in time", hint="Ask again.")
        _raise_for_query(answer)

    def _place(self, query_class: QueryClass) -> Exchange | ReaderSlot:
        match query_class:
            case "live":
                return self._executor
            case "lookup":
                return self._slots[0]
            case "simulation":
                return self._slots[-1]
            case _:
                assert_never(query_class)

    def _reader_exchange(self, transport: Transport, first: bool) -> Exchange:
        return Exchange(
            transport,
            "reader",
            self._log,
            on_committed=self._hear_news if first else self._raise_floor,
        )

    def _raise_floor(self, committed: int) -> None:
        """What is asked from now on is answered from this state on. Only the first reader's word wakes who waits."""
        self._floor = max(self._floor, committed)

    def _hear_news(self, committed: int) -> None:
        self._raise_floor(committed)
        if committed > self._news:
            self._news = committed
            self._wake_watchers()

    def _wake_watchers(self) -> None:
        for watcher in self._watchers:
            if not watcher.done():
                watcher.set_result(None)


class AdapterBackend:
    """The `Backend` of one adapter's handlers, for one request or connection. caller, token: who sent that."""

    def __init__(self, client: ExecutorClient, adapter: str, caller: Caller, token: str) -> None:
        self._client = client
        self._adapter = adapter
        self._caller = caller
        self._token = token

    async def submit(self, payload: bytes, caller: Caller) -> Outcome:
        """Run a command and return at commit. The token speaks for nobody but whose it is."""
        token = self._token if caller == self._caller else ""
        return await self._client.submit(self._adapter, payload, caller, token)

    async def query(self, payload: bytes, caller: Caller) -> bytes:
        """Run a query on committed state."""
        return await self._client.ask(self._adapter, payload, caller)

    async def receipt(self, seqno: Seqno, caller: Caller) -> bytes | None:
        """Return the proof of a committed entry."""
        answer = await self._client.receipt({"seqno": seqno, "form": "proof"}, caller)
        return answer.body if answer.state == "made" else None

    async def status(self, identifier: TransactionId, caller: Caller) -> TransactionStatus:
        """Return where a transaction id stands."""
        return await self._client.status(identifier, caller)

    async def committed_after(self, seqno: int) -> int:
        """Wait until something newer than seqno is committed."""
        return await self._client.committed_after(seqno)


def _wire(caller: Caller, token: str = "") -> WireCaller:
    return WireCaller(caller.identity, caller.is_member, caller.credential, token)


def _raise_for_query(answer: Answer) -> None:
    if answer.failure == "not_leader":
        raise Overloaded("this node reaches no leader to confirm what is newest", hint="Try again in a moment.")
    if answer.failure:
        raise _error(answer, None)


def _error(answer: Answer, identifier: TransactionId | None) -> CocoError:
    match answer.failure:
        case "overloaded":
            return Overloaded("the node has too much to do", hint="Try again later.")
        case "too_large":
            return LimitExceeded(
                "the command, what it writes or its answer is too large", hint="Ask for less at a time."
            )
        case "unknown_outcome":
            hint = f"Ask for transaction {identifier}." if identifier else "Look whether it took effect."
            return OutcomeUnknown("it is not known whether this was committed", transaction_id=identifier, hint=hint)
        case "not_leader":
            return Overloaded("no node leads the network right now; nothing was written", hint="Try again in a moment.")
        case "no_such_adapter":
            return CocoError("this is not served here")
        case "failed":
            return CommandFailed("the adapter failed; nothing was written", hint="Tell the node's operator.")
        case "":
            raise InvariantBroken("an answer without a failure was taken for one")
        case _:
            assert_never(answer.failure)
