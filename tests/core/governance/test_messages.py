"""Signed administrative messages: what is refused, and why."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import limits
from core.crypto.certificates import fingerprint, self_signed
from core.crypto.keys import Curve, PrivateKey
from core.errors import AuthenticationFailed, CocoError, LimitExceeded, MalformedMessage
from core.governance.constitution import Constitution, Identity
from core.governance.messages import set_default_adapter, sign_message, verify_message

NOW = 1_800_000_000
START = datetime(2026, 1, 1, tzinfo=UTC)
KEYS = {
    "member": PrivateKey.generate(),
    "second": PrivateKey.generate(Curve.P384),
    "participant": PrivateKey.generate(),
    "stranger": PrivateKey.generate(),
}
CERTIFICATES = {name: self_signed(name, key, not_before=START, days=3650) for name, key in KEYS.items()}
CONSTITUTION = Constitution(
    version=2,
    network="test",
    identities=(
        Identity("unreadable", "member", "no certificate"),
        Identity("member", "member", CERTIFICATES["member"]),
        Identity("second", "member", CERTIFICATES["second"]),
        Identity("participant", "participant", CERTIFICATES["participant"]),
    ),
    adapters={"kv": {}, "ethereum": {}},
    default_adapter="kv",
)


def sign(who: str = "member", at: int = NOW, to: str = "ethereum", constitution: Constitution = CONSTITUTION) -> bytes:
    return sign_message(
        [set_default_adapter(to)],
        network=constitution.digest(),
        certificate=CERTIFICATES[who],
        key=KEYS[who],
        created_at=at,
    )


def forge(
    header: dict[Any, Any] | None = None,
    payload: bytes | None = None,
    *,
    drop: str | int | None = None,
    reshape: Callable[[list[Any]], Any] = lambda parts: cbor2.CBORTag(18, parts),
) -> bytes:
    """Build a message by hand, correctly signed by the member, with parts replaced."""
    fields: dict[Any, Any] = {
        1: -7,
        4: fingerprint(CERTIFICATES["member"]).encode(),
        "ccf.gov.msg.type": "proposal",
        "ccf.gov.msg.created_at": NOW,
    } | (header or {})
    if drop is not None:
        del fields[drop]
    protected = cbor2.dumps(fields)
    if payload is None:
        payload = (
            b'{"actions":[{"name":"set_default_adapter","args":{"adapter":"kv"}}],"network":"'
            + CONSTITUTION.digest().hex().encode()
            + b'"}'
        )
    signature = KEYS["member"].sign_raw(cbor2.dumps(["Signature1", protected, b"", payload]))
    return cbor2.dumps(reshape([protected, {}, payload, signature]))


def body(actions: bytes) -> bytes:
    return b'{"actions":' + actions + b',"network":"' + CONSTITUTION.digest().hex().encode() + b'"}'


@pytest.mark.parametrize("who", ["member", "second"])
@pytest.mark.parametrize("skew", [0, 600, -600])
def test_members_message_is_accepted(who: str, skew: int) -> None:
    message = verify_message(sign(who, NOW + skew), CONSTITUTION, NOW)
    assert (message.member, message.created_at) == (who, NOW + skew)
    assert [action.args.adapter for action in message.actions] == ["ethereum"]


def test_message_built_by_hand_from_the_standard_is_accepted() -> None:
    assert verify_message(forge(), CONSTITUTION, NOW).actions == (set_default_adapter("kv"),)


OTHER_NETWORK = Constitution(2, "other", CONSTITUTION.identities, CONSTITUTION.adapters, "kv")

REFUSED: dict[str, tuple[bytes, type[CocoError], str]] = {
    "stranger": (sign("stranger"), AuthenticationFailed, "not an actor"),
    "participant": (sign("participant"), AuthenticationFailed, "is a participant"),
    "other network": (sign(constitution=OTHER_NETWORK), AuthenticationFailed, "another network"),
    "stale": (sign(at=NOW - 601), AuthenticationFailed, "stale"),
    "future": (sign(at=NOW + 601), AuthenticationFailed, "future"),
    "adapter not live": (sign(to="corda"), CocoError, "not live"),
    "tampered": (sign()[:-1] + bytes([sign()[-1] ^ 1]), AuthenticationFailed, "does not verify"),
    "empty": (b"", MalformedMessage, "CBOR"),
    "trailing": (sign() + b"\0", MalformedMessage, "bytes follow"),
    "not tagged": (forge(reshape=lambda parts: parts), MalformedMessage, "COSE_Sign1"),
    "other tag": (forge(reshape=lambda parts: cbor2.CBORTag(98, parts)), MalformedMessage, "COSE_Sign1"),
    "three parts": (forge(reshape=lambda parts: cbor2.CBORTag(18, parts[:3])), MalformedMessage, "four"),
    "null payload": (
        forge(reshape=lambda parts: cbor2.CBORTag(18, [parts[0], {}, None, parts[3]])), MalformedMessage, "byte strings"
    ),
    "algorithm none": (forge({1: 0}), AuthenticationFailed, "algorithm"),
    "algorithm of another curve": (forge({1: -35}), AuthenticationFailed, "algorithm"),
    "algorithm a text": (forge({1: "ES256"}), MalformedMessage, "wrong type"),
    "type": (forge({"ccf.gov.msg.type": "ballot"}), MalformedMessage, "type"),
    "additional header": (forge({"crit": 1}), MalformedMessage, "must hold"),
    "no kid": (forge(drop=4), MalformedMessage, "must hold"),
    "no creation time": (forge(drop="ccf.gov.msg.created_at"), MalformedMessage, "must hold"),
    "time a float": (forge({"ccf.gov.msg.created_at": float(NOW)}), MalformedMessage, "not a time"),
    "time a truth": (forge({"ccf.gov.msg.created_at": True}), MalformedMessage, "not a time"),
    "time huge": (forge({"ccf.gov.msg.created_at": 10**400}), MalformedMessage, "not a time"),
    "time before 1970": (forge({"ccf.gov.msg.created_at": -1}), MalformedMessage, "not a time"),
    "not JSON": (forge(payload=b"{"), MalformedMessage, "do not parse"),
    "additional field": (forge(payload=b'{"actions":[],"network":"","x":1}'), MalformedMessage, "do not parse"),
    "unknown action": (
        forge(payload=body(b'[{"name":"set_constitution","args":{"adapter":"kv"}}]')), MalformedMessage, "do not parse"
    ),
    "nameless action": (forge(payload=body(b'[{"args":{}}]')), MalformedMessage, "do not parse"),
    "no action": (forge(payload=body(b"[]")), LimitExceeded, "0 actions"),
    "too many actions": (
        forge(payload=body(b"[" + b",".join([b'{"name":"set_default_adapter","args":{"adapter":"kv"}}'] * 65) + b"]")),
        LimitExceeded, "65 actions",
    ),
    "oversized": (forge(payload=body(b" " * limits.GOVERNANCE_MESSAGE_BYTES_MAX)), LimitExceeded, "the bound is"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "error", "what"), REFUSED.values(), ids=REFUSED.keys())
def test_message_is_refused(data: bytes, error: type[CocoError], what: str) -> None:
    with pytest.raises(error, match=what):
        verify_message(data, CONSTITUTION, NOW)


def test_payload_and_header_are_covered_by_the_signature() -> None:
    tag = cbor2.loads(sign())
    protected, unprotected, payload, signature = tag.value
    for parts in (
        [protected, unprotected, payload.replace(b"ethereum", b"kv"), signature],
        [protected.replace(cbor2.dumps(NOW), cbor2.dumps(NOW + 1)), unprotected, payload, signature],
    ):
        with pytest.raises(AuthenticationFailed, match="does not verify"):
            verify_message(cbor2.dumps(cbor2.CBORTag(18, parts)), CONSTITUTION, NOW)


def test_reencoding_and_malleability_do_not_make_a_new_message() -> None:
    data = sign()
    protected, _, payload, signature = cbor2.loads(data).value
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    s = order - int.from_bytes(signature[32:], "big")
    twin = cbor2.dumps(cbor2.CBORTag(18, [protected, {"note": 1}, payload, signature[:32] + s.to_bytes(32, "big")]))
    assert twin != data
    assert verify_message(twin, CONSTITUTION, NOW).digest == verify_message(data, CONSTITUTION, NOW).digest
    assert verify_message(sign(at=NOW + 1), CONSTITUTION, NOW).digest != verify_message(data, CONSTITUTION, NOW).digest


def test_signing_needs_the_certificates_own_key() -> None:
    with pytest.raises(CocoError, match="not for this key"):
        sign_message(
            [set_default_adapter("kv")],
            network=CONSTITUTION.digest(),
            certificate=CERTIFICATES["member"],
            key=KEYS["stranger"],
            created_at=NOW,
        )


@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda tail: sign()[:80] + tail))
def test_arbitrary_bytes_raise_nothing_but_coco_errors(data: bytes) -> None:
    with pytest.raises(CocoError):
        verify_message(data, CONSTITUTION, NOW)


def test_constitution_refuses_reserved_and_misshapen_adapter_names() -> None:
    CONSTITUTION.check()
    for name in ("ccf", "coco", "node", "public", "", "Kv", "k.v", "k" * 33, "1k", "kv\n"):
        unfit = Constitution(2, "x", CONSTITUTION.identities, {name: {}}, name)
        with pytest.raises(CocoError, match="adapter's name"):
            unfit.check()
