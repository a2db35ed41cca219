"""The attestation report of AMD SEV-SNP: 1184 bytes, of which the first 672 are signed (ECDSA P-384, SHA-384).

Versions 2 and 3 of the report, of Milan and Genoa processors. Integers are little-endian, r and s 72 bytes each.
Source: SEV Secure Nested Paging Firmware ABI Specification, table 23 (ATTESTATION_REPORT).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from enclave_sim.sgx.fields import MalformedStructure, require_zero, unpack_exactly

SNP_REPORT_BYTES = 1184
SIGNED_BYTES = 672
VERSIONS = (2, 3)
ECDSA_P384_SHA384 = 1
POLICY_DEBUG = 1 << 19
_POLICY_ONE = 1 << 17
"""Reserved, and one."""
_POLICY_DEFINED = (1 << 26) - 1

_REPORT = struct.Struct("<IIQ16s16sII8sQII64s48s32s48s48s32s32s8s24s64s8s8s8s168s72s72s368s")


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
        return _REPORT.pack(
            self.version,
            self.guest_svn,
            self.policy,
            self.family_id,
            self.image_id,
            self.vmpl,
            ECDSA_P384_SHA384,
            self.current_tcb.encode(),
            self.platform_info,
            self.key_information,
            0,
            self.report_data,
            self.measurement,
            self.host_data,
            self.id_key_digest,
            self.author_key_digest,
            self.report_id,
            self.report_id_ma,
            self.reported_tcb.encode(),
            self.cpuid,
            self.chip_id,
            self.committed_tcb.encode(),
            self.firmware_versions,
            self.launch_tcb.encode(),
            b"",
            self.r,
            self.s,
            b"",
        )

    def signed(self) -> bytes:
        """Return the bytes that the processor signs."""
        return self.encode()[:SIGNED_BYTES]


def parse_snp_report(data: bytes) -> SnpReport:
    """Parse 1184 bytes; raises MalformedStructure. Verifies nothing."""
    (
        version,
        guest_svn,
        policy,
        family_id,
        image_id,
        vmpl,
        algorithm,
        current_tcb,
        platform_info,
        key_information,
        reserved_1,
        report_data,
        measurement,
        host_data,
        id_key_digest,
        author_key_digest,
        report_id,
        report_id_ma,
        reported_tcb,
        cpuid,
        chip_id,
        committed_tcb,
        firmware_versions,
        launch_tcb,
        reserved_2,
        r,
        s,
        reserved_3,
    ) = unpack_exactly(_REPORT, data, "SNP report")
    if algorithm != ECDSA_P384_SHA384:
        raise MalformedStructure("SNP report", f"signature algorithm {algorithm}; expected ECDSA P-384 with SHA-384")
    require_zero("SNP report", reserved_1=reserved_1, reserved_2=reserved_2, reserved_3=reserved_3)
    report = SnpReport(
        version,
        guest_svn,
        policy,
        family_id,
        image_id,
        vmpl,
        parse_tcb(current_tcb),
        platform_info,
        key_information,
        report_data,
        measurement,
        host_data,
        id_key_digest,
        author_key_digest,
        report_id,
        report_id_ma,
        parse_tcb(reported_tcb),
        cpuid,
        chip_id,
        parse_tcb(committed_tcb),
        firmware_versions,
        parse_tcb(launch_tcb),
        r,
        s,
    )
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
