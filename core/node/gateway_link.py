"""The executor's or a reader's side of one gateway: reads what it sends, gathers answers, sends them in batches.

Invariant: answers that wait to be sent are bounded; while they are over the bound nothing more is read.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from core import limits
from core.errors import LimitExceeded, MalformedMessage
from core.node.messages import FROM_GATEWAY, TO_GATEWAY, Answer, Ask, FrontEnd, Submit, ToGateway
from core.ports import Transport
from core.types import Seqno

_ANSWER_OVERHEAD_BYTES = 64


class GatewayLink:
    """See the module. `take` is called with each item that arrives, `heard` when it says that it is sole no more."""

    def __init__(
        self,
        transport: Transport,
        take: Callable[[GatewayLink, Submit | Ask], None],
        heard: Callable[[], None] = lambda: None,
    ) -> None:
        self._transport = transport
        self._take = take
        self._heard = heard
        self._sole = self._said_sole = False
        self.awaits_heard = False
        """Whether the gateway may still believe that it is the sole way to what is committed."""
        self._outbox: deque[Answer] = deque()
        self._outbox_bytes = 0
        self._gone = False
        self._front_end: FrontEnd | None = None
        self._committed = Seqno(0)
        self._announced = Seqno(0)
        self._something = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def node(self) -> str:
        """No other node: the gateway is this one's."""
        return ""

    def answer(self, answer: Answer) -> None:
        """Queue an answer."""
        if self._gone:
            return
        self._outbox.append(answer)
        self._outbox_bytes += len(answer.reply) + _ANSWER_OVERHEAD_BYTES
        if self._outbox_bytes > limits.OUTBOX_BYTES_MAX:
            self._room.clear()
        self._empty.clear()
        self._something.set()

    def send_front_end(self, front_end: FrontEnd) -> None:
        """Send what the gateway needs to serve, before any answer that waits."""
        self._front_end = front_end
        self._empty.clear()
        self._something.set()

    def note(self, committed: Seqno) -> None:
        """Tell the gateway with the next answers that what is asked from now on is answered from this state on."""
        self._committed = committed

    def announce(self, committed: Seqno) -> None:
        """As `note`, and tell it also when there is no answer to send."""
        self._committed = committed
        if not self._gone:
            self._announced = committed
            self._empty.clear()
            self._something.set()

    def sole(self, is_sole: bool) -> None:
        """Tell the gateway whether it is the sole way to what is committed. That it is not, it has to say back."""
        self._sole = is_sole and not self.awaits_heard
        if self._sole != self._said_sole:
            self.awaits_heard = self._said_sole
            self.announce(self._committed)

    async def read(self, log: Callable[[str], None]) -> None:
        """Read until the channel closes (ChannelClosed). What does not parse is refused and counted in the log."""
        while True:
            await self._room.wait()
            try:
                message = FROM_GATEWAY.decode(await self._transport.receive())
            except (MalformedMessage, LimitExceeded) as error:
                log(f"a message of a gateway was refused: {error.message}")
                continue
            if message.heard:
                self.awaits_heard = False
                self._heard()
            for item in message.items:
                self._take(self, item)

    async def write(self) -> None:
        """Send what is queued, as it comes, until the channel closes (ChannelClosed); then answers are dropped."""
        try:
            while True:
                await self._something.wait()
                self._something.clear()
                if self._front_end is not None:
                    front_end, self._front_end = self._front_end, None
                    await self._transport.send(TO_GATEWAY.encode(front_end))
                while self._outbox or self._announced or self._sole != self._said_sole:
                    self._announced, self._said_sole = Seqno(0), self._sole
                    await self._transport.send(TO_GATEWAY.encode(ToGateway(self._batch(), self._committed, self._sole)))
                if self._front_end is None:
                    self._empty.set()
        finally:
            self._gone = True
            self._outbox.clear()
            self._empty.set()

    async def flush(self) -> None:
        """Wait until everything queued has been sent, or the gateway is gone."""
        await self._empty.wait()

    def _batch(self) -> tuple[Answer, ...]:
        batch: list[Answer] = []
        size_bytes = 0
        while self._outbox and (not batch or size_bytes < limits.BATCH_BYTES_MAX):
            answer = self._outbox.popleft()
            batch.append(answer)
            size_bytes += len(answer.reply) + _ANSWER_OVERHEAD_BYTES
        self._outbox_bytes -= size_bytes
        if self._outbox_bytes <= limits.OUTBOX_BYTES_MAX:
            self._room.set()
        return tuple(batch)


async def flush_all(links: Iterable[GatewayLink]) -> None:
    """Wait until everything queued has been sent, for limits.FLUSH_SECONDS_MAX at most."""
    flushes = [asyncio.create_task(link.flush()) for link in links]
    if flushes:
        _, late = await asyncio.wait(flushes, timeout=limits.FLUSH_SECONDS_MAX)
        for task in late:
            task.cancel()
