"""KEYREQUEST, what EGETKEY is asked for: 512 bytes (Intel SDM volume 3D, section 36.18)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag

from enclave_sim.sgx.fields import MalformedStructure, require_zero, unpack_exactly

KEYREQUEST_BYTES = 512
KEY_ID_BYTES = 32
KEY_BYTES = 16

_LAYOUT = struct.Struct("<HHHBB16s16s32sIH434s")


class KeyName(IntEnum):
    EINITTOKEN = 0
    PROVISION = 1
    PROVISION_SEAL = 2
    REPORT = 3
    SEAL = 4


class KeyPolicy(IntFlag):
    """What a seal key is bound to besides the processor, product and security version."""

    MRENCLAVE = 1 << 0
    MRSIGNER = 1 << 1
    NOISVPRODID = 1 << 2
    CONFIGID = 1 << 3
    ISVFAMILYID = 1 << 4
    ISVEXTPRODID = 1 << 5


_DEFINED = int(sum(KeyPolicy))
NO_POLICY = KeyPolicy(0)
ATTRIBUTE_MASK_ALL = b"\xff" * 16


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """cpusvn: 16 bytes; key_id: 32 public bytes, one per key; attribute_mask: which ATTRIBUTES bits bind the key."""

    key_name: KeyName
    cpusvn: bytes
    key_policy: KeyPolicy = NO_POLICY
    isvsvn: int = 0
    attribute_mask: bytes = ATTRIBUTE_MASK_ALL
    key_id: bytes = bytes(KEY_ID_BYTES)
    miscmask: int = 0xFFFFFFFF
    configsvn: int = 0
    cet_attributes_mask: int = 0

    def encode(self) -> bytes:
        """Return the 512 bytes."""
        return _LAYOUT.pack(
            self.key_name,
            self.key_policy,
            self.isvsvn,
            self.cet_attributes_mask,
            0,
            self.cpusvn,
            self.attribute_mask,
            self.key_id,
            self.miscmask,
            self.configsvn,
            b"",
        )


def parse_key_request(data: bytes) -> KeyRequest:
    """Parse 512 bytes; raises MalformedStructure."""
    name, policy, isvsvn, cet_mask, reserved_1, cpusvn, attribute_mask, key_id, miscmask, configsvn, reserved_2 = (
        unpack_exactly(_LAYOUT, data, "KEYREQUEST")
    )
    require_zero("KEYREQUEST", reserved_1=reserved_1, reserved_2=reserved_2)
    if policy & ~_DEFINED:
        raise MalformedStructure("KEYREQUEST", f"reserved KEYPOLICY bits are set: {policy:#x}")
    if name not in KeyName.__members__.values():
        raise MalformedStructure("KEYREQUEST", f"KEYNAME {name} does not exist")
    return KeyRequest(
        key_name=KeyName(name),
        cpusvn=cpusvn,
        key_policy=KeyPolicy(policy),
        isvsvn=isvsvn,
        attribute_mask=attribute_mask,
        key_id=key_id,
        miscmask=miscmask,
        configsvn=configsvn,
        cet_attributes_mask=cet_mask,
    )
