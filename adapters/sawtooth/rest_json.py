"""Sawtooth's messages as the JSON of its REST API: snake-case names, base64 bytes, headers opened.

Every field is there, also an empty one; 64-bit numbers are strings and enumerations are names, as protobuf's JSON
mapping has it.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import orjson
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from adapters.sawtooth.errors import RestError, RestFailure
from adapters.sawtooth.wire.messages import BatchStatus, MalformedMessage, StateChangeType, parse

_ENUMERATIONS = {("ClientBatchStatus", "status"): BatchStatus, ("StateChange", "type"): StateChangeType}
_STRINGS = (FieldDescriptor.TYPE_UINT64, FieldDescriptor.TYPE_INT64)
_HEADERS = {"Block": "BlockHeader", "Batch": "BatchHeader", "Transaction": "TransactionHeader"}


def plain(message: Any) -> dict[str, Any]:
    """Return a message as JSON has it."""
    return {name: convert(getattr(message, name)) for name, convert in _fields(message.DESCRIPTOR)}


def expanded(message: Any) -> dict[str, Any]:
    """Return a block, batch or transaction with its header, and those of what it holds, opened. Raises RestFailure."""
    document: dict[str, Any] = {}
    kind = message.DESCRIPTOR.name
    for name, convert in _fields(message.DESCRIPTOR):
        value = getattr(message, name)
        if name == "header":
            try:
                document[name] = plain(parse(_HEADERS[kind], value))
            except MalformedMessage:
                raise RestFailure(RestError.RESOURCE_HEADER_INVALID) from None
        elif name in ("batches", "transactions"):
            document[name] = [expanded(item) for item in value]
        else:
            document[name] = convert(value)
    return document


def without_empty(item: Any) -> Any:
    """Leave out properties with empty strings, at every depth."""
    match item:
        case list():
            return [without_empty(one) for one in item]
        case dict():
            return {key: without_empty(value) for key, value in item.items() if value != ""}
        case _:
            return item


def short_ids(item: Any) -> Any:
    """Call every property that ends in "id" just that, at every depth."""
    match item:
        case list():
            return [short_ids(one) for one in item]
        case dict():
            return {"id" if key.endswith("id") else key: short_ids(value) for key, value in item.items()}
        case _:
            return item


def document(value: Any) -> bytes:
    """Encode JSON as the REST API lays it out."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)


@cache
def _fields(descriptor: Descriptor) -> tuple[tuple[str, Any], ...]:
    return tuple((field.name, _converter(descriptor.name, field)) for field in descriptor.fields)


def _converter(message: str, field: FieldDescriptor) -> Any:
    names = _ENUMERATIONS.get((message, field.name))
    convert: Any
    if names is not None:
        convert = _named({0: f"{field.name.upper()}_UNSET"} | {int(one): one.name for one in names})
    elif field.type == FieldDescriptor.TYPE_MESSAGE:
        convert = plain
    elif field.type == FieldDescriptor.TYPE_BYTES:
        convert = _base64
    elif field.type in _STRINGS:
        convert = str
    else:
        convert = _same
    return (lambda values: [convert(value) for value in values]) if field.is_repeated else convert


def _named(names: Mapping[int, str]) -> Callable[[int], int | str]:
    return lambda value: names.get(value, value)


def _base64(value: bytes) -> str:
    return b64encode(value).decode()


def _same(value: Any) -> Any:
    return value
