"""Signed administrative messages: COSE_Sign1 (RFC 9052, ES256 or ES384) with CCF's governance headers.

Protected header: alg, kid (hexadecimal SHA-256 of the member's certificate), `ccf.gov.msg.type` = "proposal" and
`ccf.gov.msg.created_at` (Unix seconds). Payload, JSON: {"actions": [{"name", "args"}], "network": <constitution
digest, hex>}. A message counts once: it is known by the digest of what is signed, which neither re-encoding nor the
malleability of ECDSA changes. The validity period of a member's certificate is not looked at, as in CCF.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Literal

import cbor2
import msgspec

from core import limits
from core.crypto.certificates import fingerprint, public_key_of
from core.crypto.hashing import sha256
from core.crypto.keys import Curve, PrivateKey
from core.errors import AuthenticationFailed, CocoError, LimitExceeded, MalformedMessage
from core.governance.constitution import Constitution, Identity
from core.types import Digest

ACTIONS_MAX = 64
_COSE_SIGN1_TAG = 18
_ALGORITHM, _KEY_ID = 1, 4
_ALGORITHMS = {Curve.P256: -7, Curve.P384: -35}
_TYPE_HEADER, _CREATED_AT_HEADER = "ccf.gov.msg.type", "ccf.gov.msg.created_at"
_MESSAGE_TYPE = "proposal"
_SECONDS_MAX = 2**53


class AdapterArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    adapter: str


class SetDefaultAdapter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Change what "/" and the command line speak, to one of the network's live adapters."""

    args: AdapterArguments
    name: Literal["set_default_adapter"] = "set_default_adapter"


Action = SetDefaultAdapter
"""The closed set of administrative actions."""


class _Payload(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    actions: tuple[Action, ...]
    network: str


@dataclass(frozen=True, slots=True)
class VerifiedMessage:
    """A member's message. digest: by which a repetition is known."""

    member: str
    created_at: int
    actions: tuple[Action, ...]
    digest: Digest


@dataclass(frozen=True, slots=True)
class _Parsed:
    algorithm: int
    key_id: bytes
    created_at: int
    payload: bytes
    signature: bytes
    signed: bytes


def set_default_adapter(adapter: str) -> Action:
    """Make the action."""
    return SetDefaultAdapter(args=AdapterArguments(adapter))


def sign_message(
    actions: Sequence[Action], *, network: Digest, certificate: str, key: PrivateKey, created_at: int
) -> bytes:
    """Return a COSE_Sign1 message. network: the constitution's digest; certificate: the member's (PEM), for key."""
    if public_key_of(certificate) != key.public_key():
        raise CocoError("the certificate is not for this key", hint="Give the member's own certificate and key.")
    protected = cbor2.dumps(
        {
            _ALGORITHM: _ALGORITHMS[key.curve],
            _KEY_ID: fingerprint(certificate).encode(),
            _TYPE_HEADER: _MESSAGE_TYPE,
            _CREATED_AT_HEADER: created_at,
        }
    )
    payload = msgspec.json.encode(_Payload(tuple(actions), network.hex()))
    signature = key.sign_raw(_to_be_signed(protected, payload))
    return cbor2.dumps(cbor2.CBORTag(_COSE_SIGN1_TAG, [protected, {}, payload, signature]))


def verify_message(data: bytes, constitution: Constitution, now: float | None) -> VerifiedMessage:
    """Verify a message of a member of this network, made about now (Unix seconds). Repetitions are the caller's.

    now=None, for an auditor: its age is not judged, since when it was accepted is not recorded.

    Raises AuthenticationFailed for who signed what and when, MalformedMessage and LimitExceeded for its shape, and
    CocoError for an action this network cannot carry out.
    """
    if len(data) > limits.GOVERNANCE_MESSAGE_BYTES_MAX:
        bound = limits.GOVERNANCE_MESSAGE_BYTES_MAX
        raise LimitExceeded(f"a governance message of {len(data)} bytes; the bound is {bound}")
    parsed = _parse(data)
    member = _find_member(parsed.key_id, constitution)
    key = public_key_of(member.certificate)
    if parsed.algorithm != _ALGORITHMS[key.curve]:
        raise AuthenticationFailed("the signature algorithm is not that of the member's key")
    key.verify_raw(parsed.signature, parsed.signed)
    if now is not None:
        _verify_age(parsed.created_at, now)
    payload = _decode_payload(parsed.payload)
    if payload.network != constitution.digest().hex():
        raise AuthenticationFailed("the message was signed for another network")
    for action in payload.actions:
        if action.args.adapter not in constitution.adapters:
            live = ", ".join(sorted(constitution.adapters))
            raise CocoError(
                f"adapter {action.args.adapter[:32]!r} is not live on this network", hint=f"Live adapters: {live}."
            )
    return VerifiedMessage(member.name, parsed.created_at, payload.actions, sha256(parsed.signed))


def _parse(data: bytes) -> _Parsed:
    message = _decode_cbor(data)
    if not isinstance(message, cbor2.CBORTag) or message.tag != _COSE_SIGN1_TAG:
        raise MalformedMessage("not a COSE_Sign1 message")
    parts = message.value
    if not isinstance(parts, list | tuple) or len(parts) != 4:
        raise MalformedMessage("a COSE_Sign1 message has four parts")
    protected, _, payload, signature = parts
    if not all(isinstance(part, bytes) for part in (protected, payload, signature)):
        raise MalformedMessage("header, payload and signature of a COSE_Sign1 message are byte strings")
    header = _decode_cbor(protected)
    if not isinstance(header, dict) or set(header) != {_ALGORITHM, _KEY_ID, _TYPE_HEADER, _CREATED_AT_HEADER}:
        raise MalformedMessage(f"the protected header must hold alg, kid, {_TYPE_HEADER} and {_CREATED_AT_HEADER}")
    created_at, key_id = header[_CREATED_AT_HEADER], header[_KEY_ID]
    if header[_TYPE_HEADER] != _MESSAGE_TYPE:
        raise MalformedMessage(f"the message's type is not {_MESSAGE_TYPE!r}")
    if type(created_at) is not int or not 0 <= created_at < _SECONDS_MAX:
        raise MalformedMessage(f"{_CREATED_AT_HEADER} is not a time in Unix seconds")
    if type(header[_ALGORITHM]) is not int or not isinstance(key_id, bytes):
        raise MalformedMessage("a value of the protected header has the wrong type")
    signed = _to_be_signed(protected, payload)
    return _Parsed(header[_ALGORITHM], key_id, created_at, payload, signature, signed)


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


def _find_member(key_id: bytes, constitution: Constitution) -> Identity:
    for identity in constitution.identities:
        if _key_id(identity) == key_id:
            if identity.role != "member":
                raise AuthenticationFailed(
                    f"{identity.name} is a participant", hint="Only members administer a network."
                )
            return identity
    raise AuthenticationFailed(
        "the signer is not an actor of this network", hint="Sign with a member's own certificate and key."
    )


def _key_id(identity: Identity) -> bytes | None:
    try:
        return fingerprint(identity.certificate).encode()
    except MalformedMessage:
        return None  # An actor without a usable certificate signs nothing, and keeps nobody else from it.


def _verify_age(created_at: int, now: float) -> None:
    bound = limits.GOVERNANCE_MESSAGE_AGE_SECONDS_MAX
    if abs(now - created_at) > bound:
        when = "stale" if created_at < now else "from the future"
        raise AuthenticationFailed(
            f"the message is {when}: it was made {abs(now - created_at):.0f} s away from this node's time",
            hint=f"Sign it again; it counts for {bound} s. Check the clocks.",
        )


def _decode_payload(data: bytes) -> _Payload:
    try:
        payload = msgspec.json.decode(data, type=_Payload)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise MalformedMessage(f"the actions do not parse: {error}") from None
    if not 0 < len(payload.actions) <= ACTIONS_MAX:
        raise LimitExceeded(f"{len(payload.actions)} actions; a message holds 1 to {ACTIONS_MAX}")
    return payload
