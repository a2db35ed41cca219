"""Framing, sealing and opening of one entry."""

from __future__ import annotations

import hashlib

import pytest

from core import limits
from core.crypto.hashing import sha256
from core.errors import AuthenticationFailed, CocoError, InvariantBroken, LimitExceeded, MalformedMessage
from core.kv.write_set import encode_domain
from core.ledger.entry import EntrySealer, framed_bytes, nonce_of, open_entry, position_of, signature_evidence
from core.ledger.secrets import EntryKey, EpochSecret, Keyring
from core.types import NO_CLAIMS, Digest, NodeId, Seqno, View

NODE = NodeId("ab" * 32)
CLAIMS = Digest(bytes(range(32)))


def make_key(epoch_key: bytes = bytes(32), node: NodeId = NODE, view: int = 3) -> EntryKey:
    return EntryKey(epoch_key, node, View(view))


def test_entry_is_laid_out_as_documented() -> None:
    data = EntrySealer(make_key(), Seqno(8)).seal(Seqno(9), b"PUBLIC", b"private", CLAIMS).data
    assert data[0] == 1
    assert data[1] == 0
    assert int.from_bytes(data[2:8], "little") == len(data) - 8
    assert data[24:36] == nonce_of(View(3), Seqno(9)) == (9).to_bytes(8, "little") + (3).to_bytes(4, "little")
    public_bytes = int.from_bytes(data[36:44], "little")
    domain = data[44 : 44 + public_bytes]
    evidence = hashlib.sha256(make_key().commit_evidence(Seqno(9)).encode()).digest()
    assert domain == b"\4" + (9).to_bytes(8, "little") + CLAIMS + evidence + bytes(8) + b"PUBLIC"
    assert len(data) == 44 + public_bytes + len(b"private")
    assert b"private" not in data


ROOT = Digest(bytes(range(32, 64)))
SIGNATURES = encode_domain({"public:ccf.internal.signatures": {bytes(8): b"{}"}})


def test_what_is_sealed_opens_with_its_leaf() -> None:
    sealer = EntrySealer(make_key(), Seqno(0))
    write_set, signature = sealer.seal(Seqno(1), b"p", b"s", CLAIMS), sealer.seal_signature(Seqno(2), SIGNATURES, ROOT)
    opened = open_entry(write_set.data, make_key())
    assert (opened.is_signature, opened.seqno, opened.view, opened.claims) == (False, 1, 3, CLAIMS)
    assert (opened.public, opened.private, opened.leaf) == (b"p", b"s", write_set.leaf)
    evidence = sha256(make_key().commit_evidence(Seqno(1)).encode())
    assert write_set.leaf == sha256(sha256(write_set.data) + evidence + CLAIMS)
    opened = open_entry(signature.data, make_key())
    assert (opened.is_signature, opened.claims, opened.public) == (True, NO_CLAIMS, SIGNATURES)
    assert opened.evidence == signature_evidence(View(3), Seqno(2), ROOT) == sha256(f"ce:3.2:{ROOT.hex()}".encode())
    assert opened.leaf == signature.leaf == sha256(sha256(signature.data) + opened.evidence + NO_CLAIMS)


def test_a_signature_entry_holds_its_signatures_and_nothing_else() -> None:
    data = EntrySealer(make_key(), Seqno(0)).seal_signature(Seqno(1), SIGNATURES, ROOT).data
    for change in (8, 23):
        changed = bytearray(data)
        changed[change] ^= 1
        with pytest.raises(MalformedMessage, match="more than its signatures"):
            open_entry(bytes(changed), make_key())
    with pytest.raises(MalformedMessage, match="more than its signatures"):
        open_entry((len(data) - 7 << 16 | 1).to_bytes(8, "little") + data[8:] + b"x", make_key())
    with pytest.raises(InvariantBroken, match="begins with the table"):
        EntrySealer(make_key(), Seqno(0)).seal_signature(Seqno(1), b"", ROOT)
    with pytest.raises(InvariantBroken, match="may not begin"):
        EntrySealer(make_key(), Seqno(0)).seal(Seqno(1), SIGNATURES, b"")


def test_every_flipped_bit_is_refused() -> None:
    data = EntrySealer(make_key(), Seqno(0)).seal(Seqno(1), b"public", b"private").data
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises((MalformedMessage, AuthenticationFailed)):
            open_entry(bytes(changed), make_key())
    for cut in range(len(data)):
        with pytest.raises(CocoError):
            open_entry(data[:cut], make_key())


def test_other_keys_do_not_open() -> None:
    data = EntrySealer(make_key(), Seqno(0)).seal(Seqno(1), b"", b"private").data
    for key in (make_key(bytes(31) + b"\1"), make_key(node=NodeId("cd" * 32)), make_key(view=4)):
        with pytest.raises(AuthenticationFailed):
            open_entry(data, key)


def test_no_seqno_is_sealed_twice_or_out_of_turn() -> None:
    sealer = EntrySealer(make_key(), Seqno(4))
    for seqno in (4, 6, 0, 1):
        with pytest.raises(InvariantBroken, match="nonce"):
            sealer.seal(Seqno(seqno), b"", b"")
    sealer.seal(Seqno(5), b"", b"")
    with pytest.raises(InvariantBroken):
        sealer.seal_signature(Seqno(5), b"", b"")
    with pytest.raises(InvariantBroken):
        sealer.seal(Seqno(6), b"", b"", Digest(b"short"))
    with pytest.raises(InvariantBroken):
        EntrySealer(make_key(view=2**31), Seqno(0))


def test_entries_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    data = EntrySealer(make_key(), Seqno(0)).seal(Seqno(1), b"", bytes(600)).data
    monkeypatch.setattr(limits, "ENTRY_BYTES_MAX", 500)
    with pytest.raises(LimitExceeded):
        EntrySealer(make_key(), Seqno(0)).seal(Seqno(1), b"", bytes(600))
    with pytest.raises(MalformedMessage):
        framed_bytes(data)


def test_headers_that_cannot_be_are_refused() -> None:
    for header in (bytes(8), b"\1\1" + b"\xff\0\0\0\0\0", b"\2\0" + b"\xff\0\0\0\0\0", b"\1\0" + bytes(6)):
        with pytest.raises(MalformedMessage):
            framed_bytes(header)
    with pytest.raises(MalformedMessage):
        position_of(bytes(43))


def make_secret(view: int, first_seqno: int) -> EpochSecret:
    return EpochSecret(view, Seqno(first_seqno), View(view), NODE, bytes([view]) * 32)


def test_keyring_knows_which_key_was_in_use() -> None:
    ring = Keyring([make_secret(1, 1), make_secret(2, 10), make_secret(5, 10)])
    assert ring.last_view == 5
    assert ring.views_from(View(2)) == [2, 5]
    for view, seqno in ((0, 1), (3, 10), (2, 9), (6, 20)):
        assert ring.find(View(view), Seqno(seqno)) is None
    for view, seqno in ((1, 1), (1, 12), (2, 10), (5, 10)):
        found = ring.find(View(view), Seqno(seqno))
        assert found is not None
        assert found.view == view
    assert Keyring([]).last_view == 0
    with pytest.raises(InvariantBroken):
        Keyring([make_secret(2, 1), make_secret(1, 1)])
    with pytest.raises(InvariantBroken):
        Keyring([make_secret(1, 1), make_secret(1, 2)])
    assert (b"\1" * 32).hex() not in repr(make_secret(1, 1))
    assert "key=" not in repr(make_secret(1, 1))
