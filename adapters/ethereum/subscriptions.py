"""JSON-RPC over a WebSocket, in a gateway: every method, and eth_subscribe.

A subscription is a block number up to which its client has been told; what came after is asked for when something is
committed (follow.py), as the connection's identity sees it then. A client that is slow makes its own connection wait
and nothing else. When what is due cannot be had, the connection ends rather than leave something out.

Invariants: the answer to eth_subscribe is sent before the subscription's first notification, and blocks committed in
between are in that; at most SUBSCRIPTIONS_MAX subscriptions and REQUESTS_MAX open requests for each connection.
Source: go-ethereum's rpc package and eth/filters.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import orjson

from adapters.ethereum.filters import check_criteria, random_id
from adapters.ethereum.methods import Methods, Prepared, Subscribe, ToRun, Unsubscribe
from adapters.ethereum.polling import Page, is_error, read_pages
from adapters.ethereum.requests import NOW, QUERIES, Criteria, Follow
from adapters.ethereum.rpc import RpcFrontEnd
from adapters.jsonrpc import SERVER_ERROR, RpcCall, RpcError, result_fragment
from core import limits
from core.adapter.interface import Backend, Overloaded, WebSocket
from core.errors import CocoError

SUBSCRIPTIONS_MAX = 64
REQUESTS_MAX = limits.CONNECTION_REQUESTS_MAX
RETRY_SECONDS = 1.0
"""After which notifications that the node was too busy for are tried again."""


@dataclass(slots=True)
class _Subscription:
    """criteria None: of something that never happens here."""

    criteria: Criteria | None
    position: int = NOW


class RpcSocket:
    """One connection. Made for each; run ends when it is closed."""

    def __init__(
        self,
        front: RpcFrontEnd,
        methods: Methods,
        socket: WebSocket,
        backend: Backend,
        new_id: Callable[[], str] = random_id,
    ) -> None:
        self._front = front
        self._methods = methods
        self._socket = socket
        self._backend = backend
        self._new_id = new_id
        self._subscriptions: dict[str, _Subscription] = {}
        self._wake = asyncio.Event()
        self._free = asyncio.Semaphore(REQUESTS_MAX)

    async def run(self) -> None:
        """Serve until the connection ends."""
        try:
            async with asyncio.TaskGroup() as group:
                others = [group.create_task(self._watch()), group.create_task(self._notify())]
                others += await self._receive(group)
                for task in others:
                    task.cancel()
        except* (CocoError, RpcError):
            pass  # the connection, the executor, or notifications that were due are gone

    async def _receive(self, group: asyncio.TaskGroup) -> set[asyncio.Task[None]]:
        """Take messages until the connection ends; returns the answers that are still being made."""
        answers: set[asyncio.Task[None]] = set()
        while True:
            await self._free.acquire()
            message = await self._socket.receive()
            if message is None:
                return answers
            task = group.create_task(self._answer(message))
            answers.add(task)
            task.add_done_callback(answers.discard)

    async def _answer(self, message: str | bytes) -> None:
        """Answer one message, and begin what it subscribed to once the answer is out."""
        begun: dict[str, _Subscription] = {}
        try:
            body = message.encode(errors="replace") if isinstance(message, str) else message
            answer = await self._front.answer(
                body, self._socket.caller, self._backend, lambda call: self._prepare(call, begun)
            )
            if answer:
                await self._socket.send(answer.decode())
            self._subscriptions.update(begun)
            if begun:
                self._wake.set()
        finally:
            self._free.release()

    def _prepare(self, call: RpcCall, begun: dict[str, _Subscription]) -> Prepared:
        prepared = self._methods.prepare_for_socket(call)
        match prepared:
            case Subscribe(criteria):
                return ToRun(lambda: self._subscribe(criteria, begun))
            case Unsubscribe(identifier):
                return ToRun(lambda: self._unsubscribe(identifier))
            case _:
                return prepared

    async def _subscribe(self, criteria: Criteria | None, begun: dict[str, _Subscription]) -> bytes:
        if criteria is not None and criteria.logs is not None:
            check_criteria(criteria.logs)
        if len(self._subscriptions) + len(begun) >= SUBSCRIPTIONS_MAX:
            raise RpcError(SERVER_ERROR, f"too many subscriptions: a connection may have {SUBSCRIPTIONS_MAX}")
        identifier, subscription = self._new_id(), _Subscription(criteria)
        begun[identifier] = subscription
        if criteria is None:
            return result_fragment(identifier)
        try:
            (page,) = await self._pages([(criteria, NOW)])
        except (CocoError, RpcError):
            del begun[identifier]
            raise
        subscription.position = page.position
        return result_fragment(identifier)

    async def _unsubscribe(self, identifier: str) -> bytes:
        if self._subscriptions.pop(identifier, None) is None:
            raise RpcError(SERVER_ERROR, "subscription not found")
        return result_fragment(True)

    async def _watch(self) -> None:
        seqno = 0
        while True:
            seqno = await self._backend.committed_after(seqno)
            self._wake.set()

    async def _notify(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                while await self._notify_once():
                    pass
            except Overloaded:
                await asyncio.sleep(RETRY_SECONDS)
                self._wake.set()

    async def _notify_once(self) -> bool:
        """Send what is new; returns whether there is more."""
        following = [
            (identifier, one, (one.criteria, one.position))
            for identifier, one in self._subscriptions.items()
            if one.criteria is not None
        ]
        if not following:
            return False
        pages = await self._pages([asked for _, _, asked in following])
        for (identifier, subscription, _), page in zip(following, pages, strict=True):
            for result in page.results:
                if self._subscriptions.get(identifier) is not subscription:
                    break
                await self._socket.send(_notification(identifier, bytes(result)))
            subscription.position = page.position
        return any(page.more for page in pages)

    async def _pages(self, items: list[tuple[Criteria, int]]) -> list[Page]:
        """Ask what is new; raises RpcError, CocoError."""
        reply = await self._backend.query(QUERIES.encode(Follow(tuple(items))), self._socket.caller)
        if is_error(reply):
            error = orjson.loads(b"{" + reply + b"}")["error"]
            raise RpcError(error["code"], error["message"])
        return read_pages(reply)


def _notification(identifier: str, result: bytes) -> str:
    head = f'{{"jsonrpc":"2.0","method":"eth_subscription","params":{{"subscription":"{identifier}","result":'
    return head + result.decode() + "}}"
