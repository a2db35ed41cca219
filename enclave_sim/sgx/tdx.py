"""The body of a TDX quote of version 4: what the TDX module says about a trust domain, 584 bytes.

Source: Intel TDX DCAP Quoting Library API, appendix A.3.2 (TD report 1.0); TDX module ABI, ATTRIBUTES.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from enclave_sim.sgx.fields import MalformedStructure, unpack_exactly

TD_REPORT_BODY_BYTES = 584

DEBUG = 1 << 0
SEPT_VE_DISABLE = 1 << 28
PROTECTION_KEYS = 1 << 30
KEY_LOCKER = 1 << 31
PERFMON = 1 << 63
_DEFINED_ATTRIBUTES = DEBUG | SEPT_VE_DISABLE | PROTECTION_KEYS | KEY_LOCKER | PERFMON

_LAYOUT = struct.Struct("<16s48s48sQQQ48s48s48s48s48s48s48s48s64s")


@dataclass(frozen=True, slots=True)
class TdReportBody:
    """tee_tcb_svn: 16 bytes (module SVN, module version, ...); measurements: 48 bytes each; rtmrs: four of them."""

    tee_tcb_svn: bytes
    mrseam: bytes
    mrsignerseam: bytes
    seam_attributes: int
    td_attributes: int
    xfam: int
    mrtd: bytes
    mrconfigid: bytes
    mrowner: bytes
    mrownerconfig: bytes
    rtmrs: tuple[bytes, bytes, bytes, bytes]
    report_data: bytes

    @property
    def debug(self) -> bool:
        return bool(self.td_attributes & DEBUG)

    def encode(self) -> bytes:
        """Return the 584 bytes."""
        return _LAYOUT.pack(
            self.tee_tcb_svn,
            self.mrseam,
            self.mrsignerseam,
            self.seam_attributes,
            self.td_attributes,
            self.xfam,
            self.mrtd,
            self.mrconfigid,
            self.mrowner,
            self.mrownerconfig,
            *self.rtmrs,
            self.report_data,
        )


def parse_td_report_body(data: bytes) -> TdReportBody:
    """Parse 584 bytes; raises MalformedStructure."""
    (
        tee_tcb_svn,
        mrseam,
        mrsignerseam,
        seam_attributes,
        td_attributes,
        xfam,
        mrtd,
        mrconfigid,
        mrowner,
        mrownerconfig,
        rtmr0,
        rtmr1,
        rtmr2,
        rtmr3,
        report_data,
    ) = unpack_exactly(_LAYOUT, data, "TD report body")
    body = TdReportBody(
        tee_tcb_svn,
        mrseam,
        mrsignerseam,
        seam_attributes,
        td_attributes,
        xfam,
        mrtd,
        mrconfigid,
        mrowner,
        mrownerconfig,
        (rtmr0, rtmr1, rtmr2, rtmr3),
        report_data,
    )
    if body.td_attributes & ~_DEFINED_ATTRIBUTES:
        raise MalformedStructure("TD report body", f"reserved TD attributes are set: {body.td_attributes:#018x}")
    return body
