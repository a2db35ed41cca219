"""A gateway's rounds: its reads of a reader wait until the executor has said how new a state must be that answers them.

One question is on its way at a time, and all reads that come meanwhile share the next: under load a read costs little.
Invariant: no read is answered by a round that began before it came; every round ends, with the executor's answer or
without.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from core import limits
from core.adapter.interface import Overloaded
from core.errors import CocoError


class ReadRounds:
    """See the module. ask: asks once; raises CocoError, which every read that shares the round raises."""

    def __init__(self, ask: Callable[[], Awaitable[None]]) -> None:
        self._ask = ask
        self._next: asyncio.Future[CocoError | None] | None = None
        self._running: asyncio.Task[None] | None = None
        self._waiting = 0

    async def confirm(self) -> None:
        """Return once a round is confirmed that began after this call. Raises Overloaded, and what `ask` raises."""
        if self._waiting >= limits.QUEUED_QUERIES_MAX:
            raise Overloaded("too many queries wait", hint="Try again later.")
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        shared = self._next
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        self._waiting += 1
        try:
            failure = await asyncio.shield(shared)
        finally:
            self._waiting -= 1
        if failure is not None:
            raise failure.with_traceback(None)  # Each read would lengthen the one that they share.

    async def _run(self) -> None:
        """Run one round after another while somebody waits for one."""
        try:
            while self._next is not None:
                shared, self._next = self._next, None
                await self._round(shared)
        finally:
            self._running = None

    async def _round(self, shared: asyncio.Future[CocoError | None]) -> None:
        failure: CocoError | None = Overloaded("the node's queries are interrupted", hint="Try again in a moment.")
        try:
            await self._ask()
            failure = None
        except CocoError as error:
            failure = error
        finally:
            shared.set_result(failure)
