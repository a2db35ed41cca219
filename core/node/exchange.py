"""One channel from a gateway to an executor or a reader: requests go out in batches, answers find who waits for them.

Everything asked within one turn of the event loop goes in one message; while many requests wait for their answers, all
within GATHER_SECONDS: a message costs each side some 40 us of processor time, a request in it few. Invariant: what
waits is bounded, and every waiting request ends: with its answer, at its deadline, or when the channel closes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from core import limits
from core.adapter.interface import Overloaded
from core.errors import ChannelClosed, LimitExceeded, MalformedMessage
from core.node.messages import FROM_GATEWAY, TO_GATEWAY, Answer, Ask, FromGateway, FrontEnd, Submit, ToGateway
from core.ports import Transport

_WAITING_MAX = limits.QUEUED_COMMANDS_MAX + limits.QUEUED_QUERIES_MAX
_ITEM_OVERHEAD_BYTES = 128
BUSY_REQUESTS = 16
"""As many waiting requests are load: what comes next is gathered for a while before it is sent."""
GATHER_SECONDS = 0.002


class Exchange:
    """See the module. name: of the other end, for messages. on_committed: told what each message says is committed.

    on_front_end: takes each FrontEnd; None where none is expected.
    """

    def __init__(
        self,
        transport: Transport,
        name: str,
        log: Callable[[str], None],
        *,
        on_committed: Callable[[int], None],
        on_front_end: Callable[[FrontEnd], None] | None = None,
    ) -> None:
        self._transport = transport
        self._name = name
        self._log = log
        self._on_committed = on_committed
        self._on_front_end = on_front_end
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._deadlines: deque[tuple[float, int]] = deque()
        self._sweep: asyncio.TimerHandle | None = None
        self._outbox: deque[Submit | Ask] = deque()
        self._heard = False
        self.sole = False
        """Whether whatever is acknowledged anywhere comes through here first (ToGateway)."""
        self._something = asyncio.Event()
        self._closed = asyncio.Event()

    def __len__(self) -> int:
        """How many requests wait for their answer."""
        return len(self._waiting)

    async def ask(self, item: Submit | Ask, seconds_max: float) -> Answer:
        """Return the answer; "unknown_outcome" when there is none in time. Raises ChannelClosed, Overloaded.

        seconds_max: the same for every request of this exchange.
        """
        if self._closed.is_set():
            raise ChannelClosed(f"the {self._name} is gone", hint="The node is stopping.")
        if len(self._waiting) >= _WAITING_MAX:
            raise Overloaded(f"too many requests wait for the {self._name}", hint="Try again later.")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self._waiting[item.ticket] = future
        self._deadlines.append((loop.time() + seconds_max, item.ticket))
        if self._sweep is None:
            self._sweep = loop.call_at(self._deadlines[0][0], self._end_late)
        self._outbox.append(item)
        self._something.set()
        try:
            return await future
        finally:
            self._waiting.pop(item.ticket, None)

    async def read(self) -> None:
        """Take answers until the channel closes (ChannelClosed); then everything that waits ends unknown."""
        try:
            while True:
                try:
                    message = TO_GATEWAY.decode(await self._transport.receive())
                except (MalformedMessage, LimitExceeded) as error:
                    self._log(f"a message of the {self._name} was refused: {error.message}")
                    continue
                if isinstance(message, ToGateway):
                    self._on_committed(message.committed)
                    self._heard = self._heard or (self.sole and not message.sole)
                    self.sole = message.sole
                    if self._heard:
                        self._something.set()
                    for answer in message.items:
                        self._resolve(answer)
                elif self._on_front_end is not None:
                    self._on_front_end(message)
                else:
                    self._log(f"a message of the {self._name} was refused: a front end is not its to give")
        finally:
            self.close()

    async def write(self) -> None:
        """Send what is asked, as it comes, until the channel closes (ChannelClosed)."""
        while True:
            await self._something.wait()
            if len(self._waiting) >= BUSY_REQUESTS:
                await asyncio.sleep(GATHER_SECONDS)
            self._something.clear()
            while self._outbox or self._heard:
                heard, self._heard = self._heard, False
                await self._transport.send(FROM_GATEWAY.encode(FromGateway(self._batch(), heard)))

    async def closed(self) -> None:
        """Wait until this is closed."""
        await self._closed.wait()

    def close(self) -> None:
        """End everything that waits."""
        self._closed.set()
        if self._sweep is not None:
            self._sweep.cancel()
        for ticket in list(self._waiting):
            self._resolve(Answer(ticket, b"", "unknown_outcome", 0, 0))

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

    def _batch(self) -> tuple[Submit | Ask, ...]:
        batch: list[Submit | Ask] = []
        size_bytes = 0
        while self._outbox and (not batch or size_bytes < limits.BATCH_BYTES_MAX):
            item = self._outbox.popleft()
            batch.append(item)
            size_bytes += len(item.payload) + _ITEM_OVERHEAD_BYTES
        return tuple(batch)
