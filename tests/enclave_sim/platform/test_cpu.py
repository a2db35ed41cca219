"""Reports, quotes and sealing keys of the simulated CPU: mostly what it must not accept."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace

import pytest

from core.errors import AuthenticationFailed
from enclave_sim.platform.cpu import EnclaveIdentity, SimulatedCpu, unpack_quote
from enclave_sim.platform.verify import verify_quote

DATA = bytes(range(64))
MANAGER = EnclaveIdentity(hashlib.sha256(b"manager").digest(), "manager")
WORKER = EnclaveIdentity(hashlib.sha256(b"worker").digest(), "worker")
KEY_ID = bytes(32)


@pytest.fixture(scope="module")
def cpu() -> SimulatedCpu:
    return SimulatedCpu(bytes(range(32)))


def test_a_report_says_who_and_what(cpu: SimulatedCpu) -> None:
    claims = cpu.verify_report(cpu.report(MANAGER, DATA))
    assert claims.measurement == MANAGER.measurement
    assert claims.report_data == DATA
    assert (claims.tee, claims.simulated, claims.debug) == ("simulated", True, False)
    assert claims.platform == cpu.platform_id


def test_a_report_of_another_platform_is_refused(cpu: SimulatedCpu) -> None:
    with pytest.raises(AuthenticationFailed):
        cpu.verify_report(SimulatedCpu(bytes(32)).report(MANAGER, DATA))


def test_any_flipped_bit_of_a_report_is_refused(cpu: SimulatedCpu) -> None:
    report = cpu.report(MANAGER, DATA)
    for position in range(len(report)):
        changed = bytearray(report)
        changed[position] ^= 0x80
        with pytest.raises(AuthenticationFailed):
            cpu.verify_report(bytes(changed))


@pytest.mark.parametrize("cut", [0, 1, 31, 32, 33, 100])
def test_a_report_cut_short_or_extended_is_refused(cpu: SimulatedCpu, cut: int) -> None:
    report = cpu.report(MANAGER, DATA)
    for data in (report[:cut], report[cut + 1 :], report + bytes(cut + 1)):
        with pytest.raises(AuthenticationFailed):
            cpu.verify_report(data)


@pytest.mark.parametrize("size", [0, 32, 63, 65])
def test_report_data_of_another_size_is_refused(cpu: SimulatedCpu, size: int) -> None:
    with pytest.raises(ValueError, match="64 bytes"):
        cpu.report(MANAGER, bytes(size))


def test_a_quote_verifies_anywhere(cpu: SimulatedCpu) -> None:
    claims = verify_quote(cpu.quote(WORKER, DATA), trusted_platforms={cpu.platform_id}, report_data=DATA)
    assert claims.measurement == WORKER.measurement
    assert claims.simulated


def test_a_quote_of_an_untrusted_platform_is_refused(cpu: SimulatedCpu) -> None:
    with pytest.raises(AuthenticationFailed, match=r"\(SIMULATED\)"):
        verify_quote(SimulatedCpu(bytes(32)).quote(WORKER, DATA), trusted_platforms={cpu.platform_id})


def test_a_quote_about_other_data_is_refused(cpu: SimulatedCpu) -> None:
    with pytest.raises(AuthenticationFailed, match="other data"):
        verify_quote(cpu.quote(WORKER, DATA), trusted_platforms={cpu.platform_id}, report_data=bytes(64))


def test_any_flipped_bit_of_a_quote_is_refused(cpu: SimulatedCpu) -> None:
    quote = cpu.quote(WORKER, DATA)
    for position in range(len(quote)):
        changed = bytearray(quote)
        changed[position] ^= 1
        with pytest.raises(AuthenticationFailed):
            verify_quote(bytes(changed), trusted_platforms={cpu.platform_id})


def test_a_quote_cut_short_or_extended_is_refused(cpu: SimulatedCpu) -> None:
    quote = cpu.quote(WORKER, DATA)
    for data in (*(quote[:size] for size in range(len(quote))), quote + b"\0", quote * 10):
        with pytest.raises(AuthenticationFailed):
            unpack_quote(data)


def test_a_report_is_no_quote(cpu: SimulatedCpu) -> None:
    with pytest.raises(AuthenticationFailed):
        unpack_quote(cpu.report(WORKER, DATA))


def test_the_same_fuses_are_the_same_platform() -> None:
    fuses = os.urandom(32)
    first, second = SimulatedCpu(fuses), SimulatedCpu(fuses)
    assert first.platform_id == second.platform_id
    second.verify_report(first.report(MANAGER, DATA))
    assert first.sealing_key(MANAGER, "signer", 1, KEY_ID) == second.sealing_key(MANAGER, "signer", 1, KEY_ID)


def test_sealing_keys_differ_by_everything_that_must_keep_them_apart(cpu: SimulatedCpu) -> None:
    new_code = replace(MANAGER, measurement=bytes(32))
    keys = [
        cpu.sealing_key(MANAGER, "signer", 1, KEY_ID),
        cpu.sealing_key(MANAGER, "measurement", 1, KEY_ID),
        cpu.sealing_key(new_code, "measurement", 1, KEY_ID),
        cpu.sealing_key(WORKER, "signer", 1, KEY_ID),
        cpu.sealing_key(replace(MANAGER, signer=bytes(32)), "signer", 1, KEY_ID),
        cpu.sealing_key(MANAGER, "signer", 0, KEY_ID),
        cpu.sealing_key(MANAGER, "signer", 1, bytes([1]) * 32),
        SimulatedCpu(bytes(32)).sealing_key(MANAGER, "signer", 1, KEY_ID),
    ]
    assert len(set(keys)) == len(keys)
    assert cpu.sealing_key(new_code, "signer", 1, KEY_ID) == keys[0]


def test_older_code_gets_no_key_of_newer_code(cpu: SimulatedCpu) -> None:
    with pytest.raises(AuthenticationFailed, match="security version 2"):
        cpu.sealing_key(MANAGER, "signer", 2, KEY_ID)


def test_fuses_are_32_bytes_and_do_not_show() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        SimulatedCpu(bytes(31))
    assert "1f1f" not in repr(SimulatedCpu(b"\x1f" * 32))
