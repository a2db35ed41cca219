"""Certificates, exact chains and revocation lists (X.509), checked without a clock.

Everything is read from a certificate at once, so that no later access can fail. A chain is exactly leaf,
intermediates, root, in that order; the root must be the trust store's, byte for byte.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from enclave_sim.pki.der import BIT_STRING, SEQUENCE, MalformedDer, read_elements, read_one
from enclave_sim.pki.pem import MalformedPem, parse_chain
from enclave_sim.verify.errors import CertificateRevoked, ChainInvalid, RevocationListInvalid
from enclave_sim.verify.validity import Window

REVOCATION_LIST_BYTES_MAX = 256 * 1024
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey
_HASHES = ("sha256", "sha384")
_RSA_BITS = (2048, 3072, 4096)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate, read whole. extensions: DER values by object identifier, those that x509 does not know."""

    der: bytes
    parsed: x509.Certificate
    common_name: str
    public_key: PublicKey
    serial: int
    is_ca: bool
    path_length: int | None
    extensions: dict[str, bytes]
    window: Window


@dataclass(frozen=True, slots=True)
class RevocationList:
    """A list whose signature holds."""

    serials: frozenset[int]
    window: Window

    def require_not_revoked(self, certificate: Certificate) -> None:
        """Raise CertificateRevoked when it stands on the list."""
        if certificate.serial in self.serials:
            raise CertificateRevoked(f"the certificate {certificate.common_name!r} is revoked by its issuer")


def read_certificate(der: bytes) -> Certificate:
    """Read a DER certificate; raises ChainInvalid for whatever the chains here cannot hold."""
    with _refusing("a certificate", ChainInvalid):
        _require_whole_octets(der)
        parsed = x509.load_der_x509_certificate(der)
        names = parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        common_name = str(names[0].value) if len(names) == 1 else ""
        public_key = parsed.public_key()
        hash_algorithm = parsed.signature_hash_algorithm
        is_ca, path_length, extensions = _read_extensions(parsed)
        start, end, serial = parsed.not_valid_before_utc, parsed.not_valid_after_utc, parsed.serial_number
    if parsed.version is not x509.Version.v3 or hash_algorithm is None or hash_algorithm.name not in _HASHES:
        raise ChainInvalid(f"the certificate {common_name!r} is not version 3 with SHA-256 or SHA-384")
    if serial < 0:
        raise ChainInvalid(f"the certificate {common_name!r} has a negative serial number")
    match public_key:
        case ec.EllipticCurvePublicKey() if isinstance(public_key.curve, ec.SECP256R1 | ec.SECP384R1):
            key: PublicKey = public_key
        case rsa.RSAPublicKey() if public_key.key_size in _RSA_BITS and public_key.public_numbers().e == 65537:
            key = public_key
        case _:
            raise ChainInvalid(f"the certificate {common_name!r} has a key of another kind")
    window = Window(f"the certificate {common_name!r}", start, end)
    return Certificate(der, parsed, common_name, key, serial, is_ca, path_length, extensions, window)


def _read_extensions(parsed: x509.Certificate) -> tuple[bool, int | None, dict[str, bytes]]:
    """Return CA flag, path length and the extensions unknown to x509; raises ChainInvalid for wrong usages."""
    constraints, usage = x509.BasicConstraints(False, None), None
    unknown = {}
    for extension in parsed.extensions:
        match extension.value:
            case x509.BasicConstraints() as found:
                constraints = found
            case x509.KeyUsage() as found:
                usage = found
            case x509.UnrecognizedExtension(value=value, oid=oid) if not extension.critical:
                unknown[oid.dotted_string] = value
            case _ if extension.critical:
                raise ChainInvalid(f"a certificate has the unknown critical extension {extension.oid.dotted_string}")
            case _:
                pass
    if usage is not None and not (usage.key_cert_sign if constraints.ca else usage.digital_signature):
        raise ChainInvalid("a certificate's key usage does not fit its place")
    return constraints.ca, constraints.path_length, unknown


def read_chain(pem: bytes, length: int, what: str) -> tuple[Certificate, ...]:
    """Read a PEM chain of exactly that many certificates; raises ChainInvalid."""
    try:
        ders = parse_chain(pem)
    except MalformedPem as error:
        raise ChainInvalid(f"{what}: {error.message}") from None
    if len(ders) != length:
        raise ChainInvalid(f"{what}: {len(ders)} certificates; expected exactly {length}")
    return tuple(read_certificate(der) for der in ders)


def require_chain(certificates: Sequence[Certificate], what: str, *, first_is_ca: bool = False) -> None:
    """Check that each is issued by the next, an authority that may; raises ChainInvalid.

    The first is an end entity, or said to be an authority. The last is for the caller to find in a trust store;
    its own signature says nothing.
    """
    first, *authorities = certificates
    if first.is_ca != first_is_ca:
        raise ChainInvalid(f"{what}: {first.common_name!r} is not a certificate for its place")
    for below, authority in enumerate(authorities, int(first_is_ca)):
        if not authority.is_ca or (authority.path_length is not None and authority.path_length < below):
            raise ChainInvalid(f"{what}: {authority.common_name!r} may not issue the certificate below it")
    for subject, issuer in zip(certificates, authorities, strict=False):
        try:
            subject.parsed.verify_directly_issued_by(issuer.parsed)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            message = f"{what}: {subject.common_name!r} is not issued by {issuer.common_name!r}"
            raise ChainInvalid(message) from None


def read_revocation_list(der: bytes, issuer: Certificate) -> RevocationList:
    """Read a list (DER) that `issuer` must have signed; raises RevocationListInvalid."""
    what = f"the revocation list of {issuer.common_name!r}"
    if len(der) > REVOCATION_LIST_BYTES_MAX:
        raise RevocationListInvalid(f"{what} has {len(der)} bytes; at most {REVOCATION_LIST_BYTES_MAX} are read")
    with _refusing(what, RevocationListInvalid):
        _require_whole_octets(der)
        parsed = x509.load_der_x509_crl(der)
        start, end = parsed.last_update_utc, parsed.next_update_utc
        if parsed.issuer != issuer.parsed.subject or not parsed.is_signature_valid(issuer.public_key):
            raise RevocationListInvalid(f"{what} is not signed by it")
        if any(extension.critical for extension in parsed.extensions):
            raise RevocationListInvalid(f"{what} is a partial one")
        serials = frozenset(entry.serial_number for entry in parsed)
    if end is None:
        raise RevocationListInvalid(f"{what} does not say until when it holds")
    return RevocationList(serials, Window(what, start, end))


def _require_whole_octets(der: bytes) -> None:
    """Raise MalformedDer unless the signature, the one part that nothing signs, has a single encoding.

    x509 takes a bit string whose unused bits are zero whatever it says how many they are.
    """
    parts = read_elements(read_one(der, SEQUENCE))
    if len(parts) != 3 or parts[2].tag != BIT_STRING or parts[2].content[:1] != b"\0":
        raise MalformedDer("the signature is not a bit string of whole octets")


@contextmanager
def _refusing(what: str, refusal: type[ChainInvalid] | type[RevocationListInvalid]) -> Iterator[None]:
    """Turn whatever x509 raises on bytes it cannot read into that refusal."""
    try:
        with warnings.catch_warnings():
            # x509 warns of names and serial numbers that are against its rules; AMD's certificates have the number 0.
            warnings.simplefilter("ignore")
            yield
    except (
        MalformedDer,
        ValueError,
        TypeError,
        UnsupportedAlgorithm,
        x509.InvalidVersion,
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
    ) as error:
        raise refusal(f"{what} does not parse: {error}") from None
