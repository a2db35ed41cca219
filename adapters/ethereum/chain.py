"""The read side: blocks, transactions, receipts and accounts as the tables hold them.

Tables: accounts (address), storage (address + 32-byte slot), code (code hash), blocks (number, 8 bytes), block_numbers
(block hash), transactions (hash), receipts (number + piece, 8 + 2 bytes), meta, creators (contract address).
What a block holds appears here when the block is closed: a transaction of the open block is not found yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from adapters.ethereum import records
from adapters.ethereum.blocks import encode_receipt_after
from adapters.ethereum.claims import TransactionClaims
from adapters.ethereum.keccak import EMPTY_CODE_HASH
from adapters.ethereum.model import Block, Receipt, SignedTransaction, StoredTransaction
from adapters.ethereum.transactions import decode_stored, encode_stored
from core import limits
from core.adapter.interface import ScopedTransaction
from core.errors import InvariantBroken
from core.types import Digest

INDEXED_TABLES: Mapping[str, int] = {"storage": 20}
"""For AdapterInfo: the storage of an account is listed by its address."""

STATE_TABLES = ("accounts", "code", "storage")
"""The tables that the state root covers."""

_HEAD_KEY = b"head"
_PIECE_BYTES = limits.VALUE_BYTES_MAX


@dataclass(frozen=True, slots=True)
class Account:
    nonce: int
    balance: int
    code_hash: bytes


def head(transaction: ScopedTransaction) -> records.Head:
    """Return the newest block's number, hash, state root and timestamp; the genesis must have been written."""
    data = transaction.table("meta").get(_HEAD_KEY)
    if data is None:
        raise InvariantBroken("the Ethereum genesis has not been written")
    return records.decode_head(data)


def head_number(transaction: ScopedTransaction) -> int:
    """Return the number of the newest closed block."""
    return head(transaction).number


def last_timestamp(transaction: ScopedTransaction) -> int:
    """Return the newest closed block's timestamp (Unix seconds)."""
    return head(transaction).timestamp


def block_by_number(transaction: ScopedTransaction, number: int) -> Block | None:
    """Return a closed block, None when there is none of that number."""
    if not 0 <= number < 2**64:
        return None
    data = transaction.table("blocks").get(number.to_bytes(8, "big"))
    return None if data is None else records.decode_block(data)


def block_by_hash(transaction: ScopedTransaction, block_hash: bytes) -> Block | None:
    """Return a closed block by its hash."""
    number = transaction.table("block_numbers").get(block_hash)
    return None if number is None else block_by_number(transaction, int.from_bytes(number, "big"))


def block_hash(transaction: ScopedTransaction, number: int) -> bytes | None:
    """Return the hash of a closed block."""
    block = block_by_number(transaction, number)
    return None if block is None else block.hash


def transaction_by_hash(transaction: ScopedTransaction, transaction_hash: bytes) -> StoredTransaction | None:
    """Return a transaction of a closed block with its place."""
    data = transaction.table("transactions").get(transaction_hash)
    if data is None:
        return None
    number, index = int.from_bytes(data[:8], "big"), int.from_bytes(data[8:12], "big")
    if number > head_number(transaction):
        return None
    return StoredTransaction(decode_stored(data[12:]), number, index)


def has_transaction(transaction: ScopedTransaction, transaction_hash: bytes) -> bool:
    """Say whether a transaction was executed, in the open block or before."""
    return transaction.table("transactions").has(transaction_hash)


def receipts_of(transaction: ScopedTransaction, number: int) -> tuple[Receipt, ...]:
    """Return the receipts of a closed block in order; none for a block that does not exist."""
    if not 0 <= number < 2**64:
        return ()
    table, pieces = transaction.table("receipts"), list[bytes]()
    while (piece := table.get(_piece_key(number, len(pieces)))) is not None:
        pieces.append(piece)
    return records.decode_receipts(b"".join(pieces)) if pieces else ()


def account(transaction: ScopedTransaction, address: bytes) -> Account:
    """Return an account; zeros for one that does not exist."""
    data = transaction.table("accounts").get(address)
    return Account(*(records.NO_ACCOUNT if data is None else records.decode_account(data)))


def code(transaction: ScopedTransaction, address: bytes) -> bytes:
    """Return an account's code."""
    code_hash = account(transaction, address).code_hash
    return b"" if code_hash == EMPTY_CODE_HASH else code_by_hash(transaction, code_hash)


def code_by_hash(transaction: ScopedTransaction, code_hash: bytes) -> bytes:
    found = transaction.table("code").get(code_hash)
    if found is None:
        raise InvariantBroken(f"no code for the hash {code_hash.hex()}")
    return found


def storage_at(transaction: ScopedTransaction, address: bytes, slot: int) -> int:
    """Return the value of a storage slot."""
    return records.decode_integer(transaction.table("storage").get(address + slot.to_bytes(32, "big")))


def creator(transaction: ScopedTransaction, address: bytes) -> bytes | None:
    """Return the sender of the transaction that created a contract; None for others and for those of the genesis."""
    return transaction.table("creators").get(address)


def claims(signed: SignedTransaction, receipt: Receipt, tail: bytes = b"") -> Digest:
    """Return what a ledger receipt proves: SHA-256 of the transaction hash and `claimed_receipt`."""
    return TransactionClaims(signed.hash, claimed_receipt(receipt, tail)).digest


def claimed_receipt(receipt: Receipt, tail: bytes = b"") -> bytes:
    """Return the receipt's consensus encoding as if the transaction were alone in its block.

    The cumulative gas of a real block would tell whoever is shown the claims what strangers before it used.
    tail: its `receipt_tail`, where that is known.
    """
    return encode_receipt_after(receipt, receipt.gas_used, tail)


def write_transaction(transaction: ScopedTransaction, signed: SignedTransaction, number: int, index: int) -> None:
    place = number.to_bytes(8, "big") + index.to_bytes(4, "big")
    transaction.table("transactions").put(signed.hash, place + encode_stored(signed))


def write_block(transaction: ScopedTransaction, block: Block, receipts: tuple[Receipt, ...]) -> None:
    """Write a closed block, its receipts and the head."""
    header = block.header
    number_key = header.number.to_bytes(8, "big")
    transaction.table("blocks").put(number_key, records.encode_block(block))
    transaction.table("block_numbers").put(block.hash, number_key)
    encoded = records.encode_receipts(receipts)
    for piece, start in enumerate(range(0, len(encoded), _PIECE_BYTES)):
        transaction.table("receipts").put(_piece_key(header.number, piece), encoded[start : start + _PIECE_BYTES])
    newest = records.Head(header.number, block.hash, header.state_root, header.timestamp)
    transaction.table("meta").put(_HEAD_KEY, records.encode_head(newest))


def _piece_key(number: int, piece: int) -> bytes:
    return number.to_bytes(8, "big") + piece.to_bytes(2, "big")
