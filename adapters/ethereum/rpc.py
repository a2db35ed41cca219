"""JSON-RPC over HTTP, in a gateway: one request or a batch in, one answer or an array of them out, always with 200.

The items of a batch are prepared in order and its commands submitted in order, all before the first is awaited, so
that they share blocks. A query waits for the commands that stand before it in its batch.
"""

from __future__ import annotations

import asyncio
from typing import assert_never

from adapters.ethereum.methods import Answered, Methods, Prepared, ToAsk, ToSubmit
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
)
from core.adapter.interface import Backend, Caller, OutcomeUnknown, Overloaded, Request, Response
from core.errors import LimitExceeded

UNKNOWN_OUTCOME = "the outcome is not known: the node stopped or changed its role; ask for the receipt by the hash"


class RpcFrontEnd:
    """Serves the JSON-RPC end point."""

    def __init__(self, methods: Methods) -> None:
        self._methods = methods

    async def handle(self, request: Request, backend: Backend) -> Response:
        """Answer an HTTP request. The status is 200 whatever is in it."""
        try:
            parsed = parse(request.body)
        except RpcError as error:
            return Response(200, join_answers(bound_answers([(NULL_ID, error_fragment(error))]), is_batch=False))
        prepared = [self._prepare(item) for item in parsed.items]
        fragments = await _run(prepared, request.caller, backend)
        pairs = [
            (item.id, fragment)
            for item, fragment in zip(parsed.items, fragments, strict=True)
            if isinstance(item, RpcFailure) or item.expects_answer
        ]
        return Response(200, join_answers(bound_answers(pairs), is_batch=parsed.is_batch))

    def _prepare(self, item: RpcCall | RpcFailure) -> Prepared:
        if isinstance(item, RpcFailure):
            return Answered(error_fragment(item.error))
        try:
            return self._methods.prepare(item)
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
            case ToAsk(payload):
                tasks.append(asyncio.create_task(_ask(payload, caller, backend, tuple(commands))))
            case _:
                assert_never(item)
    try:
        return [one if isinstance(one, bytes) else await one for one in tasks]
    finally:
        for one in tasks:
            if isinstance(one, asyncio.Task):
                one.cancel()


async def _submit(payload: bytes, caller: Caller, backend: Backend) -> bytes:
    try:
        return (await backend.submit(payload, caller)).reply
    except Overloaded as error:
        return error_fragment(RpcError(SERVER_ERROR, error.message))
    except OutcomeUnknown:
        return error_fragment(RpcError(SERVER_ERROR, UNKNOWN_OUTCOME))
    except LimitExceeded as error:
        return error_fragment(RpcError(SERVER_ERROR, f"oversized data: {error.message}"))


async def _ask(payload: bytes, caller: Caller, backend: Backend, after: tuple[asyncio.Task[bytes], ...]) -> bytes:
    if after:
        await asyncio.wait(after)
    try:
        return await backend.query(payload, caller)
    except Overloaded as error:
        return error_fragment(RpcError(SERVER_ERROR, error.message))
    except LimitExceeded:
        return error_fragment(RpcError(RESPONSE_TOO_LARGE, "response too large"))
