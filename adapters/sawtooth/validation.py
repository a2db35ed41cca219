"""A client's batch, parsed and checked as far as that needs no state.

The rules are the validator's (gossip/structure_verifier.py, gossip/signature_verifier.py) and those of the protocol's
text: ids are signatures, a batch names its transactions in order, each transaction names its batcher and its payload.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from adapters.sawtooth.signatures import SIGNATURE_HEX, verify
from adapters.sawtooth.wire.messages import MalformedMessage, parse
from core.errors import AuthenticationFailed, CocoError

TRANSACTIONS_MAX = 10_000
"""Of one batch."""


class InvalidBatch(CocoError):
    """A batch that is refused before anything of it runs. Its reply has the status INVALID_BATCH."""


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """A transaction. header: a parsed TransactionHeader; id: its header's signature, 128 hexadecimal digits."""

    id: str
    header: Any
    header_bytes: bytes
    payload: bytes

    @property
    def key(self) -> bytes:
        """The id as the tables have it, 64 bytes."""
        return bytes.fromhex(self.id)


@dataclass(frozen=True, slots=True)
class SignedBatch:
    """A batch. data: as it was sent; header: a parsed BatchHeader."""

    id: str
    header: Any
    header_bytes: bytes
    transactions: tuple[SignedTransaction, ...]
    data: bytes

    @property
    def key(self) -> bytes:
        """The id as the tables have it, 64 bytes."""
        return bytes.fromhex(self.id)

    @property
    def has_outer_dependencies(self) -> bool:
        """Whether it depends on transactions of other batches."""
        own = {one.id for one in self.transactions}
        return any(needed not in own for one in self.transactions for needed in one.header.dependencies)


def parse_batch(data: bytes) -> SignedBatch:
    """Parse a serialised Batch and check all but its signatures. Raises InvalidBatch."""
    try:
        message = parse("Batch", data)
        header = parse("BatchHeader", message.header)
        transactions = tuple(
            SignedTransaction(one.header_signature, parse("TransactionHeader", one.header), one.header, one.payload)
            for one in message.transactions
        )
    except MalformedMessage as error:
        raise InvalidBatch(error.message, hint=error.hint) from None
    batch = SignedBatch(message.header_signature, header, message.header, transactions, data)
    _check_structure(batch)
    return batch


def verify_batch(batch: SignedBatch) -> None:
    """Verify the signatures of a batch and of its transactions. Raises InvalidBatch."""
    try:
        verify(batch.header.signer_public_key, batch.id, batch.header_bytes)
        for transaction in batch.transactions:
            verify(transaction.header.signer_public_key, transaction.id, transaction.header_bytes)
    except AuthenticationFailed as error:
        raise InvalidBatch(f"a signature of batch {batch.id[:16]} is not valid: {error.message}") from None


def _check_structure(batch: SignedBatch) -> None:
    name, transactions = batch.id[:16], batch.transactions
    if SIGNATURE_HEX.fullmatch(batch.id) is None:
        raise InvalidBatch("the batch's id is not a signature of 128 hexadecimal digits")
    if not 0 < len(transactions) <= TRANSACTIONS_MAX:
        raise InvalidBatch(f"batch {name} has {len(transactions)} transactions; it must have 1 to {TRANSACTIONS_MAX}")
    ids = [one.id for one in transactions]
    if len(set(ids)) != len(ids):
        raise InvalidBatch(f"batch {name} has a transaction twice")
    if list(batch.header.transaction_ids) != ids:
        raise InvalidBatch(f"the header of batch {name} does not name its transactions in their order")
    for transaction in transactions:
        _check_transaction(transaction, batch.header.signer_public_key)


def _check_transaction(transaction: SignedTransaction, batcher: str) -> None:
    name, header = transaction.id[:16], transaction.header
    if SIGNATURE_HEX.fullmatch(transaction.id) is None:
        raise InvalidBatch("a transaction's id is not a signature of 128 hexadecimal digits")
    if header.batcher_public_key != batcher:
        raise InvalidBatch(f"transaction {name} names another batcher than the signer of its batch")
    if header.payload_sha512 != hashlib.sha512(transaction.payload).hexdigest():
        raise InvalidBatch(f"the payload of transaction {name} is not the one that its header names")
    if any(SIGNATURE_HEX.fullmatch(one) is None for one in header.dependencies):
        raise InvalidBatch(f"a dependency of transaction {name} is not a transaction's id")
