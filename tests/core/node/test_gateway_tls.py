"""The front end's TLS context: where the private key goes, and what does not fit together."""

from __future__ import annotations

import os
import ssl
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.crypto.certificates import self_signed
from core.crypto.keys import PrivateKey
from core.errors import CocoError
from core.node import tls
from core.node.tls import server_context

KEY = PrivateKey.generate()
CHAIN = self_signed("front end", KEY, not_before=datetime.now(UTC), days=2).encode()


WAYS = ("memory", "memory file", "encrypted file")


def take(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """Leave only this way, or worse ones, to give OpenSSL the key."""
    if way != "memory":
        monkeypatch.setattr(tls.tls_memory, "is_possible", lambda: False)
    if way == "encrypted file":
        monkeypatch.setattr(tls, "_DESCRIPTORS", Path("/nonexistent"))


@pytest.mark.parametrize("way", WAYS)
def test_the_key_never_touches_the_disk_in_the_clear(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, way: str) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    take(monkeypatch, way)
    memory = way != "encrypted file"
    written: list[bytes] = []
    load = ssl.SSLContext.load_cert_chain

    def spy(context: ssl.SSLContext, path: Path, keyfile: None = None, password: str | None = None) -> None:
        written.extend(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
        load(context, path, keyfile, password)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", spy)
    descriptors = len(os.listdir("/proc/self/fd")) if memory and Path("/proc/self/fd").is_dir() else None
    context = server_context(CHAIN, KEY.to_pkcs8_pem(), [])
    assert context.verify_mode == ssl.CERT_NONE
    assert len(written) == (0 if memory and hasattr(os, "memfd_create") else 1)
    assert not any(b"BEGIN PRIVATE KEY" in content for content in written)
    assert list(tmp_path.iterdir()) == []
    if descriptors is not None:
        assert len(os.listdir("/proc/self/fd")) == descriptors


def test_client_certificates_are_optional_and_checked() -> None:
    context = server_context(CHAIN, KEY.to_pkcs8_pem(), [CHAIN.decode(), "not a certificate"])
    assert context.verify_mode == ssl.CERT_OPTIONAL
    assert context.verify_flags & ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("key", [PrivateKey.generate().to_pkcs8_pem(), b"", b"nonsense"], ids=["other", "none", "bad"])
def test_chain_and_key_that_do_not_fit(monkeypatch: pytest.MonkeyPatch, way: str, key: bytes) -> None:
    take(monkeypatch, way)
    with pytest.raises(CocoError, match="certificate and key do not work"):
        server_context(CHAIN, key, [])
