"""Sawtooth's messages as classes, their numbers, and how they are read from what a client sent.

The numbers, names and statuses are the validator's own; a status that several answers share has the same name here.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from google.protobuf.message import DecodeError

from adapters.sawtooth.wire.client import CLIENT
from adapters.sawtooth.wire.ledger import LEDGER
from adapters.sawtooth.wire.processor import PROCESSOR
from adapters.sawtooth.wire.schema import Schema
from core.errors import CocoError

MESSAGES = Schema(LEDGER, CLIENT, PROCESSOR)


class MalformedMessage(CocoError):
    """Bytes that are not the protobuf message they should be."""


class MessageType(IntEnum):
    """`Message.message_type`: of those a validator's clients and transaction processors use."""

    TP_REGISTER_REQUEST = 1
    TP_REGISTER_RESPONSE = 2
    TP_UNREGISTER_REQUEST = 3
    TP_UNREGISTER_RESPONSE = 4
    TP_PROCESS_REQUEST = 5
    TP_PROCESS_RESPONSE = 6
    TP_STATE_GET_REQUEST = 7
    TP_STATE_GET_RESPONSE = 8
    TP_STATE_SET_REQUEST = 9
    TP_STATE_SET_RESPONSE = 10
    TP_STATE_DELETE_REQUEST = 11
    TP_STATE_DELETE_RESPONSE = 12
    TP_RECEIPT_ADD_DATA_REQUEST = 13
    TP_RECEIPT_ADD_DATA_RESPONSE = 14
    TP_EVENT_ADD_REQUEST = 15
    TP_EVENT_ADD_RESPONSE = 16
    CLIENT_BATCH_SUBMIT_REQUEST = 100
    CLIENT_BATCH_SUBMIT_RESPONSE = 101
    CLIENT_BLOCK_LIST_REQUEST = 102
    CLIENT_BLOCK_LIST_RESPONSE = 103
    CLIENT_BLOCK_GET_BY_ID_REQUEST = 104
    CLIENT_BLOCK_GET_RESPONSE = 105
    CLIENT_BATCH_LIST_REQUEST = 106
    CLIENT_BATCH_LIST_RESPONSE = 107
    CLIENT_BATCH_GET_REQUEST = 108
    CLIENT_BATCH_GET_RESPONSE = 109
    CLIENT_TRANSACTION_LIST_REQUEST = 110
    CLIENT_TRANSACTION_LIST_RESPONSE = 111
    CLIENT_TRANSACTION_GET_REQUEST = 112
    CLIENT_TRANSACTION_GET_RESPONSE = 113
    CLIENT_STATE_LIST_REQUEST = 116
    CLIENT_STATE_LIST_RESPONSE = 117
    CLIENT_STATE_GET_REQUEST = 118
    CLIENT_STATE_GET_RESPONSE = 119
    CLIENT_BATCH_STATUS_REQUEST = 120
    CLIENT_BATCH_STATUS_RESPONSE = 121
    CLIENT_RECEIPT_GET_REQUEST = 122
    CLIENT_RECEIPT_GET_RESPONSE = 123
    CLIENT_BLOCK_GET_BY_NUM_REQUEST = 124
    CLIENT_PEERS_GET_REQUEST = 125
    CLIENT_PEERS_GET_RESPONSE = 126
    CLIENT_BLOCK_GET_BY_TRANSACTION_ID_REQUEST = 127
    CLIENT_BLOCK_GET_BY_BATCH_ID_REQUEST = 128
    CLIENT_STATUS_GET_REQUEST = 129
    CLIENT_STATUS_GET_RESPONSE = 130
    CLIENT_EVENTS_SUBSCRIBE_REQUEST = 500
    CLIENT_EVENTS_SUBSCRIBE_RESPONSE = 501
    CLIENT_EVENTS_UNSUBSCRIBE_REQUEST = 502
    CLIENT_EVENTS_UNSUBSCRIBE_RESPONSE = 503
    CLIENT_EVENTS = 504
    CLIENT_EVENTS_GET_REQUEST = 505
    CLIENT_EVENTS_GET_RESPONSE = 506
    PING_REQUEST = 700
    PING_RESPONSE = 701


class ListStatus(IntEnum):
    """Of answers that list or get batches, transactions, blocks, batch statuses and transaction receipts."""

    OK = 1
    INTERNAL_ERROR = 2
    NOT_READY = 3
    NO_ROOT = 4
    NO_RESOURCE = 5
    INVALID_PAGING = 6
    INVALID_SORT = 7
    INVALID_ID = 8


class StateListStatus(IntEnum):
    """Of ClientStateListResponse."""

    OK = 1
    INTERNAL_ERROR = 2
    NOT_READY = 3
    NO_ROOT = 4
    NO_RESOURCE = 5
    INVALID_PAGING = 6
    INVALID_SORT = 7
    INVALID_ADDRESS = 8
    INVALID_ROOT = 9


class StateGetStatus(IntEnum):
    """Of ClientStateGetResponse."""

    OK = 1
    INTERNAL_ERROR = 2
    NOT_READY = 3
    NO_ROOT = 4
    NO_RESOURCE = 5
    INVALID_ADDRESS = 6
    INVALID_ROOT = 7


class SubmitStatus(IntEnum):
    """Of ClientBatchSubmitResponse."""

    OK = 1
    INTERNAL_ERROR = 2
    INVALID_BATCH = 3
    QUEUE_FULL = 4


class BatchStatus(IntEnum):
    """Of ClientBatchStatus: where a batch stands."""

    COMMITTED = 1
    INVALID = 2
    PENDING = 3
    UNKNOWN = 4


class SubscribeStatus(IntEnum):
    """Of ClientEventsSubscribeResponse."""

    OK = 1
    INVALID_FILTER = 2
    UNKNOWN_BLOCK = 3


class EventsGetStatus(IntEnum):
    """Of ClientEventsGetResponse."""

    OK = 1
    INTERNAL_ERROR = 2
    INVALID_FILTER = 3
    UNKNOWN_BLOCK = 4


class SimpleStatus(IntEnum):
    """Of answers that know no more: peers, status, registration, receipt data, events, unsubscribing."""

    OK = 1
    ERROR = 2


class StateAccessStatus(IntEnum):
    """Of TpStateGetResponse, TpStateSetResponse and TpStateDeleteResponse."""

    OK = 1
    AUTHORIZATION_ERROR = 2


class ProcessStatus(IntEnum):
    """Of TpProcessResponse."""

    OK = 1
    INVALID_TRANSACTION = 2
    INTERNAL_ERROR = 3


class HeaderStyle(IntEnum):
    """Of TpRegisterRequest: how a transaction's header is handed to a processor."""

    UNSET = 0
    EXPANDED = 1
    RAW = 2


class FilterType(IntEnum):
    """Of EventFilter."""

    SIMPLE_ANY = 1
    SIMPLE_ALL = 2
    REGEX_ANY = 3
    REGEX_ALL = 4


class StateChangeType(IntEnum):
    """Of StateChange."""

    SET = 1
    DELETE = 2


class PolicyEntryType(IntEnum):
    """Of PolicyEntry."""

    PERMIT_KEY = 1
    DENY_KEY = 2


def parse(name: str, data: bytes) -> Any:
    """Return the message of this name. Raises MalformedMessage."""
    try:
        return MESSAGES[name].FromString(data)
    except DecodeError:
        raise MalformedMessage(f"not a {name}", hint="send the protobuf message that Sawtooth's SDK makes") from None
