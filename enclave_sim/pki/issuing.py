"""Issuing simulated certificates and revocation lists, as pure functions: the same arguments give the same bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from enclave_sim.pki.keys import p256_key

SECRET_BYTES = 32
SIMULATED = "(SIMULATED)"
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


@dataclass(frozen=True, slots=True)
class Validity:
    """From when until when certificates, lists or documents hold; both ends are included, in whole seconds."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Issuer:
    """A certificate authority: its key and certificate."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)


def derive_key(secret: bytes, label: str) -> ec.EllipticCurvePrivateKey:
    """Return the P-256 key with that label; secret: 32 bytes (ValueError otherwise)."""
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"the authority's secret is {SECRET_BYTES} bytes")
    info = b"coco simulated authority 1 " + label.encode()
    return p256_key(HKDF(algorithm=SHA256(), length=64, salt=None, info=info).derive(secret))


def make_root(secret: bytes, common_name: str, validity: Validity) -> Issuer:
    """Return a self-signed root whose key derives from the secret and its name."""
    key = derive_key(secret, common_name)
    name = simulated_name(common_name)
    return Issuer(key, _certificate(name, name, key.public_key(), key, 1, validity, {}))


def make_issuer(root: Issuer, secret: bytes, common_name: str, validity: Validity, *, is_ca: bool = True) -> Issuer:
    """Return an authority below the root (of path length 0), or another signer that is none."""
    key = derive_key(secret, common_name)
    path_length = 0 if is_ca else None
    return Issuer(key, issue_certificate(root, common_name, key.public_key(), validity, path_length=path_length))


def issue_certificate(
    issuer: Issuer,
    common_name: str,
    public_key: PublicKey,
    validity: Validity,
    *,
    path_length: int | None = None,
    extensions: dict[str, bytes] | None = None,
) -> x509.Certificate:
    """Certify a key: an authority's if a path length is given. extensions: DER values by object identifier."""
    name = simulated_name(common_name)
    subject = issuer.certificate.subject
    return _certificate(name, subject, public_key, issuer.key, path_length, validity, extensions or {})


def issue_revocation_list(issuer: Issuer, validity: Validity, serials: Sequence[int]) -> bytes:
    """Return the issuer's revocation list (DER)."""
    authority_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(validity.start)
        .next_update(validity.end)
        .add_extension(x509.CRLNumber(1), critical=False)
        .add_extension(authority_key, critical=False)
    )
    for serial in serials:
        revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(validity.start)
        builder = builder.add_revoked_certificate(revoked.build())
    return builder.sign(issuer.key, SHA256(), ecdsa_deterministic=True).public_bytes(Encoding.DER)


def simulated_name(common_name: str) -> x509.Name:
    """Return a distinguished name that says it is simulated; raises ValueError when the common name does not."""
    if SIMULATED not in common_name:
        raise ValueError(f"a simulated name says {SIMULATED}")
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, f"Coco {SIMULATED}"),
        ]
    )


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: PublicKey,
    issuer_key: ec.EllipticCurvePrivateKey,
    path_length: int | None,
    validity: Validity,
    extensions: dict[str, bytes],
) -> x509.Certificate:
    is_ca = path_length is not None
    encoded_key = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    serial = hashlib.sha256(encoded_key + subject.public_bytes() + b"".join(extensions.values())).digest()[:19]
    authority_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(int.from_bytes(serial, "big") | 1)
        .not_valid_before(validity.start)
        .not_valid_after(validity.end)
        .add_extension(authority_key, critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(_key_usage(is_ca), critical=True)
        .add_extension(x509.BasicConstraints(is_ca, path_length), critical=True)
    )
    for identifier, value in extensions.items():
        extension = x509.UnrecognizedExtension(x509.ObjectIdentifier(identifier), value)
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(issuer_key, SHA256(), ecdsa_deterministic=True)


def _key_usage(is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_ca,
        content_commitment=not is_ca,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        encipher_only=False,
        decipher_only=False,
    )
