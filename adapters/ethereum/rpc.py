"""JSON-RPC in a gateway: one request or a batch in, one answer or an array of them out. Over HTTP always with 200.

The items of a batch are prepared in order and its commands submitted in order, all before the first is awaited, so
that they share blocks. A query waits for the commands that stand before it in its batch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import assert_never

import orjson

from adapters.ethereum.methods import Answered, Methods, Prepared, ToAsk, ToPoll, ToProve, ToRun, ToSubmit
from adapters.ethereum.polling import is_error, poll_filter, read_filter
from adapters.jsonrpc import (
    NULL_ID,
    RESPONSE_TOO_LARGE,
    SERVER_ERROR,
    RpcCall,
    RpcError,
    RpcFailure,
    bound_answers,
    error_fragment,
    join_answers,
    parse,
    result_fragment,
)
from core.adapter.interface import Backend, Caller, CommandFailed, OutcomeUnknown, Request, Response
from core.errors import CocoError, LimitExceeded
from core.types import Seqno

UNKNOWN_OUTCOME = "the outcome is not known: the node stopped or changed its role; ask for the receipt by the hash"
FAILED = "the node failed on this request; nothing was written"

Prepare = Callable[[RpcCall], Prepared]


class RpcFrontEnd:
    """Serves the JSON-RPC end point."""

    def __init__(self, methods: Methods) -> None:
        self._methods = methods

    async def handle(self, request: Request, backend: Backend) -> Response:
        """Answer an HTTP request. The status is 200 whatever is in it."""
        return Response(200, await self.answer(request.body, request.caller, backend, self._methods.prepare))

    async def answer(self, body: bytes, caller: Caller, backend: Backend, prepare: Prepare) -> bytes:
        """Answer a request or a batch; b"" where nothing is to be answered. prepare: raises RpcError."""
        try:
            parsed = parse(body)
        except RpcError as error:
            return join_answers(bound_answers([(NULL_ID, error_fragment(error))]), is_batch=False)
        prepared = [_prepare(item, prepare) for item in parsed.items]
        fragments = await _run(prepared, caller, backend)
        pairs = [
            (item.id, fragment)
            for item, fragment in zip(parsed.items, fragments, strict=True)
            if isinstance(item, RpcFailure) or item.expects_answer
        ]
        return join_answers(bound_answers(pairs), is_batch=parsed.is_batch)


def _prepare(item: RpcCall | RpcFailure, prepare: Prepare) -> Prepared:
    if isinstance(item, RpcFailure):
        return Answered(error_fragment(item.error))
    try:
        return prepare(item)
    except RpcError as error:
        return Answered(error_fragment(error))


async def _run(prepared: list[Prepared], caller: Caller, backend: Backend) -> list[bytes]:
    """Return a fragment for each item. Tasks start in the order they are made, so commands arrive in order."""
    commands: list[asyncio.Task[bytes]] = []
    tasks: list[asyncio.Task[bytes] | bytes] = []
    for item in prepared:
        match item:
            case Answered(fragment):
                tasks.append(fragment)
            case ToSubmit(payload):
                task = asyncio.create_task(_submit(payload, caller, backend))
                commands.append(task)
                tasks.append(task)
            case ToAsk() | ToPoll() | ToProve() | ToRun():
                tasks.append(asyncio.create_task(_after(tuple(commands), _asking(item, caller, backend))))
            case _:
                assert_never(item)
    try:
        return [one if isinstance(one, bytes) else await one for one in tasks]
    finally:
        for one in tasks:
            if isinstance(one, asyncio.Task):
                one.cancel()


def _asking(item: ToAsk | ToPoll | ToProve | ToRun, caller: Caller, backend: Backend) -> Callable[[], Awaitable[bytes]]:
    match item:
        case ToAsk(payload):
            return lambda: backend.query(payload, caller)
        case ToPoll(filter_id, whole=True):
            return lambda: read_filter(filter_id, caller, backend)
        case ToPoll(filter_id):
            return lambda: poll_filter(filter_id, caller, backend)
        case ToProve(payload):
            return lambda: _prove(payload, caller, backend)
        case ToRun(work):
            return work
        case _:
            assert_never(item)


async def _submit(payload: bytes, caller: Caller, backend: Backend) -> bytes:
    try:
        return (await backend.submit(payload, caller)).reply
    except OutcomeUnknown:
        return error_fragment(RpcError(SERVER_ERROR, UNKNOWN_OUTCOME))
    except LimitExceeded as error:
        return error_fragment(RpcError(SERVER_ERROR, f"oversized data: {error.message}"))
    except CocoError as error:
        return _failure(error)


async def _prove(payload: bytes, caller: Caller, backend: Backend) -> bytes:
    """Find an entry and return the fragment with its proof, or null."""
    found = await backend.query(payload, caller)
    if is_error(found):
        return found
    seqno = orjson.loads(b"{" + found + b"}")["result"]
    proof = None if seqno is None else await backend.receipt(Seqno(seqno), caller)
    return result_fragment(None) if proof is None else b'"result":' + proof


async def _after(commands: tuple[asyncio.Task[bytes], ...], ask: Callable[[], Awaitable[bytes]]) -> bytes:
    if commands:
        await asyncio.wait(commands)
    try:
        return await ask()
    except RpcError as error:
        return error_fragment(error)
    except LimitExceeded:
        return error_fragment(RpcError(RESPONSE_TOO_LARGE, "response too large"))
    except CocoError as error:
        return _failure(error)


def _failure(error: CocoError) -> bytes:
    return error_fragment(RpcError(SERVER_ERROR, FAILED if isinstance(error, CommandFailed) else error.message))
