"""A gateway's place for one reader, which may end and be replaced by another at any time.

Invariant: a query that was sent to a reader which ended is not sent again: it may be what ended it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from core import limits
from core.adapter.interface import Overloaded
from core.errors import AuthenticationFailed, ChannelClosed, CocoError
from core.node.exchange import Exchange
from core.node.messages import Answer, Ask
from core.ports import Transport

_WAITING_MAX = limits.QUEUED_QUERIES_MAX


class ReaderSlot:
    """See the module. make: the exchange over a new reader's channel."""

    def __init__(
        self, make: Callable[[Transport], Exchange], log: Callable[[str], None], *, absent_seconds_max: float
    ) -> None:
        self._make = make
        self._log = log
        self._absent_seconds_max = absent_seconds_max
        self._exchange: Exchange | None = None
        self._arrived = asyncio.Event()
        self._waiting = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def attach(self, transport: Transport) -> None:
        """Ask this reader from now on; what was asked of the one before it ends unknown."""
        if self._exchange is not None:
            self._exchange.close()
        self._exchange = self._make(transport)
        task = asyncio.create_task(self._serve(self._exchange, transport))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._arrived.set()

    async def ask(self, item: Ask, seconds_max: float) -> Answer:
        """Ask the reader, waiting a while for one that is being started. Raises Overloaded, ChannelClosed."""
        if self._exchange is None:
            await self._wait()
        if self._exchange is None:
            raise Overloaded("the node's queries are interrupted", hint="Try again in a moment.")
        try:
            return await self._exchange.ask(item, seconds_max)
        except ChannelClosed:
            raise Overloaded("the node's queries are interrupted", hint="Try again in a moment.") from None

    def close(self) -> None:
        """End everything that waits, for good."""
        self._closed = True
        self._arrived.set()
        if self._exchange is not None:
            self._exchange.close()

    async def _wait(self) -> None:
        if self._closed:
            raise ChannelClosed("the executor is gone", hint="The node is stopping.")
        if self._waiting >= _WAITING_MAX:
            raise Overloaded("too many queries wait for a reader", hint="Try again later.")
        self._waiting += 1
        try:
            async with asyncio.timeout(self._absent_seconds_max):
                await self._arrived.wait()
        except TimeoutError:
            return
        finally:
            self._waiting -= 1

    async def _serve(self, exchange: Exchange, transport: Transport) -> None:
        works = [asyncio.create_task(work) for work in (exchange.read(), exchange.write(), exchange.closed())]
        try:
            await asyncio.wait(works, return_when=asyncio.FIRST_COMPLETED)
            for work in works:
                if work.done():
                    work.result()
        except (ChannelClosed, AuthenticationFailed) as error:
            self._log(f"a reader is gone: {error.message}")
        except CocoError as error:
            self._log(f"a reader was given up: {error.message}")
        finally:
            exchange.close()
            if self._exchange is exchange:
                self._exchange = None
                if not self._closed:
                    self._arrived.clear()
            for work in works:
                work.cancel()
            await asyncio.gather(*works, return_exceptions=True)
            await transport.close()
