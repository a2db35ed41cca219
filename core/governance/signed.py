"""What actors sign: COSE_Sign1 messages (RFC 9052, ES256 or ES384) with CCF's governance headers.

Protected header: alg, kid (hexadecimal SHA-256 of the actor's certificate), `ccf.gov.msg.type`,
`ccf.gov.msg.created_at` (Unix seconds) and, in what is about a proposal, `ccf.gov.msg.proposal_id` (the proposal's
digest, hexadecimal). A message is known by the digest of what is signed, which neither re-encoding nor the malleability
of ECDSA changes. The validity period of a certificate is not looked at, as in CCF.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Literal

import cbor2

from core import limits
from core.crypto.certificates import fingerprint, public_key_of
from core.crypto.hashing import sha256
from core.crypto.keys import Curve, PrivateKey
from core.errors import AuthenticationFailed, CocoError, LimitExceeded, MalformedMessage
from core.governance.constitution import Constitution, Identity
from core.types import Digest

Kind = Literal["proposal", "ballot", "withdrawal", "authorization", "restart-approval"]
KINDS: tuple[Kind, ...] = ("proposal", "ballot", "withdrawal", "authorization", "restart-approval")
ABOUT_A_PROPOSAL: tuple[Kind, ...] = ("ballot", "withdrawal")

_COSE_SIGN1_TAG = 18
_ALGORITHM, _KEY_ID = 1, 4
_ALGORITHMS = {Curve.P256: -7, Curve.P384: -35}
_TYPE_HEADER, _CREATED_AT_HEADER = "ccf.gov.msg.type", "ccf.gov.msg.created_at"
_PROPOSAL_HEADER = "ccf.gov.msg.proposal_id"
_COMMON_HEADERS = frozenset({_ALGORITHM, _KEY_ID, _TYPE_HEADER, _CREATED_AT_HEADER})
_DIGEST = re.compile(r"[0-9a-f]{64}")
SECONDS_MAX = 2**53


@dataclass(frozen=True, slots=True)
class ParsedMessage:
    """A message whose signature nobody has looked at. proposal: what it is about, None for nothing."""

    kind: Kind
    created_at: int
    proposal: Digest | None
    payload: bytes
    algorithm: int
    key_id: bytes
    signature: bytes
    signed: bytes

    @property
    def digest(self) -> Digest:
        """By which the message is known, and a repetition of it."""
        return sha256(self.signed)


def sign(
    kind: Kind, payload: bytes, *, certificate: str, key: PrivateKey, created_at: int, proposal: Digest | None = None
) -> bytes:
    """Return a COSE_Sign1 message. certificate: the actor's (PEM), for key. Raises CocoError when it is not."""
    if public_key_of(certificate) != key.public_key():
        raise CocoError("the certificate is not for this key", hint="Give the member's own certificate and key.")
    header: dict[str | int, object] = {
        _ALGORITHM: _ALGORITHMS[key.curve],
        _KEY_ID: fingerprint(certificate).encode(),
        _TYPE_HEADER: kind,
        _CREATED_AT_HEADER: created_at,
    }
    if proposal is not None:
        header[_PROPOSAL_HEADER] = proposal.hex()
    protected = cbor2.dumps(header)
    signature = key.sign_raw(_to_be_signed(protected, payload))
    return cbor2.dumps(cbor2.CBORTag(_COSE_SIGN1_TAG, [protected, {}, payload, signature]))


def parse(data: bytes, kinds: Collection[Kind]) -> ParsedMessage:
    """Parse a message of one of these kinds; raises MalformedMessage, LimitExceeded."""
    if len(data) > limits.GOVERNANCE_MESSAGE_BYTES_MAX:
        bound = limits.GOVERNANCE_MESSAGE_BYTES_MAX
        raise LimitExceeded(f"a governance message of {len(data)} bytes; the bound is {bound}")
    protected, payload, signature = _parts(data)
    header = _decode_cbor(protected)
    if not isinstance(header, dict):
        raise MalformedMessage("the protected header is not a map")
    kind = next((one for one in KINDS if header.get(_TYPE_HEADER) == one), None)
    if kind is None or kind not in kinds:
        raise MalformedMessage(f"the message's type is none of {', '.join(sorted(kinds))}")
    about = frozenset({_PROPOSAL_HEADER} if kind in ABOUT_A_PROPOSAL else ())
    if set(header) != _COMMON_HEADERS | about:
        names = ["alg", "kid", _TYPE_HEADER, _CREATED_AT_HEADER, *about]
        raise MalformedMessage(f"the protected header must hold {', '.join(names)}, and nothing else")
    created_at, key_id = header[_CREATED_AT_HEADER], header[_KEY_ID]
    if type(created_at) is not int or not 0 <= created_at < SECONDS_MAX:
        raise MalformedMessage(f"{_CREATED_AT_HEADER} is not a time in Unix seconds")
    if type(header[_ALGORITHM]) is not int or not isinstance(key_id, bytes):
        raise MalformedMessage("a value of the protected header has the wrong type")
    proposal = _parse_proposal(header[_PROPOSAL_HEADER]) if about else None
    signed = _to_be_signed(protected, payload)
    return ParsedMessage(kind, created_at, proposal, payload, header[_ALGORITHM], key_id, signature, signed)


def verify_signature(parsed: ParsedMessage, constitution: Constitution) -> Identity:
    """Return the actor that signed the message; raises AuthenticationFailed."""
    actor = find_signer(parsed, constitution)
    key = public_key_of(actor.certificate)
    if parsed.algorithm != _ALGORITHMS[key.curve]:
        raise AuthenticationFailed("the signature algorithm is not that of the member's key")
    key.verify_raw(parsed.signature, parsed.signed)
    return actor


def find_signer(parsed: ParsedMessage, constitution: Constitution) -> Identity:
    """Return the actor that a message names as its signer, unverified; raises AuthenticationFailed."""
    for identity in constitution.identities:
        if _key_id(identity) == parsed.key_id:
            return identity
    raise AuthenticationFailed(
        "the signer is not an actor of this network", hint="Sign with a member's own certificate and key."
    )


def verify_age(created_at: int, now: float) -> None:
    """Verify that a message was made about now (Unix seconds); raises AuthenticationFailed."""
    bound = limits.GOVERNANCE_MESSAGE_AGE_SECONDS_MAX
    if abs(now - created_at) > bound:
        when = "stale" if created_at < now else "from the future"
        raise AuthenticationFailed(
            f"the message is {when}: it was made {abs(now - created_at):.0f} s away from this node's time",
            hint=f"Sign it again; it counts for {bound} s. Check the clocks.",
        )


def _parts(data: bytes) -> tuple[bytes, bytes, bytes]:
    """Return protected header, payload and signature."""
    message = _decode_cbor(data)
    if not isinstance(message, cbor2.CBORTag) or message.tag != _COSE_SIGN1_TAG:
        raise MalformedMessage("not a COSE_Sign1 message")
    parts = message.value
    if not isinstance(parts, list | tuple) or len(parts) != 4:
        raise MalformedMessage("a COSE_Sign1 message has four parts")
    protected, _, payload, signature = parts
    if not all(isinstance(part, bytes) for part in (protected, payload, signature)):
        raise MalformedMessage("header, payload and signature of a COSE_Sign1 message are byte strings")
    return protected, payload, signature


def _parse_proposal(value: object) -> Digest:
    if not isinstance(value, str) or _DIGEST.fullmatch(value) is None:
        raise MalformedMessage(f"{_PROPOSAL_HEADER} is not a proposal's digest, 64 hexadecimal digits")
    return Digest(bytes.fromhex(value))


def _decode_cbor(data: bytes) -> Any:
    stream = BytesIO(data)
    try:
        value = cbor2.CBORDecoder(stream).decode()
    except (cbor2.CBORDecodeError, ValueError, TypeError, RecursionError, OverflowError, MemoryError):
        raise MalformedMessage("not well-formed CBOR") from None
    if stream.read(1):
        raise MalformedMessage("bytes follow the CBOR value")
    return value


def _to_be_signed(protected: bytes, payload: bytes) -> bytes:
    """Return the Sig_structure (RFC 9052, section 4.4)."""
    return cbor2.dumps(["Signature1", protected, b"", payload])


def _key_id(identity: Identity) -> bytes | None:
    try:
        return fingerprint(identity.certificate).encode()
    except MalformedMessage:
        return None  # An actor without a usable certificate signs nothing, and keeps nobody else from it.
