"""OpenSSL, set up for nodes: TLS 1.3 only, one certificate each way, nothing remembered.

The Python standard library's ssl has no verify callback, hence pyOpenSSL. Errors of OpenSSL become a ChannelRefused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cryptography import x509
from OpenSSL import SSL, crypto

from core.crypto.keys import PrivateKey
from core.errors import InvariantBroken
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


Verify = Callable[[SSL.Connection, crypto.X509, int], bool]
"""Called with connection, certificate and its depth. False ends the handshake with an alert; what it raises is raised
again by the handshake."""


@dataclass(frozen=True, slots=True)
class _Hooks:
    """What one connection's callbacks need."""

    verify: Verify
    protocol: bytes


class TlsContexts:
    """OpenSSL's contexts of both sides, shared by a node's connections, which differ in key, certificate and protocol.

    OpenSSL's callbacks into Python are machine code made at run time. An isolated process can make none, so an enclave
    makes this before it isolates itself (enclave_sim/isolation).
    """

    def __init__(self) -> None:
        self._initiator = _new_context()
        self._responder = _new_context()
        self._responder.set_alpn_select_callback(_select)

    def connection(
        self, key: PrivateKey, certificate: x509.Certificate, *, protocol: bytes, initiator: bool, verify: Verify
    ) -> SSL.Connection:
        """Return a connection over memory. protocol: the one ALPN protocol."""
        made = SSL.Connection(self._initiator if initiator else self._responder, None)
        made.set_app_data(_Hooks(verify, protocol))
        made.use_privatekey(key.raw)
        made.use_certificate(certificate)
        if initiator:
            made.set_alpn_protos([protocol])
            made.set_connect_state()
        else:
            made.set_accept_state()
        return made


def _new_context() -> SSL.Context:
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_max_proto_version(SSL.TLS1_3_VERSION)
    context.set_tls13_ciphersuites(_CIPHERS)
    context.set_options(_OPTIONS)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _verify)
    return context


def _hooks(connection: SSL.Connection) -> _Hooks:
    hooks = connection.get_app_data()
    if not isinstance(hooks, _Hooks):
        raise InvariantBroken("a TLS connection was not made by TlsContexts")
    return hooks


def _verify(connection: SSL.Connection, shown: crypto.X509, _error: int, depth: int, _ok: int) -> bool:
    return _hooks(connection).verify(connection, shown, depth)


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


def _select(connection: SSL.Connection, offered: list[bytes]) -> bytes:
    protocol = _hooks(connection).protocol
    if offered != [protocol]:
        raise HellosDiffer("the other side saw other hellos than this one", hint=_HINT)
    return protocol
