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
    if version not in VERSIONS or algorithm != ECDSA_P384_SHA384:
        raise MalformedStructure("SNP report", f"version {version}, signature algorithm {algorithm}")
    require_zero("SNP report", reserved_1=reserved_1, reserved_2=reserved_2, reserved_3=reserved_3)
    require_zero("SNP report", cpuid=cpuid if version == VERSIONS[0] else cpuid[3:])
    require_zero("SNP report", reserved_versions=firmware_versions[3:4] + firmware_versions[7:])
    if policy & ~_POLICY_DEFINED or not policy & _POLICY_ONE or vmpl > 3 or key_information & ~0x1F:
        raise MalformedStructure("SNP report", f"policy {policy:#x}, VMPL {vmpl}, key information {key_information:#x}")
    return SnpReport(
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
