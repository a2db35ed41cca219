"""Receipts: proofs, to be checked without the ledger, that an entry is committed and what it claims. CCF 6, "Receipts".

A receipt leads from the entry's leaf to a Merkle root that a node signed, and from that node's certificate to the
service's, over the endorsements of later services where there were recoveries. The JSON is CCF's, so that its tools
verify it unchanged. A signature entry has no path: it states the root that it signs.

Parsing is strict (each value has one form), since a receipt passes through many hands before anybody looks at it.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import Any

import msgspec

from core import limits
from core.crypto.certificates import from_der, public_key_of, to_der, verify_issued_under
from core.crypto.hashing import DIGEST_BYTES, sha256
from core.errors import AuthenticationFailed, LimitExceeded, MalformedMessage
from core.types import Digest, NodeId, Seqno, TransactionId, View

PROOF_STEPS_MAX = 64
ENDORSEMENTS_MAX = 64
_CERTIFICATE_CHARACTERS_MAX = 8 * limits.KIBIBYTE
_EVIDENCE = re.compile(r"ce:([1-9][0-9]{0,17})\.([1-9][0-9]{0,17}):[0-9a-f]{64}")
_HEX_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ProofStep:
    """A sibling on the way from leaf to root, and whether it stands on the left."""

    left: bool
    digest: Digest


@dataclass(frozen=True, slots=True)
class LeafComponents:
    """What an entry's leaf is made of. write_set_digest: of all the entry's bytes in the ledger."""

    write_set_digest: Digest
    commit_evidence: str
    claims_digest: Digest

    @property
    def digest(self) -> Digest:
        return sha256(self.write_set_digest + sha256(self.commit_evidence.encode()) + self.claims_digest)

    @property
    def transaction_id(self) -> TransactionId:
        """The entry's id, which its commit evidence states; raises MalformedMessage."""
        match = _EVIDENCE.fullmatch(self.commit_evidence)
        if match is None:
            raise MalformedMessage("the receipt's commit evidence does not have its form")
        return TransactionId(View(int(match[1])), Seqno(int(match[2])))


@dataclass(frozen=True, slots=True)
class Receipt:
    """leaf: the entry's; for a signature entry the root that it signs, with an empty proof.

    certificate: the signing node's (PEM). signature: over the root, DER. endorsements: certificates (PEM), each of an
    earlier service's key, made by the next service; the first signed the node's certificate.
    """

    certificate: str
    node: NodeId
    leaf: LeafComponents | Digest
    proof: tuple[ProofStep, ...]
    signature: bytes
    endorsements: tuple[str, ...] = ()

    @property
    def transaction_id(self) -> TransactionId | None:
        """The entry's id; None for a signature entry, whose receipt does not prove it."""
        return self.leaf.transaction_id if isinstance(self.leaf, LeafComponents) else None

    @property
    def root(self) -> Digest:
        """The root that leaf and proof lead to."""
        leaf = self.leaf
        return leaf_root(leaf.digest, self.proof) if isinstance(leaf, LeafComponents) else leaf

    def to_json(self) -> dict[str, Any]:
        """Return CCF's JSON."""
        leaf = self.leaf
        made: dict[str, Any] = {"cert": self.certificate}
        made["is_signature_transaction"] = not isinstance(leaf, LeafComponents)
        if isinstance(leaf, LeafComponents):
            made["leaf_components"] = {
                "claims_digest": leaf.claims_digest.hex(),
                "commit_evidence": leaf.commit_evidence,
                "write_set_digest": leaf.write_set_digest.hex(),
            }
        else:
            made["leaf"] = leaf.hex()
        made["node_id"] = self.node
        made["proof"] = [{"left" if step.left else "right": step.digest.hex()} for step in self.proof]
        made["service_endorsements"] = list(self.endorsements)
        made["signature"] = base64.b64encode(self.signature).decode()
        return made

    def encode(self) -> bytes:
        return msgspec.json.encode(self.to_json())

    @classmethod
    def decode(cls, data: bytes) -> Receipt:
        """Parse CCF's JSON; raises MalformedMessage, LimitExceeded."""
        return cls.from_json(decode_json(data))

    @classmethod
    def from_json(cls, document: object) -> Receipt:
        """Take a parsed JSON value; raises MalformedMessage."""
        try:
            wire = msgspec.convert(document, _WireReceipt)
        except msgspec.ValidationError as error:
            raise MalformedMessage(f"not a receipt: {error}") from None
        if len(wire.proof) > PROOF_STEPS_MAX or len(wire.service_endorsements) > ENDORSEMENTS_MAX:
            raise MalformedMessage("a receipt with too long a proof, or too many endorsements")
        return cls(
            certificate=_certificate(wire.cert, "the node's certificate"),
            node=NodeId(_digest(wire.node_id, "the node's id").hex()),
            leaf=_leaf(wire),
            proof=tuple(_step(step) for step in wire.proof),
            signature=_base64(wire.signature),
            endorsements=tuple(_certificate(one, "an endorsement") for one in wire.service_endorsements),
        )


def leaf_root(leaf: Digest, proof: tuple[ProofStep, ...]) -> Digest:
    """Return the root that a proof leads to from a leaf."""
    node = leaf
    for step in proof:
        node = sha256(step.digest + node) if step.left else sha256(node + step.digest)
    return node


def verify_receipt(receipt: Receipt, service_certificate: str, *, claims: Digest | None = None) -> None:
    """Verify that an entry of this service is committed and, where given, claims what has this digest.

    service_certificate: PEM, from where the verifier trusts it. Needs nothing else, and does not look at validity in
    time: a receipt outlives certificates. Raises AuthenticationFailed, or MalformedMessage for a certificate of another
    kind; the message is the one reason.
    """
    key = public_key_of(receipt.certificate)
    if key.node_id() != receipt.node:
        raise AuthenticationFailed("the receipt's certificate is of another node than it says")
    _verify_endorsed(receipt, service_certificate)
    leaf = receipt.leaf
    if isinstance(leaf, LeafComponents):
        _ = leaf.transaction_id
    elif receipt.proof:
        raise AuthenticationFailed("the receipt of a signature entry has a proof, which leads nowhere")
    try:
        key.verify_digest(receipt.signature, receipt.root)
    except AuthenticationFailed:
        raise AuthenticationFailed("the node did not sign the root that the receipt's leaf and proof lead to") from None
    if claims is not None and (not isinstance(leaf, LeafComponents) or leaf.claims_digest != claims):
        raise AuthenticationFailed("the entry does not claim this: its claims digest is another")


def decode_json(data: bytes) -> Any:
    """Parse a JSON document of bounded size in which no name stands twice; raises MalformedMessage, LimitExceeded."""
    if len(data) > limits.RECEIPT_BYTES_MAX:
        raise LimitExceeded(f"a receipt of {len(data)} bytes; the bound is {limits.RECEIPT_BYTES_MAX}")
    try:
        return json.loads(data.decode(), object_pairs_hook=_object)
    except (ValueError, RecursionError):
        raise MalformedMessage("not a receipt: not JSON, or a name stands twice in it") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name stands twice")
    return made


def _verify_endorsed(receipt: Receipt, service_certificate: str) -> None:
    endorsed = receipt.certificate
    for endorser in (*receipt.endorsements, service_certificate):
        try:
            verify_issued_under(endorsed, endorser, at=None)
        except AuthenticationFailed:
            what = "the node's certificate" if endorsed == receipt.certificate else "an earlier service's certificate"
            by = "the service" if endorser == service_certificate else "the service that the receipt names for it"
            raise AuthenticationFailed(f"{what} was not issued by {by}") from None
        endorsed = endorser


class _WireLeaf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    claims_digest: str
    commit_evidence: str
    write_set_digest: str


class _WireReceipt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    cert: str
    is_signature_transaction: bool
    node_id: str
    proof: list[dict[str, str]]
    service_endorsements: list[str]
    signature: str
    leaf: str | msgspec.UnsetType = msgspec.UNSET
    leaf_components: _WireLeaf | msgspec.UnsetType = msgspec.UNSET


def _leaf(wire: _WireReceipt) -> LeafComponents | Digest:
    if isinstance(wire.leaf, str) == isinstance(wire.leaf_components, _WireLeaf):
        raise MalformedMessage("a receipt has either a leaf or its components")
    if wire.is_signature_transaction != isinstance(wire.leaf, str):
        raise MalformedMessage("only the receipt of a signature entry states its leaf as a whole")
    if isinstance(wire.leaf_components, _WireLeaf):
        components = wire.leaf_components
        if _EVIDENCE.fullmatch(components.commit_evidence) is None:
            raise MalformedMessage("the receipt's commit evidence does not have its form")
        return LeafComponents(
            _digest(components.write_set_digest, "the write-set digest"),
            components.commit_evidence,
            _digest(components.claims_digest, "the claims digest"),
        )
    return _digest(str(wire.leaf), "the leaf")


def _step(step: dict[str, str]) -> ProofStep:
    if list(step) not in (["left"], ["right"]):
        raise MalformedMessage("a step of a proof is either left or right")
    ((side, value),) = step.items()
    return ProofStep(side == "left", _digest(value, "a step of the proof"))


def _digest(text: str, what: str) -> Digest:
    if _HEX_DIGEST.fullmatch(text) is None:
        raise MalformedMessage(f"{what} is not {2 * DIGEST_BYTES} lower-case hexadecimal digits")
    return Digest(bytes.fromhex(text))


def _base64(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedMessage("the receipt's signature is not base64") from None
    if base64.b64encode(data).decode() != text or len(data) > 200:
        raise MalformedMessage("the receipt's signature is not in its one form")
    return data


def _certificate(text: str, what: str) -> str:
    if len(text) > _CERTIFICATE_CHARACTERS_MAX:
        raise MalformedMessage(f"{what} is too long")
    try:
        canonical = from_der(to_der(text))
    except (MalformedMessage, UnicodeEncodeError):
        raise MalformedMessage(f"{what} is not a certificate") from None
    if canonical != text:
        raise MalformedMessage(f"{what} is not one certificate in its one form (PEM)")
    return text
