"""The certificates of nodes' channels: self-signed envelopes of a P-256 key, with evidence or without.

A certificate says nothing by itself. In mode join the evidence in it counts, made for one connection; in mode pinned
the key, which the ledger registers. So it has no end of validity (RFC 5280, 4.1.2.5), and none is looked at: a wrong
clock shall not part the nodes of a network.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID, SignatureAlgorithmOID

from core import limits
from core.crypto.keys import Curve, PrivateKey, PublicKey
from core.errors import MalformedMessage
from core.node.attested_tls.errors import CertificateInvalid, EvidenceRepeated

EVIDENCE_EXTENSION = x509.ObjectIdentifier("2.23.133.5.4.9")
"""tcg-dice-conceptual-message-wrapper, also known as tagged evidence. Not critical, for the sake of TLS libraries."""
ENDORSEMENTS_EXTENSION = x509.ObjectIdentifier("2.23.133.5.4.2")
"""tcg-dice-endorsement-manifest."""

_START = datetime(2020, 1, 1, tzinfo=UTC)
_NO_END = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
_USAGE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


@dataclass(frozen=True, slots=True)
class NodeCertificate:
    """A certificate, read. evidence: the extension's value, None without one; endorsements: b"" without."""

    public_key: PublicKey
    evidence: bytes | None
    endorsements: bytes


def make_certificate(key: PrivateKey, *, evidence: bytes | None = None, endorsements: bytes = b"") -> x509.Certificate:
    """Return a node's certificate. key: P-256; evidence, endorsements: values of the extensions."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"coco node {key.public_key().node_id()[:16]}")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key().raw)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_START)
        .not_valid_after(_NO_END)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_USAGE, critical=True)
    )
    if evidence is not None:
        builder = builder.add_extension(x509.UnrecognizedExtension(EVIDENCE_EXTENSION, evidence), critical=False)
    if endorsements:
        builder = builder.add_extension(
            x509.UnrecognizedExtension(ENDORSEMENTS_EXTENSION, endorsements), critical=False
        )
    return builder.sign(key.raw, hashes.SHA256())


def read_certificate(der: bytes) -> NodeCertificate:
    """Read and check a node's certificate; raises CertificateInvalid, EvidenceRepeated.

    That the other side has its key is for TLS to prove.
    """
    try:
        with warnings.catch_warnings():
            # x509 warns of names and serial numbers against its rules; nothing is read from them.
            warnings.simplefilter("ignore")
            return _read(der)
    except x509.DuplicateExtension:
        raise EvidenceRepeated("an extension stands in the certificate more than once") from None
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm, x509.UnsupportedGeneralNameType):
        raise CertificateInvalid("the certificate does not parse, or is not signed by its own key") from None
    except (MalformedMessage, x509.InvalidVersion) as error:
        raise CertificateInvalid(f"the certificate is not a node's: {error}") from None


def _read(der: bytes) -> NodeCertificate:
    certificate = x509.load_der_x509_certificate(der)
    public_key = PublicKey(certificate.public_key())
    if (
        certificate.version is not x509.Version.v3
        or public_key.curve is not Curve.P256
        or certificate.signature_algorithm_oid != SignatureAlgorithmOID.ECDSA_WITH_SHA256
    ):
        raise CertificateInvalid("the certificate is not version 3 with a P-256 key and SHA-256")
    certificate.verify_directly_issued_by(certificate)
    values = {}
    for extension in certificate.extensions:
        match extension.value:
            case x509.KeyUsage(digital_signature=False):
                raise CertificateInvalid("the certificate's key may not sign")
            case x509.UnrecognizedExtension(oid=oid, value=value) if oid in (
                EVIDENCE_EXTENSION,
                ENDORSEMENTS_EXTENSION,
            ):
                values[oid] = value
            case x509.KeyUsage() | x509.BasicConstraints():
                pass
            case _ if extension.critical:
                raise CertificateInvalid(f"the critical extension {extension.oid.dotted_string} is not known")
            case _:
                pass
    endorsements = values.get(ENDORSEMENTS_EXTENSION, b"")
    if len(endorsements) > limits.ENDORSEMENTS_BYTES_MAX:
        raise CertificateInvalid(
            f"endorsements of {len(endorsements)} bytes; at most {limits.ENDORSEMENTS_BYTES_MAX} are read"
        )
    return NodeCertificate(public_key, values.get(EVIDENCE_EXTENSION), endorsements)
