"""Signs the transactions of a case with well-known keys. Its encoding is the `rlp` package's, not the adapter's."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import rlp
from coincurve import PrivateKey
from eth_hash.auto import keccak

from tests.fuzz.case import Authorization, Tx

KEYS = 6
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


@lru_cache(maxsize=KEYS)
def private_key(number: int) -> PrivateKey:
    return PrivateKey(bytes([number + 1]) * 32)


@lru_cache(maxsize=KEYS)
def address_of(number: int) -> bytes:
    """Return the address of a well-known key."""
    return keccak(private_key(number).public_key.format(compressed=False)[1:])[12:]


def sign_hash(key: int, digest: bytes) -> tuple[int, int, int]:
    """Return y parity, r and s."""
    signature = private_key(key).sign_recoverable(digest, hasher=None)
    return signature[64], int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")


def sign(tx: Tx, nonce_of: Callable[[bytes], int]) -> bytes:
    """Return the encoding of a transaction as eth_sendRawTransaction takes it."""
    nonce = max(0, nonce_of(address_of(tx.key)) + tx.nonce)
    to = tx.to or b""
    if tx.type == 0:
        fields: list[Any] = [nonce, tx.fee, tx.gas, to, tx.value, tx.data]
        parity, r, s = sign_hash(tx.key, keccak(rlp.encode([*fields, tx.chain_id, 0, 0])))
        return bytes(rlp.encode([*fields, tx.chain_id * 2 + 35 + parity, r, s]))
    fees = [tx.fee] if tx.type == 1 else [tx.tip, tx.fee]
    access_list = [[address, [slot.to_bytes(32, "big") for slot in slots]] for address, slots in tx.access_list]
    fields = [tx.chain_id, nonce, *fees, tx.gas, to, tx.value, tx.data, access_list]
    if tx.type == 4:
        fields.append(_authorizations(tx, nonce_of))
    kind = bytes([tx.type])
    return kind + bytes(rlp.encode([*fields, *sign_hash(tx.key, keccak(kind + rlp.encode(fields)))]))


def _authorizations(tx: Tx, nonce_of: Callable[[bytes], int]) -> list[list[Any]]:
    """Offsets count from the nonce after the sender's own increment and the list's earlier authorizations."""
    used = {address_of(tx.key): 1}
    signed = []
    for entry in tx.authorizations:
        authority = address_of(entry.key)
        nonce = max(0, nonce_of(authority) + used.get(authority, 0) + entry.nonce)
        if not entry.tamper and entry.nonce == 0:
            used[authority] = used.get(authority, 0) + 1
        signed.append(_authorization(entry, nonce))
    return signed


def _authorization(entry: Authorization, nonce: int) -> list[Any]:
    if entry.tamper == "nonce":
        nonce = 2**64 - 1
    content = [entry.chain_id, entry.address, nonce]
    parity, r, s = sign_hash(entry.key, keccak(b"\x05" + rlp.encode(content)))
    match entry.tamper:
        case "high s":
            parity, s = 1 - parity, ORDER - s
        case "parity":
            parity = 27 + parity
        case "r":
            r = 0
        case "message":
            content[2] = nonce + 1
    return [*content, parity, r, s]
