"""What the claims digest of a batch's ledger entry is made of, for whoever makes or checks one."""

from __future__ import annotations

from dataclasses import dataclass

from adapters.sawtooth.records import Outcome
from adapters.sawtooth.wire.messages import BatchStatus, parse
from core.crypto.hashing import sha256
from core.errors import MalformedMessage
from core.types import Digest

DIGEST_BYTES = 32
_FIELDS = {"batchStatus", "blockNumber", "executedBy", "receiptDigests"}
_EXECUTORS = {"enclave": False, "external processor": True}


@dataclass(frozen=True, slots=True)
class BatchClaims:
    """status: a serialised ClientBatchStatus; block: the number of its block, None for an invalid batch.

    receipts: SHA-256 of the serialised TransactionReceipt of each transaction, one after another, in order.
    external: whether a processor outside the enclave took part, which nobody vouches for.
    """

    status: bytes
    block: int | None
    receipts: bytes
    external: bool = False

    @property
    def digest(self) -> Digest:
        """SHA-256 over the executor (a byte, 1: external), the block's number + 1 (8 bytes, 0: no block), the status's
        length (4 bytes), it, and the receipts' digests."""
        number = 0 if self.block is None else self.block + 1
        begin = bytes((self.external,)) + number.to_bytes(8, "big") + len(self.status).to_bytes(4, "big")
        return sha256(begin + self.status + self.receipts)

    @property
    def batch_id(self) -> str:
        """The id of the batch. Raises MalformedMessage (of the wire) for a status that is none."""
        return str(parse("ClientBatchStatus", self.status).batch_id)

    @property
    def committed(self) -> bool:
        """Whether the batch was committed. Raises MalformedMessage (of the wire) for a status that is none."""
        return bool(parse("ClientBatchStatus", self.status).status == BatchStatus.COMMITTED)

    def to_json(self) -> dict[str, str]:
        """Return what a disclosure shows."""
        return {
            "batchStatus": self.status.hex(),
            "blockNumber": "" if self.block is None else str(self.block),
            "executedBy": "external processor" if self.external else "enclave",
            "receiptDigests": self.receipts.hex(),
        }

    @classmethod
    def of(cls, outcome: Outcome) -> BatchClaims:
        """Return the claims of an outcome."""
        return cls(outcome.status, outcome.block if outcome.block >= 0 else None, outcome.receipts, outcome.external)

    @classmethod
    def from_json(cls, document: object) -> BatchClaims:
        """Take what a disclosure showed; raises MalformedMessage."""
        if not isinstance(document, dict) or document.keys() != _FIELDS:
            raise MalformedMessage(f"claims of a batch have {', '.join(sorted(_FIELDS))}")
        number = document["blockNumber"]
        if not isinstance(number, str) or not (number == "" or (number.isascii() and number.isdecimal())):
            raise MalformedMessage("a block's number is a decimal text")
        if len(number) > 18:
            raise MalformedMessage("a block's number is not that long")
        external = _EXECUTORS.get(str(document["executedBy"]))
        if external is None:
            raise MalformedMessage(f"a batch is executed by one of: {', '.join(_EXECUTORS)}")
        receipts = _bytes(document["receiptDigests"])
        if len(receipts) % DIGEST_BYTES:
            raise MalformedMessage("digests have 32 bytes each")
        return cls(_bytes(document["batchStatus"]), int(number) if number else None, receipts, external)


def _bytes(text: object) -> bytes:
    try:
        data = bytes.fromhex(text if isinstance(text, str) else "-")
    except ValueError:
        raise MalformedMessage("claims are bytes in hexadecimal digits") from None
    if data.hex() != text:
        raise MalformedMessage("claims are bytes in hexadecimal digits, lower case")
    return data
