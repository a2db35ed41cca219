"""The time in the service's signature over a block: signed, in one form, and none in older ledgers."""

from __future__ import annotations

import cbor2
import pytest

from core.crypto.keys import PrivateKey
from core.errors import AuthenticationFailed, MalformedMessage
from core.ledger.cose import (
    ISSUED_AT,
    SIGN1_TAG,
    TIME_MAX,
    TOKEN_CLAIMS,
    RootSigner,
    signature_of,
    to_be_signed,
    verify_header,
    verify_root,
)
from core.types import Digest, Seqno, View

KEY = PrivateKey.generate()
ROOT = Digest(b"\7" * 32)
NOW = 1_700_000_000


def signed_with(claims: object) -> bytes:
    """Sign a header with other claims, as whoever holds the service's key could."""
    protected, _ = signature_of(RootSigner(KEY).sign(ROOT, View(2), Seqno(9), NOW))
    header = cbor2.loads(protected) | {TOKEN_CLAIMS: claims}
    changed = cbor2.dumps(header, canonical=True)
    message = cbor2.CBORTag(SIGN1_TAG, [changed, {}, None, KEY.sign_raw(to_be_signed(changed, ROOT))])
    return cbor2.dumps(message, canonical=True)


@pytest.mark.parametrize("time_s", [0, NOW, TIME_MAX - 1, None])
def test_it_is_what_was_signed(time_s: int | None) -> None:
    message = RootSigner(KEY).sign(ROOT, View(2), Seqno(9), time_s)
    assert verify_root(message, KEY.public_key(), ROOT, View(2), Seqno(9)) == time_s
    verify_header(signature_of(message)[0], KEY.public_key())


@pytest.mark.parametrize(
    "claims",
    [{}, {ISSUED_AT: -1}, {ISSUED_AT: TIME_MAX}, {ISSUED_AT: True}, {ISSUED_AT: 1.5}, {ISSUED_AT: "1"}, {1: "x"},
     {ISSUED_AT: NOW, 1: "x"}, [NOW], None],
)  # fmt: skip
def test_other_claims_are_refused_even_if_they_are_signed(claims: object) -> None:
    message = signed_with(claims)
    with pytest.raises(AuthenticationFailed):
        verify_root(message, KEY.public_key(), ROOT, View(2), Seqno(9))
    with pytest.raises((AuthenticationFailed, MalformedMessage)):
        verify_header(signature_of(message)[0], KEY.public_key())


def test_another_time_is_not_signed() -> None:
    first = RootSigner(KEY).sign(ROOT, View(2), Seqno(9), NOW)
    other = RootSigner(KEY).sign(ROOT, View(2), Seqno(9), NOW - 1)
    assert signed_with({ISSUED_AT: NOW})[:-64] == first[:-64]
    with pytest.raises(AuthenticationFailed):
        verify_root(other[:-64] + first[-64:], KEY.public_key(), ROOT, View(2), Seqno(9))


@pytest.mark.parametrize("message", [b"", b"\xf6", b"\xd2\x80", b"\xd2\x84\x01\xa0\xf6\x40", bytes(100)])
def test_what_is_no_message_is_refused(message: bytes) -> None:
    with pytest.raises(AuthenticationFailed):
        verify_root(message, KEY.public_key(), ROOT, View(2), Seqno(9))
