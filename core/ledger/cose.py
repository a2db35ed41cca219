"""The service's signature over a Merkle root, as COSE_Sign1 with a detached payload (RFC 9052).

Protected header: algorithm (1), kid (4: hexadecimal SHA-256 of the service's SubjectPublicKeyInfo), verifiable data
structure (395: 2, CCF's ledger), and "ccf.v1": {"txid": the signature entry's transaction id}. Every byte but the
signature follows from root, key and transaction id, and is compared. Sources: CCF 6, "COSE signatures"; IETF,
draft-ietf-cose-merkle-tree-proofs and draft-birkholz-cose-receipts-ccf-profile.
"""

from __future__ import annotations

from io import BytesIO

import cbor2

from core.crypto.hashing import sha256
from core.crypto.keys import Curve, PrivateKey, PublicKey
from core.errors import AuthenticationFailed, CocoError, MalformedMessage
from core.types import Digest, Seqno, TransactionId, View

SIGN1_TAG = 18
ALGORITHM, KEY_ID, DATA_STRUCTURE, PROOFS = 1, 4, 395, 396
CCF_LEDGER = 2
ALGORITHMS = {Curve.P256: -7, Curve.P384: -35}
_CLAIMS = "ccf.v1"


class RootSigner:
    """Signs roots with the service's key."""

    def __init__(self, key: PrivateKey) -> None:
        self._key = key
        self._public = key.public_key()
        self._key_id = key_id_of(self._public)

    def sign(self, root: Digest, view: View, seqno: Seqno) -> bytes:
        """Return the COSE_Sign1 over a root. view, seqno: of the signature entry."""
        protected = _protected(self._public.curve, self._key_id, view, seqno)
        return _message(protected, self._key.sign_raw(to_be_signed(protected, root)))


def key_id_of(key: PublicKey) -> bytes:
    """Return the key id under which CCF's tools know a key."""
    return sha256(key.to_der()).hex().encode()


def verify_root(message: bytes, key: PublicKey, root: Digest, view: View, seqno: Seqno) -> None:
    """Verify the service's signature over a root; raises AuthenticationFailed."""
    protected = _protected(key.curve, key_id_of(key), view, seqno)
    size = 2 * key.curve.coordinate_bytes
    if _message(protected, message[-size:]) != message:
        raise AuthenticationFailed("the service's signature is not in its one canonical form, or for another entry")
    key.verify_raw(message[-size:], to_be_signed(protected, root))


def signature_of(message: bytes) -> tuple[bytes, bytes]:
    """Return (protected header, signature) of a message that has been verified."""
    protected, _, _, signature = cbor2.load(BytesIO(message)).value
    return protected, signature


def claimed_id(protected: bytes) -> TransactionId:
    """Return the signature entry's transaction id that a protected header states; raises MalformedMessage."""
    try:
        header = cbor2.load(BytesIO(protected))
    except (cbor2.CBORDecodeError, ValueError, TypeError, RecursionError, OverflowError, MemoryError):
        raise MalformedMessage("not a protected header") from None
    match header:
        case {"ccf.v1": {"txid": str(text)}}:
            pass
        case _:
            raise MalformedMessage("a protected header without a transaction id")
    try:
        return TransactionId.parse(text)
    except CocoError as error:
        raise MalformedMessage(error.message) from None


def verify_header(protected: bytes, key: PublicKey) -> None:
    """Verify that a protected header is the one that this service makes; raises AuthenticationFailed."""
    signed = claimed_id(protected)
    if protected != _protected(key.curve, key_id_of(key), signed.view, signed.seqno):
        raise AuthenticationFailed("the receipt was not made under this service's key, or its header is another")


def to_be_signed(protected: bytes, payload: bytes) -> bytes:
    """Return COSE's Sig_structure."""
    return cbor2.dumps(["Signature1", protected, b"", payload], canonical=True)


def _protected(curve: Curve, key_id: bytes, view: View, seqno: Seqno) -> bytes:
    header = {
        ALGORITHM: ALGORITHMS[curve],
        KEY_ID: key_id,
        DATA_STRUCTURE: CCF_LEDGER,
        _CLAIMS: {"txid": f"{view}.{seqno}"},
    }
    return cbor2.dumps(header, canonical=True)


def _message(protected: bytes, signature: bytes) -> bytes:
    return cbor2.dumps(cbor2.CBORTag(SIGN1_TAG, [protected, {}, None, signature]), canonical=True)
