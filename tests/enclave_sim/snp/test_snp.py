"""SEV-SNP reports: a real one, simulated ones, and each reason to refuse."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from enclave_sim.pki.documents import TcbStatus
from enclave_sim.snp.processor import POLICY_DEFAULT, SimulatedSnp, SimulatedSnpVendor
from enclave_sim.snp.report import POLICY_DEBUG, SnpTcb, parse_snp_report
from enclave_sim.verify import errors
from enclave_sim.verify.collateral_file import parse_any_collateral, write_any_collateral
from enclave_sim.verify.evidence import verify_evidence
from enclave_sim.verify.policy import Policy, check_policy
from enclave_sim.verify.snp import SnpCollateral, verify_snp_report
from enclave_sim.verify.trust import TrustStore, simulated_root, trust_store
from tests.support.attestation import MONTH, NOW, REPORT_DATA, YEARS

TCB = SnpTcb(3, 0, 8, 115)
VENDOR = SimulatedSnpVendor(b"v" * 32, YEARS)
PROCESSOR = SimulatedSnp(b"p" * 32, TCB)
COLLATERAL = SnpCollateral(*VENDOR.issue_vcek_chain(PROCESSOR), VENDOR.revocation_list(MONTH))
REPORT = PROCESSOR.report(b"m" * 48, REPORT_DATA, guest_svn=7)
STORE = trust_store([simulated_root("snp", VENDOR.root_certificate)], accept_simulated=True)


def refuse(reason: type[errors.EvidenceRefused], report: bytes = REPORT, **changes: object) -> None:
    at = changes.pop("at", NOW)
    with pytest.raises(errors.EvidenceRefused) as refused:
        verify_snp_report(report, replace(COLLATERAL, **changes), at=at, trust_store=STORE)  # type: ignore[arg-type]
    assert refused.type is reason, refused.value


def test_a_simulated_report() -> None:
    verdict = verify_evidence(REPORT, COLLATERAL, at=NOW, trust_store=STORE)
    assert (verdict.measurement, verdict.report_data, verdict.security_version) == (b"m" * 48, REPORT_DATA, 7)
    assert (verdict.simulated, verdict.tcb_status) == (True, TcbStatus.UP_TO_DATE)
    assert parse_snp_report(REPORT).encode() == REPORT
    later = replace(COLLATERAL, tcb_min=replace(TCB, microcode=116))
    assert verify_evidence(REPORT, later, at=NOW, trust_store=STORE).tcb_status is TcbStatus.OUT_OF_DATE
    off = TrustStore(STORE.roots)
    with pytest.raises(errors.SimulatedRootOff):
        verify_evidence(REPORT, COLLATERAL, at=NOW, trust_store=off)


def test_debug_is_for_the_policy() -> None:
    report = PROCESSOR.report(b"m" * 48, REPORT_DATA, policy=POLICY_DEFAULT | POLICY_DEBUG)
    with pytest.raises(errors.DebugRefused):
        check_policy(verify_snp_report(report, COLLATERAL, at=NOW, trust_store=STORE), Policy())


def test_every_byte_and_every_length() -> None:
    for offset in range(len(REPORT)):
        changed = bytearray(REPORT)
        changed[offset] ^= 1 << offset % 8
        with pytest.raises(errors.EvidenceRefused):
            verify_snp_report(bytes(changed), COLLATERAL, at=NOW, trust_store=STORE)
        refuse(errors.EvidenceMalformed, REPORT[:offset])
    refuse(errors.EvidenceMalformed, REPORT + b"\0")


def test_each_reason() -> None:
    refuse(errors.Expired, at=MONTH.end + timedelta(seconds=1))
    refuse(errors.NotYetValid, at=MONTH.start - timedelta(seconds=1))
    refuse(errors.CertificateRevoked, revocation_list=VENDOR.revocation_list(MONTH, revoke_ask=True))
    refuse(errors.RevocationListInvalid, revocation_list=b"")
    refuse(errors.ChainInvalid, vcek=COLLATERAL.ask)
    refuse(errors.ChainInvalid, ask=COLLATERAL.ark, ark=COLLATERAL.ark)
    refuse(errors.ChainInvalid, vcek=b"")
    refuse(errors.QuoteSignatureInvalid, SimulatedSnp(b"q" * 32, TCB).report(b"m" * 48, REPORT_DATA))
    newer = SimulatedSnp(b"p" * 32, replace(TCB, snp=9))
    refuse(errors.QuoteSignatureInvalid, newer.report(b"m" * 48, REPORT_DATA))


def test_its_collateral_as_a_file() -> None:
    assert parse_any_collateral(write_any_collateral(COLLATERAL)) == COLLATERAL
