"""Reads the parameters of Ethereum's JSON-RPC methods, refusing what go-ethereum refuses, in its words.

Each `read_*` takes one JSON value and returns its meaning or raises ArgumentError; `field` is set for a member of an
object and only colours the text. Source: go-ethereum's packages common/hexutil, rpc and internal/ethapi.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import TypeVar

from adapters.ethereum.model import Authorization, CallRequest
from adapters.ethereum.requests import LATEST, BlockAt, GetLogs
from adapters.jsonrpc import INVALID_PARAMS, SERVER_ERROR, RpcError
from core.errors import CocoError
from core.types import TransactionId

T = TypeVar("T")

FEE_PERCENTILES_MAX = 100
ADDRESSES_MAX = 1_000
"""Addresses in a log filter."""
TOPIC_POSITIONS_MAX = 4
TOPIC_ALTERNATIVES_MAX = 1_000
ACCESS_LIST_MAX = 1_000
"""Addresses in an access list, and slots of one address."""
AUTHORIZATIONS_MAX = 256
TEXT_CHARACTERS_MAX = 4_096
BLOCK_TAGS = frozenset(("latest", "pending", "safe", "finalized"))
ZERO_ADDRESS = bytes(20)
_HEX = re.compile("[0-9a-fA-F]*")


class ArgumentError(ValueError):
    """A parameter is not what the method takes. The text is go-ethereum's."""


def cannot_unmarshal(what: str, type_name: str, field: str) -> ArgumentError:
    """Return go-ethereum's error for a value of the wrong kind."""
    place = f"struct field {field} of type" if field else "value of type"
    return ArgumentError(f"json: cannot unmarshal {what} into Go {place} {type_name}")


def json_kind(value: object) -> str:
    """Return Go's name of the JSON type of a value."""
    match value:
        case bool():
            return "bool"
        case str():
            return "string"
        case int() | float():
            return "number"
        case dict():
            return "object"
        case _:
            return "array"


def _hex_error(text: str) -> str:
    """Say what is wrong with hexadecimal bytes; "" when nothing is."""
    if text[:2] not in ("0x", "0X"):
        return "hex string without 0x prefix"
    if len(text) % 2:
        return "hex string of odd length"
    return "" if _is_hex(text[2:]) else "invalid hex string"


def _is_hex(digits: str) -> bool:
    return _HEX.fullmatch(digits) is not None


def _quantity_error(text: str, bits: int) -> str:
    """Say what is wrong with a hexadecimal quantity; "" when nothing is."""
    if text[:2] not in ("0x", "0X"):
        return "hex string without 0x prefix"
    digits = text[2:]
    if not digits:
        return 'hex string "0x"'
    if digits[0] == "0" and len(digits) > 1:
        return "hex number with leading zero digits"
    if not _is_hex(digits):
        return "invalid hex string"
    return f"hex number > {bits} bits" if len(digits) > bits // 4 else ""


def read_bytes(value: object, field: str = "") -> bytes:
    """Read hexadecimal data of any length."""
    if not isinstance(value, str):
        raise cannot_unmarshal("non-string", "hexutil.Bytes", field)
    if not value:
        return b""
    if wrong := _hex_error(value):
        raise cannot_unmarshal(wrong, "hexutil.Bytes", field)
    return bytes.fromhex(value[2:])


def _read_fixed(value: object, size_bytes: int, type_name: str, field: str) -> bytes:
    if not isinstance(value, str):
        raise cannot_unmarshal("non-string", type_name, field)
    if value and (wrong := _hex_error(value)):
        raise cannot_unmarshal(wrong, type_name, field)
    data = bytes.fromhex(value[2:])
    if len(data) != size_bytes:
        raise ArgumentError(f"hex string has length {2 * len(data)}, want {2 * size_bytes} for {type_name}")
    return data


def read_address(value: object, field: str = "") -> bytes:
    """Read 20 bytes. A checksum in the letters' case is not looked at, as in go-ethereum."""
    return _read_fixed(value, 20, "common.Address", field)


def read_hash(value: object, field: str = "") -> bytes:
    return _read_fixed(value, 32, "common.Hash", field)


def _read_quantity(value: object, bits: int, type_name: str, field: str) -> int:
    if not isinstance(value, str):
        raise cannot_unmarshal("non-string", type_name, field)
    if not value:
        return 0
    if wrong := _quantity_error(value, bits):
        raise cannot_unmarshal(wrong, type_name, field)
    return int(value, 16)


def read_uint64(value: object, field: str = "") -> int:
    return _read_quantity(value, 64, "hexutil.Uint64", field)


def read_uint256(value: object, field: str = "") -> int:
    return _read_quantity(value, 256, "*hexutil.Big", field)


def read_index(value: object) -> int:
    """Read a position. What is past every position is as good as any other that does not exist."""
    return min(read_uint64(value), (1 << 32) - 1)


def read_storage_key(value: object) -> bytes:
    """Read a slot of at most 32 bytes, with or without leading zeros; returns 32 bytes."""
    if not isinstance(value, str):
        raise cannot_unmarshal(json_kind(value), "string", "")
    digits = value[2:] if value[:2] in ("0x", "0X") else value
    if not _is_hex(digits):
        raise RpcError(INVALID_PARAMS, "unable to decode storage key: hex string invalid")
    if len(digits) > 64:
        raise RpcError(INVALID_PARAMS, "unable to decode storage key: hex string too long, want at most 32 bytes")
    return bytes.fromhex(digits.rjust(64, "0"))


def read_text(value: object) -> str:
    """Read a text, as ids and messages are."""
    if not isinstance(value, str):
        raise cannot_unmarshal(json_kind(value), "string", "")
    if len(value) > TEXT_CHARACTERS_MAX:
        raise ArgumentError(f"text of {len(value)} characters; the bound is {TEXT_CHARACTERS_MAX}")
    return value


def read_transaction_id(value: object) -> TransactionId:
    """Read a ledger transaction's id: view.seqno."""
    try:
        return TransactionId.parse(read_text(value))
    except CocoError as error:
        raise ArgumentError(error.message) from None


def read_bool(value: object) -> bool:
    if not isinstance(value, bool):
        raise cannot_unmarshal(json_kind(value), "bool", "")
    return value


def read_block_number(value: object) -> BlockAt:
    """Read a tag or a number."""
    if isinstance(value, str) and value in BLOCK_TAGS:
        return BlockAt(pending=value == "pending")
    if value == "earliest":
        return BlockAt(number=0)
    if not isinstance(value, str):
        raise ArgumentError("hex string without 0x prefix")
    wrong = _quantity_error(value, 64) if value else "empty hex string"
    if wrong:
        raise ArgumentError(wrong)
    number = int(value, 16)
    if number >= 1 << 63:
        raise ArgumentError("block number larger than int64")
    return BlockAt(number=number)


def read_block(value: object) -> BlockAt:
    """Read a tag, a number, a hash, or an object that holds one of them (EIP-1898)."""
    if isinstance(value, dict):
        number, block_hash = value.get("blockNumber"), value.get("blockHash")
        if number is not None and block_hash is not None:
            raise ArgumentError("cannot specify both BlockHash and BlockNumber, choose one or the other")
        if block_hash is not None:
            return BlockAt(hash=read_hash(block_hash))
        if number is None:
            raise ArgumentError("an object that names a block needs blockHash or blockNumber")
        return read_block_number(number)
    if isinstance(value, str) and len(value) == 66:
        return BlockAt(hash=read_hash(value))
    return read_block_number(value)


def read_count(value: object) -> int:
    """Read a number of blocks: a JSON number, or a decimal or hexadecimal string."""
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, str) and value[:2] in ("0x", "0X") and len(value) <= 18 and _is_hex(value[2:]) and value[2:]:
        number = int(value, 16)
    elif isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 20:
        number = int(value)
    else:
        number = -1
    if not 0 <= number < 1 << 64:
        raise ArgumentError(f'invalid hex or decimal integer "{str(value)[:40]}"')
    return number


def read_percentiles(value: object) -> tuple[float, ...]:
    if not isinstance(value, list):
        raise cannot_unmarshal(json_kind(value), "[]float64", "")
    if len(value) > FEE_PERCENTILES_MAX:
        raise ArgumentError(f"more than {FEE_PERCENTILES_MAX} percentiles")
    for one in value:
        if isinstance(one, bool) or not isinstance(one, int | float) or not math.isfinite(one):
            raise cannot_unmarshal(json_kind(one), "float64", "")
    return tuple(float(one) for one in value)


def _read_list(value: object, read: Callable[[object], T], count_max: int, type_name: str, field: str) -> tuple[T, ...]:
    if not isinstance(value, list):
        raise cannot_unmarshal(json_kind(value), type_name, field)
    if len(value) > count_max:
        raise ArgumentError(f"more than {count_max} items in {field or type_name}")
    return tuple(read(one) for one in value)


def _read_slots(entry: object) -> tuple[bytes, tuple[int, ...]]:
    if not isinstance(entry, dict):
        raise cannot_unmarshal(json_kind(entry), "types.AccessTuple", "TransactionArgs.accessList")
    slots = _read_list(entry.get("storageKeys") or [], read_hash, ACCESS_LIST_MAX, "[]common.Hash", "storageKeys")
    return read_address(entry.get("address"), "address"), tuple(int.from_bytes(slot, "big") for slot in slots)


def _read_authorization(entry: object) -> Authorization:
    if not isinstance(entry, dict):
        raise cannot_unmarshal(json_kind(entry), "types.SetCodeAuthorization", "TransactionArgs.authorizationList")
    return Authorization(
        read_uint256(entry.get("chainId"), "chainId"),
        read_address(entry.get("address"), "address"),
        read_uint64(entry.get("nonce"), "nonce"),
        read_uint64(entry.get("yParity"), "yParity") & 0xFF,
        read_uint256(entry.get("r"), "r"),
        read_uint256(entry.get("s"), "s"),
    )


def read_call(value: object) -> tuple[CallRequest, bool, int | None]:
    """Read a call object; returns it, whether it names a sender, and the chain id it names, if any.

    Raises RpcError for members that contradict each other.
    """
    if not isinstance(value, dict):
        raise cannot_unmarshal(json_kind(value), "ethapi.TransactionArgs", "")

    def member(name: str, read: Callable[[object, str], T]) -> T | None:
        found = value.get(name)
        return None if found is None else read(found, f"TransactionArgs.{name}")

    data, code = member("data", read_bytes), member("input", read_bytes)
    if data is not None and code is not None and data != code:
        raise RpcError(
            SERVER_ERROR,
            'both "data" and "input" are set and not equal. Please use "input" to pass transaction call data',
        )
    gas_price, max_fee = member("gasPrice", read_uint256), member("maxFeePerGas", read_uint256)
    max_priority_fee = member("maxPriorityFeePerGas", read_uint256)
    _check_fees(gas_price, max_fee, max_priority_fee)
    if value.get("blobVersionedHashes") is not None or value.get("maxFeePerBlobGas") is not None:
        raise RpcError(SERVER_ERROR, "transaction type not supported")
    access_list = _read_list(
        value.get("accessList") or [], _read_slots, ACCESS_LIST_MAX, "types.AccessList", "TransactionArgs.accessList"
    )
    authorizations = _read_list(
        value.get("authorizationList") or [],
        _read_authorization,
        AUTHORIZATIONS_MAX,
        "[]types.SetCodeAuthorization",
        "TransactionArgs.authorizationList",
    )
    sender = member("from", read_address)
    call = CallRequest(
        sender or ZERO_ADDRESS,
        member("to", read_address),
        (code if code is not None else data) or b"",
        member("value", read_uint256) or 0,
        member("gas", read_uint64),
        gas_price,
        max_fee,
        max_priority_fee,
        access_list,
        authorizations,
    )
    return call, sender is not None, member("chainId", read_uint256)


def _check_fees(gas_price: int | None, max_fee: int | None, max_priority_fee: int | None) -> None:
    if gas_price is not None and (max_fee is not None or max_priority_fee is not None):
        raise RpcError(SERVER_ERROR, "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified")
    if max_fee is not None and max_priority_fee is not None and max_fee < max_priority_fee:
        raise RpcError(SERVER_ERROR, f"maxFeePerGas ({max_fee:#x}) < maxPriorityFeePerGas ({max_priority_fee:#x})")


def read_log_filter(value: object) -> GetLogs:
    """Read the filter object of eth_getLogs."""
    if not isinstance(value, dict):
        raise cannot_unmarshal(json_kind(value), "filters.input", "")
    first, last, block_hash = value.get("fromBlock"), value.get("toBlock"), value.get("blockHash")
    if block_hash is not None and (first is not None or last is not None):
        raise ArgumentError("cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other")
    return GetLogs(
        LATEST if first is None else read_block_number(first).number,
        LATEST if last is None else read_block_number(last).number,
        b"" if block_hash is None else read_hash(block_hash),
        _read_filter_addresses(value.get("address")),
        _read_filter_topics(value.get("topics")),
    )


def _read_filter_addresses(value: object) -> tuple[bytes, ...]:
    if value is None:
        return ()
    if isinstance(value, str):
        return (read_address(value),)
    if not isinstance(value, list):
        raise ArgumentError("invalid addresses in query")
    if len(value) > ADDRESSES_MAX:
        raise ArgumentError("exceed max addresses")
    for index, one in enumerate(value):
        if not isinstance(one, str):
            raise ArgumentError(f"non-string address at index {index}")
    return tuple(read_address(one) for one in value)


def _read_filter_topics(value: object) -> tuple[tuple[bytes, ...], ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise ArgumentError("invalid topics in query")
    if len(value) > TOPIC_POSITIONS_MAX:
        raise ArgumentError("exceed max topics")
    positions = []
    for one in value:
        alternatives = one if isinstance(one, list) else [] if one is None else [one]
        if len(alternatives) > TOPIC_ALTERNATIVES_MAX:
            raise ArgumentError("exceed max topics")
        if any(alternative is None for alternative in alternatives):
            alternatives = []  # null among the alternatives matches any topic
        if not all(isinstance(alternative, str) for alternative in alternatives):
            raise ArgumentError("invalid topic(s)")
        positions.append(tuple(read_hash(alternative) for alternative in alternatives))
    return tuple(positions)
