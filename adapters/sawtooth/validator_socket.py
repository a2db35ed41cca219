"""The validator's protocol over a WebSocket at `/validator`: binary frames, each a serialised `Message`.

A request is answered with its correlation id. As in a validator, what is no message, or of a type that nobody handles,
is dropped; a connection has one subscription to events, which a second one replaces; its answer goes out before its
first event. At most REQUESTS_MAX requests of a connection are open: beyond that it is not read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

from adapters.sawtooth.block_events import RETRY_SECONDS, BlockEvents
from adapters.sawtooth.gateway import EXCHANGES, ValidatorGateway
from adapters.sawtooth.processor_socket import PROCESSOR_MESSAGES, ProcessorPeer
from adapters.sawtooth.processors import Processors
from adapters.sawtooth.wire.messages import (
    MESSAGES,
    EventsGetStatus,
    MalformedMessage,
    MessageType,
    SimpleStatus,
    SubmitStatus,
    SubscribeStatus,
    parse,
)
from core import limits
from core.adapter.interface import Backend, CommandFailed, OutcomeUnknown, Overloaded, WebSocket
from core.errors import CocoError, LimitExceeded

REQUESTS_MAX = limits.CONNECTION_REQUESTS_MAX
KNOWN_BLOCKS_MAX = 64
"""Last known blocks of a subscription that are looked up; clients send the newest few."""
SUBSCRIPTIONS_MAX = 64
_ERROR = 2
"""INTERNAL_ERROR or ERROR: the number is the same in every answer."""


class ValidatorSocket:
    """One connection. Made for each; run ends when it is closed."""

    def __init__(self, gateway: ValidatorGateway, socket: WebSocket, backend: Backend, processors: Processors) -> None:
        self._gateway = gateway
        self._socket = socket
        self._backend = backend
        self._events = BlockEvents(gateway, socket.caller, backend)
        self._free = asyncio.Semaphore(REQUESTS_MAX)
        self._following: asyncio.Task[None] | None = None
        self._processor = ProcessorPeer(processors, socket.caller, self._send)

    async def run(self) -> None:
        """Serve until the connection ends."""
        try:
            async with asyncio.TaskGroup() as group:
                watch = group.create_task(self._processor.watch())
                open_requests = await self._receive(group)
                self._stop_following()
                for task in (*open_requests, watch):
                    task.cancel()
        except* CocoError:
            pass  # the connection or the executor is gone, it is silent, or events that were due cannot be had
        finally:
            self._processor.close()

    async def _receive(self, group: asyncio.TaskGroup) -> set[asyncio.Task[None]]:
        """Take messages until the connection ends; returns the requests that are still open."""
        tasks: set[asyncio.Task[None]] = set()
        while True:
            await self._free.acquire()
            frame = await self._socket.receive()
            if frame is None:
                return tasks
            self._processor.heard()
            task = group.create_task(self._serve(frame, group))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    async def _serve(self, frame: str | bytes, group: asyncio.TaskGroup) -> None:
        try:
            if isinstance(frame, bytes):
                await self._answer(parse("Message", frame), group)
        except MalformedMessage:
            pass  # a validator says nothing either
        finally:
            self._free.release()

    async def _answer(self, message: Any, group: asyncio.TaskGroup) -> None:
        correlation: str = message.correlation_id
        match message.message_type:
            case MessageType.PING_REQUEST:
                await self._send(MessageType.PING_RESPONSE, MESSAGES["PingResponse"](), correlation)
            case MessageType.CLIENT_EVENTS_SUBSCRIBE_REQUEST:
                await self._subscribe(message.content, correlation, group)
            case MessageType.CLIENT_EVENTS_UNSUBSCRIBE_REQUEST:
                self._stop_following()
                done = MESSAGES["ClientEventsUnsubscribeResponse"](status=SimpleStatus.OK)
                await self._send(MessageType.CLIENT_EVENTS_UNSUBSCRIBE_RESPONSE, done, correlation)
            case processing if processing in PROCESSOR_MESSAGES:
                await self._processor.answer(MessageType(processing), message.content, correlation)
            case known if known in EXCHANGES:
                await self._ask(MessageType(known), message.content, correlation)

    async def _ask(self, kind: MessageType, content: bytes, correlation: str) -> None:
        exchange = EXCHANGES[kind]
        try:
            answer = await self._gateway.ask(kind, content, self._socket.caller, self._backend)
        except Overloaded:
            submitted = kind == MessageType.CLIENT_BATCH_SUBMIT_REQUEST
            status = SubmitStatus.QUEUE_FULL if submitted else _ERROR
            answer = MESSAGES[exchange.response](status=status).SerializeToString()
        except (MalformedMessage, OutcomeUnknown, CommandFailed, LimitExceeded):
            answer = MESSAGES[exchange.response](status=_ERROR).SerializeToString()
        await self._send_bytes(exchange.response_type, answer, correlation)

    async def _subscribe(self, content: bytes, correlation: str, group: asyncio.TaskGroup) -> None:
        asked = parse("ClientEventsSubscribeRequest", content)
        subscriptions = list(asked.subscriptions)
        while True:
            try:
                status, number = await self._starting_point(subscriptions, list(asked.last_known_block_ids))
                break
            except Overloaded:
                await asyncio.sleep(RETRY_SECONDS)
        if status == SubscribeStatus.OK:
            self._stop_following()
        answer = MESSAGES["ClientEventsSubscribeResponse"](status=status)
        await self._send(MessageType.CLIENT_EVENTS_SUBSCRIBE_RESPONSE, answer, correlation)
        if status == SubscribeStatus.OK:
            self._stop_following()  # another subscription may have come while this one's answer went out
            self._following = group.create_task(self._follow(number, subscriptions))

    async def _starting_point(
        self, subscriptions: Sequence[Any], known_ids: Sequence[str]
    ) -> tuple[SubscribeStatus, int]:
        """Return whether a subscription is right, and the number of the last block that the client knows."""
        checked = await self._events.events(subscriptions[: SUBSCRIPTIONS_MAX + 1], [])
        if checked.status != EventsGetStatus.OK or len(subscriptions) > SUBSCRIPTIONS_MAX:
            return SubscribeStatus.INVALID_FILTER, 0
        if not known_ids:
            return SubscribeStatus.OK, await self._events.head_number()
        numbers = [await self._events.number_of(one) for one in known_ids[:KNOWN_BLOCKS_MAX]]
        known = [number for number in numbers if number is not None]
        return (SubscribeStatus.OK, max(known)) if known else (SubscribeStatus.UNKNOWN_BLOCK, 0)

    def _stop_following(self) -> None:
        if self._following is not None:
            self._following.cancel()
            self._following = None

    async def _follow(self, number: int, subscriptions: Sequence[Any]) -> None:
        async with aclosing(self._events.follow(number, subscriptions)) as blocks:
            async for news in blocks:
                await self._send(MessageType.CLIENT_EVENTS, MESSAGES["EventList"](events=news.events), "")

    async def _send(self, kind: MessageType, message: Any, correlation: str) -> None:
        await self._send_bytes(kind, message.SerializeToString(), correlation)

    async def _send_bytes(self, kind: MessageType, content: bytes, correlation: str) -> None:
        message = MESSAGES["Message"](message_type=kind, correlation_id=correlation, content=content)
        await self._socket.send(message.SerializeToString())
