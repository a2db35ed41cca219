"""Reports of VBS enclaves: layout, verdict, and each reason to refuse."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave_sim.pki.documents import TcbStatus
from enclave_sim.pki.pem import encode_chain, parse_chain
from enclave_sim.sgx.fields import MalformedStructure
from enclave_sim.verify import errors
from enclave_sim.verify.certificates import read_certificate
from enclave_sim.verify.collateral_file import parse_any_collateral, write_any_collateral
from enclave_sim.verify.evidence import verify_evidence
from enclave_sim.verify.policy import Policy, check_policy
from enclave_sim.verify.trust import TrustStore, simulated_root, trust_store
from enclave_sim.verify.vsm import VsmCollateral, verify_vbs_report
from enclave_sim.vsm.guardian import SimulatedHostGuardian, SimulatedSecureKernel, generate_identity_key
from enclave_sim.vsm.report import VbsFlag, VbsIdentity, VbsModule, parse_package
from tests.support.attestation import MONTH, NOW, REPORT_DATA, YEARS, Platform

IDENTITY = VbsIdentity(b"o" * 32, b"u" * 32, b"a" * 32, b"f" * 16, b"i" * 16, 3, 4, 5, signing_level=6)
MODULES = (VbsModule(b"u" * 32, b"a" * 32, b"f" * 16, b"i" * 16, 1, "coco.dll"), VbsModule(b"", b"", b"", b"", 2, ""))
KEY = generate_identity_key()
KERNEL = SimulatedSecureKernel(KEY)
GUARDIAN = SimulatedHostGuardian(b"g" * 32, YEARS)
CHAIN = GUARDIAN.issue_identity_chain(KEY.public_key())
LEAF, CA, ROOT = parse_chain(CHAIN)
REPORT = KERNEL.report(IDENTITY, REPORT_DATA, MODULES)
COLLATERAL = VsmCollateral(CHAIN, *GUARDIAN.revocation_lists(MONTH))


def store(*, accept_simulated: bool = True) -> TrustStore:
    return trust_store([simulated_root("vsm", GUARDIAN.root_certificate)], accept_simulated=accept_simulated)


def refuse(
    reason: type[errors.EvidenceRefused],
    report: bytes = REPORT,
    collateral: VsmCollateral = COLLATERAL,
    at: timedelta = timedelta(0),
) -> None:
    with pytest.raises(errors.EvidenceRefused) as refused:
        verify_vbs_report(report, collateral, at=NOW + at, trust_store=store())
    assert refused.type is reason, refused.value


def test_the_layout() -> None:
    package = parse_package(REPORT)
    assert package.encode() == REPORT
    assert package.modules[0].name == "coco.dll"
    assert len(IDENTITY.encode()) == 152
    assert REPORT[:4] == len(REPORT).to_bytes(4, "little")
    statement = len(REPORT) - 24 - 256
    assert REPORT[24:28] == REPORT[12:16] == statement.to_bytes(4, "little")  # Modules included.
    assert KERNEL.report(IDENTITY, REPORT_DATA)[24:28] == (224).to_bytes(4, "little")
    assert REPORT[32:96] == REPORT_DATA
    assert REPORT[96:248] == IDENTITY.encode()
    assert len(package.signature) == 256


def test_a_report_of_windows_has_this_size() -> None:
    """Of an enclave with these three modules, as others measured it on Windows 11: 936 bytes with its signature."""
    names = ("rawenclave.dll", "ucrtbase_enclave.dll", "vertdll.dll")
    modules = [VbsModule(b"u" * 32, b"a" * 32, b"f" * 16, b"i" * 16, 1, name) for name in names]
    report = KERNEL.report(IDENTITY, REPORT_DATA, modules)
    assert len(report) == 936
    assert [one.name for one in parse_package(report).modules] == list(names)


def test_a_size_that_leaves_the_modules_out_is_refused() -> None:
    refuse(errors.EvidenceMalformed, REPORT[:24] + (224).to_bytes(4, "little") + REPORT[28:])


def test_the_verdict() -> None:
    verdict = verify_evidence(REPORT, COLLATERAL, at=NOW, trust_store=store())
    assert (verdict.tee, verdict.simulated, verdict.debug) == ("vsm", True, False)
    assert (verdict.measurement, verdict.signer) == (IDENTITY.unique_id, IDENTITY.author_id)
    assert (verdict.security_version, verdict.report_data) == (3, REPORT_DATA)
    check_policy(verdict, Policy())
    old = replace(COLLATERAL, secure_kernel_svn_min=5)
    assert verify_evidence(REPORT, old, at=NOW, trust_store=store()).tcb_status is TcbStatus.OUT_OF_DATE
    old = replace(COLLATERAL, platform_svn_min=6)
    assert verify_evidence(REPORT, old, at=NOW, trust_store=store()).tcb_status is TcbStatus.OUT_OF_DATE


@pytest.mark.parametrize("flag", list(VbsFlag))
def test_debug_is_for_the_policy(flag: VbsFlag) -> None:
    report = KERNEL.report(replace(IDENTITY, flags=flag), REPORT_DATA)
    verdict = verify_vbs_report(report, COLLATERAL, at=NOW, trust_store=store())
    with pytest.raises(errors.DebugRefused):
        check_policy(verdict, Policy())


def test_every_byte_and_every_length() -> None:
    for offset in range(len(REPORT)):
        changed = bytearray(REPORT)
        changed[offset] ^= 1 << offset % 8
        with pytest.raises(errors.EvidenceRefused):
            verify_vbs_report(bytes(changed), COLLATERAL, at=NOW, trust_store=store())
        refuse(errors.EvidenceMalformed, REPORT[:offset])
    refuse(errors.EvidenceMalformed, REPORT + b"\0")
    refuse(errors.QuoteSignatureInvalid, REPORT[:40] + bytes([REPORT[40] ^ 1]) + REPORT[41:])


def test_roots_off_unknown_or_for_something_else() -> None:
    for other, reason in (
        (trust_store(), errors.UnknownRoot),
        (store(accept_simulated=False), errors.SimulatedRootOff),
        (Platform().store(), errors.UnknownRoot),
        (trust_store([simulated_root("sgx", GUARDIAN.root_certificate)], accept_simulated=True), errors.UnknownRoot),
    ):
        with pytest.raises(reason):
            verify_vbs_report(REPORT, COLLATERAL, at=NOW, trust_store=other)


def test_keys_and_chains_of_others() -> None:
    refuse(errors.QuoteSignatureInvalid, SimulatedSecureKernel(generate_identity_key()).report(IDENTITY, REPORT_DATA))
    for chain in ((LEAF, ROOT), (CA, CA, ROOT), (LEAF, LEAF, ROOT), (LEAF, ROOT, ROOT)):
        refuse(errors.ChainInvalid, collateral=replace(COLLATERAL, chain_pem=encode_chain(chain)))
    sgx = simulated_root("vsm", Platform().authority.root_certificate)
    with pytest.raises(errors.ChainInvalid):  # A PCK certificate is not an identity key's, even under a trusted root.
        verify_vbs_report(
            REPORT,
            replace(COLLATERAL, chain_pem=Platform().chain),
            at=NOW,
            trust_store=TrustStore((sgx,), accept_simulated=True),
        )


def test_times_and_revocation() -> None:
    refuse(errors.Expired, at=timedelta(days=30))
    refuse(errors.NotYetValid, at=timedelta(days=-11))
    serial = read_certificate(LEAF).serial
    revoked = VsmCollateral(CHAIN, *GUARDIAN.revocation_lists(MONTH, [serial]))
    refuse(errors.CertificateRevoked, collateral=revoked)
    swapped = VsmCollateral(CHAIN, *reversed(GUARDIAN.revocation_lists(MONTH)))
    refuse(errors.RevocationListInvalid, collateral=swapped)


def test_its_collateral_as_a_file() -> None:
    assert parse_any_collateral(write_any_collateral(COLLATERAL)) == COLLATERAL
    for wrong in (b"{}", b'{"kind": "vsm"}', b'{"kind": "other"}', b"[]", b"", b"\xff"):
        with pytest.raises(errors.CollateralMalformed):
            parse_any_collateral(wrong)


@given(st.binary(max_size=600))
def test_random_packages(data: bytes) -> None:
    with contextlib.suppress(MalformedStructure):
        assert parse_package(data).encode() == data


@given(offset=st.integers(0, len(REPORT) - 1), new=st.binary(min_size=1, max_size=8))
def test_changed_packages_parse_to_themselves_or_not_at_all(offset: int, new: bytes) -> None:
    changed = (REPORT[:offset] + new + REPORT[offset + len(new) :])[: len(REPORT)]
    with contextlib.suppress(MalformedStructure):
        assert parse_package(changed).encode() == changed
