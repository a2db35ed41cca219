"""The simulated machine: its reports are for one enclave, its quotes verify under its own root and no other."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import dcap_qvl
import pytest

from core.errors import AuthenticationFailed
from enclave_sim.platform.cpu import COLLATERAL_DAYS, EnclaveIdentity, SimulatedCpu
from enclave_sim.sgx.keyrequest import KeyName, KeyPolicy, KeyRequest
from enclave_sim.sgx.report import REPORT_BYTES
from enclave_sim.verify.errors import EvidenceRefused, Expired, SimulatedRootOff, UnknownRoot
from enclave_sim.verify.quote import verify_quote
from enclave_sim.verify.trust import TrustStore, simulated_root, trust_store

DATA = bytes(range(64))
MANAGER = EnclaveIdentity(hashlib.sha256(b"manager").digest(), "manager")
WORKER = EnclaveIdentity(hashlib.sha256(b"worker").digest(), "worker")
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def cpu() -> SimulatedCpu:
    return SimulatedCpu(bytes(range(32)), b"a" * 32)


def store_of(cpu: SimulatedCpu, *, accept_simulated: bool = True) -> TrustStore:
    return trust_store([simulated_root("sgx", cpu.root_certificate)], accept_simulated=accept_simulated)


def test_a_report_says_who_and_what(cpu: SimulatedCpu) -> None:
    report = cpu.report(MANAGER, DATA, WORKER.measurement)
    claims = cpu.verify_report(WORKER, report)
    assert len(report) == REPORT_BYTES
    assert (claims.measurement, claims.report_data) == (MANAGER.measurement, DATA)
    assert (claims.tee, claims.simulated, claims.debug) == ("sgx", True, False)
    assert claims.platform == cpu.platform_id


def test_only_its_target_on_the_same_machine_checks_a_report(cpu: SimulatedCpu) -> None:
    report = cpu.report(MANAGER, DATA, WORKER.measurement)
    for reader, machine in ((MANAGER, cpu), (WORKER, SimulatedCpu(bytes(32), b"a" * 32))):
        with pytest.raises(AuthenticationFailed):
            machine.verify_report(reader, report)


def test_any_flipped_bit_of_a_report_is_refused(cpu: SimulatedCpu) -> None:
    report = cpu.report(MANAGER, DATA, WORKER.measurement)
    for position in range(len(report)):
        changed = bytearray(report)
        changed[position] ^= 0x80
        with pytest.raises(AuthenticationFailed):
            cpu.verify_report(WORKER, bytes(changed))


@pytest.mark.parametrize("cut", [0, 1, 31, 32, 33, 100])
def test_a_report_cut_short_or_extended_is_refused(cpu: SimulatedCpu, cut: int) -> None:
    report = cpu.report(MANAGER, DATA, WORKER.measurement)
    for data in (report[:cut], report[cut + 1 :], report + bytes(cut + 1)):
        with pytest.raises(AuthenticationFailed):
            cpu.verify_report(WORKER, data)


@pytest.mark.parametrize("size", [0, 32, 63, 65])
def test_report_data_of_another_size_is_refused(cpu: SimulatedCpu, size: int) -> None:
    with pytest.raises(ValueError, match="64 bytes"):
        cpu.report(MANAGER, bytes(size), WORKER.measurement)


def test_a_quote_verifies_under_this_machines_root(cpu: SimulatedCpu) -> None:
    verdict = verify_quote(cpu.quote(WORKER, DATA), cpu.collateral(NOW), at=NOW, trust_store=store_of(cpu))
    assert (verdict.measurement, verdict.product_id, verdict.report_data) == (WORKER.measurement, 2, DATA)
    assert (verdict.simulated, verdict.tcb_status.value, verdict.platform) == (True, "UpToDate", cpu.platform_id)


def test_and_under_no_other_nor_where_simulated_roots_are_off(cpu: SimulatedCpu) -> None:
    quote, collateral = cpu.quote(WORKER, DATA), cpu.collateral(NOW)
    other = SimulatedCpu(bytes(range(32)), b"b" * 32)
    refusals: list[tuple[type[EvidenceRefused], TrustStore]] = [
        (UnknownRoot, trust_store()),
        (UnknownRoot, store_of(other)),
        (SimulatedRootOff, store_of(cpu, accept_simulated=False)),
    ]
    for refusal, store in refusals:
        with pytest.raises(refusal):
            verify_quote(quote, collateral, at=NOW, trust_store=store)
    with pytest.raises(EvidenceRefused):
        verify_quote(quote, other.collateral(NOW), at=NOW, trust_store=store_of(cpu))


def test_collateral_ends(cpu: SimulatedCpu) -> None:
    late = NOW + timedelta(days=COLLATERAL_DAYS)
    with pytest.raises(Expired):
        verify_quote(cpu.quote(WORKER, DATA), cpu.collateral(NOW), at=late, trust_store=store_of(cpu))


def test_dcap_qvl_agrees(cpu: SimulatedCpu) -> None:
    quote, now = cpu.quote(MANAGER, DATA), int(NOW.timestamp())
    collateral = dcap_qvl.QuoteCollateralV3.from_json(cpu.collateral(NOW).to_json().decode())
    assert dcap_qvl.verify_with_root_ca(quote, collateral, cpu.root_certificate, now).status == "UpToDate"
    with pytest.raises(ValueError):
        dcap_qvl.verify(quote, collateral, now)


def test_the_same_secrets_are_the_same_platform_after_a_restart() -> None:
    fuses = os.urandom(32)
    first, second = SimulatedCpu(fuses, b"a" * 32), SimulatedCpu(fuses, b"a" * 32)
    assert (first.platform_id, first.root_certificate) == (second.platform_id, second.root_certificate)
    request = KeyRequest(KeyName.SEAL, bytes(16), KeyPolicy.MRSIGNER, 1)
    assert first.key(MANAGER, request) == second.key(MANAGER, request)
    # The report keys are of one boot: enclaves of before a restart are gone.
    second.verify_report(MANAGER, first.report(MANAGER, DATA, MANAGER.measurement))


def test_sealing_keys_differ_by_everything_that_must_keep_them_apart(cpu: SimulatedCpu) -> None:
    signer = KeyRequest(KeyName.SEAL, bytes(16), KeyPolicy.MRSIGNER, 1)
    enclave = replace(signer, key_policy=KeyPolicy.MRENCLAVE)
    new_code = replace(MANAGER, measurement=bytes(32))
    keys = [
        cpu.key(MANAGER, signer),
        cpu.key(MANAGER, enclave),
        cpu.key(new_code, enclave),
        cpu.key(WORKER, signer),
        cpu.key(replace(MANAGER, signer=bytes(32)), signer),
        cpu.key(replace(MANAGER, debug=True), signer),
        cpu.key(MANAGER, replace(signer, isvsvn=0)),
        cpu.key(MANAGER, replace(signer, key_id=bytes([1]) * 32)),
        SimulatedCpu(bytes(32), b"a" * 32).key(MANAGER, signer),
    ]
    assert len(set(keys)) == len(keys)
    assert cpu.key(new_code, signer) == keys[0]


def test_secrets_are_32_bytes_and_do_not_show() -> None:
    for fuses, authority in ((bytes(31), bytes(32)), (bytes(32), bytes(31))):
        with pytest.raises(ValueError, match="32 bytes"):
            SimulatedCpu(fuses, authority)
    assert "1f1f" not in repr(SimulatedCpu(b"\x1f" * 32, b"\x1f" * 32))
