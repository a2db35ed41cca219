"""Answers Sawtooth's client messages (types 100 to 130, and 505) in a gateway: what REST and the sockets stand on.

Batches become commands, one each; everything else is a query whose payload is the client's own `Message` and whose
reply is the validator's. Waiting for batches is done here, so that no query ever waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from adapters.sawtooth.requests import BLOCK_HEADER
from adapters.sawtooth.wire.messages import (
    MESSAGES,
    BatchStatus,
    ListStatus,
    MessageType,
    SimpleStatus,
    SubmitStatus,
    parse,
)
from core import limits
from core.adapter.interface import Backend, Caller, Overloaded
from core.errors import CocoError, LimitExceeded

WAIT_SECONDS = 300
"""How long `wait` waits when the client names no time, as in a validator; bounded by WAIT_SECONDS_MAX."""
WAIT_SECONDS_MAX = limits.REQUEST_SECONDS_MAX - 5
"""Below what connections on the way, `coco proxy` among them, give an answer."""
RECHECK_SECONDS = 1.0
"""A held batch may become invalid without anything being committed, so statuses are looked up this often."""
HELD_SECONDS = 1.0
"""After which a batch with dependencies that has not run counts as held: whoever sent it is answered."""
PREPARED_AT_A_TIME = 16
"""Batches whose signatures are checked before other connections of the gateway have their turn."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """What a request is answered with. request, response: names of messages."""

    request: str
    response_type: MessageType
    response: str


def _exchange(request: str, response_type: MessageType, response: str | None = None) -> Exchange:
    return Exchange(f"Client{request}Request", response_type, f"Client{response or request}Response")


_TYPE = MessageType
EXCHANGES = {
    _TYPE.CLIENT_BATCH_SUBMIT_REQUEST: _exchange("BatchSubmit", _TYPE.CLIENT_BATCH_SUBMIT_RESPONSE),
    _TYPE.CLIENT_BLOCK_LIST_REQUEST: _exchange("BlockList", _TYPE.CLIENT_BLOCK_LIST_RESPONSE),
    _TYPE.CLIENT_BLOCK_GET_BY_ID_REQUEST: _exchange("BlockGetById", _TYPE.CLIENT_BLOCK_GET_RESPONSE, "BlockGet"),
    _TYPE.CLIENT_BLOCK_GET_BY_NUM_REQUEST: _exchange("BlockGetByNum", _TYPE.CLIENT_BLOCK_GET_RESPONSE, "BlockGet"),
    _TYPE.CLIENT_BLOCK_GET_BY_TRANSACTION_ID_REQUEST: _exchange(
        "BlockGetByTransactionId", _TYPE.CLIENT_BLOCK_GET_RESPONSE, "BlockGet"
    ),
    _TYPE.CLIENT_BLOCK_GET_BY_BATCH_ID_REQUEST: _exchange(
        "BlockGetByBatchId", _TYPE.CLIENT_BLOCK_GET_RESPONSE, "BlockGet"
    ),
    _TYPE.CLIENT_BATCH_LIST_REQUEST: _exchange("BatchList", _TYPE.CLIENT_BATCH_LIST_RESPONSE),
    _TYPE.CLIENT_BATCH_GET_REQUEST: _exchange("BatchGet", _TYPE.CLIENT_BATCH_GET_RESPONSE),
    _TYPE.CLIENT_TRANSACTION_LIST_REQUEST: _exchange("TransactionList", _TYPE.CLIENT_TRANSACTION_LIST_RESPONSE),
    _TYPE.CLIENT_TRANSACTION_GET_REQUEST: _exchange("TransactionGet", _TYPE.CLIENT_TRANSACTION_GET_RESPONSE),
    _TYPE.CLIENT_STATE_LIST_REQUEST: _exchange("StateList", _TYPE.CLIENT_STATE_LIST_RESPONSE),
    _TYPE.CLIENT_STATE_GET_REQUEST: _exchange("StateGet", _TYPE.CLIENT_STATE_GET_RESPONSE),
    _TYPE.CLIENT_BATCH_STATUS_REQUEST: _exchange("BatchStatus", _TYPE.CLIENT_BATCH_STATUS_RESPONSE),
    _TYPE.CLIENT_RECEIPT_GET_REQUEST: _exchange("ReceiptGet", _TYPE.CLIENT_RECEIPT_GET_RESPONSE),
    _TYPE.CLIENT_PEERS_GET_REQUEST: _exchange("PeersGet", _TYPE.CLIENT_PEERS_GET_RESPONSE),
    _TYPE.CLIENT_STATUS_GET_REQUEST: _exchange("StatusGet", _TYPE.CLIENT_STATUS_GET_RESPONSE),
    _TYPE.CLIENT_EVENTS_GET_REQUEST: _exchange("EventsGet", _TYPE.CLIENT_EVENTS_GET_RESPONSE),
}
"""Requests that have one answer. Subscribing to events is the socket's (validator_socket.py)."""


Run = Callable[[Caller, Backend], Coroutine[Any, Any, SubmitStatus]]
"""Runs a batch to its commit."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A batch that may run. payload: of its command; may_wait: it depends on transactions of other batches.

    run: what runs it instead of sending its command, and takes its time.
    """

    batch_id: str
    payload: bytes
    may_wait: bool = False
    run: Run | None = None


Prepare = Callable[[bytes], Prepared]
"""Checks a serialised batch as far as that needs no state; raises CocoError."""


class ValidatorGateway:
    """The validator, as one gateway's routes and sockets ask it."""

    def __init__(self, prepare: Prepare) -> None:
        self._prepare = prepare
        self._waiting: dict[tuple[str, str | None], set[asyncio.Task[SubmitStatus]]] = {}
        """Batches with dependencies that were sent on, and those that run outside the enclave, by id and sender."""

    async def ask(self, message_type: MessageType, content: bytes, caller: Caller, backend: Backend) -> bytes:
        """Return the serialised answer to a request of EXCHANGES.

        Raises MalformedMessage for content that is not the request, and what Backend raises.
        """
        answer: bytes
        match message_type:
            case MessageType.CLIENT_BATCH_SUBMIT_REQUEST:
                batches = parse("ClientBatchSubmitRequest", content).batches
                status = await self.submit([batch.SerializeToString() for batch in batches], caller, backend)
                answer = MESSAGES["ClientBatchSubmitResponse"](status=status).SerializeToString()
                return answer
            case MessageType.CLIENT_BATCH_STATUS_REQUEST:
                return await self._statuses(parse("ClientBatchStatusRequest", content), caller, backend)
            case MessageType.CLIENT_PEERS_GET_REQUEST | MessageType.CLIENT_STATUS_GET_REQUEST:
                # A network's nodes are no peers in Sawtooth's sense; `coco network status` tells of them.
                answer = MESSAGES[EXCHANGES[message_type].response](status=SimpleStatus.OK).SerializeToString()
                return answer
            case _:
                parse(EXCHANGES[message_type].request, content)
                return await self._query(message_type, content, caller, backend)

    async def request(self, message_type: MessageType, request: Any, caller: Caller, backend: Backend) -> Any:
        """As ask, from message to message."""
        answer = await self.ask(message_type, request.SerializeToString(), caller, backend)
        return parse(EXCHANGES[message_type].response, answer)

    async def block(self, number: int, caller: Caller, backend: Backend) -> Any:
        """Return a Block without its batches, None where there is none of this number. number: may be NEWEST_BLOCK."""
        content = MESSAGES["ClientBlockGetByNumRequest"](block_num=number).SerializeToString()
        found = parse("ClientBlockGetResponse", await self._query(BLOCK_HEADER, content, caller, backend))
        return found.block if found.status == ListStatus.OK else None

    async def submit(self, batches: list[bytes], caller: Caller, backend: Backend) -> SubmitStatus:
        """Run serialised batches, in order; returns when each is committed, invalid or held.

        None runs unless all pass the checks that need no state. Raises OutcomeUnknown, CommandFailed.
        """
        prepared: list[Prepared] = []
        try:
            for number, batch in enumerate(batches):
                if number and number % PREPARED_AT_A_TIME == 0:
                    await asyncio.sleep(0)
                prepared.append(self._prepare(batch))
                if len(prepared[-1].payload) > limits.COMMAND_BYTES_MAX:
                    return SubmitStatus.INVALID_BATCH
        except CocoError:
            return SubmitStatus.INVALID_BATCH
        outcomes = await asyncio.gather(*(self._run(one, caller, backend) for one in prepared))
        return max(outcomes, default=SubmitStatus.OK)

    async def _run(self, prepared: Prepared, caller: Caller, backend: Backend) -> SubmitStatus:
        if prepared.run is not None:
            running = prepared.run(caller, backend)
        else:
            running = self._submit(prepared.payload, caller, backend)
            if not prepared.may_wait:
                return await running
        task = asyncio.create_task(running)
        known_as = (prepared.batch_id, caller.identity)
        self._waiting.setdefault(known_as, set()).add(task)
        task.add_done_callback(lambda done: self._forget(known_as, done))
        done, _ = await asyncio.wait({task}, timeout=HELD_SECONDS)
        return task.result() if done else SubmitStatus.OK

    def _forget(self, known_as: tuple[str, str | None], task: asyncio.Task[SubmitStatus]) -> None:
        """Drop a batch that waits no more, whose outcome may be nobody's business by now."""
        tasks = self._waiting[known_as]
        tasks.discard(task)
        if not tasks:
            del self._waiting[known_as]
        if not task.cancelled():
            task.exception()

    async def _submit(self, payload: bytes, caller: Caller, backend: Backend) -> SubmitStatus:
        try:
            outcome = await backend.submit(payload, caller)
        except Overloaded:
            return SubmitStatus.QUEUE_FULL
        except LimitExceeded:
            return SubmitStatus.INVALID_BATCH
        return _submit_status(outcome.reply)

    async def _statuses(self, request: Any, caller: Caller, backend: Backend) -> bytes:
        def ended(answer: bytes) -> bool:
            statuses = parse("ClientBatchStatusResponse", answer).batch_statuses
            return all(one.status != BatchStatus.PENDING for one in statuses)

        seconds = (request.timeout or WAIT_SECONDS) if request.wait else 0
        request.wait, request.timeout = False, 0
        content = request.SerializeToString()
        return await self.wait_until(ended, seconds, lambda: self._status_now(content, caller, backend), backend)

    async def _status_now(self, content: bytes, caller: Caller, backend: Backend) -> bytes:
        """Ask where batches stand. One that waits at a leader is not known to its followers, but it is here.

        One that was invalid and has been sent again is under way as well.
        """
        answer = await self._query(_TYPE.CLIENT_BATCH_STATUS_REQUEST, content, caller, backend)
        if not self._waiting:
            return answer
        found = parse("ClientBatchStatusResponse", answer)
        for one in found.batch_statuses:
            if one.status != BatchStatus.COMMITTED and (one.batch_id, caller.identity) in self._waiting:
                one.status = BatchStatus.PENDING
                del one.invalid_transactions[:]
        changed: bytes = found.SerializeToString()
        return changed

    async def wait_until(
        self, ended: Callable[[bytes], bool], seconds: float, ask: Callable[[], Awaitable[bytes]], backend: Backend
    ) -> bytes:
        """Ask until the answer is an end or the time is over, at most WAIT_SECONDS_MAX; returns the last answer."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + min(seconds, WAIT_SECONDS_MAX)
        seqno = await backend.committed_after(0) if seconds else 0
        while True:
            answer = await ask()
            left = deadline - loop.time()
            if left <= 0 or ended(answer):
                return answer
            try:
                async with asyncio.timeout(min(left, RECHECK_SECONDS)):
                    seqno = await backend.committed_after(seqno)
            except TimeoutError:
                continue

    async def _query(self, message_type: int, content: bytes, caller: Caller, backend: Backend) -> bytes:
        message = MESSAGES["Message"](message_type=message_type, content=content)
        reply = parse("Message", await backend.query(message.SerializeToString(), caller))
        answer: bytes = reply.content
        return answer


def _submit_status(reply: bytes) -> SubmitStatus:
    """Read what a command answered: a refusal is a ClientBatchSubmitResponse, anything else is a batch's status."""
    status = parse("ClientBatchSubmitResponse", reply).status
    return SubmitStatus(status) if status else SubmitStatus.OK
