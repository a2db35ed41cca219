"""Receipts: what must not verify or parse, and what does."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from core import limits
from core.crypto.certificates import self_signed
from core.crypto.hashing import sha256
from core.crypto.keys import PrivateKey
from core.errors import AuthenticationFailed, CocoError, LimitExceeded, MalformedMessage
from core.ledger.receipt import Receipt, verify_receipt
from core.types import Digest
from tests.support.receipt_bench import START, changed, made_receipts, recovered

MADE = made_receipts()
RECEIPT: dict[str, Any] = json.loads(MADE.ordinary.receipt)
CLAIMS = Digest(MADE.ordinary.claims)
CHANGED = changed(RECEIPT, MADE.service)


def verify(document: dict[str, Any], service: str = MADE.service, claims: Digest | None = CLAIMS) -> None:
    verify_receipt(Receipt.decode(json.dumps(document).encode()), service, claims=claims)


@pytest.mark.parametrize("wrong", CHANGED.values(), ids=CHANGED.keys())
def test_a_changed_receipt_is_rejected(wrong: dict[str, Any]) -> None:
    with pytest.raises(AuthenticationFailed):
        verify(wrong, claims=None)


def test_each_reason_is_named() -> None:
    reasons = {}
    for name, wrong in CHANGED.items():
        with pytest.raises(AuthenticationFailed) as caught:
            verify(wrong, claims=None)
        reasons[name] = caught.value.message
    root = "the node did not sign the root that the receipt's leaf and proof lead to"
    assert reasons["signature"] == reasons["claims_digest"] == reasons["step 0"] == reasons["one step more"] == root
    assert reasons["certificate of another service's node"] == "the node's certificate was not issued by the service"
    assert reasons["an endorsement too many"].endswith("was not issued by the service that the receipt names for it")


def test_other_claims_another_service_and_another_node_are_rejected() -> None:
    with pytest.raises(AuthenticationFailed, match="claims digest is another"):
        verify(RECEIPT, claims=sha256(b"another claim"))
    other = self_signed("bench service", PrivateKey.generate(), not_before=START, days=3650)
    with pytest.raises(AuthenticationFailed, match="was not issued by the service"):
        verify(RECEIPT, other)
    with pytest.raises(AuthenticationFailed, match="of another node than it says"):
        verify({**RECEIPT, "node_id": "00" * 32})


def test_every_flipped_byte_is_found() -> None:
    data = MADE.ordinary.receipt
    for at in range(len(data)):
        for mask in (0x01, 0x20):
            flipped = bytearray(data)
            flipped[at] ^= mask
            with pytest.raises(CocoError):
                verify_receipt(Receipt.decode(bytes(flipped)), MADE.service)


def test_every_flipped_byte_of_a_signature_entrys_receipt_is_found() -> None:
    data = MADE.signature.receipt
    for at in range(len(data)):
        flipped = bytearray(data)
        flipped[at] ^= 0x01
        with pytest.raises(CocoError):
            verify_receipt(Receipt.decode(bytes(flipped)), MADE.service)


def cut(name: str) -> Callable[[dict[str, Any]], object]:
    return lambda receipt: receipt.pop(name)


MALFORMED: dict[str, Callable[[dict[str, Any]], object]] = {
    **{f"without {name}": cut(name) for name in RECEIPT},
    "an unknown member": lambda receipt: receipt.update(more=1),
    "upper-case digits": lambda receipt: receipt["leaf_components"].update(
        write_set_digest=receipt["leaf_components"]["write_set_digest"].upper()
    ),
    "a short digest": lambda receipt: receipt["leaf_components"].update(claims_digest="00"),
    "evidence without a nonce": lambda receipt: receipt["leaf_components"].update(commit_evidence="ce:1.4"),
    "evidence with a line end": lambda receipt: receipt["leaf_components"].update(
        commit_evidence=receipt["leaf_components"]["commit_evidence"] + "\n"
    ),
    "a step with two sides": lambda receipt: receipt["proof"].append({"left": "00" * 32, "right": "00" * 32}),
    "a step without a side": lambda receipt: receipt["proof"].append({}),
    "a step with a number": lambda receipt: receipt["proof"].append({"left": 1}),
    "too many steps": lambda receipt: receipt.update(proof=[{"left": "00" * 32}] * 65),
    "too many endorsements": lambda receipt: receipt.update(service_endorsements=[receipt["cert"]] * 65),
    "both leaves": lambda receipt: receipt.update(leaf="00" * 32),
    "a leaf that says it is a signature's": lambda receipt: receipt.update(is_signature_transaction=True),
    "a number for a flag": lambda receipt: receipt.update(is_signature_transaction=0),
    "a signature in other base64": lambda receipt: receipt.update(signature=receipt["signature"] + "\n"),
    "a signature that is none": lambda receipt: receipt.update(signature="?"),
    "two certificates": lambda receipt: receipt.update(cert=receipt["cert"] * 2),
    "a certificate with words around it": lambda receipt: receipt.update(cert="node\n" + receipt["cert"]),
    "a certificate that is none": lambda receipt: receipt.update(cert="none"),
    "a certificate of surrogates": lambda receipt: receipt.update(cert="\ud800"),
    "a long certificate": lambda receipt: receipt.update(cert="x" * 9000),
}


@pytest.mark.parametrize("change", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_receipts_do_not_parse(change: Callable[[dict[str, Any]], object]) -> None:
    wrong = json.loads(MADE.ordinary.receipt)
    change(wrong)
    with pytest.raises(MalformedMessage):
        Receipt.decode(json.dumps(wrong).encode())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 50_000,
        b'{"cert": NaN}',
        b'{"proof": ' + b"9" * 5000 + b"}",
        MADE.ordinary.receipt[:-1],
        MADE.ordinary.receipt + b"x",
        MADE.ordinary.receipt.replace(b'"cert"', b'"signature":"","cert"', 1),
        MADE.ordinary.receipt.replace(b'"claims_digest"', b'"commit_evidence":"","claims_digest"', 1),
    ],
)
def test_what_is_not_one_receipt_does_not_parse(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        Receipt.decode(data)


def test_a_receipt_is_bounded() -> None:
    with pytest.raises(LimitExceeded):
        Receipt.decode(MADE.ordinary.receipt + b" " * limits.RECEIPT_BYTES_MAX)


def test_a_signature_entrys_receipt_has_no_proof_and_claims_nothing() -> None:
    receipt = json.loads(MADE.signature.receipt)
    verify(receipt, claims=None)
    assert Receipt.from_json(receipt).transaction_id is None
    with pytest.raises(AuthenticationFailed, match="leads nowhere"):
        verify({**receipt, "proof": [{"left": "00" * 32}]}, claims=None)
    with pytest.raises(AuthenticationFailed, match="claims"):
        verify(receipt)


def test_every_entry_of_a_ledger_with_chunks_restarts_and_views_has_a_receipt() -> None:
    views = set()
    for seqno, made in enumerate(MADE.receipts, 1):
        assert made.failure == ""
        receipt = Receipt.decode(made.receipt)
        verify_receipt(receipt, MADE.service, claims=None if made.is_signature else Digest(made.claims))
        identifier = receipt.transaction_id
        assert (identifier is None) == made.is_signature
        if identifier is not None:
            assert identifier.seqno == seqno
            views.add(identifier.view)
        assert receipt.encode() == made.receipt
    assert views == {1, 2, 3, 4}


def test_a_receipt_of_before_a_recovery_verifies_over_the_endorsement() -> None:
    receipt, new = recovered(RECEIPT, MADE.service)
    verify(receipt, new)
    with pytest.raises(AuthenticationFailed, match="the node's certificate was not issued by the service"):
        verify(RECEIPT, new)
    with pytest.raises(AuthenticationFailed, match="an earlier service's certificate was not issued by the service"):
        verify(receipt, MADE.service)
    _, stranger = recovered(RECEIPT, MADE.service)
    with pytest.raises(AuthenticationFailed, match="earlier service's"):
        verify(receipt, stranger)
    (endorsement,) = receipt["service_endorsements"]
    der = bytearray(base64.b64decode("".join(endorsement.splitlines()[1:-1])))
    der[-1] ^= 1
    lines = base64.b64encode(der).decode()
    wrapped = "\n".join(lines[at : at + 64] for at in range(0, len(lines), 64))
    pem = f"-----BEGIN CERTIFICATE-----\n{wrapped}\n-----END CERTIFICATE-----\n"
    with pytest.raises(AuthenticationFailed, match="earlier service's"):
        verify({**receipt, "service_endorsements": [pem]}, new)
