"""Policy: which genuine evidence is acceptable. By default only an up-to-date platform and no debug enclave."""

from __future__ import annotations

from dataclasses import dataclass

from enclave_sim.pki.documents import TcbStatus
from enclave_sim.verify.errors import (
    AdvisoryRefused,
    DebugRefused,
    EvaluationNumberRefused,
    MeasurementRefused,
    PolicyRefused,
    ProductRefused,
    SecurityVersionRefused,
    SignerRefused,
    TcbRevoked,
    TcbStatusRefused,
    TeeRefused,
)
from enclave_sim.verify.verdict import Verdict

UP_TO_DATE_ONLY = frozenset({TcbStatus.UP_TO_DATE})


@dataclass(frozen=True, slots=True)
class Policy:
    """What is acceptable; None accepts any.

    accepted_advisories: the advisories that may apply (they come with statuses other than UpToDate).
    """

    tees: frozenset[str] | None = None
    tcb_statuses: frozenset[TcbStatus] = UP_TO_DATE_ONLY
    accepted_advisories: frozenset[str] | None = None
    allow_debug: bool = False
    security_version_min: int = 0
    tcb_evaluation_number_min: int = 0
    measurements: frozenset[bytes] | None = None
    signers: frozenset[bytes] | None = None
    product_ids: frozenset[int] | None = None


def check_policy(verdict: Verdict, policy: Policy) -> None:
    """Raise the first reason for which the policy refuses this verdict: a PolicyRefused, or TcbRevoked."""
    reasons = policy_refusals(verdict, policy)
    if reasons:
        raise reasons[0]


def policy_refusals(verdict: Verdict, policy: Policy) -> list[PolicyRefused | TcbRevoked]:
    """Return every reason for which the policy refuses this verdict; none when it accepts."""
    reasons: list[PolicyRefused | TcbRevoked] = []
    if policy.tees is not None and verdict.tee not in policy.tees:
        reasons.append(TeeRefused(f"{verdict.tee} is not among the accepted TEEs: {', '.join(sorted(policy.tees))}"))
    if verdict.tcb_status is TcbStatus.REVOKED:
        reasons.append(TcbRevoked("the platform's TCB level is revoked"))
    elif verdict.tcb_status not in policy.tcb_statuses:
        accepted = ", ".join(sorted(status.value for status in policy.tcb_statuses))
        reasons.append(TcbStatusRefused(f"the TCB status is {verdict.tcb_status.value}; accepted: {accepted}"))
    if policy.accepted_advisories is not None and (
        others := [one for one in verdict.advisory_ids if one not in policy.accepted_advisories]
    ):
        reasons.append(AdvisoryRefused(f"advisories that are not accepted apply: {', '.join(others)}"))
    if verdict.debug and not policy.allow_debug:
        reasons.append(DebugRefused("the enclave is a debug enclave: its host can read and change its memory"))
    reasons += _identity_refusals(verdict, policy)
    return reasons


def _identity_refusals(verdict: Verdict, policy: Policy) -> list[PolicyRefused]:
    reasons: list[PolicyRefused] = []
    if verdict.security_version < policy.security_version_min:
        least = policy.security_version_min
        reasons.append(SecurityVersionRefused(f"security version {verdict.security_version}; at least {least}"))
    # Evidence without a number (not Intel's) is below every minimum but 0.
    if (verdict.tcb_evaluation_number or 0) < policy.tcb_evaluation_number_min:
        least = policy.tcb_evaluation_number_min
        reasons.append(EvaluationNumberRefused(f"TCB evaluation {verdict.tcb_evaluation_number}; at least {least}"))
    if policy.measurements is not None and verdict.measurement not in policy.measurements:
        reasons.append(MeasurementRefused(f"the measurement {verdict.measurement.hex()} is not allowed"))
    if policy.signers is not None and verdict.signer not in policy.signers:
        reasons.append(SignerRefused(f"the signer {verdict.signer.hex()} is not allowed"))
    if policy.product_ids is not None and verdict.product_id not in policy.product_ids:
        reasons.append(ProductRefused(f"the product id {verdict.product_id} is not allowed"))
    return reasons
