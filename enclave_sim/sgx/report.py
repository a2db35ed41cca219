"""REPORT, its 384-byte body, and TARGETINFO (Intel SDM volume 3D, sections 36.15 and 36.16).

A REPORT is body, KEYID and MAC: 432 bytes, the MAC being AES-CMAC of the body under the target's report key. A quote
carries the body alone. Invariant: `parse_x(data).encode() == data` for everything that parses.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from enclave_sim.sgx.attributes import Attributes, parse_attributes
from enclave_sim.sgx.fields import MalformedStructure, require_zero, unpack_exactly

REPORT_BODY_BYTES = 384
REPORT_BYTES = 432
TARGETINFO_BYTES = 512
REPORT_DATA_BYTES = 64
CPUSVN_BYTES = 16

_BODY = struct.Struct("<16sIB11s16s16s32s32s32s32s64sHHH42s16s64s")
_REPORT = struct.Struct("<384s32s16s")
_TARGETINFO = struct.Struct("<32s16sBBHI8s64s384s")


@dataclass(frozen=True, slots=True)
class ReportBody:
    """What the processor says about an enclave. Byte strings have their architectural lengths."""

    cpusvn: bytes
    attributes: Attributes
    mrenclave: bytes
    mrsigner: bytes
    isvprodid: int
    isvsvn: int
    report_data: bytes
    miscselect: int = 0
    cet_attributes: int = 0
    isvextprodid: bytes = bytes(16)
    configid: bytes = bytes(64)
    configsvn: int = 0
    isvfamilyid: bytes = bytes(16)

    def encode(self) -> bytes:
        """Return the 384 bytes."""
        return _BODY.pack(
            self.cpusvn,
            self.miscselect,
            self.cet_attributes,
            b"",
            self.isvextprodid,
            self.attributes.encode(),
            self.mrenclave,
            b"",
            self.mrsigner,
            b"",
            self.configid,
            self.isvprodid,
            self.isvsvn,
            self.configsvn,
            b"",
            self.isvfamilyid,
            self.report_data,
        )


def parse_report_body(data: bytes) -> ReportBody:
    """Parse 384 bytes; raises MalformedStructure."""
    (
        cpusvn,
        miscselect,
        cet_attributes,
        reserved_1,
        isvextprodid,
        attributes,
        mrenclave,
        reserved_2,
        mrsigner,
        reserved_3,
        configid,
        isvprodid,
        isvsvn,
        configsvn,
        reserved_4,
        isvfamilyid,
        report_data,
    ) = unpack_exactly(_BODY, data, "REPORT body")
    require_zero(
        "REPORT body", reserved_1=reserved_1, reserved_2=reserved_2, reserved_3=reserved_3, reserved_4=reserved_4
    )
    _require_miscselect("REPORT body", miscselect)
    return ReportBody(
        cpusvn=cpusvn,
        attributes=parse_attributes(attributes),
        mrenclave=mrenclave,
        mrsigner=mrsigner,
        isvprodid=isvprodid,
        isvsvn=isvsvn,
        report_data=report_data,
        miscselect=miscselect,
        cet_attributes=cet_attributes,
        isvextprodid=isvextprodid,
        configid=configid,
        configsvn=configsvn,
        isvfamilyid=isvfamilyid,
    )


@dataclass(frozen=True, slots=True)
class Report:
    """A local report. key_id: the 32 bytes that the report key is derived from; mac: 16 bytes."""

    body: ReportBody
    key_id: bytes
    mac: bytes

    def encode(self) -> bytes:
        """Return the 432 bytes."""
        return _REPORT.pack(self.body.encode(), self.key_id, self.mac)


def parse_report(data: bytes) -> Report:
    """Parse 432 bytes; raises MalformedStructure. Checks no MAC: only its target can."""
    body, key_id, mac = unpack_exactly(_REPORT, data, "REPORT")
    return Report(parse_report_body(body), key_id, mac)


@dataclass(frozen=True, slots=True)
class TargetInfo:
    """For which enclave a report is made: only that one can check its MAC."""

    mrenclave: bytes
    attributes: Attributes
    cet_attributes: int = 0
    configsvn: int = 0
    miscselect: int = 0
    configid: bytes = bytes(64)

    def encode(self) -> bytes:
        """Return the 512 bytes."""
        return _TARGETINFO.pack(
            self.mrenclave,
            self.attributes.encode(),
            self.cet_attributes,
            0,
            self.configsvn,
            self.miscselect,
            b"",
            self.configid,
            b"",
        )


def parse_target_info(data: bytes) -> TargetInfo:
    """Parse 512 bytes; raises MalformedStructure."""
    mrenclave, attributes, cet_attributes, reserved_1, configsvn, miscselect, reserved_2, configid, reserved_3 = (
        unpack_exactly(_TARGETINFO, data, "TARGETINFO")
    )
    require_zero("TARGETINFO", reserved_1=reserved_1, reserved_2=reserved_2, reserved_3=reserved_3)
    _require_miscselect("TARGETINFO", miscselect)
    return TargetInfo(mrenclave, parse_attributes(attributes), cet_attributes, configsvn, miscselect, configid)


def _require_miscselect(structure: str, miscselect: int) -> None:
    """Only EXINFO (bit 0) and CPINFO (bit 1) are defined."""
    if miscselect & ~0x3:
        raise MalformedStructure(structure, f"reserved MISCSELECT bits are set: {miscselect:#x}")
