"""What a file proves: CCF's receipt, the same with claims and certificate around it, or a COSE receipt. Offline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.ethereum.claims import TransactionClaims
from core.crypto.hashing import sha256
from core.errors import AuthenticationFailed, CocoError, MalformedMessage
from core.ledger.cose_receipt import CoseReceipt, verify_cose_receipt
from core.ledger.receipt import LeafComponents, Receipt, decode_json, verify_receipt
from core.types import NO_CLAIMS, Digest, TransactionId

_PROOF = {"transactionId", "receipt", "claims", "serviceCertificate"}
_COSE_START = 0xD2
"""CBOR's tag 18."""

Claims = bytes | Mapping[str, Any]


def check_proof(data: bytes, service_certificate: str, claims: Claims | None) -> dict[str, Any]:
    """Verify a file and return what it proves. claims: what must be claimed, else what the file says.

    Raises AuthenticationFailed, MalformedMessage, LimitExceeded; the message is the reason.
    """
    if data[:1] == bytes([_COSE_START]):
        found = _taken(claims)
        cose = CoseReceipt.decode(data)
        verify_cose_receipt(cose, service_certificate, claims=found.digest)
        return _proven("cose", cose.leaf.transaction_id, cose.leaf.claims_digest, found)
    document = decode_json(data)
    stated = None
    if isinstance(document, dict) and document.keys() == _PROOF:
        claims = document["claims"] if claims is None else claims
        stated, document = document["transactionId"], document["receipt"]
    found = _taken(claims)
    receipt = Receipt.from_json(document)
    verify_receipt(receipt, service_certificate, claims=found.digest)
    identifier = receipt.transaction_id
    if stated is not None and identifier is not None and stated != str(identifier):
        raise AuthenticationFailed(f"the receipt is of transaction {identifier}, not of {str(stated)[:40]}")
    digest = receipt.leaf.claims_digest if isinstance(receipt.leaf, LeafComponents) else None
    return _proven("json", identifier, digest, found)


class _Taken:
    """Claims to be verified: of an Ethereum transaction, bytes of another protocol, or none."""

    def __init__(self, digest: Digest | None, transaction: TransactionClaims | None = None) -> None:
        self.digest = digest
        self.transaction = transaction


def _taken(claims: object) -> _Taken:
    if claims is None:
        return _Taken(None)
    if isinstance(claims, bytes):
        return _Taken(sha256(claims))
    try:
        transaction = TransactionClaims.from_json(claims)
    except MalformedMessage as error:
        hint = "For another protocol give --claims with the bytes that it hashes."
        raise MalformedMessage(error.message, hint=hint) from None
    return _Taken(transaction.digest, transaction)


def _proven(form: str, identifier: TransactionId | None, digest: Digest | None, found: _Taken) -> dict[str, Any]:
    if digest == NO_CLAIMS:
        digest = None
    proven: dict[str, Any] = {
        "form": form,
        "transaction": None if identifier is None else str(identifier),
        "claims_digest": digest.hex() if digest else None,
        "claims_verified": found.digest is not None or digest is None,
    }
    if found.transaction is not None:
        proven["transaction_hash"] = "0x" + found.transaction.transaction_hash.hex()
        try:
            proven["outcome"] = "succeeded" if found.transaction.succeeded else "reverted"
        except CocoError:
            proven["outcome"] = None
    return proven
