"""Each thing that a manifest does not name is refused, with its own reason; what it names is admitted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from core import limits
from core.errors import CocoError
from core.governance import manifests
from core.governance.manifests import (
    CodeEntry,
    CodeNotListed,
    DebugNotAdmitted,
    ManifestRefused,
    MeasurementNotAdmitted,
    PlatformVersionNotAdmitted,
    ProductNotAdmitted,
    RootNotAdmitted,
    SecurityVersionNotAdmitted,
    SignerNotAdmitted,
    SimulatedNotAdmitted,
    TcbStatusNotAdmitted,
    TeeEntry,
    TeeNotAdmitted,
    check_adapter,
    check_admitted,
    parse_manifest,
)
from core.ports import ReportClaims

ROOT, MEASUREMENT, SIGNER = b"r" * 32, b"m" * 32, b"s" * 32
CLAIMS = ReportClaims(
    measurement=MEASUREMENT,
    signer=SIGNER,
    security_version=3,
    report_data=bytes(64),
    platform="p",
    tee="sgx",
    debug=False,
    simulated=False,
    product=1,
    root=ROOT,
    tcb_status="UpToDate",
    platform_versions=(("tcb_evaluation", 17),),
)
TEE = TeeEntry("sgx", (ROOT.hex(),), versions_min={"tcb_evaluation": 17})
CODE = CodeEntry("manager", (MEASUREMENT.hex(),), SIGNER.hex(), 1, 3)


def check(claims: ReportClaims = CLAIMS, tee: Any = (TEE,), code: Any = (CODE,), name: str = "manager") -> None:
    check_admitted(claims, name, tee_manifest=tee, code_manifest=code)


def test_what_both_manifests_name_is_admitted() -> None:
    check()
    check(tee=(TeeEntry("vsm", ("0" * 64,)), replace_entry(TEE, roots=("0" * 64,)), TEE))
    check(code=(replace_entry(CODE, measurements=("0" * 64,)), CODE))
    check(code=(CodeEntry("manager", (MEASUREMENT.hex(),)),))
    check(code=(CodeEntry("manager", signer=SIGNER.hex(), product=1),))


def replace_entry(entry: Any, **changes: Any) -> Any:
    return msgspec.structs.replace(entry, **changes)


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"simulated": True}, SimulatedNotAdmitted),
        ({"tee": "vsm"}, TeeNotAdmitted),
        ({"tee": "vsm", "simulated": True}, SimulatedNotAdmitted),
        ({"debug": True}, DebugNotAdmitted),
        ({"root": b"x" * 32}, RootNotAdmitted),
        ({"root": b""}, RootNotAdmitted),
        ({"tcb_status": "OutOfDate"}, TcbStatusNotAdmitted),
        ({"tcb_status": ""}, TcbStatusNotAdmitted),
        ({"platform_versions": (("tcb_evaluation", 16),)}, PlatformVersionNotAdmitted),
        ({"platform_versions": ()}, PlatformVersionNotAdmitted),
        ({"measurement": b"n" * 32}, MeasurementNotAdmitted),
        ({"signer": b"t" * 32}, SignerNotAdmitted),
        ({"product": 2}, ProductNotAdmitted),
        ({"security_version": 2}, SecurityVersionNotAdmitted),
    ],
)
def test_what_they_do_not_name_is_refused(changes: dict[str, Any], refusal: type[ManifestRefused]) -> None:
    with pytest.raises(refusal) as caught:
        check(replace(CLAIMS, **changes))
    assert type(caught.value) is refusal
    assert caught.value.exit_code == 6


def test_every_refusal_has_a_reason_of_its_own() -> None:
    found = [one for one in vars(manifests).values() if isinstance(one, type) and issubclass(one, ManifestRefused)]
    reasons = [one.reason for one in found if one is not ManifestRefused]
    assert len(reasons) == len(set(reasons)) == 11


def test_hardware_only_says_so() -> None:
    with pytest.raises(SimulatedNotAdmitted) as caught:
        check(replace(CLAIMS, simulated=True))
    assert caught.value.message == "this node's evidence is simulated, and the constitution admits hardware only"


def test_simulated_evidence_needs_an_entry_that_says_simulated_and_names_the_root() -> None:
    simulated, entry = replace(CLAIMS, simulated=True), replace_entry(TEE, simulated=True)
    check(simulated, tee=(entry,))
    with pytest.raises(RootNotAdmitted):
        check(simulated, tee=(TEE, replace_entry(entry, roots=("0" * 64,))))
    with pytest.raises(SimulatedNotAdmitted, match="for sgx"):
        check(simulated, tee=(TEE, TeeEntry("vsm", (ROOT.hex(),), simulated=True)))
    with pytest.raises(RootNotAdmitted):
        check(CLAIMS, tee=(entry,))  # Nor does such an entry admit hardware.


def test_empty_manifests_admit_nothing() -> None:
    with pytest.raises(TeeNotAdmitted, match="no platform"):
        check(tee=())
    with pytest.raises(CodeNotListed):
        check(code=())
    with pytest.raises(CodeNotListed, match="worker"):
        check(name="worker")


def test_an_adapter_is_its_files_or_the_workers_signer() -> None:
    by_files, by_signer = CodeEntry("kv", ("a" * 64,)), CodeEntry("kv", signer=SIGNER.hex(), product=9)
    check_adapter(CLAIMS, "a" * 64, "kv", (by_files,))
    check_adapter(CLAIMS, "", "kv", (by_signer,))
    for digest in ("b" * 64, ""):
        with pytest.raises(MeasurementNotAdmitted):
            check_adapter(CLAIMS, digest, "kv", (by_files,))
    with pytest.raises(SignerNotAdmitted):
        check_adapter(replace(CLAIMS, signer=bytes(32)), "", "kv", (by_signer,))
    with pytest.raises(CodeNotListed):
        check_adapter(CLAIMS, "a" * 64, "other", (by_files,))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (TeeEntry("sgx", ()), "names 0 roots"),
        (TeeEntry("sgx", ("r",)), "no SHA-256"),
        (TeeEntry("sgx", ("A" * 64,)), "no SHA-256"),
        (TeeEntry("sgx", ("a" * 64,) * (limits.MANIFEST_VALUES_MAX + 1)), "roots"),
        (TeeEntry("sgx", ("a" * 64,), debug=True), "debug"),
        (TeeEntry("sgx", ("a" * 64,), tcb_statuses=()), "no TCB status"),
        (TeeEntry("sgx", ("a" * 64,), versions_min={"secure_kernel": 1}), "known: tcb_evaluation"),
        (TeeEntry("vsm", ("a" * 64,), versions_min={"platform": -1}), "of -1"),
        (CodeEntry("manager"), "neither a measurement nor a signer"),
        (CodeEntry("manager", signer="a" * 64), "which product"),
        (CodeEntry("manager", signer="a"), "no SHA-256"),
        (CodeEntry("manager", ("a" * 63,)), "another form"),
        (CodeEntry("manager", ("a" * 64,) * (limits.MANIFEST_VALUES_MAX + 1)), "measurements"),
    ],
)
def test_entries_that_mean_nothing(entry: TeeEntry | CodeEntry, message: str) -> None:
    with pytest.raises(CocoError, match=message):
        entry.check()
    with pytest.raises(CocoError, match=message):
        parse_manifest(msgspec.json.encode([entry]), type(entry))


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[{}]", b'[{"tee": "sev"}]', b'[{"tee": "sgx", "roots": [], "extra": 1}]', b"\xff"]
)
def test_files_that_are_no_manifest(data: bytes) -> None:
    with pytest.raises(CocoError):
        parse_manifest(data, TeeEntry)


def test_a_manifest_comes_back() -> None:
    assert parse_manifest(msgspec.json.encode([TEE, TEE]), TeeEntry) == (TEE, TEE)
    assert parse_manifest(msgspec.json.encode([CODE]), CodeEntry) == (CODE,)
