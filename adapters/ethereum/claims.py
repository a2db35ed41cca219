"""What the claims digest of a transaction's ledger entry is made of, for whoever makes or checks one."""

from __future__ import annotations

from dataclasses import dataclass

from adapters.ethereum.rlp_codec import decode
from core import limits
from core.crypto.hashing import sha256
from core.errors import MalformedMessage
from core.types import Digest

HASH_BYTES = 32
RECEIPT_BYTES_MAX = limits.RECEIPT_BYTES_MAX // 2
_RECEIPT_FIELDS = 4
_SUCCEEDED, _REVERTED = b"\x01", b""


@dataclass(frozen=True, slots=True)
class TransactionClaims:
    """receipt: in consensus encoding, the type byte of a typed transaction included; as if alone in its block."""

    transaction_hash: bytes
    receipt: bytes

    @property
    def digest(self) -> Digest:
        return sha256(self.transaction_hash + self.receipt)

    @property
    def succeeded(self) -> bool:
        """Whether the transaction did what it was to do; raises MalformedMessage for what is no receipt."""
        body = self.receipt[1:] if self.receipt[:1] < b"\xc0" else self.receipt
        fields = decode(body)
        if not isinstance(fields, list) or len(fields) != _RECEIPT_FIELDS or fields[0] not in (_SUCCEEDED, _REVERTED):
            raise MalformedMessage("the claims hold no transaction's receipt")
        return fields[0] == _SUCCEEDED

    @classmethod
    def from_json(cls, document: object) -> TransactionClaims:
        """Take the JSON of `coco_getTransactionReceiptProof`; raises MalformedMessage."""
        if not isinstance(document, dict) or document.keys() != {"transactionHash", "receipt"}:
            raise MalformedMessage("claims of a transaction have a transactionHash and a receipt")
        claims = cls(_bytes(document["transactionHash"]), _bytes(document["receipt"]))
        if len(claims.transaction_hash) != HASH_BYTES or len(claims.receipt) > RECEIPT_BYTES_MAX:
            raise MalformedMessage("a transaction's hash has 32 bytes, and a receipt is not that long")
        return claims


def _bytes(text: object) -> bytes:
    if not isinstance(text, str) or not text.startswith("0x"):
        raise MalformedMessage("claims are bytes in hexadecimal, 0x in front")
    try:
        data = bytes.fromhex(text[2:])
    except ValueError:
        raise MalformedMessage("claims are bytes in hexadecimal, 0x in front") from None
    if "0x" + data.hex() != text.lower():
        raise MalformedMessage("claims are bytes in hexadecimal, without spaces")
    return data
