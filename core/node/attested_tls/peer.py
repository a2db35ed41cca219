"""Who the other side is, decided from its certificate alone, inside the TLS handshake.

TLS then proves that it has the certificate's key. Order: what costs nothing first, the evidence's signatures late, the
caller's policy last.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from core.crypto.keys import PublicKey
from core.node.attested_tls.certificate import NodeCertificate, read_certificate
from core.node.attested_tls.claims import (
    parse_claims,
    parse_extension,
    report_data,
    verify_key_claimed,
    verify_nonce,
)
from core.node.attested_tls.errors import (
    ClaimsNotReported,
    DebugEnclave,
    EvidenceMissing,
    EvidenceUnexpected,
    OwnCertificate,
)
from core.node.attested_tls.hello import Mode
from core.ports import EvidenceVerifier, ReportClaims
from core.types import NodeId

Admit = Callable[[ReportClaims | None, NodeId, Mode], None]
"""The caller's policy: raises an AuthenticationFailed with its own reason. The claims are None in mode pinned."""


@dataclass(frozen=True, slots=True)
class Peer:
    """The other side. claims: what its evidence says, None in mode pinned, where the register says who it is."""

    node_id: NodeId
    public_key: PublicKey
    mode: Mode
    claims: ReportClaims | None


def verify_peer(
    certificate: bytes,
    *,
    mode: Mode,
    nonce: bytes,
    own_id: NodeId,
    verifier: EvidenceVerifier,
    admit: Admit,
    at: datetime,
) -> Peer:
    """Verify the other side's certificate (DER) for a connection in which we sent this nonce.

    Raises a ChannelRefused, the verifier's own AuthenticationFailed, or the policy's.
    """
    read = read_certificate(certificate)
    node_id = read.public_key.node_id()
    if hmac.compare_digest(node_id, own_id):
        raise OwnCertificate("the other side is this node itself")
    claims = None
    if mode is Mode.JOIN:
        claims = _verified_claims(read, nonce, verifier, at)
    elif read.evidence is not None or read.endorsements:
        raise EvidenceUnexpected("a registered node's certificate carries evidence")
    admit(claims, node_id, mode)
    return Peer(node_id, read.public_key, mode, claims)


def _verified_claims(
    certificate: NodeCertificate, nonce: bytes, verifier: EvidenceVerifier, at: datetime
) -> ReportClaims:
    if certificate.evidence is None:
        raise EvidenceMissing("the certificate carries no evidence")
    evidence, buffer = parse_extension(certificate.evidence, certificate.endorsements)
    claimed = parse_claims(buffer)
    verify_key_claimed(claimed, certificate.public_key)
    verify_nonce(claimed, nonce)
    claims = verifier.verify(evidence, at=at)
    if not hmac.compare_digest(claims.report_data, report_data(buffer)):
        raise ClaimsNotReported("the evidence is not over the claims beside it")
    if claims.debug:
        raise DebugEnclave("the enclave is a debug enclave: its host can read and change its memory")
    return claims
