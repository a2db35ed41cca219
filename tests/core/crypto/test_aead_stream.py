"""AES-GCM over a stream: the same as in one piece, and refused after any change."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.crypto.aead import AeadKey
from core.crypto.aead_stream import StreamDecryptor, StreamEncryptor
from core.errors import AuthenticationFailed, InvariantBroken

KEY, NONCE = bytes(range(32)), bytes(range(12))
pieces = st.lists(st.binary(max_size=100), max_size=6)


@given(associated=pieces, text=pieces)
def test_a_stream_is_what_one_call_makes(associated: list[bytes], text: list[bytes]) -> None:
    encryptor = StreamEncryptor(KEY, NONCE)
    for piece in associated:
        encryptor.associate(piece)
    encrypted = b"".join([encryptor.encrypt(piece) for piece in text])
    tag = encryptor.finish()
    assert AeadKey(KEY).encrypt(NONCE, b"".join(text), b"".join(associated)) == encrypted + tag
    decryptor = StreamDecryptor(KEY, NONCE)
    decryptor.associate(b"".join(associated))
    assert decryptor.decrypt(encrypted) == b"".join(text)
    decryptor.finish(tag)


@pytest.mark.parametrize("change", ["key", "nonce", "associated", "text", "tag", "short tag"])
def test_anything_changed_is_refused(change: str) -> None:
    encryptor = StreamEncryptor(KEY, NONCE)
    encryptor.associate(b"associated")
    text, tag = encryptor.encrypt(b"text"), encryptor.finish()
    key = bytes(32) if change == "key" else KEY
    decryptor = StreamDecryptor(key, bytes(12) if change == "nonce" else NONCE)
    decryptor.associate(b"another" if change == "associated" else b"associated")
    decryptor.decrypt(b"x" + text[1:] if change == "text" else text)
    wrong = {"tag": bytes(16), "short tag": tag[:12]}
    with pytest.raises(AuthenticationFailed):
        decryptor.finish(wrong.get(change, tag))


@pytest.mark.parametrize(("key", "nonce"), [(KEY[:16], NONCE), (KEY, NONCE[:8])])
def test_keys_and_nonces_have_one_length(key: bytes, nonce: bytes) -> None:
    for kind in (StreamEncryptor, StreamDecryptor):
        with pytest.raises(InvariantBroken):
            kind(key, nonce)


def test_nothing_is_told_of_the_key() -> None:
    assert "redacted" in repr(StreamEncryptor(KEY, NONCE))
    assert "redacted" in repr(StreamDecryptor(KEY, NONCE))
