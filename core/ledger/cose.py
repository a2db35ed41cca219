"""The service's signature over a Merkle root, as COSE_Sign1 with a detached payload (RFC 9052).

Protected header: algorithm (1), kid (4: hexadecimal SHA-256 of the service's SubjectPublicKeyInfo), verifiable data
structure (395: 2, CCF's ledger), claims (15: {6: the block's time, Unix seconds}; none in ledgers of earlier versions),
and "ccf.v1": {"txid": the signature entry's transaction id}. Every byte but the signature follows from root, key,
transaction id and time, and is compared. Sources: CCF 6, "COSE signatures"; RFC 9597; IETF,
draft-ietf-cose-merkle-tree-proofs and draft-birkholz-cose-receipts-ccf-profile.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any

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
TOKEN_CLAIMS, ISSUED_AT = 15, 6
TIME_MAX = 2**40


class RootSigner:
    """Signs roots with the service's key."""

    def __init__(self, key: PrivateKey) -> None:
        self._key = key
        self._public = key.public_key()
        self._key_id = key_id_of(self._public)

    def sign(self, root: Digest, view: View, seqno: Seqno, time_s: int | None) -> bytes:
        """Sign a root (COSE_Sign1). view, seqno: of the signature entry. time_s: the block's, None: not said."""
        protected = _protected(self._public.curve, self._key_id, view, seqno, time_s)
        return _message(protected, self._key.sign_raw(to_be_signed(protected, root)))


def key_id_of(key: PublicKey) -> bytes:
    """Return the key id under which CCF's tools know a key."""
    return sha256(key.to_der()).hex().encode()


def verify_root(message: bytes, key: PublicKey, root: Digest, view: View, seqno: Seqno) -> int | None:
    """Verify the service's signature over a root; raises AuthenticationFailed. Returns the block's time, if stated."""
    try:
        time_s = _time_of(_load(message).value[0])
    except (MalformedMessage, AttributeError, TypeError, LookupError):
        raise AuthenticationFailed("the service's signature is not a COSE message of the one kind there is") from None
    protected = _protected(key.curve, key_id_of(key), view, seqno, time_s)
    size = 2 * key.curve.coordinate_bytes
    if _message(protected, message[-size:]) != message:
        raise AuthenticationFailed("the service's signature is not in its one canonical form, or for another entry")
    key.verify_raw(message[-size:], to_be_signed(protected, root))
    return time_s


def signature_of(message: bytes) -> tuple[bytes, bytes]:
    """Return (protected header, signature) of a message that has been verified."""
    protected, _, _, signature = cbor2.load(BytesIO(message)).value
    return protected, signature


def claimed_id(protected: bytes) -> TransactionId:
    """Return the signature entry's transaction id that a protected header states; raises MalformedMessage."""
    match _load(protected):
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
    if protected != _protected(key.curve, key_id_of(key), signed.view, signed.seqno, _time_of(protected)):
        raise AuthenticationFailed("the receipt was not made under this service's key, or its header is another")


def to_be_signed(protected: bytes, payload: bytes) -> bytes:
    """Return COSE's Sig_structure."""
    return cbor2.dumps(["Signature1", protected, b"", payload], canonical=True)


def _load(data: bytes) -> Any:
    try:
        return cbor2.load(BytesIO(data))
    except (cbor2.CBORDecodeError, ValueError, TypeError, RecursionError, OverflowError, MemoryError):
        raise MalformedMessage("not a protected header") from None


def _time_of(protected: bytes) -> int | None:
    """Return the time that a protected header states; raises MalformedMessage for one that is no time."""
    header = _load(protected)
    if not isinstance(header, dict) or TOKEN_CLAIMS not in header:
        return None
    match header[TOKEN_CLAIMS]:
        case {6: time_s} if type(time_s) is int and 0 <= time_s < TIME_MAX:
            return time_s
        case _:
            raise MalformedMessage("a protected header whose claims are not a time")


def _protected(curve: Curve, key_id: bytes, view: View, seqno: Seqno, time_s: int | None) -> bytes:
    header: dict[int | str, object] = {
        ALGORITHM: ALGORITHMS[curve],
        KEY_ID: key_id,
        DATA_STRUCTURE: CCF_LEDGER,
        _CLAIMS: {"txid": f"{view}.{seqno}"},
    }
    if time_s is not None:
        header[TOKEN_CLAIMS] = {ISSUED_AT: time_s}
    return cbor2.dumps(header, canonical=True)


def _message(protected: bytes, signature: bytes) -> bytes:
    return cbor2.dumps(cbor2.CBORTag(SIGN1_TAG, [protected, {}, None, signature]), canonical=True)
