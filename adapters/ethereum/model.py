"""Ethereum's records as the adapter keeps and passes them. Addresses are 20 bytes, hashes 32."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec


class Log(msgspec.Struct, frozen=True, gc=False):
    address: bytes
    topics: tuple[bytes, ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class Authorization:
    """An EIP-7702 authorization tuple, signature included."""

    chain_id: int
    address: bytes
    nonce: int
    y_parity: int
    r: int
    s: int


class SignedTransaction(msgspec.Struct, frozen=True, gc=False):
    """A decoded transaction of type 0, 1, 2 or 4, its sender recovered.

    raw: the canonical encoding (type byte included). to: None creates a contract. v: as signed (y parity for typed
    ones). gas_price: of types 0 and 1; for types 2 and 4 it equals max_fee. For types 0 and 1, max_fee and
    max_priority_fee equal gas_price. chain_id: None for a legacy transaction without EIP-155.
    """

    type: int
    chain_id: int | None
    nonce: int
    gas_limit: int
    gas_price: int
    max_fee: int
    max_priority_fee: int
    to: bytes | None
    value: int
    data: bytes
    access_list: tuple[tuple[bytes, tuple[int, ...]], ...]
    authorizations: tuple[Authorization, ...]
    v: int
    r: int
    s: int
    sender: bytes
    hash: bytes
    raw: bytes


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """gas_used: of this transaction alone. contract_address: of a successful or failed creation, else None."""

    type: int
    status: int
    cumulative_gas_used: int
    gas_used: int
    effective_gas_price: int
    logs: tuple[Log, ...]
    bloom: bytes
    contract_address: bytes | None


@dataclass(frozen=True, slots=True)
class Header:
    """A block header of Cancun; requests_hash is set under Prague."""

    parent_hash: bytes
    coinbase: bytes
    state_root: bytes
    transactions_root: bytes
    receipts_root: bytes
    bloom: bytes
    number: int
    gas_limit: int
    gas_used: int
    timestamp: int
    extra_data: bytes
    mix_hash: bytes
    base_fee: int
    parent_beacon_block_root: bytes
    requests_hash: bytes | None


@dataclass(frozen=True, slots=True)
class Block:
    """A stored block. seqno: Coco's, of the entry with the header, at which the state after the block stands."""

    header: Header
    hash: bytes
    transaction_hashes: tuple[bytes, ...]
    seqno: int


@dataclass(frozen=True, slots=True)
class StoredTransaction:
    """A transaction with its place."""

    transaction: SignedTransaction
    block_number: int
    index: int


@dataclass(frozen=True, slots=True)
class CallRequest:
    """The call object of eth_call and eth_estimateGas. gas None: the most allowed. Fees None: zero."""

    sender: bytes
    to: bytes | None
    data: bytes
    value: int = 0
    gas: int | None = None
    gas_price: int | None = None
    max_fee: int | None = None
    max_priority_fee: int | None = None
    access_list: tuple[tuple[bytes, tuple[int, ...]], ...] = ()
    authorizations: tuple[Authorization, ...] = ()


Slots = tuple[tuple[int, int], ...]
"""Storage: pairs of slot and value."""


@dataclass(frozen=True, slots=True)
class AccountOverride:
    """What a call takes an account to be. None: as it is. state: all of its storage; state_diff: some of it."""

    address: bytes
    nonce: int | None = None
    balance: int | None = None
    code: bytes | None = None
    state: Slots | None = None
    state_diff: Slots = ()


@dataclass(frozen=True, slots=True)
class CallResult:
    """error: None on success, else "revert" (return_data is the revert data) or the EVM's error text."""

    return_data: bytes
    gas_used: int
    error: str | None
    logs: tuple[Log, ...] = ()
