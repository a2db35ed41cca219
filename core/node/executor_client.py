"""A gateway's way to the executor: requests go out in batches, answers find who waits for them.

Everything asked within one turn of the event loop goes in one message. Invariant: what waits is bounded, and every
waiting request ends: with its answer, at its deadline, or when the channel closes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import assert_never

from core import limits
from core.adapter.interface import Caller, CommandFailed, Outcome, OutcomeUnknown, Overloaded
from core.errors import ChannelClosed, CocoError, InvariantBroken, LimitExceeded, MalformedMessage
from core.node.messages import (
    FROM_GATEWAY,
    TO_GATEWAY,
    Answer,
    Ask,
    FromGateway,
    FrontEnd,
    Submit,
    ToGateway,
    WireCaller,
)
from core.ports import Transport
from core.types import Seqno, TransactionId, View

_WAITING_MAX = limits.QUEUED_COMMANDS_MAX + limits.QUEUED_QUERIES_MAX
_ITEM_OVERHEAD_BYTES = 128


class ExecutorClient:
    """See the module. on_front_end: called with each FrontEnd that the executor sends."""

    def __init__(
        self,
        transport: Transport,
        on_front_end: Callable[[FrontEnd], None],
        log: Callable[[str], None],
        *,
        seconds_max: float = limits.REQUEST_SECONDS_MAX,
    ) -> None:
        self._transport = transport
        self._on_front_end = on_front_end
        self._log = log
        self._seconds_max = seconds_max
        self._ticket = 0
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._deadlines: deque[tuple[float, int]] = deque()
        self._sweep: asyncio.TimerHandle | None = None
        self._outbox: deque[Submit | Ask] = deque()
        self._something = asyncio.Event()
        self._closed = False

    def __len__(self) -> int:
        """How many requests wait for their answer."""
        return len(self._waiting)

    def backend(self, adapter: str) -> AdapterBackend:
        """Return the executor as an adapter's route handlers see it."""
        return AdapterBackend(self, adapter)

    async def submit(self, adapter: str, payload: bytes, caller: Caller) -> Outcome:
        """Run a command to its commit. Raises Overloaded, OutcomeUnknown, LimitExceeded, CommandFailed."""
        if len(payload) > limits.COMMAND_BYTES_MAX:
            raise LimitExceeded(f"a command of {len(payload)} bytes; the bound is {limits.COMMAND_BYTES_MAX}")
        self._ticket += 1
        answer = await self._exchange(Submit(self._ticket, adapter, payload, _wire(caller)))
        identifier = TransactionId(View(answer.view), Seqno(answer.seqno)) if answer.seqno else None
        if answer.failure:
            raise _error(answer, identifier)
        return Outcome(answer.reply, identifier)

    async def ask(self, adapter: str, payload: bytes, caller: Caller) -> bytes:
        """Run a query on committed state. Raises Overloaded, OutcomeUnknown, LimitExceeded, CommandFailed."""
        if len(payload) > limits.COMMAND_BYTES_MAX:
            raise LimitExceeded(f"a query of {len(payload)} bytes; the bound is {limits.COMMAND_BYTES_MAX}")
        self._ticket += 1
        answer = await self._exchange(Ask(self._ticket, adapter, payload, _wire(caller)))
        if answer.failure:
            raise _error(answer, None)
        return answer.reply

    async def read(self) -> None:
        """Take answers until the channel closes (ChannelClosed); then everything that waits ends OutcomeUnknown."""
        try:
            while True:
                try:
                    message = TO_GATEWAY.decode(await self._transport.receive())
                except (MalformedMessage, LimitExceeded) as error:
                    self._log(f"a message of the executor was refused: {error.message}")
                    continue
                match message:
                    case ToGateway():
                        for answer in message.items:
                            self._resolve(answer)
                    case FrontEnd():
                        self._on_front_end(message)
                    case _:
                        assert_never(message)
        finally:
            self._close()

    async def write(self) -> None:
        """Send what is asked, as it comes, until the channel closes (ChannelClosed)."""
        while True:
            await self._something.wait()
            self._something.clear()
            while self._outbox:
                await self._transport.send(FROM_GATEWAY.encode(FromGateway(self._batch())))

    async def _exchange(self, item: Submit | Ask) -> Answer:
        if self._closed:
            raise ChannelClosed("the executor is gone", hint="The node is stopping.")
        if len(self._waiting) >= _WAITING_MAX:
            raise Overloaded("too many requests wait for the executor", hint="Try again later.")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self._waiting[item.ticket] = future
        self._deadlines.append((loop.time() + self._seconds_max, item.ticket))
        if self._sweep is None:
            self._sweep = loop.call_at(self._deadlines[0][0], self._end_late)
        self._outbox.append(item)
        self._something.set()
        try:
            return await future
        finally:
            self._waiting.pop(item.ticket, None)

    def _resolve(self, answer: Answer) -> None:
        """An answer that nobody waits for any more is dropped: it came after its deadline."""
        future = self._waiting.get(answer.ticket)
        if future is not None and not future.done():
            future.set_result(answer)

    def _end_late(self) -> None:
        loop = asyncio.get_running_loop()
        while self._deadlines and (self._deadlines[0][0] <= loop.time() or self._deadlines[0][1] not in self._waiting):
            _, ticket = self._deadlines.popleft()
            self._resolve(Answer(ticket, b"", "unknown_outcome", 0, 0))
        self._sweep = loop.call_at(self._deadlines[0][0], self._end_late) if self._deadlines else None

    def _close(self) -> None:
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        for ticket in list(self._waiting):
            self._resolve(Answer(ticket, b"", "unknown_outcome", 0, 0))

    def _batch(self) -> tuple[Submit | Ask, ...]:
        batch: list[Submit | Ask] = []
        size_bytes = 0
        while self._outbox and (not batch or size_bytes < limits.BATCH_BYTES_MAX):
            item = self._outbox.popleft()
            batch.append(item)
            size_bytes += len(item.payload) + _ITEM_OVERHEAD_BYTES
        return tuple(batch)


class AdapterBackend:
    """The `Backend` of one adapter's handlers."""

    def __init__(self, client: ExecutorClient, adapter: str) -> None:
        self._client = client
        self._adapter = adapter

    async def submit(self, payload: bytes, caller: Caller) -> Outcome:
        """Run a command and return at commit."""
        return await self._client.submit(self._adapter, payload, caller)

    async def query(self, payload: bytes, caller: Caller) -> bytes:
        """Run a query on committed state."""
        return await self._client.ask(self._adapter, payload, caller)


def _wire(caller: Caller) -> WireCaller:
    return WireCaller(caller.identity, caller.is_member, caller.credential)


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
        case "no_such_adapter":
            return CocoError("this is not served here")
        case "failed":
            return CommandFailed("the adapter failed; nothing was written", hint="Tell the node's operator.")
        case "":
            raise InvariantBroken("an answer without a failure was taken for one")
        case _:
            assert_never(answer.failure)
