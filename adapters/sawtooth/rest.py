"""Sawtooth's REST API: each request is translated to a client message, and the validator's answer to JSON.

Envelope {data, head, link, paging}, errors {error: {code, title, message}}. What one may not see is decided by the
queries behind it (access.py). Source: Sawtooth 1.2's REST API specification and `sawtooth_rest_api`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from enum import IntEnum
from typing import Any

from adapters.sawtooth import rest_json, rest_query
from adapters.sawtooth.errors import RestError, RestFailure
from adapters.sawtooth.gateway import ValidatorGateway
from adapters.sawtooth.requests import NEWEST_BLOCK
from adapters.sawtooth.rest_links import build_link
from adapters.sawtooth.wire.messages import (
    MESSAGES,
    ListStatus,
    MalformedMessage,
    MessageType,
    SimpleStatus,
    StateGetStatus,
    StateListStatus,
    SubmitStatus,
    parse,
)
from core.adapter.interface import Backend, CommandFailed, Handler, OutcomeUnknown, Overloaded, Request, Response, Route
from core.errors import LimitExceeded

HEAD_TRIES = 3
"""How often the newest head is taken anew when its state is gone before it is read."""

_CONTENT_TYPE = "application/json; charset=utf-8"
_STATUS_ERRORS = {
    "INTERNAL_ERROR": RestError.UNKNOWN_VALIDATOR_ERROR,
    "ERROR": RestError.UNKNOWN_VALIDATOR_ERROR,
    "NOT_READY": RestError.NOT_READY,
    "NO_ROOT": RestError.HEAD_NOT_FOUND,
    "INVALID_ROOT": RestError.HEAD_NOT_FOUND,
    "INVALID_PAGING": RestError.PAGING_INVALID,
    "INVALID_SORT": RestError.SORT_INVALID,
    "INVALID_ID": RestError.ID_INVALID,
    "INVALID_ADDRESS": RestError.ADDRESS_INVALID,
}
_SUBMIT_ERRORS = {
    SubmitStatus.INTERNAL_ERROR: RestError.UNKNOWN_VALIDATOR_ERROR,
    SubmitStatus.INVALID_BATCH: RestError.BATCHES_INVALID,
    SubmitStatus.QUEUE_FULL: RestError.QUEUE_FULL,
}
_Type = MessageType
_Inner = Callable[[Request, Backend], Awaitable[Response]]


class RestApi:
    """The routes. gateway: answers client messages."""

    def __init__(self, gateway: ValidatorGateway) -> None:
        self._gateway = gateway

    def routes(self) -> Sequence[Route]:
        """Return Sawtooth's end points. `/subscriptions` is a WebSocket (subscriptions.py)."""
        table: list[tuple[str, str, _Inner]] = [
            ("POST", "/batches", self.submit_batches),
            ("GET", "/batches", self.list_batches),
            ("GET", "/batches/{id}", self.fetch_batch),
            ("GET", "/batch_statuses", self.list_statuses),
            ("POST", "/batch_statuses", self.list_statuses),
            ("GET", "/state", self.list_state),
            ("GET", "/state/{address}", self.fetch_state),
            ("GET", "/blocks", self.list_blocks),
            ("GET", "/blocks/{id}", self.fetch_block),
            ("GET", "/transactions", self.list_transactions),
            ("GET", "/transactions/{id}", self.fetch_transaction),
            ("GET", "/receipts", self.list_receipts),
            ("POST", "/receipts", self.list_receipts),
            ("GET", "/peers", self.fetch_peers),
            ("GET", "/status", self.fetch_status),
        ]
        return [Route(method, path, served(inner)) for method, path, inner in table]

    async def submit_batches(self, request: Request, backend: Backend) -> Response:
        """Take a BatchList. 202 with a link to its statuses, once every batch is committed, invalid or held."""
        if rest_query.media_type(request) != "application/octet-stream":
            raise RestFailure(RestError.SUBMISSION_CONTENT_TYPE)
        try:
            batches = parse("BatchList", request.body).batches
        except MalformedMessage:
            raise RestFailure(RestError.NOT_PROTOBUF) from None
        if not batches:
            raise RestFailure(RestError.NO_BATCHES)
        serialised = [batch.SerializeToString() for batch in batches]
        try:
            status = await self._gateway.submit(serialised, request.caller, backend)
        except OutcomeUnknown:
            raise RestFailure(RestError.TIMED_OUT) from None
        if status != SubmitStatus.OK:
            raise RestFailure(_SUBMIT_ERRORS[status])
        ids = ",".join(batch.header_signature for batch in batches)
        return _respond({"link": build_link(request, "/batch_statuses", id=ids)}, 202)

    async def list_statuses(self, request: Request, backend: Backend) -> Response:
        """Answer where batches stand, with `wait` once none of them is pending any more."""
        ids = rest_query.listed_ids(
            request, RestError.STATUSES_CONTENT_TYPE, RestError.STATUSES_BODY, RestError.STATUSES_ID_QUERY
        )
        seconds = rest_query.wait_seconds(request.query)
        asked = MESSAGES["ClientBatchStatusRequest"](batch_ids=ids, wait=seconds > 0, timeout=seconds)
        found = await self._ask(
            _Type.CLIENT_BATCH_STATUS_REQUEST, asked, request, backend, ListStatus, RestError.STATUSES_MISSING
        )
        data = rest_json.short_ids(rest_json.without_empty([rest_json.plain(one) for one in found.batch_statuses]))
        return _respond({"data": data} | _link_of_get(request))

    async def list_receipts(self, request: Request, backend: Backend) -> Response:
        """Answer with the receipts of transactions, with `wait` once there are all of them."""
        ids = rest_query.listed_ids(
            request, RestError.RECEIPTS_CONTENT_TYPE, RestError.RECEIPTS_BODY, RestError.RECEIPTS_ID_QUERY
        )
        asked = MESSAGES["ClientReceiptGetRequest"](transaction_ids=ids).SerializeToString()

        def ended(answer: bytes) -> bool:
            return int(parse("ClientReceiptGetResponse", answer).status) != ListStatus.NO_RESOURCE

        async def ask() -> bytes:
            return await self._gateway.ask(_Type.CLIENT_RECEIPT_GET_REQUEST, asked, request.caller, backend)

        seconds = rest_query.wait_seconds(request.query)
        found = parse("ClientReceiptGetResponse", await self._gateway.wait_until(ended, seconds, ask, backend))
        _check(found.status, ListStatus, RestError.RECEIPT_NOT_FOUND)
        data = rest_json.short_ids(rest_json.without_empty([rest_json.plain(one) for one in found.receipts]))
        return _respond({"data": data} | _link_of_get(request))

    async def list_state(self, request: Request, backend: Backend) -> Response:
        """List state entries, those below an address prefix where `address` names one."""
        paging = rest_query.paging_query(request.query)
        order = rest_query.sorting(request.query, "default")

        async def read(root: str) -> Any:
            asked = MESSAGES["ClientStateListRequest"](
                state_root=root, address=request.query.get("address", ""), sorting=order, paging=paging.message()
            )
            return await self._ask(_Type.CLIENT_STATE_LIST_REQUEST, asked, request, backend, StateListStatus)

        head, found = await self._at_head(request, backend, read)
        return _paged(request, paging, found.paging, head, [rest_json.plain(entry) for entry in found.entries])

    async def fetch_state(self, request: Request, backend: Backend) -> Response:
        """Answer with what stands at one address."""
        address = request.parameters["address"]

        async def read(root: str) -> Any:
            asked = MESSAGES["ClientStateGetRequest"](state_root=root, address=address)
            none = RestError.STATE_NOT_FOUND
            return await self._ask(_Type.CLIENT_STATE_GET_REQUEST, asked, request, backend, StateGetStatus, none)

        head, found = await self._at_head(request, backend, read)
        return _respond({"data": rest_json.plain(found)["value"], "head": head, "link": build_link(request, head=head)})

    async def list_blocks(self, request: Request, backend: Backend) -> Response:
        """List blocks, newest first."""
        return await self._list(
            request, backend, _Type.CLIENT_BLOCK_LIST_REQUEST, "ClientBlockListRequest", "block_ids", "blocks"
        )

    async def list_batches(self, request: Request, backend: Backend) -> Response:
        """List batches, newest first."""
        return await self._list(
            request, backend, _Type.CLIENT_BATCH_LIST_REQUEST, "ClientBatchListRequest", "batch_ids", "batches"
        )

    async def list_transactions(self, request: Request, backend: Backend) -> Response:
        """List transactions, newest first."""
        return await self._list(
            request,
            backend,
            *(_Type.CLIENT_TRANSACTION_LIST_REQUEST, "ClientTransactionListRequest"),
            *("transaction_ids", "transactions"),
        )

    async def fetch_block(self, request: Request, backend: Backend) -> Response:
        """Answer with one block."""
        asked = MESSAGES["ClientBlockGetByIdRequest"](block_id=rest_query.checked_id(request.parameters["id"]))
        found = await self._ask(
            _Type.CLIENT_BLOCK_GET_BY_ID_REQUEST, asked, request, backend, ListStatus, RestError.BLOCK_NOT_FOUND
        )
        return _one(request, found.block)

    async def fetch_batch(self, request: Request, backend: Backend) -> Response:
        """Answer with one batch."""
        asked = MESSAGES["ClientBatchGetRequest"](batch_id=rest_query.checked_id(request.parameters["id"]))
        found = await self._ask(
            _Type.CLIENT_BATCH_GET_REQUEST, asked, request, backend, ListStatus, RestError.BATCH_NOT_FOUND
        )
        return _one(request, found.batch)

    async def fetch_transaction(self, request: Request, backend: Backend) -> Response:
        """Answer with one transaction."""
        asked = MESSAGES["ClientTransactionGetRequest"](transaction_id=rest_query.checked_id(request.parameters["id"]))
        found = await self._ask(
            _Type.CLIENT_TRANSACTION_GET_REQUEST, asked, request, backend, ListStatus, RestError.TRANSACTION_NOT_FOUND
        )
        return _one(request, found.transaction)

    async def fetch_peers(self, request: Request, backend: Backend) -> Response:
        """List the validator's peers."""
        asked = MESSAGES["ClientPeersGetRequest"]()
        found = await self._ask(_Type.CLIENT_PEERS_GET_REQUEST, asked, request, backend, SimpleStatus)
        return _respond({"data": list(found.peers), "link": build_link(request)})

    async def fetch_status(self, request: Request, backend: Backend) -> Response:
        """Answer with the validator's end point and peers."""
        asked = MESSAGES["ClientStatusGetRequest"]()
        found = rest_json.plain(await self._ask(_Type.CLIENT_STATUS_GET_REQUEST, asked, request, backend, SimpleStatus))
        data = {"peers": found["peers"], "endpoint": found["endpoint"]}
        return _respond({"data": data, "link": build_link(request)})

    async def _list(
        self, request: Request, backend: Backend, asked: MessageType, name: str, ids: str, items: str
    ) -> Response:
        paging = rest_query.paging_query(request.query)
        message = MESSAGES[name](
            head_id=rest_query.head_id(request.query),
            sorting=rest_query.sorting(request.query, "block_num" if items == "blocks" else "default"),
            paging=paging.message(),
        )
        getattr(message, ids).extend(rest_query.filter_ids(request.query))
        found = await self._ask(asked, message, request, backend, ListStatus)
        data = [rest_json.expanded(item) for item in getattr(found, items)]
        return _paged(request, paging, found.paging, found.head_id, data)

    async def _at_head(
        self, request: Request, backend: Backend, read: Callable[[str], Awaitable[Any]]
    ) -> tuple[str, Any]:
        """Read at the state root of the named head, else of the newest block; returns the head, too."""
        named = rest_query.head_id(request.query)
        for left in reversed(range(HEAD_TRIES)):
            block = await self._head_block(named, request, backend)
            root = rest_json.expanded(block)["header"]["state_root_hash"]
            try:
                return block.header_signature, await read(root)
            except RestFailure as failure:
                if named or not left or failure.error is not RestError.HEAD_NOT_FOUND:
                    raise
        raise RestFailure(RestError.HEAD_NOT_FOUND)

    async def _head_block(self, named: str, request: Request, backend: Backend) -> Any:
        if named:
            asked = MESSAGES["ClientBlockGetByIdRequest"](block_id=named)
            kind, none = _Type.CLIENT_BLOCK_GET_BY_ID_REQUEST, RestError.BLOCK_NOT_FOUND
            return (await self._ask(kind, asked, request, backend, ListStatus, none)).block
        block = await self._gateway.block(NEWEST_BLOCK, request.caller, backend)
        if block is None:
            raise RestFailure(RestError.NOT_READY)
        return block

    async def _ask(
        self,
        kind: MessageType,
        message: Any,
        request: Request,
        backend: Backend,
        statuses: type[IntEnum],
        no_resource: RestError | None = None,
    ) -> Any:
        """Ask the validator; raises RestFailure for a status that is an error. no_resource: which one that is."""
        found = await self._gateway.request(kind, message, request.caller, backend)
        _check(found.status, statuses, no_resource)
        return found


def served(inner: _Inner) -> Handler:
    """Return a handler that answers failures with the documented errors."""

    async def handle(request: Request, backend: Backend) -> Response:
        try:
            return await inner(request, backend)
        except RestFailure as failure:
            return _failure(failure)
        except (Overloaded, OutcomeUnknown):
            return _failure(RestFailure(RestError.DISCONNECTED))
        except CommandFailed:
            return _failure(RestFailure(RestError.UNKNOWN_VALIDATOR_ERROR))
        except LimitExceeded:
            return _failure(RestFailure(RestError.PAGING_INVALID))
        except MalformedMessage:
            return _failure(RestFailure(RestError.RESPONSE_INVALID))

    return handle


def _check(status: int, statuses: type[IntEnum], no_resource: RestError | None) -> None:
    known = {int(one): one.name for one in statuses}
    name = known.get(status)
    if name is None:
        raise RestFailure(RestError.RESPONSE_INVALID)
    error = no_resource if name == "NO_RESOURCE" else _STATUS_ERRORS.get(name)
    if error is not None:
        raise RestFailure(error)


def _respond(envelope: dict[str, Any], status: int = 200) -> Response:
    return Response(status, rest_json.document(envelope), _CONTENT_TYPE)


def _failure(failure: RestFailure) -> Response:
    error = failure.error.value
    found = {"code": error.code, "title": error.title, "message": error.message + failure.addition}
    return _respond({"error": found}, error.status)


def _one(request: Request, resource: Any) -> Response:
    return _respond({"data": rest_json.expanded(resource), "link": build_link(request)})


def _link_of_get(request: Request) -> dict[str, str]:
    return {} if request.method == "POST" else {"link": build_link(request)}


def _paged(request: Request, asked: rest_query.PagingQuery, found: Any, head: str, data: list[Any]) -> Response:
    paging: dict[str, str | int | None] = {"limit": asked.limit, "start": asked.start}
    if found.next:
        paging["next_position"] = found.next
        paging["next"] = build_link(request, head=head, limit=asked.limit, start=found.next)
    link = build_link(request, head=head, start=found.start, limit=found.limit)
    return _respond({"data": data, "head": head, "link": link, "paging": paging})
