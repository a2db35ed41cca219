"""An executor that answers Sawtooth's client messages with what a test has set, and the sockets to talk to it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from adapters.sawtooth.gateway import EXCHANGES, Prepared, ValidatorGateway
from adapters.sawtooth.requests import BLOCK_HEADER, NEWEST_BLOCK
from adapters.sawtooth.rest import RestApi
from adapters.sawtooth.wire.messages import MESSAGES, MessageType
from core.adapter.interface import Caller, Outcome, Request, Response
from core.adapter.routing import RouteTable, parse_query
from core.errors import ChannelClosed, CocoError
from core.types import Seqno, TransactionId, View

ID_A, ID_B, ID_C = "a" * 128, "b" * 128, "c" * 128
ROOT = "4" * 64
ALICE, BOB = Caller("alice"), Caller("bob")


def make(name: str, **fields: Any) -> Any:
    return MESSAGES[name](**fields)


def make_transaction(identifier: str = ID_A, payload: bytes = b"set") -> Any:
    header = make("TransactionHeader", family_name="intkey", inputs=["1cf126"], nonce="1", signer_public_key="02")
    return make("Transaction", header=header.SerializeToString(), header_signature=identifier, payload=payload)


def make_batch(identifier: str = ID_B, *transactions: Any) -> Any:
    chosen = transactions or (make_transaction(),)
    header = make("BatchHeader", signer_public_key="02", transaction_ids=[one.header_signature for one in chosen])
    return make("Batch", header=header.SerializeToString(), header_signature=identifier, transactions=chosen)


def make_block(number: int, identifier: str = ID_C, *batches: Any) -> Any:
    header = make("BlockHeader", block_num=number, previous_block_id="0" * 16, consensus=b"Coco", state_root_hash=ROOT)
    return make("Block", header=header.SerializeToString(), header_signature=identifier, batches=batches)


class StubValidator:
    """A Backend. answers: by request type, a response message or what makes one of the request; asked: what came."""

    def __init__(self) -> None:
        self.answers: dict[MessageType, Any] = {}
        self.asked: list[tuple[MessageType, Any]] = []
        self.submitted: list[bytes] = []
        self.replies: list[bytes | CocoError] = []
        self.failure: CocoError | None = None
        self.blocks = 8
        self.held: asyncio.Event | None = None
        self.committed = 1
        self._news = asyncio.Condition()

    async def query(self, payload: bytes, caller: Caller) -> bytes:
        assert caller in (ALICE, BOB)
        if self.failure is not None:
            raise self.failure
        message = MESSAGES["Message"].FromString(payload)
        if message.message_type == BLOCK_HEADER:
            return self._header(int(MESSAGES["ClientBlockGetByNumRequest"].FromString(message.content).block_num))
        kind = MessageType(message.message_type)
        request = MESSAGES[EXCHANGES[kind].request].FromString(message.content)
        self.asked.append((kind, request))
        answer = self.answers[kind]
        made = answer(request) if callable(answer) else answer
        content = made.SerializeToString()
        reply: bytes = make("Message", message_type=EXCHANGES[kind].response_type, content=content).SerializeToString()
        return reply

    def _header(self, number: int) -> bytes:
        number = self.blocks - 1 if number == NEWEST_BLOCK else number
        fields = {"status": 1, "block": self.block(number)} if 0 <= number < self.blocks else {"status": 5}
        content = make("ClientBlockGetResponse", **fields)
        reply: bytes = make("Message", content=content.SerializeToString()).SerializeToString()
        return reply

    def block(self, number: int) -> Any:
        """Return the block of a number; those below `blocks` exist."""
        return make_block(number)

    async def submit(self, payload: bytes, caller: Caller) -> Outcome:
        self.submitted.append(payload)
        if self.held is not None:
            await self.held.wait()
        reply = self.replies.pop(0) if self.replies else make("ClientBatchStatus", status=1).SerializeToString()
        if isinstance(reply, CocoError):
            raise reply
        return Outcome(reply, TransactionId(View(2), Seqno(1)))

    async def committed_after(self, seqno: int) -> int:
        async with self._news:
            await self._news.wait_for(lambda: self.committed > seqno)
        return self.committed

    async def commit(self) -> None:
        async with self._news:
            self.committed += 1
            self._news.notify_all()

    async def receipt(self, seqno: Seqno, caller: Caller) -> bytes | None:
        raise AssertionError("the front end asks for proofs by /receipt/ of the core, never here")

    async def status(self, identifier: TransactionId, caller: Caller) -> Any:
        raise AssertionError("the front end asks by CLIENT_BATCH_STATUS_REQUEST, never here")


def prepare(batch: bytes) -> Prepared:
    """Take every batch but one whose signature's name is all zeros; one that is traced has dependencies."""
    parsed = MESSAGES["Batch"].FromString(batch)
    if parsed.header_signature == "0" * 128:
        raise CocoError("the signature is wrong")
    return Prepared(parsed.header_signature, batch, may_wait=parsed.trace)


def gateway() -> ValidatorGateway:
    return ValidatorGateway(prepare)


class RestClient:
    """The routes of one gateway."""

    def __init__(self, validator: StubValidator) -> None:
        self._validator = validator
        self._routes = RouteTable(RestApi(gateway()).routes())

    async def ask(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        mount: str = "",
        caller: Caller = ALICE,
    ) -> Response:
        """Serve one REST request."""
        split = urlsplit(target)
        match = self._routes.match(method, split.path)
        assert match is not None
        request = Request(
            *(method, split.path, match.parameters, parse_query(split.query)),
            *({"host": "node.example:8000"} | dict(headers or {}), body, caller, mount),
        )
        return await match.route.handler(request, self._validator)


async def ask(validator: StubValidator, *request: Any, **options: Any) -> Response:
    """Serve one REST request by a gateway of its own."""
    return await RestClient(validator).ask(*request, **options)


class StubSocket:
    """A WebSocket: `put` is the client's side of sending, `sent` what it was sent."""

    def __init__(self) -> None:
        self.caller = ALICE
        self.sent: asyncio.Queue[str | bytes] = asyncio.Queue()
        self._received: asyncio.Queue[str | bytes | None] = asyncio.Queue()
        self.closed = False

    async def receive(self) -> str | bytes | None:
        return await self._received.get()

    async def send(self, message: str | bytes) -> None:
        if self.closed:
            raise ChannelClosed("closed")
        self.sent.put_nowait(message)

    def put(self, message: str | bytes | None) -> None:
        self._received.put_nowait(message)

    async def next(self) -> Any:
        return await asyncio.wait_for(self.sent.get(), 10)
