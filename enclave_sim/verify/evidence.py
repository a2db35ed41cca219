"""One entrance to all verifiers: the collateral's type says which kind of evidence it is."""

from __future__ import annotations

from datetime import datetime
from typing import assert_never

from enclave_sim.pki.collateral import Collateral
from enclave_sim.verify.quote import verify_quote
from enclave_sim.verify.snp import SnpCollateral, verify_snp_report
from enclave_sim.verify.trust import TrustStore
from enclave_sim.verify.verdict import Verdict
from enclave_sim.verify.vsm import VsmCollateral, verify_vbs_report

AnyCollateral = Collateral | VsmCollateral | SnpCollateral


def verify_evidence(evidence: bytes, collateral: AnyCollateral, *, at: datetime, trust_store: TrustStore) -> Verdict:
    """Verify a quote (SGX, TDX), a VBS report or an SNP report; raises an EvidenceRefused."""
    match collateral:
        case Collateral():
            return verify_quote(evidence, collateral, at=at, trust_store=trust_store)
        case VsmCollateral():
            return verify_vbs_report(evidence, collateral, at=at, trust_store=trust_store)
        case SnpCollateral():
            return verify_snp_report(evidence, collateral, at=at, trust_store=trust_store)
        case _:
            assert_never(collateral)
