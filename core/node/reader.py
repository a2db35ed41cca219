"""A reader: a process of the worker enclave that answers queries from a replica, so that reads never stop writes.

The executor feeds it with what is committed (replica.py); gateways ask it directly. Queries run one at a time, in turn
among identities (fair_queue.py). It holds nothing that is only here: when it ends, another one takes its place.

Invariant: a query runs on the newest committed state that is applied, and not before the state is as new as the newest
that its gateway has answered with.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from core import limits
from core.adapter.interface import Adapter, Overloaded
from core.adapter.loading import load_adapters
from core.errors import AuthenticationFailed, ChannelClosed, NodeStopped
from core.node.executor_queries import answer_query
from core.node.fair_queue import FairQueue, Waiting
from core.node.gateway_link import GatewayLink, flush_all
from core.node.messages import Answer, Ask, Submit
from core.node.reader_messages import TO_READER
from core.node.replica import Replica
from core.ports import Transport
from core.types import Seqno

LoadAdapters = Callable[[Mapping[str, Mapping[str, Any]], str], Mapping[str, Adapter]]
BEAT_SECONDS = 1.0
TURN_SECONDS_MAX = 0.001
"""How long queries run before the event loop may look at its sockets."""


@dataclass(frozen=True, slots=True)
class _Asked:
    link: GatewayLink
    ask: Ask


class Reader:
    """See the module. executor: paired already. clock: Unix seconds. `run` is called once.

    beat: called before each query and every BEAT_SECONDS once the replica is complete: a watchdog, which ends the
    process when it is not called for too long. on_ready: called once the replica is complete.
    """

    def __init__(
        self,
        *,
        executor: Transport,
        clock: Callable[[], float],
        log: Callable[[str], None],
        load: LoadAdapters = load_adapters,
        beat: Callable[[], None] = lambda: None,
        on_ready: Callable[[], None] = lambda: None,
    ) -> None:
        self._executor = executor
        self._log = log
        self._beat = beat
        self._on_ready = on_ready
        self._replica = Replica(load, clock, log)
        self._queue: FairQueue[_Asked] = FairQueue()
        self._links: dict[GatewayLink, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()
        self._begun: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._stop = asyncio.Event()

    @property
    def replica(self) -> Replica:
        return self._replica

    async def session(self) -> bytes:
        """Return the secret that the executor's gateways and readers share, once it is here."""
        return await asyncio.shield(self._begun)

    def attach_gateway(self, transport: Transport) -> None:
        """Serve one more gateway, until its channel closes. One too many is refused by closing it."""
        link = GatewayLink(transport, self._take)
        link.announce(self._replica.applied)
        self._links[link] = asyncio.create_task(self._serve(link, transport))

    def request_stop(self) -> None:
        """Answer nothing more, and return from `run`."""
        self._stop.set()

    async def run(self) -> None:
        """Run until `request_stop`. Raises NodeStopped when the executor is gone, CocoError, InvariantBroken."""
        works = (self._follow(), self._work(), self._tick())
        tasks = [asyncio.create_task(self._stop.wait()), *(asyncio.create_task(work) for work in works)]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks[1:]:
                if task.done():
                    task.result()
        except ChannelClosed as error:
            raise NodeStopped("the executor is gone", hint="Start the node again.") from error
        finally:
            self._refuse_all()
            if self._stop.is_set():
                await flush_all(self._links)
            tasks += self._links.values()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # What comes in.

    async def _follow(self) -> None:
        """Apply the feed. What does not parse ends the reader: to go on without it would be to answer wrongly."""
        while True:
            self._replica.take(TO_READER.decode(await self._executor.receive()))
            if not self._begun.done():
                self._begun.set_result(self._replica.session)
            if self._replica.applied:
                self._applied()

    def _applied(self) -> None:
        ready, self._on_ready = self._on_ready, lambda: None
        ready()
        for link in self._links:
            link.announce(self._replica.applied)
        self._wake.set()

    async def _serve(self, link: GatewayLink, transport: Transport) -> None:
        works = [asyncio.create_task(link.read(self._log)), asyncio.create_task(link.write())]
        try:
            await asyncio.wait(works, return_when=asyncio.FIRST_COMPLETED)
            for work in works:
                if work.done():
                    work.result()
        except (ChannelClosed, AuthenticationFailed) as error:
            self._log(f"a gateway is gone: {error.message}")
        finally:
            for work in works:
                work.cancel()
            await asyncio.gather(*works, return_exceptions=True)
            del self._links[link]
            await transport.close()

    def _take(self, link: GatewayLink, item: Submit | Ask) -> None:
        if isinstance(item, Submit):
            link.answer(Answer(item.ticket, b"", "no_such_adapter", 0, 0))
            return
        try:
            now_s = asyncio.get_running_loop().time()
            self._queue.push(item.caller.identity, _Asked(link, item), after=Seqno(item.after), now_s=now_s)
        except Overloaded:
            link.answer(Answer(item.ticket, b"", "overloaded", 0, 0))
            return
        self._wake.set()

    # The work.

    async def _work(self) -> None:
        time = asyncio.get_running_loop().time
        turn_end = 0.0
        while True:
            waiting = self._queue.pop(self._replica.applied, time()) if self._replica.applied else None
            if waiting is None:
                await self._sleep()
            else:
                self._answer(waiting, time)
            if waiting is None or time() >= turn_end:
                await asyncio.sleep(0)
                turn_end = time() + TURN_SECONDS_MAX

    def _answer(self, waiting: Waiting[_Asked], time: Callable[[], float]) -> None:
        self._beat()
        begin_s = time()
        ask = waiting.item.ask
        replica = self._replica
        answer = answer_query(
            replica.store, replica.adapters, ask, committed=replica.applied, time_s=replica.now_s(), log=self._log
        )
        waiting.item.link.answer(answer)
        end_s = time()
        self._queue.charge(waiting.identity, end_s - begin_s, end_s)

    async def _sleep(self) -> None:
        """Wait until something arrives, or an identity that was passed over may have its turn."""
        loop = asyncio.get_running_loop()
        turn_s = self._queue.next_turn_s(self._replica.applied, loop.time()) if self._replica.applied else None
        timer = None if turn_s is None else loop.call_at(turn_s + 0.001, self._wake.set)
        try:
            await self._wake.wait()
            self._wake.clear()
        finally:
            if timer is not None:
                timer.cancel()

    async def _tick(self) -> None:
        while True:
            if self._replica.applied:
                self._beat()
            await asyncio.sleep(BEAT_SECONDS)
            self._expire(asyncio.get_running_loop().time() - limits.QUERY_WAIT_SECONDS_MAX)

    def _expire(self, before_s: float) -> None:
        for waiting in self._queue.expire(before_s):
            waiting.item.link.answer(Answer(waiting.item.ask.ticket, b"", "overloaded", 0, 0))

    def _refuse_all(self) -> None:
        for waiting in self._queue.drain():
            waiting.item.link.answer(Answer(waiting.item.ask.ticket, b"", "overloaded", 0, 0))
