"""dcap-qvl, a verifier that others wrote, agrees: on our quotes under our root and Intel's, and on real ones."""

from __future__ import annotations

from datetime import timedelta

import dcap_qvl
import msgspec
import pytest

from enclave_sim.pki.authority import SimulatedAuthority
from enclave_sim.pki.collateral import Collateral
from enclave_sim.pki.documents import Component, EnclaveTcb, EnclaveTcbLevel, Tcb, TcbLevel, TcbStatus
from enclave_sim.pki.pem import parse_chain
from enclave_sim.sgx.quoting import quoting_enclave_identity
from enclave_sim.verify.certificates import read_certificate
from enclave_sim.verify.errors import EvidenceRefused
from enclave_sim.verify.quote import verify_quote
from enclave_sim.verify.trust import trust_store
from tests.support.attestation import (
    CPUSVN,
    ENCLAVE,
    HARDWARE_TIME,
    MONTH,
    NOW,
    PCE_SVN,
    REPORT_DATA,
    Platform,
    hardware,
    vector,
)

PLATFORM = Platform()


def theirs(collateral: Collateral) -> dcap_qvl.QuoteCollateralV3:
    return dcap_qvl.QuoteCollateralV3.from_json(collateral.to_json().decode())


def test_it_accepts_our_quotes_under_our_root_and_refuses_them_under_intels() -> None:
    quote, collateral, now = PLATFORM.quote(), theirs(PLATFORM.collateral()), int(NOW.timestamp())
    verified = dcap_qvl.verify_with_root_ca(quote, collateral, PLATFORM.authority.root_certificate, now)
    assert (verified.status, verified.advisory_ids, verified.ppid) == ("UpToDate", [], PLATFORM.cpu.ppid)
    with pytest.raises(ValueError, match=r"InvalidCrlSignature|Verification failed"):
        dcap_qvl.verify(quote, collateral, now)
    other = SimulatedAuthority(b"b" * 32, MONTH).root_certificate
    with pytest.raises(ValueError):
        dcap_qvl.verify_with_root_ca(quote, collateral, other, now)


def test_it_parses_the_measurement_out_of_our_quotes() -> None:
    parsed = dcap_qvl.parse_quote(PLATFORM.quote())
    assert bytes(parsed.report.mr_enclave) == ENCLAVE.mrenclave
    assert bytes(parsed.report.mr_signer) == ENCLAVE.mrsigner
    assert bytes(parsed.report.report_data) == REPORT_DATA
    assert bytes.fromhex(parsed.fmspc()) == PLATFORM.extension.fmspc


@pytest.mark.parametrize("name", ["sgx", "tdx"])
def test_we_agree_on_real_hardware(name: str) -> None:
    quote, collateral = hardware(name)
    verdict = verify_quote(quote, collateral, at=HARDWARE_TIME, trust_store=trust_store())
    file = vector(f"{name}_quote_collateral.json").read_text()
    for their_collateral in (theirs(collateral), dcap_qvl.QuoteCollateralV3.from_json(file)):
        verified = dcap_qvl.verify(quote, their_collateral, int(HARDWARE_TIME.timestamp()))
        assert (verified.status, tuple(verified.advisory_ids)) == (verdict.tcb_status.value, verdict.advisory_ids)
        assert bytes(verified.ppid).hex() == verdict.platform
    for days in (-3, 30):
        with pytest.raises(ValueError):
            dcap_qvl.verify(quote, theirs(collateral), int((HARDWARE_TIME + timedelta(days=days)).timestamp()))


def level(first: int, pce_svn: int, status: TcbStatus, *advisory_ids: str) -> TcbLevel:
    components = tuple(Component(svn) for svn in (first, *CPUSVN[1:]))
    return TcbLevel(Tcb(components, pce_svn), MONTH.start, status, advisory_ids)


@pytest.mark.parametrize("platform_status", list(TcbStatus))
@pytest.mark.parametrize("qe_status", [TcbStatus.UP_TO_DATE, TcbStatus.OUT_OF_DATE, TcbStatus.REVOKED])
def test_we_agree_on_statuses(platform_status: TcbStatus, qe_status: TcbStatus) -> None:
    levels = (
        level(CPUSVN[0] - 1, PCE_SVN, TcbStatus.OUT_OF_DATE, "OLD"),
        level(CPUSVN[0], PCE_SVN, platform_status, "A", "B"),
        level(CPUSVN[0], PCE_SVN + 1, TcbStatus.UP_TO_DATE),
        level(CPUSVN[0] + 1, PCE_SVN, TcbStatus.UP_TO_DATE),
    )
    qe_levels = (EnclaveTcbLevel(EnclaveTcb(quoting_enclave_identity().isvsvn), MONTH.start, qe_status, ("B", "C")),)
    identity = msgspec.structs.replace(PLATFORM.qe_identity(), tcb_levels=qe_levels)
    collateral = PLATFORM.collateral(tcb_info=PLATFORM.tcb_info(levels=levels), qe_identity=identity)
    quote, root, now = PLATFORM.quote(), PLATFORM.authority.root_certificate, int(NOW.timestamp())
    if TcbStatus.REVOKED in (platform_status, qe_status):
        with pytest.raises(ValueError):
            dcap_qvl.verify_with_root_ca(quote, theirs(collateral), root, now)
        with pytest.raises(EvidenceRefused):
            verify_quote(quote, collateral, at=NOW, trust_store=PLATFORM.store())
        return
    verified = dcap_qvl.verify_with_root_ca(quote, theirs(collateral), root, now)
    verdict = verify_quote(quote, collateral, at=NOW, trust_store=PLATFORM.store())
    assert verdict.advisory_ids == tuple(verified.advisory_ids) == ("A", "B", "C")
    assert verdict.tcb_status.value == verified.status


def test_what_one_refuses_the_other_does() -> None:
    root, now = PLATFORM.authority.root_certificate, int(NOW.timestamp())
    quote, good = PLATFORM.quote(), PLATFORM.collateral()
    others = Platform(fmspc=bytes(6))
    leaf = read_certificate(parse_chain(PLATFORM.chain)[0])
    cases = [
        (quote[:-1], good, now),
        (quote[:100] + b"\1" + quote[101:], good, now),
        (quote, others.collateral(), now),
        (quote, good, int(MONTH.end.timestamp()) + 1),
        (quote, good, int(MONTH.start.timestamp()) - 1),
        (Platform(qe=quoting_enclave_identity(isvsvn=7)).quote(), good, now),
        (quote, PLATFORM.collateral(revoked_serials=[leaf.serial]), now),
    ]
    for evidence, collateral, at in cases:
        with pytest.raises(ValueError):
            dcap_qvl.verify_with_root_ca(evidence, theirs(collateral), root, at)
        with pytest.raises(EvidenceRefused):
            verify_quote(evidence, collateral, at=NOW + timedelta(seconds=at - now), trust_store=PLATFORM.store())
