"""The SGX extension of a PCK certificate, 1.2.840.113741.1.13.1: which platform at which TCB the key belongs to.

A SEQUENCE of {object identifier, value}: PPID (16 bytes), TCB (16 components, PCESVN, CPUSVN), PCEID (2), FMSPC (6),
SGX type; for multi-package platforms also the platform instance id (16) and configuration flags.
Source: Intel SGX PCK Certificate and CRL Profile Specification, section 1.3.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from enclave_sim.pki.der import (
    ENUMERATED,
    OBJECT_IDENTIFIER,
    SEQUENCE,
    Element,
    MalformedDer,
    boolean,
    boolean_value,
    integer,
    integer_value,
    object_identifier,
    octets,
    octets_value,
    read_elements,
    read_one,
    sequence,
)

SGX_EXTENSION = "1.2.840.113741.1.13.1"
TCB_COMPONENTS = 16


class SgxType(IntEnum):
    STANDARD = 0
    SCALABLE = 1
    SCALABLE_WITH_INTEGRITY = 2


@dataclass(frozen=True, slots=True)
class PlatformConfiguration:
    """Of a multi-package platform. instance_id: 16 bytes."""

    instance_id: bytes
    dynamic_platform: bool = False
    cached_keys: bool = False
    smt_enabled: bool = False


@dataclass(frozen=True, slots=True)
class PckExtension:
    """ppid and cpusvn: 16 bytes; tcb_components: 16 numbers; pce_id: 2 bytes; fmspc: 6 bytes."""

    ppid: bytes
    tcb_components: tuple[int, ...]
    pce_svn: int
    cpusvn: bytes
    pce_id: bytes
    fmspc: bytes
    sgx_type: SgxType = SgxType.STANDARD
    configuration: PlatformConfiguration | None = None


def encode_pck_extension(extension: PckExtension) -> bytes:
    """Return the DER value of the extension."""
    tcb = [_entry(f"2.{number}", integer(svn)) for number, svn in enumerate(extension.tcb_components, 1)]
    tcb += [_entry("2.17", integer(extension.pce_svn)), _entry("2.18", octets(extension.cpusvn))]
    entries = [
        _entry("1", octets(extension.ppid)),
        _entry("2", sequence(*tcb)),
        _entry("3", octets(extension.pce_id)),
        _entry("4", octets(extension.fmspc)),
        _entry("5", integer(extension.sgx_type, ENUMERATED)),
    ]
    if (configuration := extension.configuration) is not None:
        flags = (configuration.dynamic_platform, configuration.cached_keys, configuration.smt_enabled)
        entries.append(_entry("6", octets(configuration.instance_id)))
        entries.append(_entry("7", sequence(*(_entry(f"7.{i}", boolean(flag)) for i, flag in enumerate(flags, 1)))))
    return sequence(*entries)


def parse_pck_extension(value: bytes) -> PckExtension:
    """Parse the DER value; raises MalformedDer for anything missing, unknown or double."""
    fields = _read_entries(value, "", ("1", "2", "3", "4", "5"), optional=("6", "7"))
    tcb = _read_entries(fields["2"].encode(), "2.", tuple(str(number) for number in range(1, 19)))
    components = tuple(integer_value(tcb[str(number)]) for number in range(1, TCB_COMPONENTS + 1))
    pce_svn = integer_value(tcb["17"])
    sgx_type = integer_value(fields["5"], ENUMERATED)
    if any(svn > 0xFF for svn in components) or pce_svn > 0xFFFF or sgx_type not in SgxType.__members__.values():
        raise MalformedDer("the SGX extension has a number out of its range")
    return PckExtension(
        ppid=octets_value(fields["1"], 16),
        tcb_components=components,
        pce_svn=pce_svn,
        cpusvn=octets_value(tcb["18"], 16),
        pce_id=octets_value(fields["3"], 2),
        fmspc=octets_value(fields["4"], 6),
        sgx_type=SgxType(sgx_type),
        configuration=_parse_configuration(fields),
    )


def _parse_configuration(fields: dict[str, Element]) -> PlatformConfiguration | None:
    if "6" not in fields and "7" not in fields:
        return None
    if "6" not in fields or "7" not in fields:
        raise MalformedDer("the SGX extension has a platform instance without configuration, or the reverse")
    flags = _read_entries(fields["7"].encode(), "7.", (), optional=("1", "2", "3"))
    dynamic_platform, cached_keys, smt_enabled = (
        boolean_value(flags[number]) if number in flags else False for number in ("1", "2", "3")
    )
    return PlatformConfiguration(octets_value(fields["6"], 16), dynamic_platform, cached_keys, smt_enabled)


def _entry(suffix: str, value: bytes) -> bytes:
    return sequence(object_identifier(f"{SGX_EXTENSION}.{suffix}"), value)


def _read_entries(
    data: bytes, prefix: str, required: Sequence[str], *, optional: Sequence[str] = ()
) -> dict[str, Element]:
    """Return the values of a SEQUENCE of {object identifier, value} by the identifier's last number."""
    known = {object_identifier(f"{SGX_EXTENSION}.{prefix}{last}"): last for last in (*required, *optional)}
    found: dict[str, Element] = {}
    for entry in read_elements(read_one(data, SEQUENCE)):
        parts = read_elements(entry.content)
        if entry.tag != SEQUENCE or len(parts) != 2 or parts[0].tag != OBJECT_IDENTIFIER:
            raise MalformedDer("the SGX extension has an entry that is no pair")
        last = known.get(parts[0].encode())
        if last is None or last in found:
            raise MalformedDer("the SGX extension has an entry that is unknown or double")
        found[last] = parts[1]
    if not set(required) <= set(found):
        raise MalformedDer(f"the SGX extension lacks {sorted(set(required) - set(found))}")
    return found
