"""How the adapter's records stand in its tables. Each value starts with a version byte, save the compact accounts.

Integers that may pass 64 bits are big-endian bytes, since MessagePack ends there. Invariant: what stands in a table
was written by this module, so that a value that does not decode is a broken invariant and not bad input.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from adapters.ethereum.bloom import logs_bloom
from adapters.ethereum.keccak import EMPTY_CODE_HASH
from adapters.ethereum.model import Block, Header, Log, Receipt
from core.errors import InvariantBroken

RECORD_VERSION = 1
_VERSION = bytes([RECORD_VERSION])
_HAS_CODE = 0x10

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder()


class AccountRecord(NamedTuple):
    """An account as the accounts table keeps it. An account without nonce, balance and code has no record."""

    nonce: int
    balance: int
    code_hash: bytes


NO_ACCOUNT = AccountRecord(0, 0, EMPTY_CODE_HASH)


def encode_account(account: AccountRecord) -> bytes:
    """Encode: size of the nonce (with 0x10 if there is code), nonce, code hash if there is code, balance."""
    nonce, balance, code_hash = account
    nonce_size = (nonce.bit_length() + 7) // 8
    head = nonce.to_bytes(nonce_size, "big")
    tail = balance.to_bytes((balance.bit_length() + 7) // 8, "big")
    if code_hash == EMPTY_CODE_HASH:
        return bytes((nonce_size,)) + head + tail
    return bytes((nonce_size | _HAS_CODE,)) + head + code_hash + tail


def decode_account(data: bytes) -> AccountRecord:
    """Decode what encode_account made."""
    flags = data[0]
    end = 1 + (flags & 0x0F)
    nonce = int.from_bytes(data[1:end], "big")
    if flags & _HAS_CODE:
        return AccountRecord(nonce, int.from_bytes(data[end + 32 :], "big"), data[end : end + 32])
    return AccountRecord(nonce, int.from_bytes(data[end:], "big"), EMPTY_CODE_HASH)


def encode_integer(value: int) -> bytes:
    """Big-endian without leading zeros: the stripped form of storage values."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def decode_integer(data: bytes | None) -> int:
    """0 for an absent value."""
    return 0 if data is None else int.from_bytes(data, "big")


def encode_block(block: Block) -> bytes:
    header = block.header
    fields = (
        header.parent_hash,
        header.coinbase,
        header.state_root,
        header.transactions_root,
        header.receipts_root,
        header.bloom if any(header.bloom) else b"",
        header.number,
        header.gas_limit,
        header.gas_used,
        header.timestamp,
        header.extra_data,
        header.mix_hash,
        header.base_fee,
        header.parent_beacon_block_root,
        header.requests_hash,
    )
    return _pack((fields, block.hash, b"".join(block.transaction_hashes), block.seqno))


def decode_block(data: bytes) -> Block:
    fields, block_hash, hashes, seqno = _unpack(data)
    fields[5] = fields[5] or bytes(256)
    transaction_hashes = tuple(hashes[start : start + 32] for start in range(0, len(hashes), 32))
    return Block(Header(*fields), block_hash, transaction_hashes, seqno)


def encode_receipts(receipts: tuple[Receipt, ...]) -> bytes:
    return _pack(
        [
            (
                receipt.type,
                receipt.status,
                receipt.cumulative_gas_used,
                receipt.gas_used,
                encode_integer(receipt.effective_gas_price),
                receipt.contract_address,
                [(log.address, log.topics, log.data) for log in receipt.logs],
            )
            for receipt in receipts
        ]
    )


def decode_receipts(data: bytes) -> tuple[Receipt, ...]:
    return tuple(_decode_receipt(fields) for fields in _unpack(data))


class Head(NamedTuple):
    """The newest block, as the meta table keeps it."""

    number: int
    hash: bytes
    state_root: bytes
    timestamp: int


def encode_head(head: Head) -> bytes:
    return _pack(tuple(head))


def decode_head(data: bytes) -> Head:
    return Head(*_unpack(data))


def _decode_receipt(fields: list[Any]) -> Receipt:
    kind, status, cumulative, gas_used, price, contract, raw_logs = fields
    logs = tuple(Log(address, tuple(topics), data) for address, topics, data in raw_logs)
    return Receipt(
        type=kind,
        status=status,
        cumulative_gas_used=cumulative,
        gas_used=gas_used,
        effective_gas_price=decode_integer(price),
        logs=logs,
        bloom=logs_bloom(logs),
        contract_address=contract,
    )


def _pack(value: Any) -> bytes:
    return _VERSION + _encoder.encode(value)


def _unpack(data: bytes) -> Any:
    if data[:1] != _VERSION:
        raise InvariantBroken(f"an Ethereum record of version {data[:1].hex() or 'none'}")
    return _decoder.decode(memoryview(data)[1:])
