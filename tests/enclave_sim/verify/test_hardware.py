"""Evidence of real hardware: accepted at the time when its collateral held, refused before, after and elsewhere."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from enclave_sim.pki.documents import TcbStatus
from enclave_sim.sgx.quote import parse_quote
from enclave_sim.verify.errors import (
    DocumentInvalid,
    EvidenceMalformed,
    Expired,
    NotYetValid,
    PlatformMismatch,
    TcbStatusRefused,
    UnknownRoot,
)
from enclave_sim.verify.policy import Policy, check_policy
from enclave_sim.verify.quote import verify_quote
from enclave_sim.verify.trust import TrustStore, simulated_root, trust_store
from tests.support.attestation import HARDWARE_TIME, Platform, hardware, vector


def test_sgx() -> None:
    quote, collateral = hardware("sgx")
    verdict = verify_quote(quote, collateral, at=HARDWARE_TIME, trust_store=trust_store())
    assert verdict.tcb_status is TcbStatus.CONFIGURATION_AND_SW_HARDENING_NEEDED
    assert verdict.advisory_ids == ("INTEL-SA-00289", "INTEL-SA-00615")
    assert (verdict.tee, verdict.simulated, verdict.debug, verdict.fmspc) == ("sgx", False, False, "00A067110000")
    assert verdict.report_data == b"Hello, world!".ljust(64, b"\0")
    assert verdict.measurement.hex() == "33d8736db756ed4997e04ba358d27833188f1932ff7b1d156904d3f560452fbb"
    assert verdict.claims().measurement == verdict.measurement
    with pytest.raises(TcbStatusRefused):
        check_policy(verdict, Policy())
    check_policy(verdict, Policy(tcb_statuses=frozenset({verdict.tcb_status})))


def test_tdx() -> None:
    quote, collateral = hardware("tdx")
    verdict = verify_quote(quote, collateral, at=HARDWARE_TIME, trust_store=trust_store())
    assert (verdict.tee, verdict.tcb_status, verdict.advisory_ids) == ("tdx", TcbStatus.UP_TO_DATE, ())
    assert len(verdict.measurement) == 48
    assert len(verdict.runtime_measurements) == 4
    check_policy(verdict, Policy())


@pytest.mark.parametrize("name", ["sgx", "tdx"])
def test_before_after_and_under_another_root(name: str) -> None:
    quote, collateral = hardware(name)
    store = trust_store()
    with pytest.raises(NotYetValid):
        verify_quote(quote, collateral, at=HARDWARE_TIME - timedelta(days=3), trust_store=store)
    with pytest.raises(Expired):
        verify_quote(quote, collateral, at=HARDWARE_TIME + timedelta(days=30), trust_store=store)
    root = simulated_root("sgx", Platform().authority.root_certificate)
    with pytest.raises(UnknownRoot):
        verify_quote(quote, collateral, at=HARDWARE_TIME, trust_store=TrustStore((root,), accept_simulated=True))
    with pytest.raises(ValueError):
        verify_quote(quote, collateral, at=HARDWARE_TIME.replace(tzinfo=None), trust_store=store)


def test_the_exact_ends_of_validity() -> None:
    quote, collateral = hardware("sgx")
    store = trust_store()
    until = verify_quote(quote, collateral, at=HARDWARE_TIME, trust_store=store).valid_until
    assert verify_quote(quote, collateral, at=until, trust_store=store)
    with pytest.raises(Expired):
        verify_quote(quote, collateral, at=until + timedelta(seconds=1), trust_store=store)


@pytest.mark.parametrize("name", ["sgx", "tdx"])
def test_no_trailing_bytes(name: str) -> None:
    quote, collateral = hardware(name)
    for padding in (b"\0", b"x"):
        with pytest.raises(EvidenceMalformed):
            verify_quote(quote + padding, collateral, at=HARDWARE_TIME, trust_store=trust_store())
    if name == "tdx":
        padded = vector("tdx_quote").read_bytes()
        with pytest.raises(EvidenceMalformed):
            verify_quote(padded, collateral, at=HARDWARE_TIME, trust_store=trust_store())


def test_the_collateral_of_another_kind_of_platform() -> None:
    (sgx, sgx_collateral), (tdx, tdx_collateral) = hardware("sgx"), hardware("tdx")
    for quote, collateral in ((sgx, tdx_collateral), (tdx, sgx_collateral)):
        with pytest.raises(PlatformMismatch):
            verify_quote(quote, collateral, at=HARDWARE_TIME, trust_store=trust_store())
    documents = ("tcb_info", "tcb_info_signature", "qe_identity", "qe_identity_signature")
    mixed = replace(sgx_collateral, **{name: getattr(tdx_collateral, name) for name in documents})
    with pytest.raises(DocumentInvalid):
        verify_quote(sgx, mixed, at=HARDWARE_TIME, trust_store=trust_store())
    half = replace(sgx_collateral, **{name: getattr(tdx_collateral, name) for name in documents[2:]})
    with pytest.raises(DocumentInvalid):
        verify_quote(sgx, half, at=HARDWARE_TIME, trust_store=trust_store())
    assert parse_quote(sgx).header.version == 3
