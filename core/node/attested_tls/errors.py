"""Why a channel between nodes is refused: one class per reason. `reason` is the short name that programs see."""

from __future__ import annotations

from typing import ClassVar

from core.errors import AuthenticationFailed


class ChannelRefused(AuthenticationFailed):
    """A node, or what stands between, that is not spoken with. Never raised itself."""

    reason: ClassVar[str]


class HelloMalformed(ChannelRefused):
    """The first bytes are not a hello of this version."""

    reason = "malformed-hello"


class HelloReflected(ChannelRefused):
    """The other side's hello is our own, sent back."""

    reason = "reflected-hello"


class ModeRefused(ChannelRefused):
    """The other side asks for, or answers with, a mode that we do not take."""

    reason = "mode-refused"


class HellosDiffer(ChannelRefused):
    """The two sides do not have the same hellos: someone in between changed one."""

    reason = "hellos-differ"


class CertificateMissing(ChannelRefused):
    """The other side shows no certificate."""

    reason = "missing-certificate"


class CertificateInvalid(ChannelRefused):
    """The certificate is not a self-signed one of a P-256 key, in the form that nodes use."""

    reason = "invalid-certificate"


class OwnCertificate(ChannelRefused):
    """The other side is this node itself."""

    reason = "own-certificate"


class EvidenceMissing(ChannelRefused):
    """A joining node's certificate carries no evidence."""

    reason = "missing-evidence"


class EvidenceRepeated(ChannelRefused):
    """An extension stands in the certificate more than once."""

    reason = "repeated-extension"


class EvidenceUnexpected(ChannelRefused):
    """A registered node's certificate carries evidence, which nobody would check."""

    reason = "unexpected-evidence"


class EvidenceShapeInvalid(ChannelRefused):
    """The extension is not tagged evidence with claims, in canonical CBOR."""

    reason = "malformed-evidence-extension"


class KeyNotClaimed(ChannelRefused):
    """The claims are about another key than the certificate's."""

    reason = "key-not-claimed"


class NonceMissing(ChannelRefused):
    """The claims hold no nonce, so the evidence may be of any age."""

    reason = "missing-nonce"


class NonceStale(ChannelRefused):
    """The claims hold another nonce than the one we sent: the evidence was made for another connection."""

    reason = "stale-nonce"


class ClaimsNotReported(ChannelRefused):
    """The evidence is genuine but not over these claims."""

    reason = "claims-not-reported"


class DebugEnclave(ChannelRefused):
    """The enclave can be inspected by its host."""

    reason = "debug-enclave"


class NodeUnknown(ChannelRefused):
    """The node is not registered."""

    reason = "unregistered-node"


class NodeRemoved(ChannelRefused):
    """The node was removed from the network."""

    reason = "removed-node"


class TlsVersionRefused(ChannelRefused):
    """The other side does not speak TLS 1.3."""

    reason = "tls-version"


class TlsFailed(ChannelRefused):
    """The TLS layer refused what arrived: damaged, forged or against the protocol."""

    reason = "tls-failed"


class RefusedByPeer(ChannelRefused):
    """The other side refused us. It keeps the reason to itself; an alert gives a class of reasons at most."""

    reason = "refused-by-peer"


class HandshakeTruncated(ChannelRefused):
    """The other side closed the connection before it was confirmed."""

    reason = "truncated-handshake"


class HandshakeTooLong(ChannelRefused):
    """The other side sent too much before the connection was confirmed."""

    reason = "handshake-too-long"


class HandshakeTimedOut(ChannelRefused):
    """The connection was not confirmed in time."""

    reason = "handshake-timed-out"


class ConfirmationInvalid(ChannelRefused):
    """The first bytes inside TLS are not the confirmation."""

    reason = "invalid-confirmation"
