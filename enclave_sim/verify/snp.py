"""Verifying SEV-SNP attestation reports: ARK - ASK - VCEK, which signs the report.

AMD rates no TCB: the VCEK is bound to one, and the verifier says which is the least it takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384

from enclave_sim.pki.der import MalformedDer
from enclave_sim.pki.documents import TcbStatus
from enclave_sim.sgx.fields import MalformedStructure
from enclave_sim.snp.report import SnpReport, SnpTcb, parse_snp_report
from enclave_sim.snp.vcek import VcekFacts, parse_vcek_extensions
from enclave_sim.verify.certificates import Certificate, read_certificate, read_revocation_list, require_chain
from enclave_sim.verify.errors import ChainInvalid, EvidenceMalformed, PlatformMismatch, QuoteSignatureInvalid
from enclave_sim.verify.trust import TrustStore
from enclave_sim.verify.validity import require_aware, require_within
from enclave_sim.verify.verdict import Verdict

VCEK_NAME = "SEV-VCEK"
NO_MINIMUM = SnpTcb(0, 0, 0, 0)
_SIGNING_KEY_VCEK = 0
_MASK_CHIP_KEY = 1 << 1


@dataclass(frozen=True, slots=True)
class SnpCollateral:
    """What a verifier needs besides the report: certificates and the ARK's revocation list in DER.

    The list says which ASKs are revoked; without it (AMD serves it apart) revocation is not checked. Below tcb_min the
    status is OutOfDate.
    """

    vcek: bytes
    ask: bytes
    ark: bytes
    revocation_list: bytes | None = None
    tcb_min: SnpTcb = NO_MINIMUM


def verify_snp_report(report: bytes, collateral: SnpCollateral, *, at: datetime, trust_store: TrustStore) -> Verdict:
    """Verify a report at that time (ValueError without a time zone); raises an EvidenceRefused."""
    at = require_aware(at)
    try:
        parsed = parse_snp_report(report)
    except MalformedStructure as error:
        raise EvidenceMalformed(error.message) from None
    what = "the VCEK chain"
    vcek, ask, ark = chain = tuple(map(read_certificate, (collateral.vcek, collateral.ask, collateral.ark)))
    root = trust_store.find("snp", ark.der)
    require_chain(chain, what)
    windows = [one.window for one in chain]
    if collateral.revocation_list is not None:
        revocations = read_revocation_list(collateral.revocation_list, ark)
        revocations.require_not_revoked(ask)
        windows.append(revocations.window)
    require_within(windows, at)
    facts = _read_facts(vcek, what)
    _require_signature(parsed, vcek)
    _require_same_processor(parsed, facts)
    return Verdict(
        tee="snp",
        simulated=root.simulated,
        root=root.name,
        measurement=parsed.measurement,
        signer=parsed.id_key_digest,
        product_id=0,
        security_version=parsed.guest_svn,
        report_data=parsed.report_data,
        debug=parsed.debug,
        platform=parsed.chip_id.hex(),
        tcb_status=(
            TcbStatus.UP_TO_DATE if parsed.reported_tcb.at_least(collateral.tcb_min) else TcbStatus.OUT_OF_DATE
        ),
        valid_until=min(window.end for window in windows),
        root_digest=root.digest,
        platform_versions=(
            ("boot_loader", parsed.reported_tcb.boot_loader),
            ("tee", parsed.reported_tcb.tee),
            ("snp", parsed.reported_tcb.snp),
            ("microcode", parsed.reported_tcb.microcode),
        ),
    )


def _read_facts(vcek: Certificate, what: str) -> VcekFacts:
    if VCEK_NAME not in vcek.common_name:
        raise ChainInvalid(f"{what}: {vcek.common_name!r} is not a VCEK certificate")
    try:
        return parse_vcek_extensions(vcek.extensions)
    except MalformedDer as error:
        raise ChainInvalid(f"{what}: {error.message}") from None


def _require_signature(report: SnpReport, vcek: Certificate) -> None:
    key = vcek.public_key
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise ChainInvalid("the VCEK is not P-384")
    r, s = (int.from_bytes(value, "little") for value in (report.r, report.s))
    try:
        key.verify(encode_dss_signature(r, s), report.signed(), ec.ECDSA(SHA384()))
    except InvalidSignature:
        raise QuoteSignatureInvalid("the report is not what the processor's key signed") from None


def _require_same_processor(report: SnpReport, facts: VcekFacts) -> None:
    if report.key_information >> 2 != _SIGNING_KEY_VCEK or report.key_information & _MASK_CHIP_KEY:
        raise PlatformMismatch("the report says it is signed by another key than the VCEK")
    if report.chip_id != facts.chip_id:
        raise PlatformMismatch("the report is of another chip than the VCEK certificate")
    if report.reported_tcb != facts.tcb:
        raise PlatformMismatch("the report's TCB is not the one that the VCEK is bound to")
