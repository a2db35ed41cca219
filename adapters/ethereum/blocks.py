"""Headers and receipts in Ethereum's consensus encoding, and what commits to them.

The execution header of Cancun (EIP-4844, EIP-4788) and Prague (EIP-7685). Blocks have no uncles, no withdrawals and no
blobs. The state root is Coco's own: a hash chain over the write sets, since no trie of the state is kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from adapters.ethereum.keccak import keccak
from adapters.ethereum.model import Header, Receipt
from adapters.ethereum.rlp_codec import encode_bytes, encode_int, encode_list
from adapters.ethereum.tries import EMPTY_ROOT
from core.kv.write_set import encode_domain

EMPTY_UNCLES_HASH = keccak(b"\xc0")
EMPTY_REQUESTS_HASH = hashlib.sha256(b"").digest()
"""EIP-7685: the hash of a block's requests when there are none."""

_NO_NONCE = bytes(8)


def encode_header(header: Header) -> bytes:
    """Return the header's RLP."""
    fields = [
        encode_bytes(header.parent_hash),
        encode_bytes(EMPTY_UNCLES_HASH),
        encode_bytes(header.coinbase),
        encode_bytes(header.state_root),
        encode_bytes(header.transactions_root),
        encode_bytes(header.receipts_root),
        encode_bytes(header.bloom),
        encode_int(0),  # difficulty
        encode_int(header.number),
        encode_int(header.gas_limit),
        encode_int(header.gas_used),
        encode_int(header.timestamp),
        encode_bytes(header.extra_data),
        encode_bytes(header.mix_hash),
        encode_bytes(_NO_NONCE),
        encode_int(header.base_fee),
        encode_bytes(EMPTY_ROOT),  # withdrawals
        encode_int(0),  # blob gas used
        encode_int(0),  # excess blob gas
        encode_bytes(header.parent_beacon_block_root),
    ]
    if header.requests_hash is not None:
        fields.append(encode_bytes(header.requests_hash))
    return encode_list(fields)


def header_hash(header: Header) -> bytes:
    """Return the block hash."""
    return keccak(encode_header(header))


def encode_receipt(receipt: Receipt) -> bytes:
    """Return the receipt's consensus encoding, the type byte of a typed transaction included (EIP-2718)."""
    return encode_receipt_after(receipt, receipt.cumulative_gas_used)


def encode_receipt_after(receipt: Receipt, cumulative_gas_used: int, tail: bytes = b"") -> bytes:
    """Return the receipt's consensus encoding with another sum of the gas used up to it. tail: its `receipt_tail`."""
    fields = (encode_int(receipt.status), encode_int(cumulative_gas_used), tail or receipt_tail(receipt))
    prefix = bytes((receipt.type,)) if receipt.type else b""
    return prefix + encode_list(fields)


def receipt_tail(receipt: Receipt) -> bytes:
    """Return what stands behind the gas in a receipt's encoding: bloom and logs, the most of it."""
    logs = encode_list(
        [
            encode_list(
                (
                    encode_bytes(log.address),
                    encode_list([encode_bytes(topic) for topic in log.topics]),
                    encode_bytes(log.data),
                )
            )
            for log in receipt.logs
        ]
    )
    return encode_bytes(receipt.bloom) + logs


def next_state_root(previous: bytes, writes: Mapping[str, Mapping[bytes, bytes | None]]) -> bytes:
    """Return keccak(previous root || keccak(canonical write set)).

    writes: what the block wrote in the state tables, the last value of each key, None for a deletion. Canonical: a
    ledger entry's private domain (core/kv/write_set.py), tables and keys in byte order, tables named without prefix.
    """
    ordered = {name: dict(sorted(writes[name].items())) for name in sorted(writes) if writes[name]}
    return keccak(previous + keccak(encode_domain(ordered)))
