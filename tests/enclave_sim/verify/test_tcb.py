"""Rating: TCB levels in whatever order, TDX modules, and how statuses converge."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import msgspec
import pytest

from enclave_sim.pki.documents import Component, TcbInfo, TcbStatus, decode_document
from enclave_sim.pki.pck_extension import SGX_EXTENSION, PckExtension, parse_pck_extension
from enclave_sim.pki.pem import parse_chain
from enclave_sim.sgx.quote import parse_quote
from enclave_sim.sgx.report import ReportBody
from enclave_sim.sgx.tdx import TdReportBody
from enclave_sim.verify.certificates import read_certificate
from enclave_sim.verify.errors import DocumentInvalid, PlatformMismatch, TcbLevelUnknown, TdxModuleMismatch
from enclave_sim.verify.tcb import Rating, converge, rate_platform
from tests.support.attestation import NOW, hardware

STATUS = TcbStatus


class Real(NamedTuple):
    info: TcbInfo
    extension: PckExtension
    body: ReportBody | TdReportBody


@cache
def real(name: str) -> Real:
    """Read the evidence of real hardware, when a test asks for it, which is skipped where there is none."""
    quote, collateral = hardware(name)
    parsed = parse_quote(quote)
    leaf = read_certificate(parse_chain(parsed.signature.pck_chain_pem)[0])
    info = decode_document(collateral.tcb_info, TcbInfo)
    return Real(info, parse_pck_extension(leaf.extensions[SGX_EXTENSION]), parsed.body)


def td() -> TdReportBody:
    body = real("tdx").body
    assert isinstance(body, TdReportBody)
    return body


def rate(first: int, pce_svn: int = 13, seventh: int = 0) -> TcbStatus:
    components = (first, first, 2, 2, 255, 1, seventh, *[0] * 9)
    info, extension, _ = real("sgx")
    return rate_platform(info, replace(extension, tcb_components=components, pce_svn=pce_svn), None).status


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
    info, extension, _ = real("sgx")
    backwards = msgspec.structs.replace(info, tcb_levels=info.tcb_levels[::-1])
    assert rate_platform(backwards, extension, None) == rate_platform(info, extension, None)


def test_another_platform() -> None:
    info, extension, _ = real("sgx")
    for other in (replace(extension, fmspc=bytes(6)), replace(extension, pce_id=b"\1\0")):
        with pytest.raises(PlatformMismatch):
            rate_platform(info, other, None)


def rate_td(**changes: Any) -> TcbStatus:
    info, extension, _ = real("tdx")
    return rate_platform(info, extension, replace(td(), **changes)).status


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
    info, extension, _ = real("tdx")
    assert rate_platform(info, replace(extension, pce_svn=5), td()).status is STATUS.OUT_OF_DATE


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
    info, extension, _ = real("tdx")
    no_module = msgspec.structs.replace(info, tdx_module=None)
    with pytest.raises(DocumentInvalid):
        rate_platform(no_module, extension, replace(td(), tee_tcb_svn=svn(5, 0, 2)))
    tcb = msgspec.structs.replace(info.tcb_levels[0].tcb, tdxtcbcomponents=None)
    level = msgspec.structs.replace(info.tcb_levels[0], tcb=tcb)
    with pytest.raises(DocumentInvalid):
        rate_platform(msgspec.structs.replace(info, tcb_levels=(level,)), extension, td())
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
