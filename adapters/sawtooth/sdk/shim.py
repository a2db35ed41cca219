"""Gives families written for Sawtooth's Python SDK the modules that they import, so that they run without a change.

`sawtooth_sdk.processor` (handler, exceptions, context, core, log, config) and `sawtooth_sdk.protobuf.*_pb2`: the
same names, made of our own classes. Modules that something else has loaded under these names stay as they are.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from enum import IntEnum
from types import ModuleType
from typing import Any, NoReturn

from adapters.sawtooth.sdk import context, exceptions, handler
from adapters.sawtooth.wire import messages
from adapters.sawtooth.wire.client import CLIENT
from adapters.sawtooth.wire.ledger import LEDGER
from adapters.sawtooth.wire.processor import PROCESSOR
from adapters.sawtooth.wire.schema import Schema

_MODULES: Mapping[str, tuple[str, ...]] = {
    "batch_pb2": ("Batch", "BatchHeader", "BatchList"),
    "block_pb2": ("Block", "BlockHeader"),
    "block_info_pb2": ("BlockInfo", "BlockInfoConfig", "BlockInfoTxn"),
    "client_batch_pb2": (
        *("ClientBatchListRequest", "ClientBatchListResponse"),
        *("ClientBatchGetRequest", "ClientBatchGetResponse"),
    ),
    "client_batch_submit_pb2": (
        *("ClientBatchSubmitRequest", "ClientBatchSubmitResponse", "ClientBatchStatus"),
        *("ClientBatchStatusRequest", "ClientBatchStatusResponse"),
    ),
    "client_event_pb2": (
        *("ClientEventsSubscribeRequest", "ClientEventsSubscribeResponse"),
        *("ClientEventsUnsubscribeRequest", "ClientEventsUnsubscribeResponse"),
        *("ClientEventsGetRequest", "ClientEventsGetResponse"),
    ),
    "client_receipt_pb2": ("ClientReceiptGetRequest", "ClientReceiptGetResponse"),
    "client_state_pb2": (
        *("ClientStateListRequest", "ClientStateListResponse"),
        *("ClientStateGetRequest", "ClientStateGetResponse"),
    ),
    "events_pb2": ("Event", "EventList", "EventFilter", "EventSubscription"),
    "identity_pb2": ("Policy", "PolicyList", "Role", "RoleList"),
    "network_pb2": ("PingRequest", "PingResponse", "NetworkAcknowledgement", "DisconnectMessage"),
    "processor_pb2": (
        *("TpRegisterRequest", "TpRegisterResponse", "TpUnregisterRequest", "TpUnregisterResponse"),
        *("TpProcessRequest", "TpProcessResponse"),
    ),
    "setting_pb2": ("Setting",),
    "state_context_pb2": (
        *("TpStateEntry", "TpStateGetRequest", "TpStateGetResponse", "TpStateSetRequest", "TpStateSetResponse"),
        *("TpStateDeleteRequest", "TpStateDeleteResponse", "TpReceiptAddDataRequest", "TpReceiptAddDataResponse"),
        *("TpEventAddRequest", "TpEventAddResponse"),
    ),
    "transaction_pb2": ("Transaction", "TransactionHeader", "TransactionList"),
    "transaction_receipt_pb2": ("TransactionReceipt", "StateChange", "StateChangeList"),
    "validator_pb2": ("Message", "MessageList"),
}
_LISTS = """
TransactionList: 1 Transaction* transactions

MessageList: 1 Message* messages
"""
_NESTED: Mapping[str, tuple[str, str]] = {
    "EventAttribute": ("Event", "Attribute"),
    "SettingEntry": ("Setting", "Entry"),
    "PolicyEntry": ("Policy", "Entry"),
    "InvalidTransaction": ("ClientBatchStatus", "InvalidTransaction"),
    "StateEntry": ("ClientStateListResponse", "Entry"),
}
_VALUES: Mapping[str, type[IntEnum]] = {
    "ClientBatchListResponse": messages.ListStatus,
    "ClientBatchGetResponse": messages.ListStatus,
    "ClientBatchSubmitResponse": messages.SubmitStatus,
    "ClientBatchStatus": messages.BatchStatus,
    "ClientBatchStatusResponse": messages.ListStatus,
    "ClientEventsSubscribeResponse": messages.SubscribeStatus,
    "ClientEventsUnsubscribeResponse": messages.SimpleStatus,
    "ClientEventsGetResponse": messages.EventsGetStatus,
    "ClientReceiptGetResponse": messages.ListStatus,
    "ClientStateListResponse": messages.StateListStatus,
    "ClientStateGetResponse": messages.StateGetStatus,
    "EventFilter": messages.FilterType,
    "Policy": messages.PolicyEntryType,
    "StateChange": messages.StateChangeType,
    "TpRegisterRequest": messages.HeaderStyle,
    "TpRegisterResponse": messages.SimpleStatus,
    "TpProcessResponse": messages.ProcessStatus,
    "TpStateGetResponse": messages.StateAccessStatus,
    "TpStateSetResponse": messages.StateAccessStatus,
    "TpStateDeleteResponse": messages.StateAccessStatus,
    "TpReceiptAddDataResponse": messages.SimpleStatus,
    "TpEventAddResponse": messages.SimpleStatus,
    "Message": messages.MessageType,
}


class TransactionProcessor:
    """Connects to a validator in Sawtooth. Here families are found by entry point, and nothing connects."""

    def __init__(self, url: str) -> None:
        del url
        _refuse()

    def add_handler(self, handler: handler.TransactionHandler) -> None:
        del handler
        _refuse()

    def start(self) -> None:
        _refuse()


def _refuse() -> NoReturn:
    raise RuntimeError("a family inside the enclave starts no processor; name its handler by entry point")


def install() -> None:
    """Make `sawtooth_sdk` importable, unless it has been imported already."""
    if "sawtooth_sdk" in sys.modules:
        return
    package = _package("sawtooth_sdk")
    processor, protobuf = _package("sawtooth_sdk.processor"), _package("sawtooth_sdk.protobuf")
    package.processor, package.protobuf = processor, protobuf  # type: ignore[attr-defined]
    parts: dict[str, Mapping[str, Any]] = {
        "handler": {"TransactionHandler": handler.TransactionHandler},
        "exceptions": {
            name: getattr(exceptions, name)
            for name in ("InvalidTransaction", "InternalError", "AuthorizationException", "LocalConfigurationError")
        },
        "context": {"Context": context.Context, "StateEntry": context.StateEntry},
        "core": {"TransactionProcessor": TransactionProcessor},
        "log": {"init_console_logging": _log_nothing, "log_configuration": _log_nothing},
    }
    for name, content in parts.items():
        setattr(processor, name, _module(f"sawtooth_sdk.processor.{name}", content))
    for name, content in _protobuf().items():
        setattr(protobuf, name, _module(f"sawtooth_sdk.protobuf.{name}", content))


def _protobuf() -> dict[str, dict[str, Any]]:
    classes = Schema(LEDGER, CLIENT, PROCESSOR, _LISTS)
    for name, (outer, inner) in _NESTED.items():
        setattr(classes[outer], inner, classes[name])
    for name, values in _VALUES.items():
        for value in values:
            setattr(classes[name], value.name, int(value))
    return {module: {name: classes[name] for name in names} for module, names in _MODULES.items()}


def _package(name: str) -> ModuleType:
    package = _module(name, {})
    package.__path__ = []
    return package


def _module(name: str, content: Mapping[str, Any]) -> ModuleType:
    module = sys.modules[name] = ModuleType(name, "Part of Sawtooth's SDK, as families inside the enclave have it.")
    vars(module).update(content)
    return module


def _log_nothing(*given: Any, **named: Any) -> None:
    """Stand for the SDK's set-up of logging: an enclave's log is not a family's to arrange."""
    del given, named
