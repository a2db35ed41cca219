"""What a gateway asks the executor: commands and queries, in compact form. Both ends are the worker enclave.

256-bit integers travel as big-endian bytes, since MessagePack's integers have 64 bits. Hashes and addresses are bytes.
"""

from __future__ import annotations

from adapters.ethereum.model import Authorization, CallRequest
from core.codec import Codec, Message

LATEST = -1
"""The block number that stands for the newest committed block."""


class BlockAt(Message, frozen=True):
    """Names a block: by hash unless that is empty, else by number. pending: count what waits in the queue, too."""

    number: int = LATEST
    hash: bytes = b""
    pending: bool = False


# Commands.


class SendTransaction(Message, frozen=True, tag=1):
    """stored: the transaction with its sender (transactions.encode_stored). The rest is what the queue looks at."""

    stored: bytes
    sender: bytes
    nonce: int
    hash: bytes
    max_fee: bytes
    max_priority_fee: bytes


class Bind(Message, frozen=True, tag=2):
    """signer: the address that the signature over the message recovers to."""

    message: str
    signer: bytes


# Queries.


class BlockNumber(Message, frozen=True, tag=20):
    pass


class GetBlock(Message, frozen=True, tag=21):
    """full: with whole transactions instead of their hashes."""

    block: BlockAt
    full: bool


class GetBlockReceipts(Message, frozen=True, tag=22):
    block: BlockAt


class GetTransaction(Message, frozen=True, tag=23):
    hash: bytes


class GetReceipt(Message, frozen=True, tag=24):
    hash: bytes


class GetLogs(Message, frozen=True, tag=25):
    """block_hash: b"" for a range. addresses: none means any. topics: per position the alternatives, none means any."""

    first: int
    last: int
    block_hash: bytes
    addresses: tuple[bytes, ...]
    topics: tuple[tuple[bytes, ...], ...]


class GetNonce(Message, frozen=True, tag=26):
    address: bytes
    block: BlockAt


class GetBalance(Message, frozen=True, tag=27):
    address: bytes
    block: BlockAt


class GetCode(Message, frozen=True, tag=28):
    address: bytes
    block: BlockAt


class WireAuthorization(Message, frozen=True):
    """model.Authorization on the wire."""

    chain_id: bytes
    address: bytes
    nonce: int
    y_parity: int
    r: bytes
    s: bytes


class WireCall(Message, frozen=True):
    """model.CallRequest on the wire. sender b"": the caller's first address, or zero."""

    sender: bytes
    to: bytes | None
    data: bytes
    value: bytes
    gas: int | None
    gas_price: bytes | None
    max_fee: bytes | None
    max_priority_fee: bytes | None
    access_list: tuple[tuple[bytes, tuple[bytes, ...]], ...]
    authorizations: tuple[WireAuthorization, ...]


class Call(Message, frozen=True, tag=29):
    call: WireCall
    block: BlockAt


class EstimateGas(Message, frozen=True, tag=30):
    call: WireCall
    block: BlockAt


class FeeHistory(Message, frozen=True, tag=31):
    count: int
    newest: BlockAt
    percentiles: tuple[float, ...] | None


class BindMessage(Message, frozen=True, tag=32):
    address: bytes


class BoundAddresses(Message, frozen=True, tag=33):
    pass


Command = SendTransaction | Bind
BlockQuery = BlockNumber | GetBlock | GetBlockReceipts | GetTransaction | GetReceipt | GetLogs | FeeHistory
StateQuery = GetNonce | GetBalance | GetCode | Call | EstimateGas
BindingQuery = BindMessage | BoundAddresses
Query = BlockQuery | StateQuery | BindingQuery

COMMANDS: Codec[Command] = Codec(Command)
QUERIES: Codec[Query] = Codec(Query)


def pack_integer(value: int) -> bytes:
    """Encode a non-negative integer as big-endian bytes, b"" for 0."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def unpack_integer(data: bytes) -> int:
    """Decode what pack_integer made."""
    return int.from_bytes(data, "big")


def _pack_optional(value: int | None) -> bytes | None:
    return None if value is None else pack_integer(value)


def _unpack_optional(data: bytes | None) -> int | None:
    return None if data is None else unpack_integer(data)


def pack_call(call: CallRequest, *, has_sender: bool) -> WireCall:
    """Put a call object on the wire."""
    return WireCall(
        call.sender if has_sender else b"",
        call.to,
        call.data,
        pack_integer(call.value),
        call.gas,
        _pack_optional(call.gas_price),
        _pack_optional(call.max_fee),
        _pack_optional(call.max_priority_fee),
        tuple((address, tuple(pack_integer(slot) for slot in slots)) for address, slots in call.access_list),
        tuple(
            WireAuthorization(
                pack_integer(one.chain_id),
                one.address,
                one.nonce,
                one.y_parity,
                pack_integer(one.r),
                pack_integer(one.s),
            )
            for one in call.authorizations
        ),
    )


def unpack_call(wire: WireCall, sender: bytes) -> CallRequest:
    """Return the call object with this sender."""
    return CallRequest(
        sender,
        wire.to,
        wire.data,
        unpack_integer(wire.value),
        wire.gas,
        _unpack_optional(wire.gas_price),
        _unpack_optional(wire.max_fee),
        _unpack_optional(wire.max_priority_fee),
        tuple((address, tuple(unpack_integer(slot) for slot in slots)) for address, slots in wire.access_list),
        tuple(
            Authorization(
                unpack_integer(one.chain_id),
                one.address,
                one.nonce,
                one.y_parity,
                unpack_integer(one.r),
                unpack_integer(one.s),
            )
            for one in wire.authorizations
        ),
    )
