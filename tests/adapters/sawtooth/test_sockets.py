"""The two WebSockets: the validator's protocol, and state deltas."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from adapters.sawtooth.processors import Processors
from adapters.sawtooth.requests import BLOCK_HEADER
from adapters.sawtooth.settings import Settings
from adapters.sawtooth.subscriptions import DeltaSocket
from adapters.sawtooth.validator_socket import KNOWN_BLOCKS_MAX, REQUESTS_MAX, SUBSCRIPTIONS_MAX, ValidatorSocket
from adapters.sawtooth.wire.messages import MessageType, SubmitStatus, parse
from core.adapter.interface import CommandFailed, OutcomeUnknown, Overloaded
from tests.adapters.sawtooth.stub_validator import (
    ID_A,
    ID_B,
    StubSocket,
    StubValidator,
    gateway,
    make,
    make_batch,
    make_block,
)

ADDRESS = "1cf126" + "0" * 64
OTHER = "5b7349" + "0" * 64


class Chain(StubValidator):
    """Blocks whose events are one commit and one delta each. hidden: numbers of which nothing may be seen."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.blocks = blocks
        self.hidden: set[int] = set()
        self.answers = {
            MessageType.CLIENT_BLOCK_GET_BY_ID_REQUEST: lambda asked: self.found(int(asked.block_id, 16)),
            MessageType.CLIENT_EVENTS_GET_REQUEST: self.events,
        }

    def block(self, number: int) -> Any:
        return make_block(number, f"{number:0128x}", make_batch())

    def found(self, number: int) -> Any:
        if number >= self.blocks:
            return make("ClientBlockGetResponse", status=5)
        return make("ClientBlockGetResponse", status=1, block=self.block(number))

    def events(self, asked: Any) -> Any:
        if any(one.filter_type > 4 for sub in asked.subscriptions for one in sub.filters):
            return make("ClientEventsGetResponse", status=3)
        types = {one.event_type for one in asked.subscriptions}
        found = []
        for block_id in asked.block_ids:
            attribute = make("EventAttribute", key="block_id", value=block_id)
            found.append(make("Event", event_type="sawtooth/block-commit", attributes=[attribute]))
            if int(block_id, 16) not in self.hidden:
                changes = [make("StateChange", address=where, value=b"1", type=1) for where in (ADDRESS, OTHER)]
                data = make("StateChangeList", state_changes=changes).SerializeToString()
                found.append(make("Event", event_type="sawtooth/state-delta", data=data))
        return make("ClientEventsGetResponse", status=1, events=[one for one in found if one.event_type in types])

    async def grow(self) -> None:
        self.blocks += 1
        await self.commit()


@asynccontextmanager
async def running(
    kind: type[ValidatorSocket] | type[DeltaSocket], validator: StubValidator
) -> AsyncIterator[StubSocket]:
    async def serve(socket: StubSocket, validator: StubValidator) -> None:
        if kind is ValidatorSocket:
            await ValidatorSocket(gateway(), socket, validator, Processors(Settings(), ())).run()
        else:
            await DeltaSocket(gateway(), socket, validator).run()

    socket = StubSocket()
    task = asyncio.create_task(serve(socket, validator))
    try:
        yield socket
        socket.put(None)
        await asyncio.wait_for(task, 10)
    finally:
        task.cancel()


def envelope(kind: int, content: Any, correlation: str = "c1") -> bytes:
    body = content if isinstance(content, bytes) else content.SerializeToString()
    data: bytes = make("Message", message_type=kind, correlation_id=correlation, content=body).SerializeToString()
    return data


async def answer(socket: StubSocket, kind: MessageType, name: str, correlation: str = "c1") -> Any:
    message = parse("Message", await socket.next())
    assert (message.message_type, message.correlation_id) == (kind, correlation)
    return parse(name, message.content)


def subscribe(*known: str, filter_type: int = 1, number: int = 1) -> bytes:
    wanted = make("EventFilter", key="k", match_string="m", filter_type=filter_type)
    types = ["sawtooth/block-commit"] * number
    request = make(
        "ClientEventsSubscribeRequest",
        subscriptions=[make("EventSubscription", event_type=one, filters=[wanted]) for one in types],
        last_known_block_ids=known,
    )
    return envelope(MessageType.CLIENT_EVENTS_SUBSCRIBE_REQUEST, request)


async def subscribed(socket: StubSocket, message: bytes) -> int:
    socket.put(message)
    found = await answer(socket, MessageType.CLIENT_EVENTS_SUBSCRIBE_RESPONSE, "ClientEventsSubscribeResponse")
    return int(found.status)


async def block_of(socket: StubSocket) -> int:
    events = await answer(socket, MessageType.CLIENT_EVENTS, "EventList", "")
    return int(events.events[0].attributes[0].value, 16)


async def test_requests_are_answered_with_their_correlation_id() -> None:
    validator = StubValidator()
    validator.answers[MessageType.CLIENT_STATE_GET_REQUEST] = make("ClientStateGetResponse", status=1, value=b"v")
    async with running(ValidatorSocket, validator) as socket:
        socket.put(envelope(MessageType.CLIENT_STATE_GET_REQUEST, make("ClientStateGetRequest", address=ADDRESS), "x"))
        found = await answer(socket, MessageType.CLIENT_STATE_GET_RESPONSE, "ClientStateGetResponse", "x")
        assert found.value == b"v"
        socket.put(envelope(MessageType.PING_REQUEST, b"", "p"))
        await answer(socket, MessageType.PING_RESPONSE, "PingResponse", "p")
        batches = [make_batch(ID_A)]
        socket.put(
            envelope(MessageType.CLIENT_BATCH_SUBMIT_REQUEST, make("ClientBatchSubmitRequest", batches=batches), "b")
        )
        done = await answer(socket, MessageType.CLIENT_BATCH_SUBMIT_RESPONSE, "ClientBatchSubmitResponse", "b")
        assert done.status == SubmitStatus.OK
    assert validator.submitted == [batches[0].SerializeToString()]


@pytest.mark.parametrize(
    "frame",
    [
        "text",
        b"\x0a\xff",
        envelope(99_999, b""),
        envelope(0, b""),
        envelope(BLOCK_HEADER, b""),
        envelope(MessageType.CLIENT_STATE_GET_RESPONSE, b""),
        envelope(MessageType.PING_RESPONSE, b""),
        envelope(MessageType.TP_PROCESS_RESPONSE, b""),
        envelope(MessageType.CLIENT_EVENTS_SUBSCRIBE_REQUEST, b"\xff"),
    ],
)
async def test_what_nobody_handles_is_dropped(frame: str | bytes) -> None:
    async with running(ValidatorSocket, StubValidator()) as socket:
        socket.put(frame)
        socket.put(envelope(MessageType.PING_REQUEST, b"", "after"))
        await answer(socket, MessageType.PING_RESPONSE, "PingResponse", "after")
        assert socket.sent.empty()


async def test_a_malformed_request_is_an_error() -> None:
    async with running(ValidatorSocket, StubValidator()) as socket:
        for kind, response in (
            (MessageType.CLIENT_STATE_GET_REQUEST, MessageType.CLIENT_STATE_GET_RESPONSE),
            (MessageType.CLIENT_BATCH_SUBMIT_REQUEST, MessageType.CLIENT_BATCH_SUBMIT_RESPONSE),
        ):
            socket.put(envelope(kind, b"\xff"))
            assert (await answer(socket, response, "ClientBatchSubmitResponse")).status == 2


async def test_processors_are_refused() -> None:
    async with running(ValidatorSocket, StubValidator()) as socket:
        socket.put(envelope(MessageType.TP_REGISTER_REQUEST, make("TpRegisterRequest", family="intkey")))
        assert (await answer(socket, MessageType.TP_REGISTER_RESPONSE, "TpRegisterResponse")).status == 2


async def test_when_the_executor_fails() -> None:
    validator = StubValidator()
    async with running(ValidatorSocket, validator) as socket:
        for failure in (Overloaded("busy"), OutcomeUnknown("stopped"), CommandFailed("a defect")):
            validator.failure = failure
            socket.put(envelope(MessageType.CLIENT_BATCH_LIST_REQUEST, b""))
            found = await answer(socket, MessageType.CLIENT_BATCH_LIST_RESPONSE, "ClientBatchListResponse")
            assert found.status == 2
        validator.replies = [Overloaded("full")]
        request = make("ClientBatchSubmitRequest", batches=[make_batch()])
        socket.put(envelope(MessageType.CLIENT_BATCH_SUBMIT_REQUEST, request))
        done = await answer(socket, MessageType.CLIENT_BATCH_SUBMIT_RESPONSE, "ClientBatchSubmitResponse")
        assert done.status == SubmitStatus.QUEUE_FULL


async def test_open_requests_are_bounded() -> None:
    validator, gate = StubValidator(), asyncio.Event()

    async def query(payload: bytes, caller: object) -> bytes:
        validator.committed += 1
        await gate.wait()
        return envelope(MessageType.CLIENT_BATCH_LIST_RESPONSE, make("ClientBatchListResponse", status=1))

    validator.query = query  # type: ignore[method-assign]
    async with running(ValidatorSocket, validator) as socket:
        for _ in range(REQUESTS_MAX + 5):
            socket.put(envelope(MessageType.CLIENT_BATCH_LIST_REQUEST, b""))
        for _ in range(3 * REQUESTS_MAX):
            await asyncio.sleep(0)
        assert validator.committed == 1 + REQUESTS_MAX
        gate.set()
        for _ in range(REQUESTS_MAX + 5):
            await answer(socket, MessageType.CLIENT_BATCH_LIST_RESPONSE, "ClientBatchListResponse")


async def test_events_of_each_new_block() -> None:
    chain = Chain(3)
    async with running(ValidatorSocket, chain) as socket:
        assert await subscribed(socket, subscribe()) == 1
        await chain.grow()
        assert await block_of(socket) == 3
        await chain.commit()
        await chain.grow()
        assert await block_of(socket) == 4
        socket.put(envelope(MessageType.CLIENT_EVENTS_UNSUBSCRIBE_REQUEST, b""))
        await answer(socket, MessageType.CLIENT_EVENTS_UNSUBSCRIBE_RESPONSE, "ClientEventsUnsubscribeResponse")
        await chain.grow()
        socket.put(envelope(MessageType.PING_REQUEST, b""))
        await answer(socket, MessageType.PING_RESPONSE, "PingResponse")


async def test_catching_up_from_known_blocks() -> None:
    async with running(ValidatorSocket, Chain(4)) as socket:
        assert await subscribed(socket, subscribe(f"{9:0128x}", f"{1:0128x}", f"{0:0128x}")) == 1
        assert [await block_of(socket) for _ in range(2)] == [2, 3]
        assert await subscribed(socket, subscribe("0" * 16)) == 1
        assert [await block_of(socket) for _ in range(4)] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (subscribe(f"{9:0128x}"), 3),
        (subscribe(filter_type=9), 2),
        (subscribe(number=SUBSCRIPTIONS_MAX + 1), 2),
        (subscribe(*[f"{9:0128x}"] * KNOWN_BLOCKS_MAX, f"{1:0128x}"), 3),
    ],
)
async def test_subscriptions_that_are_refused(message: bytes, status: int) -> None:
    chain = Chain(2)
    async with running(ValidatorSocket, chain) as socket:
        assert await subscribed(socket, message) == status
        await chain.grow()
        socket.put(envelope(MessageType.PING_REQUEST, b""))
        await answer(socket, MessageType.PING_RESPONSE, "PingResponse")


async def test_a_busy_executor_delays_events_and_loses_none() -> None:
    chain = Chain(1)
    async with running(ValidatorSocket, chain) as socket:
        assert await subscribed(socket, subscribe()) == 1
        chain.failure = Overloaded("busy")
        await chain.grow()
        await asyncio.sleep(0.01)
        chain.failure = None
        assert await block_of(socket) == 1


def deltas(number: int, *addresses: str) -> dict[str, Any]:
    return {
        "block_id": f"{number:0128x}",
        "block_num": str(number),
        "previous_block_id": "0" * 16,
        "state_changes": [{"address": one, "value": "MQ==", "type": "SET"} for one in addresses],
    }


async def test_state_deltas() -> None:
    chain = Chain(3)
    async with running(DeltaSocket, chain) as socket:
        socket.put(json.dumps({"action": "subscribe", "address_prefixes": ["1cf126"]}))
        assert json.loads(await socket.next()) == deltas(2, ADDRESS)
        chain.hidden.add(3)
        await chain.grow()
        assert json.loads(await socket.next()) == deltas(3)
        socket.put(json.dumps({"action": "subscribe"}))
        assert json.loads(await socket.next()) == deltas(3)
        await chain.grow()
        assert json.loads(await socket.next()) == deltas(4, ADDRESS, OTHER)
        socket.put(json.dumps({"action": "unsubscribe"}))
        socket.put(json.dumps({"action": "get_block_deltas", "block_id": f"{1:0128x}", "address_prefixes": ["5b"]}))
        assert json.loads(await socket.next()) == deltas(1, OTHER)
        await chain.grow()
        socket.put(json.dumps({"action": "get_block_deltas", "block_id": f"{2:0128x}"}))
        assert json.loads(await socket.next()) == deltas(2, ADDRESS, OTHER)


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("{", 'Invalid input: "{"'),
        (b"\xff", 'Invalid input: "\ufffd"'),
        ("[]", 'Invalid input: "[]"'),
        ('{"action": "dance"}', 'Unknown action "dance"'),
        ("{}", 'Unknown action ""'),
        ('{"action": "get_block_deltas"}', "Must specify a block id"),
        ('{"action": "get_block_deltas", "block_id": "' + ID_B + '"}', "There is no block with the id"),
        ('{"action": "get_block_deltas", "block_id": "0000000000000000"}', "There is no block with the id"),
        ('{"action": "subscribe", "address_prefixes": "1cf126"}', "address_prefixes is a list"),
        (json.dumps({"action": "subscribe", "address_prefixes": ["a"] * 257}), "address_prefixes is a list"),
    ],
)
async def test_wrong_messages(message: str | bytes, error: str) -> None:
    async with running(DeltaSocket, Chain(2)) as socket:
        socket.put(message)
        assert json.loads(await socket.next())["error"].startswith(error)


async def test_a_client_that_is_gone_ends_its_connection() -> None:
    chain = Chain(2)
    async with running(DeltaSocket, chain) as socket:
        socket.closed = True
        socket.put(json.dumps({"action": "subscribe"}))
        await asyncio.sleep(0.01)
