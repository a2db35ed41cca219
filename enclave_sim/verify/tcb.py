"""Rating a platform: TCB levels, the TDX module and the quoting enclave, and how their statuses converge.

Source: Intel PCS API version 4, "TCB info" (determining the TCB status), and the rules of Intel's quote verification
library for converging statuses.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from enclave_sim.pki.documents import (
    Component,
    EnclaveTcbLevel,
    QeIdentity,
    TcbInfo,
    TcbLevel,
    TcbStatus,
    TdxModule,
    TdxModuleIdentity,
)
from enclave_sim.pki.pck_extension import PckExtension
from enclave_sim.sgx.attributes import masked
from enclave_sim.sgx.report import ReportBody
from enclave_sim.sgx.tdx import TdReportBody
from enclave_sim.verify.errors import (
    DocumentInvalid,
    PlatformMismatch,
    QeIdentityMismatch,
    TcbLevelUnknown,
    TdxModuleMismatch,
)

_NEEDS_CONFIGURATION = (TcbStatus.CONFIGURATION_NEEDED, TcbStatus.CONFIGURATION_AND_SW_HARDENING_NEEDED)
_FROM_BEST_TO_WORST = (
    TcbStatus.UP_TO_DATE,
    TcbStatus.SW_HARDENING_NEEDED,
    TcbStatus.CONFIGURATION_NEEDED,
    TcbStatus.CONFIGURATION_AND_SW_HARDENING_NEEDED,
    TcbStatus.OUT_OF_DATE,
    TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED,
    TcbStatus.REVOKED,
)


@dataclass(frozen=True, slots=True)
class Rating:
    """A status with the advisories that explain it, and the date of the TCB level."""

    status: TcbStatus
    advisory_ids: tuple[str, ...]
    tcb_date: datetime


def converge(platform: Rating, part: Rating) -> Rating:
    """Return the platform's rating made worse by that of a part of it (TDX module or quoting enclave).

    The worse status counts, save that out of date and in need of configuration is a status of its own.
    """
    advisories = tuple(dict.fromkeys((*platform.advisory_ids, *part.advisory_ids)))
    status = max(platform.status, part.status, key=_FROM_BEST_TO_WORST.index)
    if status is TcbStatus.OUT_OF_DATE and platform.status in _NEEDS_CONFIGURATION:
        status = TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED
    return Rating(status, advisories, min(platform.tcb_date, part.tcb_date))


def rate_platform(tcb_info: TcbInfo, extension: PckExtension, td: TdReportBody | None) -> Rating:
    """Return the rating of the platform; td: the trust domain's report, for TDX.

    Raises PlatformMismatch, TcbLevelUnknown, TdxModuleMismatch, DocumentInvalid.
    """
    if tcb_info.fmspc.lower() != extension.fmspc.hex() or tcb_info.pce_id.lower() != extension.pce_id.hex():
        raise PlatformMismatch(
            f"the TCB info is about FMSPC {tcb_info.fmspc}; the platform has {extension.fmspc.hex().upper()}"
        )
    for level in sorted(tcb_info.tcb_levels, key=_level_order, reverse=True):
        if _reaches(level, extension, td):
            rating = Rating(level.status, level.advisory_ids, level.tcb_date)
            return rating if td is None else _with_tdx_module(rating, tcb_info, td)
    raise TcbLevelUnknown("the platform's TCB is below every level in the TCB info")


def _level_order(level: TcbLevel) -> tuple[list[int], int, list[int]]:
    """Intel's library sorts the levels itself, whatever order the document has."""
    tcb = level.tcb
    return _svns(tcb.sgxtcbcomponents), tcb.pcesvn, _svns(tcb.tdxtcbcomponents or ())


def _reaches(level: TcbLevel, extension: PckExtension, td: TdReportBody | None) -> bool:
    tcb = level.tcb
    if extension.pce_svn < tcb.pcesvn or not _all_at_least(extension.tcb_components, tcb.sgxtcbcomponents):
        return False
    if td is None:
        return True
    if tcb.tdxtcbcomponents is None:
        raise DocumentInvalid("the TCB info for TDX has a level without TDX components")
    # From module version 1 on, the first two components are rated by the module's identity instead.
    first = 2 if td.tee_tcb_svn[1] else 0
    return _all_at_least(td.tee_tcb_svn[first:], tcb.tdxtcbcomponents[first:])


def _with_tdx_module(platform: Rating, tcb_info: TcbInfo, td: TdReportBody) -> Rating:
    isvsvn, version = td.tee_tcb_svn[:2]
    module: TdxModule | TdxModuleIdentity | None = tcb_info.tdx_module
    if version:
        wanted = f"TDX_{version:02X}"
        module = next((one for one in tcb_info.tdx_module_identities if one.id.upper() == wanted), None)
        if module is None:
            raise TdxModuleMismatch(f"the TCB info knows no TDX module {wanted}")
    if module is None:
        raise DocumentInvalid("the TCB info for TDX names no TDX module")
    attributes = td.seam_attributes.to_bytes(8, "little")
    expected, mask = (_hex_bytes(text, 8) for text in (module.attributes, module.attributes_mask))
    outside = bytes(byte ^ 0xFF for byte in mask)
    if (
        td.mrsignerseam != _hex_bytes(module.mrsigner, 48)
        or masked(attributes, mask) != masked(expected, mask)
        or any(masked(attributes, outside))
    ):
        raise TdxModuleMismatch("the TDX module's signer or attributes are not the vendor's")
    if isinstance(module, TdxModuleIdentity):
        level = _enclave_level(module.tcb_levels, isvsvn)
        if level is None:
            raise TcbLevelUnknown(f"the TDX module's security version {isvsvn} is below every level")
        return converge(platform, Rating(level.status, level.advisory_ids, level.tcb_date))
    return platform


def rate_quoting_enclave(identity: QeIdentity, report: ReportBody) -> Rating:
    """Return the quoting enclave's rating; raises QeIdentityMismatch, TcbLevelUnknown, DocumentInvalid."""
    mask = _hex_bytes(identity.attributes_mask, 16)
    miscselect_mask = _hex_bytes(identity.miscselect_mask, 4)
    # The JSON writes MISCSELECT as the bytes that lie in the report.
    miscselect = report.miscselect.to_bytes(4, "little")
    if (
        report.mrsigner != _hex_bytes(identity.mrsigner, 32)
        or report.isvprodid != identity.isvprodid
        or masked(miscselect, miscselect_mask) != masked(_hex_bytes(identity.miscselect, 4), miscselect_mask)
        or masked(report.attributes.encode(), mask) != masked(_hex_bytes(identity.attributes, 16), mask)
    ):
        raise QeIdentityMismatch("the quoting enclave's signer, product or attributes are not the vendor's")
    if report.attributes.debug:
        raise QeIdentityMismatch("the quoting enclave is a debug enclave")
    level = _enclave_level(identity.tcb_levels, report.isvsvn)
    if level is None:
        raise TcbLevelUnknown(f"the quoting enclave's security version {report.isvsvn} is below every level")
    return Rating(level.status, level.advisory_ids, level.tcb_date)


def _enclave_level(levels: Iterable[EnclaveTcbLevel], isvsvn: int) -> EnclaveTcbLevel | None:
    reached = [level for level in levels if isvsvn >= level.tcb.isvsvn]
    return max(reached, key=lambda level: level.tcb.isvsvn, default=None)


def _all_at_least(ours: Iterable[int], required: Iterable[Component]) -> bool:
    return all(svn >= component.svn for svn, component in zip(ours, required, strict=True))


def _svns(components: Iterable[Component]) -> list[int]:
    return [component.svn for component in components]


def _hex_bytes(text: str, size_bytes: int) -> bytes:
    """Decode hexadecimal that the document's schema already checked, save for its length."""
    if len(text) != 2 * size_bytes:
        raise DocumentInvalid(f"a field of the document has {len(text) // 2} bytes; expected {size_bytes}")
    return bytes.fromhex(text)
