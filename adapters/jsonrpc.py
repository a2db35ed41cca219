"""JSON-RPC 2.0 over HTTP: requests, batches, errors. Used by the adapters whose protocol speaks it.

A request's `id` is kept as the bytes that came, so that it goes back exactly, and a result arrives here already
encoded, as a fragment (`"result":...` or `"error":{...}`): answering is joining bytes. Error codes and texts are
those of go-ethereum's rpc package, which the tools match on. Source: the JSON-RPC 2.0 specification; EIP-1474.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec
import orjson

from core import limits

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
RESPONSE_TOO_LARGE = -32003
SERVER_ERROR = -32000
DENIED = -32001
"""The caller's identity may not do this. Not a code that client libraries retry."""

NULL_ID = b"null"


class RpcError(Exception):
    """An error object of JSON-RPC: code, message and optional data (JSON value)."""

    def __init__(self, code: int, message: str, data: object | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


class RpcCall(msgspec.Struct, frozen=True):
    """One item of a request. id: its JSON text. expects_answer: False for a notification."""

    id: bytes
    method: str
    params: tuple[object, ...]
    expects_answer: bool = True


@dataclass(frozen=True, slots=True)
class RpcFailure:
    """An item that is not a call: what to answer under which id."""

    id: bytes
    error: RpcError


class RpcRequest(msgspec.Struct, frozen=True):
    """A parsed body. is_batch: it was an array, and so must the answer be."""

    items: tuple[RpcCall | RpcFailure, ...]
    is_batch: bool


class _Envelope(msgspec.Struct):
    """The members of a request object, before they are checked."""

    jsonrpc: object = None
    id: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    method: object = None
    params: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_ENVELOPE = msgspec.json.Decoder(_Envelope)
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_WHITESPACE = b" \t\r\n"


def parse(body: bytes) -> RpcRequest:
    """Parse a request body; raises RpcError (-32700, -32600) when nothing in it can be answered on its own."""
    try:
        body.decode()
        if not body.lstrip(_WHITESPACE).startswith(b"["):
            return RpcRequest((_parse_item(body),), is_batch=False)
        elements = _ARRAY.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise RpcError(PARSE_ERROR, "parse error") from None
    if not elements:
        raise RpcError(INVALID_REQUEST, "empty batch")
    if len(elements) > limits.REQUEST_BATCH_MAX:
        raise RpcError(INVALID_REQUEST, "batch too large")
    return RpcRequest(tuple(_parse_item(bytes(element)) for element in elements), is_batch=True)


def _parse_item(text: bytes) -> RpcCall | RpcFailure:
    """Parse one request object. Raises msgspec.DecodeError for text that is not JSON at all."""
    try:
        envelope = _ENVELOPE.decode(text)
    except msgspec.ValidationError:
        return RpcFailure(NULL_ID, RpcError(INVALID_REQUEST, "invalid request"))
    has_id = envelope.id is not msgspec.UNSET
    request_id = _check_id(bytes(envelope.id)) if isinstance(envelope.id, msgspec.Raw) else NULL_ID
    if request_id is None:
        return RpcFailure(NULL_ID, RpcError(INVALID_REQUEST, "invalid request"))
    if envelope.jsonrpc != "2.0" or not isinstance(envelope.method, str) or not envelope.method:
        return RpcFailure(request_id, RpcError(INVALID_REQUEST, "invalid request"))
    params: object = []
    if isinstance(envelope.params, msgspec.Raw):
        try:
            params = orjson.loads(bytes(envelope.params))
        except orjson.JSONDecodeError:
            return RpcFailure(request_id, RpcError(INVALID_PARAMS, "params do not parse"))
    if params is None:
        params = []
    if not isinstance(params, list):
        return RpcFailure(request_id, RpcError(INVALID_PARAMS, "non-array args"))
    return RpcCall(request_id, envelope.method, tuple(params), has_id)


def _check_id(text: bytes) -> bytes | None:
    """Return the id's JSON text, None unless it is a string, a number or null."""
    stripped = text.strip(_WHITESPACE)
    return stripped if stripped[:1] in b'"-0123456789n' else None


def method_not_found(method: str) -> RpcError:
    """Return the error that go-ethereum gives for a method it does not serve."""
    return RpcError(METHOD_NOT_FOUND, f"the method {method[:100]} does not exist/is not available")


def result_fragment(result: object) -> bytes:
    """Encode a result (a JSON value)."""
    return b'"result":' + orjson.dumps(result)


def error_fragment(error: RpcError) -> bytes:
    """Encode an error object."""
    value: dict[str, object] = {"code": error.code, "message": error.message}
    if error.data is not None:
        value["data"] = error.data
    return b'"error":' + orjson.dumps(value)


def answer(request_id: bytes, fragment: bytes) -> bytes:
    """Join an id and an encoded result or error to a response object."""
    return b'{"jsonrpc":"2.0","id":' + request_id + b"," + fragment + b"}"


def join_answers(answers: Iterable[bytes], *, is_batch: bool) -> bytes:
    """Join response objects to a body: an array for a batch, and nothing where nothing is to be answered."""
    present = [one for one in answers if one]
    if not present:
        return b""
    return b"[" + b",".join(present) + b"]" if is_batch else present[0]


def bound_answers(pairs: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
    """Return the response objects of (id, fragment) pairs, errors in place of those past RESPONSE_BYTES_MAX."""
    answers, total = [], 0
    for request_id, fragment in pairs:
        total += len(fragment)
        if total > limits.RESPONSE_BYTES_MAX:
            fragment = error_fragment(RpcError(RESPONSE_TOO_LARGE, "response too large"))
        answers.append(answer(request_id, fragment))
    return answers
