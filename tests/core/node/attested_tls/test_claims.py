"""Tagged evidence and claims: one encoding, read strictly."""

from __future__ import annotations

import contextlib
import hashlib

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import limits
from core.crypto.keys import PrivateKey
from core.node.attested_tls.cbor import ARRAY, BYTES, MAP, TEXT, CborReader, MalformedCbor, encode_bytes, encode_head
from core.node.attested_tls.claims import (
    Claims,
    encode_extension,
    parse_claims,
    parse_extension,
    report_data,
    verify_key_claimed,
    verify_nonce,
)
from core.node.attested_tls.errors import EvidenceShapeInvalid, KeyNotClaimed, NonceMissing, NonceStale
from core.ports import Evidence

KEY = PrivateKey.generate().public_key()
NONCE = bytes(range(32))
BUFFER = Claims.over(KEY, NONCE).encode()
EXTENSION = encode_extension(Evidence(60000, b"quote"), BUFFER)


def test_the_bytes_are_what_another_library_reads_and_writes() -> None:
    entry = cbor2.dumps([1, hashlib.sha256(KEY.to_der()).digest()])
    assert cbor2.loads(BUFFER) == {"pubkey-hash": entry, "nonce": NONCE}
    assert cbor2.dumps({"pubkey-hash": entry, "nonce": NONCE}, canonical=True) == BUFFER
    assert cbor2.dumps(cbor2.CBORTag(60000, [b"quote", BUFFER])) == EXTENSION
    assert EXTENSION.startswith(bytes.fromhex("d9ea6082"))
    assert report_data(BUFFER) == hashlib.sha256(BUFFER).digest() + bytes(32)


def test_what_is_written_is_read() -> None:
    assert parse_claims(BUFFER) == Claims.over(KEY, NONCE)
    assert parse_extension(EXTENSION, b"more") == (Evidence(60000, b"quote", b"more"), BUFFER)


@pytest.mark.parametrize(("number", "name"), [(1, "sha256"), (7, "sha384"), (8, "sha512")])
def test_the_hashes_that_verifiers_support(number: int, name: str) -> None:
    verify_key_claimed(Claims(number, hashlib.new(name, KEY.to_der()).digest(), None), KEY)
    with pytest.raises(KeyNotClaimed):
        verify_key_claimed(Claims(number, hashlib.new(name, KEY.to_der() + b"\0").digest(), None), KEY)


@pytest.mark.parametrize("number", [0, 2, 6, 9, 2**64 - 1])
def test_other_hashes_are_refused(number: int) -> None:
    """2 to 6 are SHA-256 cut short."""
    with pytest.raises(KeyNotClaimed):
        verify_key_claimed(Claims(number, hashlib.sha256(KEY.to_der()).digest()[:15], None), KEY)


def test_the_nonce_is_there_and_the_same() -> None:
    verify_nonce(parse_claims(BUFFER), NONCE)
    with pytest.raises(NonceStale):
        verify_nonce(parse_claims(BUFFER), bytes(32))
    with pytest.raises(NonceStale):
        verify_nonce(Claims(1, b"", NONCE[:31]), NONCE)
    with pytest.raises(NonceMissing):
        verify_nonce(parse_claims(Claims(1, b"digest", None).encode()), NONCE)


ENTRY = cbor2.dumps([1, bytes(32)])
BAD_CLAIMS = {
    "nothing": b"",
    "no map": cbor2.dumps([]),
    "no claim": cbor2.dumps({}),
    "trailing bytes": BUFFER + b"\0",
    "another order": cbor2.dumps({"pubkey-hash": ENTRY, "nonce": NONCE}),
    "a claim too many": cbor2.dumps({"nonce": NONCE, "pubkey-hash": ENTRY, "z": b""}),
    "a claim twice": b"\xa2" + 2 * (cbor2.dumps("pubkey-hash") + cbor2.dumps(ENTRY)),
    "an unknown claim": cbor2.dumps({"other": NONCE, "pubkey-hash": ENTRY}),
    "only a nonce": cbor2.dumps({"nonce": NONCE}),
    "a long nonce": cbor2.dumps({"nonce": NONCE + b"\0", "pubkey-hash": ENTRY}),
    "a text as nonce": cbor2.dumps({"nonce": "x" * 32, "pubkey-hash": ENTRY}),
    "the hash not in a byte string": cbor2.dumps({"nonce": NONCE, "pubkey-hash": [1, bytes(32)]}),
    "bytes after the hash": cbor2.dumps({"nonce": NONCE, "pubkey-hash": ENTRY + b"\0"}),
    "a negative hash number": cbor2.dumps({"nonce": NONCE, "pubkey-hash": cbor2.dumps([-1, bytes(32)])}),
    "an indefinite map": b"\xbf" + BUFFER[1:] + b"\xff",
    "a map's size in two bytes": b"\xb8\x02" + BUFFER[1:],
}


@pytest.mark.parametrize("name", BAD_CLAIMS)
def test_other_claims_are_refused(name: str) -> None:
    with pytest.raises(EvidenceShapeInvalid):
        parse_claims(BAD_CLAIMS[name])


BAD_EXTENSIONS = {
    "nothing": b"",
    "no tag": EXTENSION[3:],
    "trailing bytes": EXTENSION + b"\0",
    "a tag's number too long": b"\xda\0\0\xea\x60" + EXTENSION[3:],
    "three items": cbor2.dumps(cbor2.CBORTag(60000, [b"quote", BUFFER, b""])),
    "one item": cbor2.dumps(cbor2.CBORTag(60000, [b"quote"])),
    "an indefinite array": b"\xd9\xea\x60\x9f" + EXTENSION[4:] + b"\xff",
    "a string in pieces": b"\xd9\xea\x60\x82\x5f\x45quote\xff" + encode_bytes(BUFFER),
    "a tag in a tag": b"\xd9\xea\x60" + EXTENSION,
    "evidence over its bound": cbor2.dumps(cbor2.CBORTag(60000, [bytes(limits.EVIDENCE_BYTES_MAX + 1), BUFFER])),
    "claims over their bound": cbor2.dumps(cbor2.CBORTag(60000, [b"quote", bytes(257)])),
    "a huge length": b"\xd9\xea\x60\x82\x5b" + b"\xff" * 8,
}


@pytest.mark.parametrize("name", BAD_EXTENSIONS)
def test_other_extensions_are_refused(name: str) -> None:
    with pytest.raises(EvidenceShapeInvalid):
        parse_extension(BAD_EXTENSIONS[name], b"")


def test_every_length_and_every_bit() -> None:
    """What still parses after a change says something else."""
    for size in range(len(EXTENSION)):
        with pytest.raises(EvidenceShapeInvalid):
            parse_extension(EXTENSION[:size], b"")
    for size in range(len(BUFFER)):
        with pytest.raises(EvidenceShapeInvalid):
            parse_claims(BUFFER[:size])
    for offset in range(len(BUFFER) * 8):
        changed = bytearray(BUFFER)
        changed[offset // 8] ^= 1 << offset % 8
        with contextlib.suppress(EvidenceShapeInvalid):
            assert parse_claims(bytes(changed)) != Claims.over(KEY, NONCE)


@given(st.binary(max_size=300))
def test_what_parses_has_one_encoding(data: bytes) -> None:
    with contextlib.suppress(EvidenceShapeInvalid):
        assert parse_claims(data).encode() == data
    with contextlib.suppress(EvidenceShapeInvalid):
        assert encode_extension(*parse_extension(data, b"")) == data


@given(st.sampled_from([BUFFER, EXTENSION]), st.integers(0, 200), st.binary(max_size=6))
def test_what_parses_after_a_change_has_one_encoding(start: bytes, offset: int, new: bytes) -> None:
    data = start[:offset] + new + start[offset + len(new) :]
    with contextlib.suppress(EvidenceShapeInvalid):
        assert parse_claims(data).encode() == data
    with contextlib.suppress(EvidenceShapeInvalid):
        assert encode_extension(*parse_extension(data, b"")) == data


@given(st.integers(0, 2**64 - 1))
def test_heads_are_as_short_as_another_librarys(number: int) -> None:
    assert encode_head(0, number) == cbor2.dumps(number)
    assert CborReader(cbor2.dumps(number)).take(0) == number


def test_the_reader_takes_what_it_is_asked_for_only() -> None:
    for data, major in ((b"\x1c", 0), (b"\x1f", 0), (b"\x18\x17", 0), (b"\x19\0\xff", 0), (b"\x40", TEXT), (b"", MAP)):
        with pytest.raises(MalformedCbor):
            CborReader(data).take(major)
    with pytest.raises(MalformedCbor):
        CborReader(b"\x61\xff").take_text(10)
    with pytest.raises(MalformedCbor):
        encode_head(BYTES, 2**64)
    with pytest.raises(MalformedCbor):
        CborReader(b"\x83").take_exactly(ARRAY, 2)
