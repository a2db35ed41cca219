"""The simulated processor: who gets which key, and who can check which report."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.errors import AuthenticationFailed
from enclave_sim.sgx.attributes import AttributeFlag, Attributes
from enclave_sim.sgx.cpu import Enclave, KeyDenied, SimulatedSgx
from enclave_sim.sgx.fields import MalformedStructure
from enclave_sim.sgx.keyrequest import KeyName, KeyPolicy, KeyRequest
from tests.support.attestation import CPUSVN, DEBUG_ENCLAVE, ENCLAVE, REPORT_DATA

CPU = SimulatedSgx(b"f" * 32, cpusvn=CPUSVN, boot_id=b"b" * 32)
OTHER_CPU = SimulatedSgx(b"g" * 32, cpusvn=CPUSVN, boot_id=b"b" * 32)
SEAL = KeyRequest(KeyName.SEAL, CPUSVN, KeyPolicy.MRSIGNER, 2, key_id=b"k" * 32)
SEAL_TO_CODE = replace(SEAL, key_policy=KeyPolicy.MRENCLAVE)
OTHER_CODE = replace(ENCLAVE, mrenclave=bytes(32))
KSS = replace(ENCLAVE, attributes=Attributes(ENCLAVE.attributes.flags | AttributeFlag.KSS, 0xE7))


def test_a_report_is_checked_by_its_target_on_its_processor() -> None:
    report = CPU.ereport(ENCLAVE, OTHER_CODE.target_info(), REPORT_DATA)
    body = CPU.verify_report(OTHER_CODE, report)
    assert (body.mrenclave, body.mrsigner, body.report_data) == (ENCLAVE.mrenclave, ENCLAVE.mrsigner, REPORT_DATA)
    assert (body.isvprodid, body.isvsvn, body.cpusvn) == (1, 2, CPUSVN)
    for cpu, verifier in ((CPU, ENCLAVE), (OTHER_CPU, OTHER_CODE), (CPU, replace(OTHER_CODE, miscselect=1))):
        with pytest.raises(AuthenticationFailed):
            cpu.verify_report(verifier, report)


def test_a_report_after_a_restart_is_still_checked() -> None:
    report = CPU.ereport(ENCLAVE, ENCLAVE.target_info(), REPORT_DATA)
    assert SimulatedSgx(b"f" * 32, cpusvn=CPUSVN, boot_id=b"c" * 32).verify_report(ENCLAVE, report)


def test_every_byte_of_a_report_counts() -> None:
    report = CPU.ereport(ENCLAVE, ENCLAVE.target_info(), REPORT_DATA)
    for offset in range(len(report)):
        changed = bytearray(report)
        changed[offset] ^= 1 << offset % 8
        with pytest.raises((AuthenticationFailed, MalformedStructure)):
            CPU.verify_report(ENCLAVE, bytes(changed))


@pytest.mark.parametrize("request_", [SEAL, SEAL_TO_CODE])
def test_a_seal_key_comes_back_and_is_nobody_elses(request_: KeyRequest) -> None:
    key = CPU.egetkey(ENCLAVE, request_)
    assert len(key) == 16
    assert key == CPU.egetkey(ENCLAVE, request_)
    others = [
        OTHER_CPU.egetkey(ENCLAVE, request_),
        CPU.egetkey(DEBUG_ENCLAVE, request_),
        CPU.egetkey(replace(ENCLAVE, isvprodid=2), request_),
        CPU.egetkey(ENCLAVE, replace(request_, key_id=b"l" * 32)),
        CPU.egetkey(ENCLAVE, replace(request_, isvsvn=1)),
        CPU.egetkey(ENCLAVE, replace(request_, cpusvn=bytes(16))),
        CPU.egetkey(ENCLAVE, replace(request_, attribute_mask=bytes(16))),
        CPU.egetkey(ENCLAVE, replace(request_, key_policy=KeyPolicy(0))),
    ]
    assert len({key, *others}) == 1 + len(others)


def test_policies_bind_to_code_or_to_signer() -> None:
    assert CPU.egetkey(ENCLAVE, SEAL) == CPU.egetkey(OTHER_CODE, SEAL)
    assert CPU.egetkey(ENCLAVE, SEAL_TO_CODE) != CPU.egetkey(OTHER_CODE, SEAL_TO_CODE)
    other_signer = replace(ENCLAVE, mrsigner=bytes(32))
    assert CPU.egetkey(ENCLAVE, SEAL) != CPU.egetkey(other_signer, SEAL)
    assert CPU.egetkey(ENCLAVE, SEAL_TO_CODE) == CPU.egetkey(other_signer, SEAL_TO_CODE)


def test_debug_binds_whatever_the_mask_says() -> None:
    unmasked = replace(SEAL, attribute_mask=bytes(16))
    assert CPU.egetkey(ENCLAVE, unmasked) != CPU.egetkey(DEBUG_ENCLAVE, unmasked)


def test_newer_code_has_the_keys_of_older_code_and_not_the_reverse() -> None:
    newer = replace(ENCLAVE, isvsvn=3)
    assert CPU.egetkey(newer, SEAL) == CPU.egetkey(ENCLAVE, SEAL)
    with pytest.raises(KeyDenied) as denied:
        CPU.egetkey(ENCLAVE, replace(SEAL, isvsvn=3))
    assert denied.value.code == "SGX_INVALID_ISVSVN"
    newer_cpu = SimulatedSgx(b"f" * 32, cpusvn=b"\xff" * 16, boot_id=b"b" * 32)
    assert newer_cpu.egetkey(ENCLAVE, SEAL) == CPU.egetkey(ENCLAVE, SEAL)
    for index in range(16):
        higher = bytearray(CPUSVN)
        higher[index] += 1
        with pytest.raises(KeyDenied) as denied:
            CPU.egetkey(ENCLAVE, replace(SEAL, cpusvn=bytes(higher)))
        assert denied.value.code == "SGX_INVALID_CPUSVN"
    with pytest.raises(KeyDenied, match="CONFIGSVN"):
        CPU.egetkey(ENCLAVE, replace(SEAL, configsvn=1))


@pytest.mark.parametrize(
    "policy", [KeyPolicy.NOISVPRODID, KeyPolicy.CONFIGID, KeyPolicy.ISVFAMILYID, KeyPolicy.ISVEXTPRODID]
)
def test_key_separation_needs_its_attribute(policy: KeyPolicy) -> None:
    request = replace(SEAL, key_policy=KeyPolicy.MRSIGNER | policy)
    with pytest.raises(KeyDenied, match="SGX_INVALID_ATTRIBUTE"):
        CPU.egetkey(ENCLAVE, request)
    changed: dict[KeyPolicy, Enclave] = {
        KeyPolicy.NOISVPRODID: replace(KSS, isvprodid=9),
        KeyPolicy.CONFIGID: replace(KSS, configid=b"c" * 64),
        KeyPolicy.ISVFAMILYID: replace(KSS, isvfamilyid=b"c" * 16),
        KeyPolicy.ISVEXTPRODID: replace(KSS, isvextprodid=b"c" * 16),
    }
    same = CPU.egetkey(KSS, request) == CPU.egetkey(changed[policy], request)
    assert same == (policy is KeyPolicy.NOISVPRODID)


@pytest.mark.parametrize("name", [KeyName.PROVISION, KeyName.PROVISION_SEAL, KeyName.EINITTOKEN])
def test_privileged_keys_need_their_attributes(name: KeyName) -> None:
    request = replace(SEAL, key_name=name)
    with pytest.raises(KeyDenied, match="SGX_INVALID_ATTRIBUTE"):
        CPU.egetkey(ENCLAVE, request)
    privileged = replace(
        ENCLAVE, attributes=Attributes(AttributeFlag.INIT | AttributeFlag.PROVISIONKEY | AttributeFlag.EINITTOKEN_KEY)
    )
    assert CPU.egetkey(privileged, request) != CPU.egetkey(privileged, SEAL)


def test_wrong_sizes_and_no_secrets_in_its_name() -> None:
    for fuses, cpusvn, boot_id in ((b"", CPUSVN, b"b" * 32), (b"f" * 32, b"", b"b" * 32), (b"f" * 32, CPUSVN, b"")):
        with pytest.raises(ValueError):
            SimulatedSgx(fuses, cpusvn=cpusvn, boot_id=boot_id)
    with pytest.raises(ValueError):
        CPU.ereport(ENCLAVE, ENCLAVE.target_info(), b"short")
    assert (b"f" * 32).hex() not in repr(CPU)
