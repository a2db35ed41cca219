"""The JSON-RPC methods, as a gateway prepares them: parameters checked, transactions decoded, senders recovered.

What is constant is answered here; the rest becomes a command or a query for the executor. Needs no state.
Source: go-ethereum's rpc package (parsePositionalArguments) for the texts on wrong parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from adapters.ethereum.arguments import (
    ArgumentError,
    read_address,
    read_block,
    read_block_number,
    read_bool,
    read_bytes,
    read_call,
    read_count,
    read_hash,
    read_log_filter,
    read_percentiles,
)
from adapters.ethereum.binding import MESSAGE_CHARACTERS_MAX, recover_message_signer
from adapters.ethereum.formatting import quantity
from adapters.ethereum.model import CallRequest
from adapters.ethereum.requests import (
    COMMANDS,
    QUERIES,
    Bind,
    BindMessage,
    BlockAt,
    BlockNumber,
    BoundAddresses,
    Call,
    EstimateGas,
    FeeHistory,
    GetBalance,
    GetBlock,
    GetBlockReceipts,
    GetCode,
    GetLogs,
    GetNonce,
    GetReceipt,
    GetTransaction,
    Query,
    SendTransaction,
    pack_call,
    pack_integer,
)
from adapters.ethereum.settings import Settings
from adapters.ethereum.transactions import decode_transaction, encode_stored
from adapters.jsonrpc import INVALID_PARAMS, SERVER_ERROR, RpcCall, RpcError, method_not_found, result_fragment

Reader = Callable[[object], object]
CallArgument = tuple[CallRequest, bool, int | None]


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer is known already: a fragment."""

    fragment: bytes


@dataclass(frozen=True, slots=True)
class ToSubmit:
    """The payload of a command."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class ToAsk:
    """The payload of a query."""

    payload: bytes


Prepared = Answered | ToSubmit | ToAsk


@dataclass(frozen=True, slots=True)
class Method:
    """readers: one for each parameter, of which the first `required` must be there; None stands for one left out."""

    readers: tuple[Reader, ...]
    required: int
    prepare: Callable[..., Prepared]


class Methods:
    """The table of methods of one network."""

    def __init__(self, settings: Settings, client_version: str) -> None:
        self._settings = settings
        self._table: Mapping[str, Method] = {
            **self._constants(client_version),
            **_block_methods(),
            **self._state_methods(),
            "eth_sendRawTransaction": Method((read_bytes,), 1, self._send),
            "coco_bindMessage": Method((read_address,), 1, lambda address: _ask(BindMessage(address))),
            "coco_bind": Method((_read_text, read_bytes), 2, _bind),
            "coco_boundAddresses": Method((), 0, lambda: _ask(BoundAddresses())),
        }

    @property
    def names(self) -> list[str]:
        """All methods served, sorted."""
        return sorted(self._table)

    def prepare(self, call: RpcCall) -> Prepared:
        """Check a call and make of it what is to be done; raises RpcError."""
        method = self._table.get(call.method)
        if method is None:
            raise method_not_found(call.method)
        return method.prepare(*_read_arguments(method, call.params))

    def _constants(self, client_version: str) -> dict[str, Method]:
        chain_id, base_fee = self._settings.chain_id, self._settings.base_fee_wei
        values: dict[str, object] = {
            "eth_chainId": quantity(chain_id),
            "net_version": str(chain_id),
            "web3_clientVersion": client_version,
            "eth_syncing": False,
            "eth_accounts": [],
            "eth_gasPrice": quantity(base_fee),
            "eth_maxPriorityFeePerGas": "0x0",
        }
        return {name: _constant(value) for name, value in values.items()}

    def _state_methods(self) -> dict[str, Method]:
        return {
            "eth_getTransactionCount": Method(
                (read_address, read_block), 1, lambda address, at: _ask(GetNonce(address, at or BlockAt()))
            ),
            "eth_getBalance": Method(
                (read_address, read_block), 1, lambda address, at: _ask(GetBalance(address, at or BlockAt()))
            ),
            "eth_getCode": Method(
                (read_address, read_block), 1, lambda address, at: _ask(GetCode(address, at or BlockAt()))
            ),
            "eth_call": Method((read_call, read_block, _read_no_override, _read_no_override), 1, self._call),
            "eth_estimateGas": Method((read_call, read_block, _read_no_override, _read_no_override), 1, self._estimate),
        }

    def _call(self, argument: CallArgument, at: BlockAt | None, *_overrides: None) -> Prepared:
        self._check_chain_id(argument)
        return _ask(Call(pack_call(argument[0], has_sender=argument[1]), at or BlockAt()))

    def _estimate(self, argument: CallArgument, at: BlockAt | None, *_overrides: None) -> Prepared:
        self._check_chain_id(argument)
        return _ask(EstimateGas(pack_call(argument[0], has_sender=argument[1]), at or BlockAt()))

    def _check_chain_id(self, argument: CallArgument) -> None:
        have, want = argument[2], self._settings.chain_id
        if have is not None and have != want:
            raise RpcError(SERVER_ERROR, f"chainId does not match node's (have={have}, want={want})")

    def _send(self, raw: bytes) -> Prepared:
        signed = decode_transaction(raw, self._settings)
        command = SendTransaction(
            encode_stored(signed),
            signed.sender,
            signed.nonce,
            signed.hash,
            pack_integer(signed.max_fee),
            pack_integer(signed.max_priority_fee),
        )
        return ToSubmit(COMMANDS.encode(command))


def _block_methods() -> dict[str, Method]:
    return {
        "eth_blockNumber": Method((), 0, lambda: _ask(BlockNumber())),
        "eth_getBlockByNumber": Method(
            (read_block_number, read_bool), 1, lambda at, full: _ask(GetBlock(at, bool(full)))
        ),
        "eth_getBlockByHash": Method(
            (read_hash, read_bool), 1, lambda block_hash, full: _ask(GetBlock(BlockAt(hash=block_hash), bool(full)))
        ),
        "eth_getBlockReceipts": Method((read_block,), 0, lambda at: _ask(GetBlockReceipts(at or BlockAt()))),
        "eth_getTransactionByHash": Method((read_hash,), 1, lambda one: _ask(GetTransaction(one))),
        "eth_getTransactionReceipt": Method((read_hash,), 1, lambda one: _ask(GetReceipt(one))),
        "eth_getLogs": Method((read_log_filter,), 1, _ask_logs),
        "eth_feeHistory": Method((read_count, read_block_number, read_percentiles), 2, _fee_history),
    }


def _read_arguments(method: Method, params: tuple[object, ...]) -> list[Any]:
    if len(params) > len(method.readers):
        raise RpcError(INVALID_PARAMS, f"too many arguments, want at most {len(method.readers)}")
    values: list[Any] = []
    for index, read in enumerate(method.readers):
        value = params[index] if index < len(params) else None
        if value is None:
            if index < method.required:
                raise RpcError(INVALID_PARAMS, f"missing value for required argument {index}")
            values.append(None)
            continue
        try:
            values.append(read(value))
        except ArgumentError as error:
            raise RpcError(INVALID_PARAMS, f"invalid argument {index}: {error}") from None
    return values


def _constant(value: object) -> Method:
    answered = Answered(result_fragment(value))
    return Method((), 0, lambda: answered)


def _ask(query: Query) -> Prepared:
    return ToAsk(QUERIES.encode(query))


def _ask_logs(query: GetLogs) -> Prepared:
    return _ask(query)


def _fee_history(count: int, newest: BlockAt, percentiles: tuple[float, ...] | None) -> Prepared:
    return _ask(FeeHistory(min(count, 1 << 32), newest, percentiles))


def _bind(message: str, signature: bytes) -> Prepared:
    return ToSubmit(COMMANDS.encode(Bind(message, recover_message_signer(message, signature))))


def _read_text(value: object) -> str:
    if not isinstance(value, str):
        raise ArgumentError("json: cannot unmarshal non-string into Go value of type string")
    if len(value) > MESSAGE_CHARACTERS_MAX:
        raise ArgumentError(f"text of {len(value)} characters; the bound is {MESSAGE_CHARACTERS_MAX}")
    return value


def _read_no_override(value: object) -> None:
    if value != {}:
        raise ArgumentError("overrides are not supported by this network")
