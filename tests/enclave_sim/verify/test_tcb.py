"""Rating: TCB levels in whatever order, TDX modules, and how statuses converge."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from enclave_sim.pki.documents import Component, TcbInfo, TcbStatus, decode_document
from enclave_sim.pki.pck_extension import SGX_EXTENSION, PckExtension, parse_pck_extension
from enclave_sim.pki.pem import parse_chain
from enclave_sim.sgx.quote import parse_quote
from enclave_sim.sgx.tdx import TdReportBody
from enclave_sim.verify.certificates import read_certificate
from enclave_sim.verify.errors import DocumentInvalid, PlatformMismatch, TcbLevelUnknown, TdxModuleMismatch
from enclave_sim.verify.tcb import Rating, converge, rate_platform
from tests.support.attestation import NOW, hardware

STATUS = TcbStatus


def real(name: str) -> tuple[TcbInfo, PckExtension, Any]:
    quote, collateral = hardware(name)
    parsed = parse_quote(quote)
    leaf = read_certificate(parse_chain(parsed.signature.pck_chain_pem)[0])
    info = decode_document(collateral.tcb_info, TcbInfo)
    return info, parse_pck_extension(leaf.extensions[SGX_EXTENSION]), parsed.body


SGX_INFO, SGX_EXTENSION_, _ = real("sgx")
TDX_INFO, TDX_EXTENSION, _TD = real("tdx")
assert isinstance(_TD, TdReportBody)
TD: TdReportBody = _TD


def rate(first: int, pce_svn: int = 13, seventh: int = 0) -> TcbStatus:
    components = (first, first, 2, 2, 255, 1, seventh, *[0] * 9)
    return rate_platform(SGX_INFO, replace(SGX_EXTENSION_, tcb_components=components, pce_svn=pce_svn), None).status


def test_the_first_level_that_is_reached_counts() -> None:
    assert rate(11) is STATUS.CONFIGURATION_AND_SW_HARDENING_NEEDED
    assert rate(11, seventh=12) is STATUS.SW_HARDENING_NEEDED
    assert rate(11, seventh=11) is STATUS.CONFIGURATION_AND_SW_HARDENING_NEEDED
    assert rate(10) is STATUS.OUT_OF_DATE_CONFIGURATION_NEEDED
    assert rate(10, seventh=12) is STATUS.OUT_OF_DATE
    assert rate(255, pce_svn=12) is STATUS.OUT_OF_DATE_CONFIGURATION_NEEDED
    assert rate(255, pce_svn=5) is STATUS.OUT_OF_DATE
    for first, pce_svn in ((4, 13), (255, 4)):
        with pytest.raises(TcbLevelUnknown):
            rate(first, pce_svn)


def test_the_documents_order_does_not_matter() -> None:
    backwards = msgspec.structs.replace(SGX_INFO, tcb_levels=SGX_INFO.tcb_levels[::-1])
    assert rate_platform(backwards, SGX_EXTENSION_, None) == rate_platform(SGX_INFO, SGX_EXTENSION_, None)


def test_another_platform() -> None:
    for other in (replace(SGX_EXTENSION_, fmspc=bytes(6)), replace(SGX_EXTENSION_, pce_id=b"\1\0")):
        with pytest.raises(PlatformMismatch):
            rate_platform(SGX_INFO, other, None)


def rate_td(**changes: Any) -> TcbStatus:
    return rate_platform(TDX_INFO, TDX_EXTENSION, replace(TD, **changes)).status


def svn(*first: int) -> bytes:
    return bytes(first).ljust(16, b"\0")


def test_tdx_components_and_module() -> None:
    assert rate_td() is STATUS.UP_TO_DATE
    assert rate_td(tee_tcb_svn=svn(4, 1, 2)) is STATUS.UP_TO_DATE
    assert rate_td(tee_tcb_svn=svn(3, 1, 2)) is STATUS.OUT_OF_DATE
    assert rate_td(tee_tcb_svn=svn(3, 3, 2)) is STATUS.UP_TO_DATE
    assert rate_td(tee_tcb_svn=svn(5, 0, 2)) is STATUS.UP_TO_DATE  # Version 0: its components are compared instead.
    for below in (svn(1, 1, 2), svn(2, 3, 2), svn(6, 1, 1), svn(4, 0, 2)):
        with pytest.raises(TcbLevelUnknown):
            rate_td(tee_tcb_svn=below)
    assert rate_platform(TDX_INFO, replace(TDX_EXTENSION, pce_svn=5), TD).status is STATUS.OUT_OF_DATE


@pytest.mark.parametrize(
    "changes",
    [
        {"mrsignerseam": b"\1" + bytes(47)},
        {"seam_attributes": 1},
        {"tee_tcb_svn": svn(9, 2, 9)},
        {"tee_tcb_svn": svn(9, 0x10, 9)},
    ],
)
def test_another_tdx_module(changes: dict[str, object]) -> None:
    with pytest.raises(TdxModuleMismatch):
        rate_td(**changes)


def test_tcb_info_for_tdx_that_lacks_something() -> None:
    no_module = msgspec.structs.replace(TDX_INFO, tdx_module=None)
    with pytest.raises(DocumentInvalid):
        rate_platform(no_module, TDX_EXTENSION, replace(TD, tee_tcb_svn=svn(5, 0, 2)))
    tcb = msgspec.structs.replace(TDX_INFO.tcb_levels[0].tcb, tdxtcbcomponents=None)
    level = msgspec.structs.replace(TDX_INFO.tcb_levels[0], tcb=tcb)
    with pytest.raises(DocumentInvalid):
        rate_platform(msgspec.structs.replace(TDX_INFO, tcb_levels=(level,)), TDX_EXTENSION, TD)
    assert Component(3).svn == 3


@pytest.mark.parametrize(
    ("platform", "part", "expected"),
    [
        (STATUS.UP_TO_DATE, STATUS.UP_TO_DATE, STATUS.UP_TO_DATE),
        (STATUS.UP_TO_DATE, STATUS.OUT_OF_DATE, STATUS.OUT_OF_DATE),
        (STATUS.SW_HARDENING_NEEDED, STATUS.UP_TO_DATE, STATUS.SW_HARDENING_NEEDED),
        (STATUS.SW_HARDENING_NEEDED, STATUS.OUT_OF_DATE, STATUS.OUT_OF_DATE),
        (STATUS.CONFIGURATION_NEEDED, STATUS.UP_TO_DATE, STATUS.CONFIGURATION_NEEDED),
        (STATUS.CONFIGURATION_NEEDED, STATUS.OUT_OF_DATE, STATUS.OUT_OF_DATE_CONFIGURATION_NEEDED),
        (STATUS.CONFIGURATION_AND_SW_HARDENING_NEEDED, STATUS.OUT_OF_DATE, STATUS.OUT_OF_DATE_CONFIGURATION_NEEDED),
        (STATUS.OUT_OF_DATE, STATUS.OUT_OF_DATE, STATUS.OUT_OF_DATE),
        (STATUS.OUT_OF_DATE_CONFIGURATION_NEEDED, STATUS.OUT_OF_DATE, STATUS.OUT_OF_DATE_CONFIGURATION_NEEDED),
        (STATUS.UP_TO_DATE, STATUS.REVOKED, STATUS.REVOKED),
        (STATUS.REVOKED, STATUS.UP_TO_DATE, STATUS.REVOKED),
    ],
)
def test_converging(platform: TcbStatus, part: TcbStatus, expected: TcbStatus) -> None:
    merged = converge(Rating(platform, ("A", "B"), NOW), Rating(part, ("B", "C"), NOW))
    assert (merged.status, merged.advisory_ids) == (expected, ("A", "B", "C"))
