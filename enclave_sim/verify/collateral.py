"""Opening collateral: every signature in it checked once, without a clock; the times are kept to be checked later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from enclave_sim.pki.collateral import Collateral
from enclave_sim.pki.documents import (
    DOCUMENT_BYTES_MAX,
    QE_IDENTITY_VERSION,
    TCB_INFO_VERSION,
    MalformedDocument,
    QeIdentity,
    TcbInfo,
    decode_document,
)
from enclave_sim.verify.certificates import (
    Certificate,
    RevocationList,
    read_chain,
    read_revocation_list,
    require_chain,
)
from enclave_sim.verify.errors import ChainInvalid, DocumentInvalid, DocumentSignatureInvalid
from enclave_sim.verify.trust import TrustedRoot, TrustStore
from enclave_sim.verify.validity import Window

PCK_CA_NAMES = ("SGX PCK Platform CA", "SGX PCK Processor CA")
TCB_SIGNER_NAME = "SGX TCB Signing"
_DocumentT = TypeVar("_DocumentT", TcbInfo, QeIdentity)


@dataclass(frozen=True, slots=True)
class OpenedCollateral:
    """Collateral whose signatures hold under `root`. windows: what must hold at the time of verification."""

    root: TrustedRoot
    pck_ca: Certificate
    pck_revocations: RevocationList
    root_revocations: RevocationList
    tcb_info: TcbInfo
    qe_identity: QeIdentity
    windows: tuple[Window, ...]


def open_collateral(collateral: Collateral, store: TrustStore) -> OpenedCollateral:
    """Check all signatures; raises an EvidenceRefused."""
    pck_ca, root_certificate = _two_links(collateral.pck_crl_issuer_chain, PCK_CA_NAMES, "PCK CRL issuer chain", True)
    root = store.find("sgx", root_certificate.der)
    tcb_signer = _signer(collateral.tcb_info_issuer_chain, root_certificate, "TCB info issuer chain")
    qe_signer = _signer(collateral.qe_identity_issuer_chain, root_certificate, "QE identity issuer chain")
    root_revocations = read_revocation_list(collateral.root_ca_crl, root_certificate)
    pck_revocations = read_revocation_list(collateral.pck_crl, pck_ca)
    for certificate in (root_certificate, pck_ca, tcb_signer, qe_signer):
        root_revocations.require_not_revoked(certificate)
    tcb_info = _document(collateral.tcb_info, collateral.tcb_info_signature, tcb_signer, TcbInfo)
    qe_identity = _document(collateral.qe_identity, collateral.qe_identity_signature, qe_signer, QeIdentity)
    if tcb_info.version != TCB_INFO_VERSION or tcb_info.tcb_type != 0:
        raise DocumentInvalid(f"TCB info of version {tcb_info.version}; {TCB_INFO_VERSION} is read")
    if qe_identity.version != QE_IDENTITY_VERSION:
        raise DocumentInvalid(f"QE identity of version {qe_identity.version}; {QE_IDENTITY_VERSION} is read")
    windows = (
        root_certificate.window,
        pck_ca.window,
        tcb_signer.window,
        qe_signer.window,
        root_revocations.window,
        pck_revocations.window,
        Window("the TCB info", tcb_info.issue_date, tcb_info.next_update),
        Window("the QE identity", qe_identity.issue_date, qe_identity.next_update),
    )
    return OpenedCollateral(root, pck_ca, pck_revocations, root_revocations, tcb_info, qe_identity, windows)


def verify_p256(key: Certificate | ec.EllipticCurvePublicKey, signature: bytes, data: bytes) -> bool:
    """Say whether r | s (64 bytes) is the key's ECDSA P-256 signature over SHA-256 of data."""
    public = key.public_key if isinstance(key, Certificate) else key
    if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
        return False
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    try:
        public.verify(encode_dss_signature(r, s), data, ec.ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


def _signer(pem: bytes, root: Certificate, what: str) -> Certificate:
    signer, own_root = _two_links(pem, (TCB_SIGNER_NAME,), what, False)
    if own_root.der != root.der:
        raise ChainInvalid(f"{what}: leads to another root than the rest of the collateral")
    return signer


def _two_links(pem: bytes, names: tuple[str, ...], what: str, is_ca: bool) -> tuple[Certificate, Certificate]:
    """Read a chain of exactly one certificate and its root; the former is an authority's or an end entity's."""
    first, root = read_chain(pem, 2, what)
    if not any(name in first.common_name for name in names):
        raise ChainInvalid(f"{what}: {first.common_name!r} is not a certificate for this purpose")
    require_chain((first, root), what, first_is_ca=is_ca)
    return first, root


def _document(text: bytes, signature: bytes, signer: Certificate, kind: type[_DocumentT]) -> _DocumentT:
    if len(text) > DOCUMENT_BYTES_MAX:
        raise DocumentInvalid(f"{kind.__name__} has {len(text)} bytes; at most {DOCUMENT_BYTES_MAX} are read")
    if not verify_p256(signer, signature, text):
        raise DocumentSignatureInvalid(
            f"{kind.__name__} is not what {signer.common_name!r} signed",
            hint="The exact bytes count: JSON that was parsed and written again is no longer signed.",
        )
    try:
        return decode_document(text, kind)
    except MalformedDocument as error:
        raise DocumentInvalid(error.message) from None
