"""What a VCEK certificate says of its processor, in extensions 1.3.6.1.4.1.3704.1.*: chip id and firmware versions.

Source: AMD, Versioned Chip Endorsement Key (VCEK) Certificate and KDS Interface Specification, table 8.
"""

from __future__ import annotations

from dataclasses import dataclass

from enclave_sim.pki.der import INTEGER, Element, MalformedDer, integer, integer_value, read_one
from enclave_sim.snp.report import SnpTcb

_ARC = "1.3.6.1.4.1.3704.1"
_BOOT_LOADER, _TEE, _SNP, _MICROCODE = (f"{_ARC}.3.{last}" for last in (1, 2, 3, 8))
_RESERVED = tuple(f"{_ARC}.3.{last}" for last in (4, 5, 6, 7))
_CHIP_ID = f"{_ARC}.4"
CHIP_ID_BYTES = 64


@dataclass(frozen=True, slots=True)
class VcekFacts:
    """chip_id: 64 bytes."""

    chip_id: bytes
    tcb: SnpTcb


def encode_vcek_extensions(facts: VcekFacts) -> dict[str, bytes]:
    """Return the extensions' DER values by object identifier."""
    tcb = facts.tcb
    versions = {_BOOT_LOADER: tcb.boot_loader, _TEE: tcb.tee, _SNP: tcb.snp, _MICROCODE: tcb.microcode}
    values = {identifier: integer(version) for identifier, version in versions.items()}
    return values | dict.fromkeys(_RESERVED, integer(0)) | {_CHIP_ID: facts.chip_id}


def parse_vcek_extensions(extensions: dict[str, bytes]) -> VcekFacts:
    """Read them from a certificate's extensions; raises MalformedDer."""

    def version(identifier: str) -> int:
        value = integer_value(Element(INTEGER, read_one(extensions.get(identifier, b""), INTEGER)))
        if value > 0xFF:
            raise MalformedDer("a firmware version in the VCEK certificate is above 255")
        return value

    chip_id = extensions.get(_CHIP_ID, b"")
    if len(chip_id) != CHIP_ID_BYTES or any(version(identifier) for identifier in _RESERVED):
        raise MalformedDer("the VCEK certificate has no chip id, or a reserved firmware version")
    tcb = SnpTcb(version(_BOOT_LOADER), version(_TEE), version(_SNP), version(_MICROCODE))
    return VcekFacts(chip_id, tcb)
