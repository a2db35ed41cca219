"""Verifying reports of VBS enclaves: root - attestation CA - identity key, which signs the report."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from enclave_sim.pki.documents import TcbStatus
from enclave_sim.sgx.fields import MalformedStructure
from enclave_sim.verify.certificates import Certificate, read_chain, read_revocation_list, require_chain
from enclave_sim.verify.errors import ChainInvalid, EvidenceMalformed, QuoteSignatureInvalid
from enclave_sim.verify.trust import TrustStore
from enclave_sim.verify.validity import require_aware, require_within
from enclave_sim.verify.verdict import Verdict
from enclave_sim.vsm.report import VbsPackage, parse_package

IDENTITY_KEY_NAME = "VBS Identity Key"
_SALT_BYTES = 32


@dataclass(frozen=True, slots=True)
class VsmCollateral:
    """What a verifier needs besides the report.

    chain_pem: identity key, attestation CA, root; lists: DER, of the root and of the CA. The minima are the verifier's
    own: no vendor rates hosts, so below them the status is OutOfDate.
    """

    chain_pem: bytes
    root_revocation_list: bytes
    ca_revocation_list: bytes
    secure_kernel_svn_min: int = 0
    platform_svn_min: int = 0


def verify_vbs_report(report: bytes, collateral: VsmCollateral, *, at: datetime, trust_store: TrustStore) -> Verdict:
    """Verify a VBS_ENCLAVE_REPORT package at that time (ValueError without a time zone); raises an EvidenceRefused."""
    at = require_aware(at)
    try:
        package = parse_package(report)
    except MalformedStructure as error:
        raise EvidenceMalformed(error.message) from None
    what = "the identity key's chain"
    leaf, authority, root_certificate = chain = read_chain(collateral.chain_pem, 3, what)
    root = trust_store.find("vsm", root_certificate.der)
    require_chain(chain, what)
    if IDENTITY_KEY_NAME not in leaf.common_name:
        raise ChainInvalid(f"{what}: {leaf.common_name!r} is not an identity key's certificate")
    root_list = read_revocation_list(collateral.root_revocation_list, root_certificate)
    ca_list = read_revocation_list(collateral.ca_revocation_list, authority)
    windows = (*(one.window for one in chain), root_list.window, ca_list.window)
    require_within(windows, at)
    ca_list.require_not_revoked(leaf)
    root_list.require_not_revoked(authority)
    _require_signature(package, leaf)
    identity = package.identity
    current = (
        identity.secure_kernel_svn >= collateral.secure_kernel_svn_min
        and identity.platform_svn >= collateral.platform_svn_min
    )
    return Verdict(
        tee="vsm",
        simulated=root.simulated,
        root=root.name,
        measurement=identity.unique_id,
        signer=identity.author_id,
        product_id=int.from_bytes(identity.image_id, "little"),
        security_version=identity.enclave_svn,
        report_data=package.enclave_data,
        debug=identity.flags != 0,
        platform=_key_id(leaf),
        tcb_status=TcbStatus.UP_TO_DATE if current else TcbStatus.OUT_OF_DATE,
        valid_until=min(window.end for window in windows),
        root_digest=root.digest,
        platform_versions=(("secure_kernel", identity.secure_kernel_svn), ("platform", identity.platform_svn)),
    )


def _require_signature(package: VbsPackage, leaf: Certificate) -> None:
    key = leaf.public_key
    if not isinstance(key, rsa.RSAPublicKey):
        raise ChainInvalid("the identity key is not RSA")
    try:
        key.verify(package.signature, package.statement(), PSS(MGF1(SHA256()), _SALT_BYTES), SHA256())
    except InvalidSignature:
        raise QuoteSignatureInvalid("the report is not what the identity key signed") from None


def _key_id(leaf: Certificate) -> str:
    encoded = leaf.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(encoded).hexdigest()
