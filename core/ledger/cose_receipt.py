"""Receipts as COSE: the service's own signature over a root, with a proof that leads there.

    18([protected, {396: {-1: [proof]}}, nil, signature])       protected and signature: cose.py
    proof = {1: [write-set digest, commit evidence, claims digest], 2: [[is left, digest], ...]}

Deterministic CBOR; anything else is refused. No node and no certificate stands in it: who knows the service's key can
verify it. A signature entry has none. Sources: draft-ietf-cose-merkle-tree-proofs;
draft-birkholz-cose-receipts-ccf-profile.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import cbor2

from core import limits
from core.crypto.certificates import public_key_of
from core.crypto.hashing import DIGEST_BYTES
from core.errors import AuthenticationFailed, LimitExceeded, MalformedMessage
from core.ledger.cose import ALGORITHMS, PROOFS, SIGN1_TAG, claimed_id, signature_of, to_be_signed, verify_header
from core.ledger.receipt import PROOF_STEPS_MAX, LeafComponents, ProofStep, leaf_root
from core.types import Digest

INCLUSION_PROOFS = -1
LEAF, PATH = 1, 2
_SIGNATURE_BYTES = {2 * curve.coordinate_bytes for curve in ALGORITHMS}
_EVIDENCE_CHARACTERS_MAX = 128


@dataclass(frozen=True, slots=True)
class CoseReceipt:
    """protected: the encoded header. signature: the service's, r | s."""

    protected: bytes
    leaf: LeafComponents
    proof: tuple[ProofStep, ...]
    signature: bytes

    @classmethod
    def make(cls, signed_root: bytes, leaf: LeafComponents, proof: tuple[ProofStep, ...]) -> CoseReceipt:
        """Make one of the service's message (COSE_Sign1) over the root that leaf and proof lead to."""
        protected, signature = signature_of(signed_root)
        return cls(protected, leaf, proof, signature)

    def encode(self) -> bytes:
        leaf = self.leaf
        components = [leaf.write_set_digest, leaf.commit_evidence, leaf.claims_digest]
        proof = {LEAF: components, PATH: [[step.left, step.digest] for step in self.proof]}
        header = {PROOFS: {INCLUSION_PROOFS: [cbor2.dumps(proof, canonical=True)]}}
        message = cbor2.CBORTag(SIGN1_TAG, [self.protected, header, None, self.signature])
        return cbor2.dumps(message, canonical=True)

    @classmethod
    def decode(cls, data: bytes) -> CoseReceipt:
        """Parse; raises MalformedMessage, LimitExceeded."""
        if len(data) > limits.RECEIPT_BYTES_MAX:
            raise LimitExceeded(f"a receipt of {len(data)} bytes; the bound is {limits.RECEIPT_BYTES_MAX}")
        match _parse(data):
            case cbor2.CBORTag(
                tag=18, value=[bytes(protected), {396: {-1: [bytes(encoded)]}}, None, bytes(signature)]
            ) if len(signature) in _SIGNATURE_BYTES:
                leaf, proof = _decode_proof(encoded)
            case _:
                raise MalformedMessage("not a COSE receipt with its one inclusion proof")
        receipt = cls(protected, leaf, proof, signature)
        if receipt.encode() != data:
            raise MalformedMessage("a COSE receipt that is not in its one form")
        return receipt


def verify_cose_receipt(receipt: CoseReceipt, service_certificate: str, *, claims: Digest | None = None) -> None:
    """Verify as `verify_receipt` does. Raises AuthenticationFailed with the one reason, MalformedMessage."""
    key = public_key_of(service_certificate)
    verify_header(receipt.protected, key)
    signed = claimed_id(receipt.protected)
    entry = receipt.leaf.transaction_id
    root = leaf_root(receipt.leaf.digest, receipt.proof)
    try:
        key.verify_raw(receipt.signature, to_be_signed(receipt.protected, root))
    except AuthenticationFailed:
        what = "the service did not sign the root that the receipt's leaf and proof lead to"
        raise AuthenticationFailed(what) from None
    if entry.seqno >= signed.seqno or entry.view > signed.view:
        raise AuthenticationFailed(f"the signature of entry {signed} cannot cover entry {entry}")
    if claims is not None and receipt.leaf.claims_digest != claims:
        raise AuthenticationFailed("the entry does not claim this: its claims digest is another")


def _decode_proof(data: bytes) -> tuple[LeafComponents, tuple[ProofStep, ...]]:
    match _parse(data):
        case {1: [bytes(write_set), str(evidence), bytes(claims)], 2: [*path]}:
            pass
        case _:
            raise MalformedMessage("not an inclusion proof of CCF's profile")
    sizes_fit = len(write_set) == len(claims) == DIGEST_BYTES and len(evidence) <= _EVIDENCE_CHARACTERS_MAX
    if not sizes_fit or re.fullmatch(r"[!-~]+", evidence) is None or len(path) > PROOF_STEPS_MAX:
        raise MalformedMessage("an inclusion proof with parts of the wrong size")
    leaf = LeafComponents(Digest(write_set), evidence, Digest(claims))
    return leaf, tuple(_decode_step(step) for step in path)


def _decode_step(step: object) -> ProofStep:
    match step:
        case [bool(left), bytes(digest)] if len(digest) == DIGEST_BYTES:
            return ProofStep(left, Digest(digest))
        case _:
            raise MalformedMessage("a step of an inclusion proof has two parts: a side and a digest")


def _parse(data: bytes) -> Any:
    """Decode one CBOR item, which the caller compares with its own encoding; raises MalformedMessage."""
    try:
        return cbor2.load(BytesIO(data))
    except (cbor2.CBORDecodeError, ValueError, TypeError, RecursionError, OverflowError, MemoryError):
        raise MalformedMessage("not CBOR") from None
