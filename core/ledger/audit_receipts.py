"""Receipts as witnesses of an audit: whoever holds one knows that its entry is committed, for ever."""

from __future__ import annotations

from collections.abc import Sequence

from core.errors import AuthenticationFailed, MalformedMessage
from core.ledger.audit_witness import Witness, signed_root_witness
from core.ledger.cose import claimed_id
from core.ledger.cose_receipt import CoseReceipt, verify_cose_receipt
from core.ledger.receipt import LeafComponents, Receipt, leaf_root, verify_receipt
from core.ledger.tables import TrustedNodes

_SIGNED_ROOT_NAME = b'"root"'
_COSE_SIGN1 = b"\xd2"
"""CBOR's tag 18."""
_NO_SERVICE = "no ledger names the service that it would have to be of"


def read_witness(name: str, data: bytes) -> Witness:
    """Take a receipt (CCF's JSON, or COSE), or a signed root as the table of signatures has it.

    Raises MalformedMessage, LimitExceeded.
    """
    if data[:1] == _COSE_SIGN1:
        return cose_receipt_witness(name, CoseReceipt.decode(data))
    if _SIGNED_ROOT_NAME in data:
        return signed_root_witness(name, data.strip())
    return receipt_witness(name, Receipt.decode(data))


def receipt_witness(name: str, receipt: Receipt) -> Witness:
    """Take a receipt, to be verified under the service whose ledgers are audited; raises MalformedMessage."""

    def verify(service_certificate: str | None, ledgers: Sequence[TrustedNodes]) -> None:
        del ledgers
        if service_certificate is None:
            raise AuthenticationFailed(_NO_SERVICE)
        verify_receipt(receipt, service_certificate)

    leaf = receipt.leaf.digest if isinstance(receipt.leaf, LeafComponents) else None
    if leaf is None and receipt.proof:
        raise MalformedMessage("the receipt of a signature entry has a proof, which leads nowhere")
    return Witness(name, receipt.transaction_id, leaf, None, receipt.root, verify)


def cose_receipt_witness(name: str, receipt: CoseReceipt) -> Witness:
    """Take a COSE receipt, which also says where its root was signed; raises MalformedMessage."""

    def verify(service_certificate: str | None, ledgers: Sequence[TrustedNodes]) -> None:
        del ledgers
        if service_certificate is None:
            raise AuthenticationFailed(_NO_SERVICE)
        verify_cose_receipt(receipt, service_certificate)

    leaf = receipt.leaf
    root = leaf_root(leaf.digest, receipt.proof)
    return Witness(name, leaf.transaction_id, leaf.digest, claimed_id(receipt.protected), root, verify)
