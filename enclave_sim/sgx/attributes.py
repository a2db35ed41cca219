"""ATTRIBUTES of an enclave: flags and XFRM, 16 bytes (Intel SDM volume 3D, section 36.7.1)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntFlag

from enclave_sim.sgx.fields import MalformedStructure, unpack_exactly

ATTRIBUTES_BYTES = 16
XFRM_LEGACY = 0x3
"""x87 and SSE: enabled in every enclave (the only XFRM bits the architecture demands)."""

_LAYOUT = struct.Struct("<QQ")


class AttributeFlag(IntFlag):
    """The defined bits of ATTRIBUTES.FLAGS; all others are reserved and zero."""

    INIT = 1 << 0
    DEBUG = 1 << 1
    MODE64BIT = 1 << 2
    PROVISIONKEY = 1 << 4
    EINITTOKEN_KEY = 1 << 5
    CET = 1 << 6
    KSS = 1 << 7
    AEXNOTIFY = 1 << 10


_DEFINED = int(sum(AttributeFlag))


@dataclass(frozen=True, slots=True)
class Attributes:
    """flags: AttributeFlag bits; xfrm: the XCR0 bits that are on inside the enclave."""

    flags: int
    xfrm: int = XFRM_LEGACY

    @property
    def debug(self) -> bool:
        return bool(self.flags & AttributeFlag.DEBUG)

    def has(self, flag: AttributeFlag) -> bool:
        return bool(self.flags & flag)

    def encode(self) -> bytes:
        return _LAYOUT.pack(self.flags, self.xfrm)


def parse_attributes(data: bytes) -> Attributes:
    """Parse 16 bytes; raises MalformedStructure for reserved bits, or an XFRM no enclave can have."""
    flags, xfrm = unpack_exactly(_LAYOUT, data, "ATTRIBUTES")
    if flags & ~_DEFINED:
        raise MalformedStructure("ATTRIBUTES", f"reserved flags are set: {flags & ~_DEFINED:#x}")
    if xfrm & XFRM_LEGACY != XFRM_LEGACY:
        raise MalformedStructure("ATTRIBUTES", "XFRM lacks x87 or SSE")
    return Attributes(flags, xfrm)


def masked(value: bytes, mask: bytes) -> bytes:
    """Return value AND mask, both of one length (ValueError otherwise)."""
    return bytes(one & other for one, other in zip(value, mask, strict=True))
