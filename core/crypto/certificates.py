"""X.509 certificates (RFC 5280): of the service, the front end, nodes and actors. PEM in, PEM out.

An authority here may only issue leaves (path length 0). Time is a parameter; nothing reads a clock.
"""

from __future__ import annotations

import ipaddress
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from core.crypto.hashing import sha256
from core.crypto.keys import Curve, PrivateKey, PublicKey
from core.errors import AuthenticationFailed, CocoError, InvariantBroken, MalformedMessage

Usage = Literal["server", "client", "signing"]
"""What a leaf is for: TLS server, TLS client, or signatures only (a node's)."""


def self_signed(
    common_name: str,
    key: PrivateKey,
    *,
    not_before: datetime,
    days: int,
    ca: bool = True,
    names: Sequence[str] = (),
) -> str:
    """Return a self-signed certificate: an authority's (which may also act itself), or with ca=False a lone leaf's."""
    subject = _subject(common_name)
    builder = _builder(subject, key.public_key(), subject, key.public_key(), names, not_before, days)
    return _signed(_constrained(builder, ca=ca), key)


def issue(
    common_name: str,
    public_key: PublicKey,
    *,
    issuer: str,
    issuer_key: PrivateKey,
    not_before: datetime,
    days: int,
    names: Sequence[str] = (),
    usage: Usage = "server",
) -> str:
    """Return a leaf under issuer (PEM). names: DNS names and IP addresses. Raises CocoError for an unfit issuer."""
    authority = _load(issuer)
    if PublicKey(authority.public_key()) != issuer_key.public_key():
        raise InvariantBroken("the issuer's certificate is not for the issuer's key")
    _require_authority(authority)
    builder = _builder(
        _subject(common_name), public_key, authority.subject, issuer_key.public_key(), names, not_before, days
    )
    builder = _constrained(builder, ca=False)
    purposes = {"server": [ExtendedKeyUsageOID.SERVER_AUTH], "client": [ExtendedKeyUsageOID.CLIENT_AUTH], "signing": []}
    if purposes[usage]:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes[usage]), critical=False)
    return _signed(builder, issuer_key)


def fingerprint(pem: str) -> str:
    """Hexadecimal SHA-256 of the certificate (DER); raises MalformedMessage."""
    return sha256(to_der(pem)).hex()


def to_der(pem: str) -> bytes:
    """Return the (first) certificate as DER; raises MalformedMessage."""
    return _load(pem).public_bytes(serialization.Encoding.DER)


def from_der(data: bytes) -> str:
    """Return a certificate as PEM; raises MalformedMessage."""
    try:
        return _pem(_whole(x509.load_der_x509_certificate(data)))
    except (ValueError, x509.InvalidVersion):
        raise MalformedMessage("not a certificate (DER)") from None


def public_key_of(pem: str) -> PublicKey:
    """Return the certificate's key; raises MalformedMessage, also for a key that is not on P-256 or P-384."""
    certificate = _load(pem)
    try:
        return PublicKey(certificate.public_key())
    except (ValueError, UnsupportedAlgorithm):
        raise MalformedMessage("a certificate whose key cannot be read", hint="Use a key on P-256 or P-384.") from None


def common_name_of(pem: str) -> str:
    """Return the subject's common name, "" when it has none; raises MalformedMessage."""
    found = _load(pem).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""


def expires_at(pem: str) -> datetime:
    """Return the end of the certificate's validity; raises MalformedMessage."""
    return _load(pem).not_valid_after_utc


def verify_issued_under(pem: str, issuer: str, *, at: datetime | None) -> None:
    """Verify that a certificate was issued directly under issuer (PEM), and that both are valid `at` (None: ever).

    Raises AuthenticationFailed. A certificate is not issued under itself: compare fingerprints for that.
    """
    leaf, authority = _load(pem), _load(issuer)
    try:
        _require_authority(authority)
        leaf.verify_directly_issued_by(authority)
    except (InvalidSignature, UnsupportedAlgorithm, x509.DuplicateExtension, ValueError, TypeError, CocoError):
        raise AuthenticationFailed("the certificate was not issued under this authority") from None
    if leaf == authority:
        raise AuthenticationFailed("the certificate is the authority's own")
    if at is not None:
        _require_valid(leaf, at)
        _require_valid(authority, at)


def verify_valid_at(pem: str, at: datetime) -> None:
    """Verify that the certificate's validity holds `at`; raises AuthenticationFailed."""
    _require_valid(_load(pem), at)


def _load(pem: str) -> x509.Certificate:
    with warnings.catch_warnings():
        # What RFC 5280 forbids and the package only warns of, a serial number below 1 for one, is refused here.
        warnings.simplefilter("error", CryptographyDeprecationWarning)
        try:
            return _whole(x509.load_pem_x509_certificate(pem.encode()))
        except (ValueError, x509.InvalidVersion, CryptographyDeprecationWarning):
            raise MalformedMessage("not a certificate (PEM)") from None


def _whole(certificate: x509.Certificate) -> x509.Certificate:
    """Return it; raises ValueError when its signature is not in whole bytes, which would give it a second form."""
    if certificate.public_bytes(serialization.Encoding.DER)[-len(certificate.signature) - 1] != 0:
        raise ValueError("a signature that ends within a byte")
    return certificate


def _require_valid(certificate: x509.Certificate, at: datetime) -> None:
    if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
        until = f"{certificate.not_valid_before_utc:%Y-%m-%d} to {certificate.not_valid_after_utc:%Y-%m-%d}"
        raise AuthenticationFailed(f"the certificate is valid from {until} only", hint="Issue a new certificate.")


def _require_authority(certificate: x509.Certificate) -> None:
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        constraints = x509.BasicConstraints(ca=False, path_length=None)
    if not constraints.ca:
        raise CocoError("this certificate may not issue others", hint="Use one with basicConstraints CA:TRUE.")


def _subject(common_name: str) -> x509.Name:
    try:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    except ValueError as error:
        raise CocoError(f"not a common name: {common_name[:70]!r} ({error})", hint="Give 1 to 64 characters.") from None


def _alternative_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        return x509.DNSName(name)
    except ValueError:
        raise CocoError(f"not a DNS name or IP address: {name[:70]!r}", hint="Give the name in ASCII.") from None


def _builder(
    subject: x509.Name,
    public_key: PublicKey,
    issuer: x509.Name,
    issuer_key: PublicKey,
    names: Sequence[str],
    not_before: datetime,
    days: int,
) -> x509.CertificateBuilder:
    if not_before.tzinfo is None or days < 1:
        raise InvariantBroken("a validity needs a time zone and at least one day")
    start = not_before.astimezone(UTC).replace(microsecond=0)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key.raw)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key.raw), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.raw), critical=False)
    )
    if names:
        alternative = x509.SubjectAlternativeName([_alternative_name(name) for name in names])
        builder = builder.add_extension(alternative, critical=False)
    return builder


def _constrained(builder: x509.CertificateBuilder, *, ca: bool) -> x509.CertificateBuilder:
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )
    constraints = x509.BasicConstraints(ca=ca, path_length=0 if ca else None)
    return builder.add_extension(constraints, critical=True).add_extension(usage, critical=True)


def _signed(builder: x509.CertificateBuilder, key: PrivateKey) -> str:
    return _pem(builder.sign(key.raw, hashes.SHA256() if key.curve is Curve.P256 else hashes.SHA384()))


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
