"""OpenSSL, set up for one connection: TLS 1.3 only, one certificate each way, nothing remembered.

The Python standard library's ssl has no verify callback, hence pyOpenSSL. Errors of OpenSSL become a ChannelRefused.
"""

from __future__ import annotations

from collections.abc import Callable

from cryptography import x509
from OpenSSL import SSL, crypto

from core.crypto.keys import PrivateKey
from core.node.attested_tls.errors import (
    CertificateMissing,
    ChannelRefused,
    HellosDiffer,
    RefusedByPeer,
    TlsFailed,
    TlsVersionRefused,
)

_CIPHERS = b"TLS_AES_256_GCM_SHA384"
_OPTIONS = SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_TICKET
_HINT = "Connect again. If it stays so, something between the nodes changes what they send."

_REASONS: tuple[tuple[str, type[ChannelRefused], str], ...] = (
    ("peer did not return a certificate", CertificateMissing, "the other side shows no certificate"),
    ("unsupported protocol", TlsVersionRefused, "the other side does not speak TLS 1.3"),
    ("wrong ssl version", TlsVersionRefused, "the other side does not speak TLS 1.3"),
    ("alert protocol version", TlsVersionRefused, "the other side does not speak TLS 1.3"),
    ("alert no application protocol", HellosDiffer, "the other side saw other hellos than this one"),
)
"""Texts of OpenSSL, and what they mean here."""


def make_context(
    key: PrivateKey,
    certificate: x509.Certificate,
    *,
    protocol: bytes,
    initiator: bool,
    verify: Callable[[SSL.Connection, crypto.X509, int], bool],
) -> SSL.Context:
    """Return a context. protocol: the one ALPN protocol; verify: called with connection, certificate and its depth.

    verify returns False to end the handshake with an alert; what it raises is raised again by the handshake.
    """
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_max_proto_version(SSL.TLS1_3_VERSION)
    context.set_tls13_ciphersuites(_CIPHERS)
    context.set_options(_OPTIONS)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.use_privatekey(key.raw)
    context.use_certificate(certificate)
    context.set_verify(
        SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT,
        lambda connection, shown, _error, depth, _ok: verify(connection, shown, depth),
    )
    if initiator:
        context.set_alpn_protos([protocol])
    else:
        context.set_alpn_select_callback(lambda _connection, offered: _select(offered, protocol))
    return context


def refusal_of(error: SSL.Error) -> ChannelRefused:
    """Return what an error of OpenSSL means."""
    records = error.args[0] if error.args and isinstance(error.args[0], list) else []
    texts = [str(record[2]) for record in records if isinstance(record, tuple) and len(record) == 3]
    text = "; ".join(filter(None, texts)) or type(error).__name__
    for part, kind, message in _REASONS:
        if part in text:
            return kind(message, hint=_HINT)
    if " alert " in f" {text} ":
        return RefusedByPeer(
            f"the other side refused the connection ({text})",
            hint="Its log has the reason: this node's code, platform, key or membership.",
        )
    return TlsFailed(f"TLS failed: {text}", hint=_HINT)


def _select(offered: list[bytes], protocol: bytes) -> bytes:
    if offered != [protocol]:
        raise HellosDiffer("the other side saw other hellos than this one", hint=_HINT)
    return protocol
