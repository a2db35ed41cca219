"""The attestation report of AMD SEV-SNP: 1184 bytes, of which the first 672 are signed (ECDSA P-384, SHA-384).

Versions 2 and 3 of the report, of Milan and Genoa processors. Integers are little-endian, r and s 72 bytes each.
Source: SEV Secure Nested Paging Firmware ABI Specification, table 23 (ATTESTATION_REPORT).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, fields
from typing import Any

from enclave_sim.sgx.fields import MalformedStructure, require_zero, unpack_exactly

SNP_REPORT_BYTES = 1184
SIGNED_BYTES = 672
VERSIONS = (2, 3)
ECDSA_P384_SHA384 = 1
POLICY_DEBUG = 1 << 19
_POLICY_ONE = 1 << 17
"""Reserved, and one."""
_POLICY_DEFINED = (1 << 26) - 1

_LAYOUT = {
    "version": "I",
    "guest_svn": "I",
    "policy": "Q",
    "family_id": "16s",
    "image_id": "16s",
    "vmpl": "I",
    "algorithm": "I",
    "current_tcb": "8s",
    "platform_info": "Q",
    "key_information": "I",
    "reserved_1": "4s",
    "report_data": "64s",
    "measurement": "48s",
    "host_data": "32s",
    "id_key_digest": "48s",
    "author_key_digest": "48s",
    "report_id": "32s",
    "report_id_ma": "32s",
    "reported_tcb": "8s",
    "cpuid": "24s",
    "chip_id": "64s",
    "committed_tcb": "8s",
    "firmware_versions": "8s",
    "launch_tcb": "8s",
    "reserved_2": "168s",
    "r": "72s",
    "s": "72s",
    "reserved_3": "368s",
}
"""The fields in their order, each with its format as `struct` writes it."""
_RESERVED = ("reserved_1", "reserved_2", "reserved_3")
_TCBS = ("current_tcb", "reported_tcb", "committed_tcb", "launch_tcb")
_REPORT = struct.Struct("<" + "".join(_LAYOUT.values()))


@dataclass(frozen=True, slots=True)
class SnpTcb:
    """Security versions of a Milan or Genoa processor's firmware."""

    boot_loader: int
    tee: int
    snp: int
    microcode: int

    def encode(self) -> bytes:
        return bytes((self.boot_loader, self.tee, 0, 0, 0, 0, self.snp, self.microcode))

    def at_least(self, other: SnpTcb) -> bool:
        """Say whether no version is below the other's."""
        return all(one >= least for one, least in zip(self.encode(), other.encode(), strict=True))


def parse_tcb(data: bytes) -> SnpTcb:
    """Parse 8 bytes; raises MalformedStructure."""
    if len(data) != 8:
        raise MalformedStructure("SNP TCB", f"{len(data)} bytes; expected 8")
    require_zero("SNP TCB", reserved=data[2:6])
    return SnpTcb(data[0], data[1], data[6], data[7])


@dataclass(frozen=True, slots=True)
class SnpReport:
    """Byte strings have their architectural lengths; versions: 8 bytes each of current and committed firmware."""

    version: int
    guest_svn: int
    policy: int
    family_id: bytes
    image_id: bytes
    vmpl: int
    current_tcb: SnpTcb
    platform_info: int
    key_information: int
    report_data: bytes
    measurement: bytes
    host_data: bytes
    id_key_digest: bytes
    author_key_digest: bytes
    report_id: bytes
    report_id_ma: bytes
    reported_tcb: SnpTcb
    cpuid: bytes
    chip_id: bytes
    committed_tcb: SnpTcb
    firmware_versions: bytes
    launch_tcb: SnpTcb
    r: bytes
    s: bytes

    @property
    def debug(self) -> bool:
        return bool(self.policy & POLICY_DEBUG)

    def encode(self) -> bytes:
        """Return the 1184 bytes."""
        values: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        values |= {name: values[name].encode() for name in _TCBS}
        values |= {"algorithm": ECDSA_P384_SHA384} | dict.fromkeys(_RESERVED, b"")
        return _REPORT.pack(*(values[name] for name in _LAYOUT))

    def signed(self) -> bytes:
        """Return the bytes that the processor signs."""
        return self.encode()[:SIGNED_BYTES]


def parse_snp_report(data: bytes) -> SnpReport:
    """Parse 1184 bytes; raises MalformedStructure. Verifies nothing."""
    values = dict(zip(_LAYOUT, unpack_exactly(_REPORT, data, "SNP report"), strict=True))
    algorithm = values.pop("algorithm")
    if algorithm != ECDSA_P384_SHA384:
        raise MalformedStructure("SNP report", f"signature algorithm {algorithm}; expected ECDSA P-384 with SHA-384")
    require_zero("SNP report", **{name: values.pop(name) for name in _RESERVED})
    report = SnpReport(**values | {name: parse_tcb(values[name]) for name in _TCBS})
    _require_architectural(report)
    return report


def _require_architectural(report: SnpReport) -> None:
    """Raise MalformedStructure for another version, and for reserved bits that are not as they must be."""
    if report.version not in VERSIONS:
        raise MalformedStructure("SNP report", f"version {report.version}; 2 and 3 are read")
    require_zero("SNP report", cpuid=report.cpuid if report.version == VERSIONS[0] else report.cpuid[3:])
    require_zero("SNP report", reserved_versions=report.firmware_versions[3:4] + report.firmware_versions[7:])
    policy_is_sound = report.policy & _POLICY_ONE and not report.policy & ~_POLICY_DEFINED
    if not policy_is_sound or report.vmpl > 3 or report.key_information & ~0x1F:
        found = f"policy {report.policy:#x}, VMPL {report.vmpl}, key information {report.key_information:#x}"
        raise MalformedStructure("SNP report", found)
