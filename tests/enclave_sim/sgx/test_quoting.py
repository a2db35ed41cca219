"""The quoting enclave quotes only what its own processor reported to it."""

from __future__ import annotations

import pytest

from core.errors import AuthenticationFailed
from enclave_sim.sgx.cpu import SimulatedSgx
from enclave_sim.sgx.fields import MalformedStructure
from enclave_sim.sgx.quote import parse_quote
from tests.support.attestation import CPUSVN, ENCLAVE, REPORT_DATA, Platform

PLATFORM = Platform()


def test_a_quote_carries_the_report() -> None:
    parsed = parse_quote(PLATFORM.quote())
    assert parsed.encode() == PLATFORM.quote()
    assert parsed.body.report_data == REPORT_DATA
    assert parsed.header.vendor_id.hex() == "939a7233f79c4ca9940a0db3957f0607"
    assert (parsed.header.version, parsed.header.qe_svn, parsed.header.pce_svn) == (3, 8, 13)
    assert parsed.signature.qe_authentication_data == bytes(range(32))


def test_the_attestation_key_is_the_same_after_a_restart_and_another_elsewhere() -> None:
    first = parse_quote(PLATFORM.quote()).signature.attestation_key
    assert parse_quote(Platform().quote()).signature.attestation_key == first
    assert parse_quote(Platform(fuses=b"g" * 32).quote()).signature.attestation_key != first


def test_reports_of_others_are_refused() -> None:
    other_cpu = SimulatedSgx(b"g" * 32, cpusvn=CPUSVN, boot_id=b"b" * 32)
    own = PLATFORM.cpu.ereport(ENCLAVE, PLATFORM.quoting.target_info(), REPORT_DATA)
    for report in (
        other_cpu.ereport(ENCLAVE, PLATFORM.quoting.target_info(), REPORT_DATA),
        PLATFORM.cpu.ereport(ENCLAVE, ENCLAVE.target_info(), REPORT_DATA),
        own[:-1] + bytes([own[-1] ^ 1]),
    ):
        with pytest.raises(AuthenticationFailed):
            PLATFORM.quoting.quote(report)
    with pytest.raises(MalformedStructure):
        PLATFORM.quoting.quote(bytes(431))
