"""Certificates and keys given to a TLS context in memory: chains, handshakes, and what does not fit."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from core.crypto.certificates import issue, self_signed, to_der
from core.crypto.keys import PrivateKey
from core.node import tls_memory

NOW = datetime.now(UTC) - timedelta(hours=1)
AUTHORITY = PrivateKey.generate()
ROOT = self_signed("authority", AUTHORITY, not_before=NOW, days=2)
KEY = PrivateKey.generate()
LEAF = issue(
    "localhost", KEY.public_key(), issuer=ROOT, issuer_key=AUTHORITY, not_before=NOW, days=2, names=["localhost"]
)
CHAIN = [to_der(LEAF), to_der(ROOT)]

pytestmark = pytest.mark.skipif(
    not tls_memory.is_possible(), reason="this interpreter's TLS library takes certificates from files only"
)


def shake_hands(server: ssl.SSLContext, root: str) -> Sequence[bytes]:
    """Return the chain that a client has verified; raises ssl.SSLError."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(cadata=root)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(to_client, to_server, server_hostname="localhost")]
    ends.append(server.wrap_bio(to_server, to_client, server_side=True))
    for end in (*ends, *ends):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    assert ends[0].version() == "TLSv1.3"
    return [ends[0].getpeercert(binary_form=True) or b""]


def context() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)


def test_a_chain_and_its_key() -> None:
    made = context()
    tls_memory.load(made, CHAIN, KEY.to_pkcs8_pem())
    assert shake_hands(made, ROOT) == CHAIN[:1]


def test_another_client_does_not_trust_it() -> None:
    made = context()
    tls_memory.load(made, CHAIN, KEY.to_pkcs8_pem())
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(made, self_signed("another", PrivateKey.generate(), not_before=NOW, days=2))


def test_an_rsa_key() -> None:
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, NOW, NOW + timedelta(days=2))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    certificate = builder.sign(key, SHA256()).public_bytes(serialization.Encoding.DER)
    encoding, kind = serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL
    made = context()
    tls_memory.load(made, [certificate], key.private_bytes(encoding, kind, serialization.NoEncryption()))
    assert shake_hands(made, ssl.DER_cert_to_PEM_cert(certificate)) == [certificate]


@pytest.mark.parametrize(
    ("chain", "key"),
    [
        ([], KEY.to_pkcs8_pem()),
        ([b""], KEY.to_pkcs8_pem()),
        ([b"nonsense"], KEY.to_pkcs8_pem()),
        ([CHAIN[0][:-1]], KEY.to_pkcs8_pem()),
        ([CHAIN[0], b"nonsense"], KEY.to_pkcs8_pem()),
        ([CHAIN[0], b""], KEY.to_pkcs8_pem()),
        (CHAIN, PrivateKey.generate().to_pkcs8_pem()),
        (CHAIN, b""),
        (CHAIN, b"nonsense"),
    ],
    ids=["none", "empty", "bad", "cut", "bad second", "empty second", "other key", "no key", "bad key"],
)
def test_what_does_not_fit_is_refused_and_leaves_nothing_behind(chain: list[bytes], key: bytes) -> None:
    with pytest.raises(ValueError):
        tls_memory.load(context(), chain, key)
    made = context()  # Nothing is left in OpenSSL's queue of errors, which the next call would take for its own.
    tls_memory.load(made, CHAIN, KEY.to_pkcs8_pem())
    assert shake_hands(made, ROOT) == CHAIN[:1]


def test_contexts_are_freed_with_what_they_hold() -> None:
    for _ in range(200):
        tls_memory.load(context(), CHAIN, KEY.to_pkcs8_pem())


@pytest.fixture
def ask_again() -> Iterator[Callable[[], bool]]:
    tls_memory._library.cache_clear()
    yield tls_memory.is_possible
    tls_memory._library.cache_clear()


@pytest.mark.parametrize(
    ("name", "value"), [("version_info", (3, 99)), ("implementation", type("Other", (), {"name": "other"}))]
)
def test_an_interpreter_that_is_not_known_is_not_relied_on(
    monkeypatch: pytest.MonkeyPatch, ask_again: Callable[[], bool], name: str, value: object
) -> None:
    monkeypatch.setattr(tls_memory.sys, name, value)
    assert ask_again() is False
    with pytest.raises(ValueError, match="from files only"):
        tls_memory.load(context(), CHAIN, KEY.to_pkcs8_pem())


def test_a_context_that_is_laid_out_otherwise_is_not_relied_on(
    monkeypatch: pytest.MonkeyPatch, ask_again: Callable[[], bool]
) -> None:
    class Library:
        def __init__(self, _: str) -> None:
            numbers = enumerate(NAMES)
            self.made = {name: type("Call", (), {"__call__": lambda *_, n=n: n})() for n, name in numbers}

        def __getattr__(self, name: str) -> object:
            return self.made[name]

    monkeypatch.setattr(tls_memory.ctypes, "CDLL", Library)
    assert ask_again() is False


NAMES = (
    "SSL_CTX_get_ssl_method", "TLS_server_method", "SSL_CTX_use_certificate_ASN1", "SSL_CTX_ctrl",
    "SSL_CTX_use_PrivateKey", "SSL_CTX_check_private_key",
    "d2i_X509", "d2i_AutoPrivateKey", "X509_free", "EVP_PKEY_free", "ERR_clear_error",
)  # fmt: skip


def test_a_library_whose_names_are_not_to_be_seen(
    monkeypatch: pytest.MonkeyPatch, ask_again: Callable[[], bool]
) -> None:
    monkeypatch.setattr(tls_memory.ctypes, "CDLL", lambda _: object())
    assert ask_again() is False
