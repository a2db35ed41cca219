"""The adapter on its test bench with stub transaction processors connected, which do what a test tells them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from adapters.sawtooth.external_runs import RunBounds
from adapters.sawtooth.wire.messages import MESSAGES, MessageType, ProcessStatus, parse
from core.adapter.interface import Caller
from tests.adapters.sawtooth.stub_validator import StubSocket
from tests.adapters.sawtooth.support import ALICE, BOB, INTKEY, Bench, Client, Signed

FAMILY, NAMESPACE = "outside", "aaaaaa"
SETTINGS: dict[str, Any] = {
    "namespaces": {NAMESPACE: {"read": ["alice", "bob"]}, INTKEY: {"read": ["*"]}, "bbbbbb": {"read": ["alice"]}},
    "external_processors": {FAMILY: {"identities": ["bob"]}, "another": {"identities": ["bob"]}},
}
SECONDS_MAX = 10


def place(number: int) -> str:
    """Return an address."""
    return f"{NAMESPACE}{number:064x}"


class StubProcessor:
    """One processor's end of a connection. Used with `connected`."""

    def __init__(self, socket: StubSocket, task: asyncio.Task[None]) -> None:
        self._socket = socket
        self.task = task
        self._number = 0
        self._early: list[Any] = []

    def put(self, kind: MessageType, name: str, correlation: str, **fields: Any) -> None:
        """Send a message."""
        content = MESSAGES[name](**fields).SerializeToString()
        message = MESSAGES["Message"](message_type=kind, correlation_id=correlation, content=content)
        self._socket.put(message.SerializeToString())

    async def receive(self, kind: MessageType, name: str) -> tuple[str, Any]:
        """Return the correlation id and the content of the next message of this kind; what comes before is kept."""
        message = next((one for one in self._early if one.message_type == kind), None)
        if message is not None:
            self._early.remove(message)
        while message is None:
            message = parse("Message", await self._socket.next())
            if message.message_type != kind:
                assert message.message_type in (MessageType.TP_PROCESS_REQUEST, MessageType.PING_REQUEST)
                self._early.append(message)
                message = None
        return message.correlation_id, parse(name, message.content)

    def is_quiet(self) -> bool:
        """Say whether nothing more was sent to the processor."""
        return self._socket.sent.empty() and not self._early

    async def ask(self, kind: MessageType, **fields: Any) -> Any:
        """Send a request and return its answer."""
        self._number += 1
        words = [word.capitalize() for word in kind.name.removesuffix("_REQUEST").split("_")]
        name = "".join(words)
        self.put(kind, f"{name}Request", str(self._number), **fields)
        correlation, answer = await self.receive(MessageType(kind + 1), f"{name}Response")
        assert correlation == str(self._number)
        return answer

    async def register(self, family: str = FAMILY, version: str = "1.0", **fields: Any) -> int:
        """Register for a family; returns the status."""
        answer = await self.ask(MessageType.TP_REGISTER_REQUEST, family=family, version=version, **fields)
        return int(answer.status)

    async def work(self) -> tuple[str, Any]:
        """Return the next TpProcessRequest and its correlation id."""
        return await self.receive(MessageType.TP_PROCESS_REQUEST, "TpProcessRequest")

    async def get(self, context_id: str, *addresses: str) -> dict[str, bytes] | None:
        """Read; None where that is not authorised."""
        answer = await self.ask(MessageType.TP_STATE_GET_REQUEST, context_id=context_id, addresses=addresses)
        return {one.address: one.data for one in answer.entries} if answer.status == 1 else None

    async def set(self, context_id: str, entries: Mapping[str, bytes]) -> bool:
        """Write; returns whether that was authorised."""
        made = [MESSAGES["TpStateEntry"](address=address, data=data) for address, data in entries.items()]
        answer = await self.ask(MessageType.TP_STATE_SET_REQUEST, context_id=context_id, entries=made)
        assert list(answer.addresses) == (list(entries) if answer.status == 1 else [])
        return bool(answer.status == 1)

    async def delete(self, context_id: str, *addresses: str) -> bool:
        """Delete; returns whether that was authorised."""
        answer = await self.ask(MessageType.TP_STATE_DELETE_REQUEST, context_id=context_id, addresses=addresses)
        return bool(answer.status == 1)

    async def event(self, context_id: str, kind: str, data: bytes = b"") -> bool:
        """Add an event; returns whether it was taken."""
        event = MESSAGES["Event"](event_type=kind, data=data)
        return bool((await self.ask(MessageType.TP_EVENT_ADD_REQUEST, context_id=context_id, event=event)).status == 1)

    async def receipt_data(self, context_id: str, data: bytes) -> bool:
        """Add receipt data; returns whether it was taken."""
        answer = await self.ask(MessageType.TP_RECEIPT_ADD_DATA_REQUEST, context_id=context_id, data=data)
        return bool(answer.status == 1)

    def answer(self, correlation: str, status: int = ProcessStatus.OK, **fields: Any) -> None:
        """Say that a transaction is done."""
        self.put(MessageType.TP_PROCESS_RESPONSE, "TpProcessResponse", correlation, status=status, **fields)

    async def serve(self, data: bytes) -> str:
        """Do one transaction: read and set its first output; returns what it read, as text."""
        correlation, request = await self.work()
        address = request.header.outputs[0]
        found = await self.get(request.context_id, address)
        assert found is not None
        assert await self.set(request.context_id, {address: found[address] + data})
        self.answer(correlation)
        return found[address].decode()

    def put_bytes(self, frame: str | bytes) -> None:
        """Send what may be no message."""
        self._socket.put(frame)

    def leave(self) -> None:
        """End the connection."""
        self._socket.closed = True
        self._socket.put(None)


class ProcessorBench(Bench):
    """The test bench, and connections to its gateway."""

    def __init__(self, settings: Mapping[str, Any] = SETTINGS) -> None:
        super().__init__(settings)
        self.client = Client()

    @asynccontextmanager
    async def connected(self, caller: Caller = BOB) -> AsyncIterator[StubProcessor]:
        """Connect something to the validator's socket."""
        socket = StubSocket()
        socket.caller = caller
        (handler,) = (one.handler for one in self.harness.adapter.web_sockets() if one.path == "/validator")
        task: asyncio.Task[None] = asyncio.ensure_future(handler(socket, self.harness.backend()))  # type: ignore[arg-type]
        processor = StubProcessor(socket, task)
        try:
            yield processor
            processor.leave()
            await asyncio.wait_for(task, SECONDS_MAX)
        finally:
            task.cancel()

    @asynccontextmanager
    async def processor(self, *families: str) -> AsyncIterator[StubProcessor]:
        """Connect a processor that is registered."""
        async with self.connected() as processor:
            for family in families or (FAMILY,):
                assert await processor.register(family) == 1
            yield processor

    def batch(self, *numbers: int, family: str = FAMILY, **changed: Any) -> Signed:
        """Sign a batch of one transaction for each address."""
        made = [self.client.transaction(family, b"payload", [place(number)], **changed) for number in numbers]
        return self.client.batch(*made)

    async def post(self, *batches: Signed, caller: Caller = ALICE) -> int:
        """Post batches by REST; returns the HTTP status."""
        body = MESSAGES["BatchList"](batches=[parse("Batch", one.data) for one in batches]).SerializeToString()
        octets = {"content-type": "application/octet-stream"}
        return (await self.harness.request("POST", "/batches", body, caller, octets)).status

    def send(self, *batches: Signed, caller: Caller = ALICE) -> asyncio.Task[int]:
        """Begin to post batches."""
        return asyncio.create_task(self.post(*batches, caller=caller))

    async def status(self, batch: Signed, wait_seconds: int = 0, caller: Caller = ALICE) -> tuple[str, str]:
        """Return a batch's status, and why it is invalid."""
        path = f"/batch_statuses?id={batch.id}" + (f"&wait={wait_seconds}" if wait_seconds else "")
        answer = json.loads((await self.harness.request("GET", path, caller=caller)).body)["data"][0]
        return answer["status"], "".join(one["message"] for one in answer["invalid_transactions"])

    async def ended(self, batch: Signed) -> tuple[str, str]:
        """Wait until a batch is committed or invalid."""
        return await asyncio.wait_for(self.status(batch, SECONDS_MAX), SECONDS_MAX)


def quick(**bounds: Any) -> Any:
    """Return what stands in for RunBounds, with these bounds."""
    return lambda: RunBounds(**({"pause_seconds": 0.0} | bounds))
