"""Each reason of the policy, and that the default takes only what is up to date and not debug."""

from __future__ import annotations

from dataclasses import replace

import pytest

from enclave_sim.pki.documents import TcbStatus
from enclave_sim.verify import errors
from enclave_sim.verify.policy import Policy, check_policy, policy_refusals
from enclave_sim.verify.verdict import Verdict
from tests.support.attestation import NOW

GOOD = Verdict(
    tee="sgx",
    simulated=False,
    root="root",
    measurement=b"m" * 32,
    signer=b"s" * 32,
    product_id=1,
    security_version=2,
    report_data=bytes(64),
    debug=False,
    platform="00",
    tcb_status=TcbStatus.UP_TO_DATE,
    valid_until=NOW,
    tcb_evaluation_number=17,
)
ALL_STATUSES = frozenset(TcbStatus)


def test_what_meets_every_demand() -> None:
    policy = Policy(
        tees=frozenset({"sgx"}),
        accepted_advisories=frozenset(),
        security_version_min=2,
        tcb_evaluation_number_min=17,
        measurements=frozenset({GOOD.measurement}),
        signers=frozenset({GOOD.signer}),
        product_ids=frozenset({1}),
    )
    check_policy(GOOD, policy)
    check_policy(GOOD, Policy())


@pytest.mark.parametrize(
    ("verdict", "policy", "reason"),
    [
        (GOOD, Policy(tees=frozenset({"tdx"})), errors.TeeRefused),
        (replace(GOOD, tcb_status=TcbStatus.OUT_OF_DATE), Policy(), errors.TcbStatusRefused),
        (replace(GOOD, tcb_status=TcbStatus.REVOKED), Policy(tcb_statuses=ALL_STATUSES), errors.TcbRevoked),
        (replace(GOOD, advisory_ids=("A", "B")), Policy(accepted_advisories=frozenset("A")), errors.AdvisoryRefused),
        (replace(GOOD, debug=True), Policy(), errors.DebugRefused),
        (GOOD, Policy(security_version_min=3), errors.SecurityVersionRefused),
        (GOOD, Policy(tcb_evaluation_number_min=18), errors.EvaluationNumberRefused),
        (
            replace(GOOD, tcb_evaluation_number=None),
            Policy(tcb_evaluation_number_min=1),
            errors.EvaluationNumberRefused,
        ),
        (GOOD, Policy(measurements=frozenset({b"x" * 32})), errors.MeasurementRefused),
        (GOOD, Policy(measurements=frozenset()), errors.MeasurementRefused),
        (GOOD, Policy(signers=frozenset({b"x" * 32})), errors.SignerRefused),
        (GOOD, Policy(product_ids=frozenset({2})), errors.ProductRefused),
    ],
)
def test_each_reason(verdict: Verdict, policy: Policy, reason: type[errors.EvidenceRefused]) -> None:
    with pytest.raises(reason):
        check_policy(verdict, policy)
    assert [type(one) for one in policy_refusals(verdict, policy)] == [reason]


def test_all_reasons_are_told() -> None:
    verdict = replace(GOOD, debug=True, tcb_status=TcbStatus.OUT_OF_DATE)
    reasons = policy_refusals(verdict, Policy(security_version_min=9))
    assert [one.reason for one in reasons] == ["tcb-status-refused", "debug-enclave", "security-version-too-low"]
    assert policy_refusals(verdict, Policy(tcb_statuses=ALL_STATUSES, allow_debug=True)) == []


def test_every_reason_has_its_own_name() -> None:
    def leaves(kind: type[errors.EvidenceRefused]) -> list[type[errors.EvidenceRefused]]:
        below = [leaf for child in kind.__subclasses__() for leaf in leaves(child)]
        return below or [kind]

    names = [kind.reason for kind in leaves(errors.EvidenceRefused)]
    assert len(names) == len(set(names)) > 25
