"""COSE receipts: what must not verify or parse, and what does."""

from __future__ import annotations

import dataclasses

import cbor2
import pytest

from core import limits
from core.crypto.certificates import self_signed
from core.crypto.hashing import sha256
from core.crypto.keys import PrivateKey
from core.errors import AuthenticationFailed, CocoError, LimitExceeded, MalformedMessage
from core.ledger.cose_receipt import CoseReceipt, verify_cose_receipt
from core.ledger.receipt import LeafComponents, ProofStep
from core.types import Digest
from tests.support.receipt_bench import START, made_receipts

MADE = made_receipts()
RECEIPT = CoseReceipt.decode(MADE.ordinary.cose)
CLAIMS = Digest(MADE.ordinary.claims)
LEAF = RECEIPT.leaf
ZEROS = Digest(bytes(32))
FIRST = RECEIPT.proof[0]

CHANGED = {
    "write-set digest": {"leaf": dataclasses.replace(LEAF, write_set_digest=ZEROS)},
    "claims digest": {"leaf": dataclasses.replace(LEAF, claims_digest=ZEROS)},
    "commit evidence": {"leaf": dataclasses.replace(LEAF, commit_evidence=LEAF.commit_evidence[:-1] + "g")},
    "transaction id": {"leaf": dataclasses.replace(LEAF, commit_evidence=LEAF.commit_evidence.replace(":", ":1", 1))},
    "step": {"proof": (ProofStep(FIRST.left, ZEROS), *RECEIPT.proof[1:])},
    "side": {"proof": (ProofStep(not FIRST.left, FIRST.digest), *RECEIPT.proof[1:])},
    "missing step": {"proof": RECEIPT.proof[1:]},
    "step too many": {"proof": (*RECEIPT.proof, FIRST)},
    "signature": {"signature": bytes(64)},
    "protected header of another root": {"protected": CoseReceipt.decode(MADE.receipts[0].cose).protected},
}


@pytest.mark.parametrize("change", CHANGED.values(), ids=CHANGED.keys())
def test_a_changed_receipt_is_rejected(change: dict[str, object]) -> None:
    wrong = dataclasses.replace(RECEIPT, **change)  # type: ignore[arg-type]
    with pytest.raises((AuthenticationFailed, MalformedMessage)):
        verify_cose_receipt(wrong, MADE.service)


def test_other_claims_and_another_service_are_rejected() -> None:
    with pytest.raises(AuthenticationFailed, match="claims digest is another"):
        verify_cose_receipt(RECEIPT, MADE.service, claims=sha256(b"another"))
    other = self_signed("bench service", PrivateKey.generate(), not_before=START, days=9)
    with pytest.raises(AuthenticationFailed, match="not made under this service's key"):
        verify_cose_receipt(RECEIPT, other)


def test_every_flipped_byte_is_found() -> None:
    for at in range(len(MADE.ordinary.cose)):
        flipped = bytearray(MADE.ordinary.cose)
        flipped[at] ^= 0x01
        with pytest.raises(CocoError):
            verify_cose_receipt(CoseReceipt.decode(bytes(flipped)), MADE.service)


def tagged(*parts: object) -> bytes:
    return cbor2.dumps(cbor2.CBORTag(18, list(parts)), canonical=True)


def proof_of(**changes: object) -> bytes:
    proof = {1: [bytes(32), "ce:1.4:" + "0" * 64, bytes(32)], 2: [[True, bytes(32)]]}
    return cbor2.dumps({**proof, **{int(name[1:]): value for name, value in changes.items()}}, canonical=True)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"\x9f" * 10_000,
        b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff",
        cbor2.dumps([b"", {}, None, bytes(64)]),
        MADE.ordinary.cose[:-1],
        MADE.ordinary.cose + b"\x00",
        tagged(b"", {}, None, bytes(64)),
        tagged(b"", {396: {-1: []}}, None, bytes(64)),
        tagged(b"", {396: {-1: [proof_of(), proof_of()]}}, None, bytes(64)),
        tagged(b"", {396: {-1: [proof_of()]}}, None, bytes(63)),
        tagged(b"", {396: {-1: [proof_of()]}, 5: b""}, None, bytes(64)),
        tagged(b"", {396: {-1: [proof_of()]}}, b"payload", bytes(64)),
        tagged(b"", {396: {-1: [b""]}}, None, bytes(64)),
        tagged(b"", {396: {-1: [proof_of(_2=[[1, bytes(32)]])]}}, None, bytes(64)),
        tagged(b"", {396: {-1: [proof_of(_2=[[True, bytes(31)]])]}}, None, bytes(64)),
        tagged(b"", {396: {-1: [proof_of(_2=[[True, bytes(32)]] * 65)]}}, None, bytes(64)),
        tagged(b"", {396: {-1: [proof_of(_1=[bytes(31), "ce:1.4:0", bytes(32)])]}}, None, bytes(64)),
        tagged(b"", {396: {-1: [proof_of(_1=[bytes(32), b"ce:1.4:0", bytes(32)])]}}, None, bytes(64)),
        tagged(b"", {396: {-1: [proof_of(_3=0)]}}, None, bytes(64)),
    ],
)
def test_what_is_not_one_receipt_does_not_parse(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        CoseReceipt.decode(data)


def test_a_receipt_is_bounded() -> None:
    with pytest.raises(LimitExceeded):
        CoseReceipt.decode(bytes(limits.RECEIPT_BYTES_MAX + 1))


def test_a_signature_covers_only_what_comes_before_it() -> None:
    """A receipt whose path is empty would make a root of its leaf, and a later entry is not under an earlier root."""
    later = LeafComponents(LEAF.write_set_digest, f"ce:9.9999:{'0' * 64}", LEAF.claims_digest)
    with pytest.raises(AuthenticationFailed):
        verify_cose_receipt(dataclasses.replace(RECEIPT, leaf=later), MADE.service)


def test_every_entry_but_signatures_has_one() -> None:
    for made in MADE.receipts:
        if made.is_signature:
            assert made.cose == b""
        else:
            receipt = CoseReceipt.decode(made.cose)
            verify_cose_receipt(receipt, MADE.service, claims=Digest(made.claims))
            assert receipt.encode() == made.cose
