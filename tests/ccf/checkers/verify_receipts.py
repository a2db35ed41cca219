"""Verifies receipts with the package `ccf`: [{receipt or cose, claims, service}] in, a verdict on each out."""

from __future__ import annotations

import json
import sys
from hashlib import sha256
from typing import Any

import ccf.cose
import ccf.receipt
from cryptography.x509 import load_pem_x509_certificate


def verify(case: dict[str, Any]) -> None:
    """Raise unless the receipt verifies, and claims what has this digest where one is given."""
    service = load_pem_x509_certificate(case["service"].encode())
    if "cose" in case:
        ccf.cose.verify_receipt(bytes.fromhex(case["cose"]), service.public_key(), bytes.fromhex(case["claims"]))
        return
    receipt = case["receipt"]
    node = load_pem_x509_certificate(receipt["cert"].encode())
    endorsements = [load_pem_x509_certificate(one.encode()) for one in receipt["service_endorsements"]]
    if receipt["is_signature_transaction"]:
        leaf = receipt["leaf"]
    else:
        parts = receipt["leaf_components"]
        evidence = sha256(parts["commit_evidence"].encode()).digest()
        digests = (bytes.fromhex(parts["write_set_digest"]), evidence, bytes.fromhex(parts["claims_digest"]))
        leaf = sha256(b"".join(digests)).hexdigest()
        if case.get("claims", parts["claims_digest"]) != parts["claims_digest"]:
            raise ValueError("other claims")
    ccf.receipt.verify(ccf.receipt.root(leaf, receipt["proof"]), receipt["signature"], node)
    ccf.receipt.check_endorsements(node, service, endorsements)
    if case.get("chain"):
        ccf.receipt.check_cert_chain(node, service, endorsements)


def judge(case: dict[str, Any]) -> str:
    """Return "verified", or what was raised."""
    try:
        verify(case)
    except Exception as error:  # noqa: BLE001 - whatever a tool raises is its verdict
        return type(error).__name__
    return "verified"


if __name__ == "__main__":
    json.dump([judge(case) for case in json.load(sys.stdin)], sys.stdout)
