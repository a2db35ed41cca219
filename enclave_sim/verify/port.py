"""The EvidenceVerifier of core's ports: evidence and collateral from a node's certificate, verdict and policy in one.

The roots, whether simulated ones count, the policy and the least versions are this node's own; a peer brings nothing
but evidence and collateral, which the vendor signed. Old collateral is accepted while it is valid: to require newer,
set `tcb_evaluation_number_min` in the policy.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from core.ports import Evidence, ReportClaims
from enclave_sim.pki.collateral import Collateral
from enclave_sim.snp.report import SnpTcb
from enclave_sim.verify.endorsements import parse_endorsements, tag_of
from enclave_sim.verify.errors import CollateralMalformed
from enclave_sim.verify.evidence import AnyCollateral, verify_evidence
from enclave_sim.verify.policy import Policy, check_policy
from enclave_sim.verify.quote import QuoteVerifier
from enclave_sim.verify.snp import NO_MINIMUM, SnpCollateral
from enclave_sim.verify.trust import TrustStore
from enclave_sim.verify.vsm import VsmCollateral


class RemoteVerifier:
    """See the module.

    collateral: used in place of what a peer brings, for evidence of its kind. The minima are for VBS hosts and SNP
    processors, which no vendor rates.
    """

    def __init__(
        self,
        trust_store: TrustStore,
        policy: Policy,
        *,
        collateral: AnyCollateral | None = None,
        secure_kernel_svn_min: int = 0,
        platform_svn_min: int = 0,
        snp_tcb_min: SnpTcb = NO_MINIMUM,
    ) -> None:
        self._trust_store = trust_store
        self._policy = policy
        self._collateral = collateral
        self._secure_kernel_svn_min = secure_kernel_svn_min
        self._platform_svn_min = platform_svn_min
        self._snp_tcb_min = snp_tcb_min
        self._quotes = QuoteVerifier(trust_store)

    def verify(self, evidence: Evidence, *, at: datetime) -> ReportClaims:
        """Verify at that time (ValueError without a time zone); raises an EvidenceRefused."""
        match self._collateral_for(evidence):
            case Collateral() as collateral:
                verdict = self._quotes.verify(evidence.data, collateral, at=at)
            case VsmCollateral() as found:
                svn_min, platform_min = self._secure_kernel_svn_min, self._platform_svn_min
                own = replace(found, secure_kernel_svn_min=svn_min, platform_svn_min=platform_min)
                verdict = verify_evidence(evidence.data, own, at=at, trust_store=self._trust_store)
            case SnpCollateral() as found:
                rated = replace(found, tcb_min=self._snp_tcb_min)
                verdict = verify_evidence(evidence.data, rated, at=at, trust_store=self._trust_store)
        check_policy(verdict, self._policy)
        return verdict.claims()

    def _collateral_for(self, evidence: Evidence) -> AnyCollateral:
        if self._collateral is not None and tag_of(self._collateral) == evidence.tag:
            return self._collateral
        if not evidence.endorsements:
            raise CollateralMalformed("the evidence came without collateral, and there is none here")
        return parse_endorsements(evidence.tag, evidence.endorsements)
