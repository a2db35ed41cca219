"""What the tables hold beside client's own bytes.

Tables: state (address, 35 bytes), branches and edges (merkle.py), batches (batch id, 64 bytes: the Batch as it was
sent), outcomes (batch id), transactions (transaction id, 64 bytes: batch id and place in it), receipts (transaction
id: a TransactionReceipt), blocks (number, 8 bytes), block_numbers (block id, 64 bytes), roots (state root, 32 bytes:
seqno of the newest block that has it), invalid (a counter, 8 bytes: batch id), meta.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from core.adapter.interface import ScopedTransaction
from core.codec import Codec, Message
from core.errors import InvariantBroken

INDEXED_TABLES: Mapping[str, int] = {}
GENESIS_ID = "0000000000000000"
"""What block 0 names as the block before it."""
NO_BLOCK = -1
ID_BYTES = 64


class StoredBlock(Message, frozen=True):
    """header: serialised; root: of the state, 32 bytes; seqno: of the entry that closed it; time_s: Unix seconds."""

    number: int
    id: str
    header: bytes
    root: bytes
    seqno: int
    time_s: int


class Outcome(Message, frozen=True):
    """What became of a batch. block: its block's number, or NO_BLOCK for an invalid one; index: its place there.

    submitter: the identity that sent it. namespaces: what one must be allowed to read to see it.
    status: a serialised ClientBatchStatus. receipts: SHA-256 of each transaction's receipt, one after another.
    external: whether a processor outside the enclave took part.
    """

    block: int
    index: int
    submitter: str
    namespaces: tuple[bytes, ...]
    status: bytes
    receipts: bytes = b""
    external: bool = False


BLOCKS: Codec[StoredBlock] = Codec(StoredBlock)
OUTCOMES: Codec[Outcome] = Codec(Outcome)


def receipts_digest(receipts: list[bytes]) -> bytes:
    """Return the digests that an outcome has of its serialised receipts."""
    return b"".join(hashlib.sha256(receipt).digest() for receipt in receipts)


def head(transaction: ScopedTransaction) -> StoredBlock:
    """Return the newest block; the genesis must have been written."""
    data = transaction.table("meta").get(b"head")
    if data is None:
        raise InvariantBroken("the Sawtooth genesis has not been written")
    return BLOCKS.decode(data)


def block_by_number(transaction: ScopedTransaction, number: int) -> StoredBlock | None:
    """Return a block, None when there is none of that number."""
    if not 0 <= number < 2**64:
        return None
    data = transaction.table("blocks").get(number.to_bytes(8, "big"))
    return None if data is None else BLOCKS.decode(data)


def block_by_id(transaction: ScopedTransaction, block_id: str) -> StoredBlock | None:
    """Return a block by its id, which may be any text."""
    key = id_key(block_id)
    number = None if key is None else transaction.table("block_numbers").get(key)
    return None if number is None else block_by_number(transaction, int.from_bytes(number, "big"))


def write_block(transaction: ScopedTransaction, block: StoredBlock) -> None:
    """Write a block and make it the head."""
    encoded, number = BLOCKS.encode(block), block.number.to_bytes(8, "big")
    transaction.table("blocks").put(number, encoded)
    transaction.table("block_numbers").put(bytes.fromhex(block.id), number)
    transaction.table("roots").put(block.root, block.seqno.to_bytes(8, "big"))
    transaction.table("meta").put(b"head", encoded)


def outcome(transaction: ScopedTransaction, batch_key: bytes) -> Outcome | None:
    """Return what became of a batch, also of one in the open block."""
    data = transaction.table("outcomes").get(batch_key)
    return None if data is None else OUTCOMES.decode(data)


def batch_of(transaction: ScopedTransaction, transaction_key: bytes) -> tuple[bytes, int] | None:
    """Return the batch's key that holds a transaction, and its place in it."""
    place = transaction.table("transactions").get(transaction_key)
    return None if place is None else (place[:ID_BYTES], int.from_bytes(place[ID_BYTES:], "big"))


def id_key(text: str) -> bytes | None:
    """Return an id as the tables have it, None for a text that is none."""
    try:
        key = bytes.fromhex(text)
    except ValueError:
        return None
    return key if key.hex() == text and len(key) == ID_BYTES else None
