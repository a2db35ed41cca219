"""Every question a client may ask, by the number of its message. Source: the validator's client_handlers.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from adapters.sawtooth import queries_chain as chain
from adapters.sawtooth.events import get_events
from adapters.sawtooth.paging import Refused
from adapters.sawtooth.queries_state import get_state, list_state
from adapters.sawtooth.requests import BLOCK_HEADER
from adapters.sawtooth.scope import Scope
from adapters.sawtooth.wire.messages import MESSAGES, ListStatus, MalformedMessage, MessageType, parse
from core.adapter.interface import CommandRejected, QueryClass


class _Question(NamedTuple):
    """request, response: names of messages; number: the answer's."""

    request: str
    response: str
    number: MessageType
    answer: Callable[[Scope, Any], Any]


def _batches(scope: Scope, request: Any) -> Any:
    return chain.list_items(scope, chain.BATCHES, request)


def _transactions(scope: Scope, request: Any) -> Any:
    return chain.list_items(scope, chain.TRANSACTIONS, request)


def _batch(scope: Scope, request: Any) -> Any:
    return chain.get_item(scope, chain.BATCHES, request.batch_id)


def _transaction(scope: Scope, request: Any) -> Any:
    return chain.get_item(scope, chain.TRANSACTIONS, request.transaction_id)


def _block_of_batch(scope: Scope, request: Any) -> Any:
    return chain.block_of(scope, chain.BATCHES, request.batch_id)


def _block_of_transaction(scope: Scope, request: Any) -> Any:
    return chain.block_of(scope, chain.TRANSACTIONS, request.transaction_id)


def _questions() -> dict[int, _Question]:
    answers: Mapping[str, Callable[[Scope, Any], Any]] = {
        "STATE_LIST": list_state,
        "STATE_GET": get_state,
        "BLOCK_LIST": chain.list_blocks,
        "BLOCK_GET_BY_ID": chain.block_by_id,
        "BLOCK_GET_BY_NUM": chain.block_by_number,
        "BLOCK_GET_BY_TRANSACTION_ID": _block_of_transaction,
        "BLOCK_GET_BY_BATCH_ID": _block_of_batch,
        "BATCH_LIST": _batches,
        "BATCH_GET": _batch,
        "BATCH_STATUS": chain.batch_statuses,
        "TRANSACTION_LIST": _transactions,
        "TRANSACTION_GET": _transaction,
        "RECEIPT_GET": chain.get_receipts,
        "EVENTS_GET": get_events,
    }
    found = {}
    for name, answer in answers.items():
        answered = "BLOCK_GET" if name.startswith("BLOCK_GET_") else name
        found[int(MessageType[f"CLIENT_{name}_REQUEST"])] = _Question(
            f"Client{_camel(name)}Request",
            f"Client{_camel(answered)}Response",
            MessageType[f"CLIENT_{answered}_RESPONSE"],
            answer,
        )
    found[BLOCK_HEADER] = _Question(
        "ClientBlockGetByNumRequest",
        "ClientBlockGetResponse",
        MessageType.CLIENT_BLOCK_GET_RESPONSE,
        chain.block_header,
    )
    return found


def _camel(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


QUESTIONS = _questions()
_Message = MESSAGES["Message"]


def query_class(payload: bytes) -> QueryClass:
    """Say what a question needs: whether a batch waits is known to the executor alone."""
    try:
        number = parse("Message", payload).message_type
    except MalformedMessage:
        return "lookup"
    return "live" if number == MessageType.CLIENT_BATCH_STATUS_REQUEST else "lookup"


def answer(scope: Scope, payload: bytes) -> bytes:
    """Answer a serialised Message with another one. Raises CommandRejected for what is no question of a client."""
    try:
        message = parse("Message", payload)
    except MalformedMessage:
        raise CommandRejected(b"") from None
    question = QUESTIONS.get(message.message_type)
    if question is None:
        raise CommandRejected(b"")
    try:
        response = question.answer(scope, parse(question.request, message.content))
    except MalformedMessage:
        response = MESSAGES[question.response](status=ListStatus.INTERNAL_ERROR)
    except Refused as refused:
        response = MESSAGES[question.response](status=refused.status)
    return bytes(
        _Message(
            message_type=question.number,
            correlation_id=message.correlation_id,
            content=response.SerializeToString(),
        ).SerializeToString()
    )
