"""The simulated provisioning authority, which stands where Intel stands: it certifies processors and rates their TCB.

    root CA ── PCK platform CA, PCK processor CA ── PCK certificate of each processor
            └─ TCB signing ── TCB info, QE identity

Everything derives from one 32-byte secret and the validity, so the secret is the whole state: whoever holds it can make
quotes of any simulated processor. It never lies in the repository. Every name says (SIMULATED), and verifiers accept
the root only where they were told to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from enclave_sim.pki.collateral import Collateral
from enclave_sim.pki.documents import (
    QE_IDENTITY_VERSION,
    SGX_TCB_INFO,
    TCB_INFO_VERSION,
    Component,
    EnclaveTcb,
    EnclaveTcbLevel,
    QeIdentity,
    Tcb,
    TcbInfo,
    TcbLevel,
    TcbStatus,
    encode_document,
)
from enclave_sim.pki.pck_extension import SGX_EXTENSION, PckExtension, encode_pck_extension
from enclave_sim.pki.pem import encode_chain
from enclave_sim.sgx.cpu import Enclave
from enclave_sim.sgx.quoting import p256_key, raw_signature

SECRET_BYTES = 32
PckCa = Literal["platform", "processor"]
_ORGANISATION = "Coco (SIMULATED)"


@dataclass(frozen=True, slots=True)
class Validity:
    """From when until when certificates, lists or documents hold; both ends are included, in whole seconds."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class _Issuer:
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate


class SimulatedAuthority:
    """See the module. secret: 32 random bytes; validity: of all its certificates."""

    def __init__(self, secret: bytes, validity: Validity) -> None:
        if len(secret) != SECRET_BYTES:
            raise ValueError("the authority's secret is 32 bytes")
        self._secret = secret
        self._validity = validity
        root_key = self._key("root")
        root_name = _name("Coco SGX Root CA (SIMULATED)")
        self._root = _Issuer(root_key, self._certificate(root_name, root_name, root_key.public_key(), root_key, 1))
        self._cas: dict[PckCa, _Issuer] = {
            "platform": self._issuer("Coco SGX PCK Platform CA (SIMULATED)", 0),
            "processor": self._issuer("Coco SGX PCK Processor CA (SIMULATED)", 0),
        }
        self._tcb_signer = self._issuer("Coco SGX TCB Signing (SIMULATED)", None)

    def __repr__(self) -> str:
        return f"<SimulatedAuthority {hashlib.sha256(self.root_certificate).hexdigest()}>"

    @property
    def root_certificate(self) -> bytes:
        """The root certificate (DER), which goes into trust stores."""
        return _der(self._root.certificate)

    def issue_pck_chain(
        self,
        public_key: ec.EllipticCurvePublicKey,
        extension: PckExtension,
        *,
        ca: PckCa = "processor",
        validity: Validity | None = None,
    ) -> bytes:
        """Certify a processor's PCK; returns leaf, intermediate and root as PEM, as it goes into quotes."""
        issuer = self._cas[ca]
        leaf = self._certificate(
            _name("Coco SGX PCK Certificate (SIMULATED)"),
            issuer.certificate.subject,
            public_key,
            issuer.key,
            None,
            extension=encode_pck_extension(extension),
            validity=validity,
        )
        return self._chain(leaf, issuer.certificate)

    def collateral(
        self,
        tcb_info: TcbInfo,
        qe_identity: QeIdentity,
        *,
        revocation: Validity,
        ca: PckCa = "processor",
        revoked_serials: Sequence[int] = (),
        revoked_ca_serials: Sequence[int] = (),
    ) -> Collateral:
        """Return the collateral for quotes of processors that `ca` certified; revocation: when the lists hold."""
        issuer = self._cas[ca]
        documents = encode_document(tcb_info), encode_document(qe_identity)
        signer_chain = self._chain(self._tcb_signer.certificate)
        return Collateral(
            pck_crl_issuer_chain=self._chain(issuer.certificate),
            root_ca_crl=_revocation_list(self._root, revocation, revoked_ca_serials),
            pck_crl=_revocation_list(issuer, revocation, revoked_serials),
            tcb_info_issuer_chain=signer_chain,
            tcb_info=documents[0],
            tcb_info_signature=raw_signature(self._tcb_signer.key, documents[0]),
            qe_identity_issuer_chain=signer_chain,
            qe_identity=documents[1],
            qe_identity_signature=raw_signature(self._tcb_signer.key, documents[1]),
        )

    def _key(self, label: str) -> ec.EllipticCurvePrivateKey:
        info = b"coco simulated authority 1 " + label.encode()
        return p256_key(HKDF(algorithm=SHA256(), length=64, salt=None, info=info).derive(self._secret))

    def _issuer(self, common_name: str, path_length: int | None) -> _Issuer:
        key = self._key(common_name)
        root = self._root
        certificate = self._certificate(
            _name(common_name), root.certificate.subject, key.public_key(), root.key, path_length
        )
        return _Issuer(key, certificate)

    def _certificate(
        self,
        subject: x509.Name,
        issuer: x509.Name,
        public_key: ec.EllipticCurvePublicKey,
        issuer_key: ec.EllipticCurvePrivateKey,
        path_length: int | None,
        *,
        extension: bytes | None = None,
        validity: Validity | None = None,
    ) -> x509.Certificate:
        """Issue a certificate: a CA's for a path length, else an end entity's. The same arguments, the same bytes."""
        validity = validity or self._validity
        is_ca = path_length is not None
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public_key)
            .serial_number(_serial(public_key, extension or b""))
            .not_valid_before(validity.start)
            .not_valid_after(validity.end)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(_key_usage(is_ca), critical=True)
            .add_extension(x509.BasicConstraints(is_ca, path_length), critical=True)
        )
        if extension is not None:
            unrecognised = x509.UnrecognizedExtension(x509.ObjectIdentifier(SGX_EXTENSION), extension)
            builder = builder.add_extension(unrecognised, critical=False)
        return builder.sign(issuer_key, SHA256(), ecdsa_deterministic=True)

    def _chain(self, *certificates: x509.Certificate) -> bytes:
        return encode_chain(tuple(_der(one) for one in (*certificates, self._root.certificate)))


def make_tcb_info(
    extension: PckExtension,
    validity: Validity,
    *,
    status: TcbStatus = TcbStatus.UP_TO_DATE,
    advisory_ids: Sequence[str] = (),
    evaluation_number: int = 1,
    levels: Sequence[TcbLevel] | None = None,
) -> TcbInfo:
    """Return TCB info that rates exactly this platform's TCB (and newer) with `status`, or gives `levels`."""
    components = tuple(Component(svn) for svn in extension.tcb_components)
    own_level = TcbLevel(Tcb(components, extension.pce_svn), validity.start, status, tuple(advisory_ids))
    return TcbInfo(
        id=SGX_TCB_INFO,
        version=TCB_INFO_VERSION,
        issue_date=validity.start,
        next_update=validity.end,
        fmspc=extension.fmspc.hex().upper(),
        pce_id=extension.pce_id.hex().upper(),
        tcb_type=0,
        tcb_evaluation_data_number=evaluation_number,
        tcb_levels=tuple(levels) if levels is not None else (own_level,),
    )


def make_qe_identity(
    enclave: Enclave,
    validity: Validity,
    *,
    status: TcbStatus = TcbStatus.UP_TO_DATE,
    evaluation_number: int = 1,
) -> QeIdentity:
    """Return the QE identity that admits this quoting enclave, at its security version or a newer one."""
    return QeIdentity(
        id="QE",
        version=QE_IDENTITY_VERSION,
        issue_date=validity.start,
        next_update=validity.end,
        tcb_evaluation_data_number=evaluation_number,
        miscselect=enclave.miscselect.to_bytes(4, "little").hex().upper(),
        miscselect_mask="FFFFFFFF",
        attributes=(enclave.attributes.flags.to_bytes(8, "little") + bytes(8)).hex().upper(),
        attributes_mask="FBFFFFFFFFFFFFFF0000000000000000",
        mrsigner=enclave.mrsigner.hex().upper(),
        isvprodid=enclave.isvprodid,
        tcb_levels=(EnclaveTcbLevel(EnclaveTcb(enclave.isvsvn), validity.start, status),),
    )


def serial_of_pck(public_key: ec.EllipticCurvePublicKey, extension: PckExtension) -> int:
    """Return the serial number under which this PCK is certified, for the revocation list."""
    return _serial(public_key, encode_pck_extension(extension))


def _revocation_list(issuer: _Issuer, validity: Validity, serials: Sequence[int]) -> bytes:
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(validity.start)
        .next_update(validity.end)
        .add_extension(x509.CRLNumber(1), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
    )
    for serial in serials:
        revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(validity.start)
        builder = builder.add_revoked_certificate(revoked.build())
    return builder.sign(issuer.key, SHA256(), ecdsa_deterministic=True).public_bytes(Encoding.DER)


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


def _serial(public_key: ec.EllipticCurvePublicKey, extra: bytes) -> int:
    encoded = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return int.from_bytes(hashlib.sha256(encoded + extra).digest()[:19], "big") | 1


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, _ORGANISATION),
        ]
    )


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)
