"""Evidence against a constitution's manifests: each refusal has its own reason, and a simulated root never passes
for hardware."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Any

import pytest

from core.errors import AuthenticationFailed
from core.governance.constitution import CONSTITUTION_VERSION, Constitution, Identity
from core.governance.manifests import (
    CodeEntry,
    DebugNotAdmitted,
    ManifestRefused,
    MeasurementNotAdmitted,
    PlatformVersionNotAdmitted,
    RootNotAdmitted,
    SimulatedNotAdmitted,
    TcbStatusNotAdmitted,
    TeeEntry,
    TeeNotAdmitted,
)
from core.ports import Evidence
from enclave_sim.pki.documents import TcbStatus
from enclave_sim.platform.cpu import EnclaveIdentity
from enclave_sim.platform.vsm import SimulatedVsm
from enclave_sim.verify.collateral_file import write_any_collateral
from enclave_sim.verify.endorsements import encode_endorsements, tag_of
from enclave_sim.verify.errors import (
    CollateralMalformed,
    EvidenceRefused,
    Expired,
    SimulatedRootOff,
    TcbStatusRefused,
    UnknownRoot,
)
from enclave_sim.verify.manifest import remote_verifier, trust_store_of, verify_admitted, verify_own_evidence
from enclave_sim.verify.roots import INTEL_SGX_ROOT
from enclave_sim.verify.trust import hardware_roots
from tests.support.attestation import DEBUG_ENCLAVE, ENCLAVE, HARDWARE_TIME, NOW, Platform, hardware

SGX = Platform()
SGX_ROOT = hashlib.sha256(SGX.authority.root_certificate).hexdigest()
VSM = SimulatedVsm(b"f" * 32, b"g" * 32)
VSM_ROOT = hashlib.sha256(VSM.root_certificate).hexdigest()
VSM_MANAGER = EnclaveIdentity(ENCLAVE.mrenclave, "manager", ENCLAVE.mrsigner, 2)
INTEL = INTEL_SGX_ROOT.hex()
CODE = CodeEntry("manager", (ENCLAVE.mrenclave.hex(),), ENCLAVE.mrsigner.hex(), 1, 2)


def constitution(*tee: TeeEntry, code: CodeEntry = CODE) -> Constitution:
    kv = CodeEntry("kv", ("0" * 64,))
    member = Identity("a", "member", "")
    return Constitution(
        CONSTITUTION_VERSION, "n", (member,), {"kv": {}}, "kv", tee_manifest=tee, code_manifest=(code, kv)
    )


def simulated(tee: Any, root: str, **more: Any) -> TeeEntry:
    return TeeEntry(tee, (root,), simulated=True, **more)


def verify_sgx(*tee: TeeEntry, quote: bytes | None = None, at: datetime = NOW, code: CodeEntry = CODE) -> object:
    return verify_admitted(quote or SGX.quote(), SGX.collateral(), constitution(*tee, code=code), at=at)


def verify_vsm(*tee: TeeEntry) -> object:
    return verify_admitted(VSM.quote(VSM_MANAGER, bytes(64)), VSM.collateral(NOW), constitution(*tee), at=NOW)


def test_what_the_manifests_name_is_admitted() -> None:
    verify_sgx(simulated("sgx", SGX_ROOT, versions_min={"tcb_evaluation": 1}))
    verify_vsm(simulated("vsm", VSM_ROOT, versions_min={"secure_kernel": 1, "platform": 2}))
    both = simulated("sgx", SGX_ROOT), simulated("vsm", VSM_ROOT), TeeEntry("sgx", (INTEL,))
    verify_sgx(*both)
    verify_vsm(*both)


@pytest.mark.parametrize(
    ("tee", "refusal"),
    [
        ((TeeEntry("sgx", (INTEL,)),), SimulatedNotAdmitted),
        ((TeeEntry("sgx", (SGX_ROOT,)),), SimulatedNotAdmitted),
        ((TeeEntry("sgx", (SGX_ROOT,)), simulated("vsm", VSM_ROOT)), SimulatedNotAdmitted),
        ((simulated("sgx", "0" * 64),), UnknownRoot),
        ((simulated("vsm", SGX_ROOT),), TeeNotAdmitted),
        ((TeeEntry("sgx", (SGX_ROOT,)), simulated("sgx", "0" * 64)), SimulatedRootOff),
        ((simulated("tdx", SGX_ROOT),), TeeNotAdmitted),
        ((simulated("tdx", SGX_ROOT), simulated("sgx", "0" * 64)), RootNotAdmitted),
        ((simulated("sgx", SGX_ROOT, tcb_statuses=("OutOfDate",)),), TcbStatusNotAdmitted),
        ((simulated("sgx", SGX_ROOT, versions_min={"tcb_evaluation": 2}),), PlatformVersionNotAdmitted),
        ((), TeeNotAdmitted),
    ],
)
def test_sgx_evidence_that_is_not_admitted(tee: tuple[TeeEntry, ...], refusal: type[AuthenticationFailed]) -> None:
    with pytest.raises(AuthenticationFailed) as caught:
        verify_sgx(*tee)
    assert type(caught.value) is refusal
    assert isinstance(caught.value, ManifestRefused | EvidenceRefused)
    assert caught.value.reason


@pytest.mark.parametrize(
    ("tee", "refusal"),
    [
        ((simulated("sgx", SGX_ROOT),), TeeNotAdmitted),
        ((simulated("sgx", VSM_ROOT),), TeeNotAdmitted),
        ((simulated("vsm", SGX_ROOT),), UnknownRoot),
        ((TeeEntry("vsm", (VSM_ROOT,)),), SimulatedNotAdmitted),
        ((simulated("vsm", VSM_ROOT, versions_min={"secure_kernel": 2}),), PlatformVersionNotAdmitted),
    ],
)
def test_vsm_evidence_that_is_not_admitted(tee: tuple[TeeEntry, ...], refusal: type[AuthenticationFailed]) -> None:
    with pytest.raises(AuthenticationFailed) as caught:
        verify_vsm(*tee)
    assert type(caught.value) is refusal


def test_hardware_only_says_so() -> None:
    with pytest.raises(SimulatedNotAdmitted) as caught:
        verify_sgx(TeeEntry("sgx", (INTEL,)))
    assert caught.value.message == "this node's evidence is simulated, and the constitution admits hardware only"


def test_other_code_debug_enclaves_and_other_times() -> None:
    admits = simulated("sgx", SGX_ROOT)
    with pytest.raises(MeasurementNotAdmitted):
        verify_sgx(admits, code=CodeEntry("manager", ("0" * 64,)))
    with pytest.raises(DebugNotAdmitted):
        verify_sgx(admits, quote=SGX.quote(DEBUG_ENCLAVE))
    with pytest.raises(Expired):
        verify_sgx(admits, at=NOW + timedelta(days=60))
    out_of_date = SGX.collateral(tcb_info=SGX.tcb_info(status=TcbStatus.OUT_OF_DATE))
    with pytest.raises(TcbStatusNotAdmitted):
        verify_admitted(SGX.quote(), out_of_date, constitution(admits), at=NOW)
    accepts = simulated("sgx", SGX_ROOT, tcb_statuses=("UpToDate", "OutOfDate"))
    verify_admitted(SGX.quote(), out_of_date, constitution(accepts), at=NOW)


def test_no_vendors_root_counts_unless_it_is_named() -> None:
    store = trust_store_of((simulated("sgx", SGX_ROOT),))
    assert not {one.digest for one in store.roots} & {one.digest for one in hardware_roots()}
    assert not trust_store_of((TeeEntry("sgx", (INTEL,)),)).accept_simulated


@pytest.mark.parametrize("kind", ["sgx", "tdx"])
def test_hardwares_evidence_under_a_manifest(kind: Any) -> None:
    quote, collateral = hardware(kind)
    statuses: Any = ("UpToDate", "ConfigurationAndSWHardeningNeeded")
    admits = TeeEntry(kind, (INTEL,), tcb_statuses=statuses)
    with pytest.raises(MeasurementNotAdmitted):  # It is genuine and admitted; its code is not ours.
        verify_admitted(quote, collateral, constitution(admits), at=HARDWARE_TIME)
    with pytest.raises(UnknownRoot):
        verify_admitted(quote, collateral, constitution(simulated(kind, SGX_ROOT)), at=HARDWARE_TIME)
    other: Any = "tdx" if kind == "sgx" else "sgx"
    with pytest.raises(TeeNotAdmitted):
        verify_admitted(quote, collateral, constitution(TeeEntry(other, (INTEL,))), at=HARDWARE_TIME)


def test_as_a_node_judges_itself() -> None:
    manifest = (simulated("sgx", SGX_ROOT),)
    collateral = write_any_collateral(SGX.collateral())
    claims = verify_own_evidence(SGX.quote(), collateral, at=NOW, tee_manifest=manifest)
    assert (claims.root.hex(), claims.tcb_status, claims.product) == (SGX_ROOT, "UpToDate", 1)
    assert claims.platform_versions == (("tcb_evaluation", 1),)
    for wrong in (b"", b"null", b"{}"):
        with pytest.raises(CollateralMalformed):
            verify_own_evidence(SGX.quote(), wrong, at=NOW, tee_manifest=manifest)
    with pytest.raises(AuthenticationFailed):
        verify_own_evidence(b"no quote", collateral, at=NOW, tee_manifest=manifest)


def test_as_nodes_judge_one_another() -> None:
    """The verifier of connections knows the manifest's roots; the constitution then says who is admitted."""
    admits = constitution(simulated("vsm", VSM_ROOT), TeeEntry("sgx", (INTEL,)))
    verifier = remote_verifier(admits.tee_manifest)
    own = VSM.collateral(NOW)
    shown = Evidence(tag_of(own), VSM.quote(VSM_MANAGER, bytes(64)), encode_endorsements(own))
    admits.check_admitted(verifier.verify(shown, at=NOW), "manager")
    collateral = SGX.collateral()
    foreign = Evidence(tag_of(collateral), SGX.quote(), encode_endorsements(collateral))
    with pytest.raises(EvidenceRefused):
        verifier.verify(foreign, at=NOW)
    accepts = constitution(simulated("sgx", SGX_ROOT, tcb_statuses=("OutOfDate",)))
    with pytest.raises(TcbStatusRefused):
        remote_verifier(accepts.tee_manifest).verify(foreign, at=NOW)
