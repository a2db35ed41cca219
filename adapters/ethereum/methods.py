"""The JSON-RPC methods, as a gateway prepares them: parameters checked, transactions decoded, senders recovered.

What is constant is answered here; the rest becomes a command or a query for the executor. Needs no state. The tables
are in methods_*.py; the OpenRPC document is made from the same (openrpc.py).
Source: go-ethereum's rpc package (parsePositionalArguments) for the texts on wrong parameters.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from adapters.ethereum.arguments import ArgumentError
from adapters.ethereum.requests import QUERIES, Criteria, Query
from adapters.ethereum.schemas import Schema
from adapters.jsonrpc import INVALID_PARAMS, METHOD_NOT_FOUND, RpcCall, RpcError, method_not_found, result_fragment
from core.types import TransactionId


class Answered(msgspec.Struct, frozen=True, gc=False):
    """The answer is known already: a fragment."""

    fragment: bytes


class ToSubmit(msgspec.Struct, frozen=True, gc=False):
    """The payload of a command."""

    payload: bytes


class ToAsk(msgspec.Struct, frozen=True, gc=False):
    """The payload of a query."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class ToPoll:
    """A filter to read: what is new since the last time, or (whole) everything that it matches."""

    filter_id: str
    whole: bool = False


@dataclass(frozen=True, slots=True)
class ToProve:
    """The payload of a query that finds a ledger entry, whose proof is wanted."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class ToTrace:
    """A ledger transaction whose status is wanted."""

    id: TransactionId


@dataclass(frozen=True, slots=True)
class ToRun:
    """Anything else that ends in a fragment; raises RpcError, CocoError."""

    work: Callable[[], Awaitable[bytes]]


Prepared = Answered | ToSubmit | ToAsk | ToPoll | ToProve | ToTrace | ToRun


@dataclass(frozen=True, slots=True)
class Subscribe:
    """What a connection is to be told of. criteria None: something that never happens here."""

    criteria: Criteria | None


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    id: str


@dataclass(frozen=True, slots=True)
class Parameter:
    """read: takes the JSON value, raises ArgumentError or RpcError."""

    name: str
    read: Callable[[object], object]
    schema: Schema


@dataclass(frozen=True, slots=True)
class Method:
    """The first `required` parameters must be there; None stands for one left out. prepare takes what they read.

    result: its schema. on_sockets: makes sense on a connection that stays only.
    """

    summary: str
    parameters: tuple[Parameter, ...]
    required: int
    prepare: Callable[..., Prepared | Subscribe | Unsubscribe]
    result: Schema
    on_sockets: bool = False


class Methods:
    """The methods of one network, by name."""

    def __init__(self, table: Mapping[str, Method]) -> None:
        self._table = table

    @property
    def table(self) -> Mapping[str, Method]:
        return self._table

    @property
    def names(self) -> list[str]:
        """All methods served, sorted."""
        return sorted(self._table)

    def prepare(self, call: RpcCall) -> Prepared:
        """Check a call and make of it what is to be done; raises RpcError. For requests that end with their answer."""
        prepared = self.prepare_for_socket(call)
        if isinstance(prepared, Subscribe | Unsubscribe):
            raise RpcError(METHOD_NOT_FOUND, "notifications not supported")
        return prepared

    def prepare_for_socket(self, call: RpcCall) -> Prepared | Subscribe | Unsubscribe:
        """Check a call, as `prepare` does, for a connection that can be notified."""
        method = self._table.get(call.method)
        if method is None:
            raise method_not_found(call.method)
        return method.prepare(*_read_arguments(method, call.params))


def _read_arguments(method: Method, params: tuple[object, ...]) -> list[Any]:
    if len(params) > len(method.parameters):
        raise RpcError(INVALID_PARAMS, f"too many arguments, want at most {len(method.parameters)}")
    values: list[Any] = []
    for index, parameter in enumerate(method.parameters):
        value = params[index] if index < len(params) else None
        if value is None:
            if index < method.required:
                raise RpcError(INVALID_PARAMS, f"missing value for required argument {index}")
            values.append(None)
            continue
        try:
            values.append(parameter.read(value))
        except ArgumentError as error:
            raise RpcError(INVALID_PARAMS, f"invalid argument {index}: {error}") from None
    return values


def ask(query: Query) -> Prepared:
    """Make a query of it."""
    return ToAsk(QUERIES.encode(query))


def constant(summary: str, value: object, schema: Schema) -> Method:
    """Return a method without parameters that always answers the same."""
    answered = Answered(result_fragment(value))
    return Method(summary, (), 0, lambda: answered, schema)
