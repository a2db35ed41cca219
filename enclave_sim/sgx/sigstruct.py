"""SIGSTRUCT, an enclave's signed identity card: 1808 bytes (Intel SDM volume 3D, section 36.14).

RSA-3072, exponent 3, PKCS #1 v1.5 over SHA-256 of bytes 0-127 and 900-1027. Q1 and Q2 let the processor verify without
division: q1 = s*s // n, q2 = (s**3 - q1*s*n) // n. MRSIGNER is SHA-256 of the modulus (little-endian).
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from datetime import date

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from core.errors import AuthenticationFailed
from enclave_sim.sgx.attributes import Attributes, masked, parse_attributes
from enclave_sim.sgx.fields import MalformedStructure, require_zero, unpack_exactly

SIGSTRUCT_BYTES = 1808
MODULUS_BYTES = 384
EXPONENT = 3
INTEL_VENDOR = 0x8086

_HEADER_1 = bytes.fromhex("06000000e10000000000010000000000")
_HEADER_2 = bytes.fromhex("01010000600000006000000001000000")
_SIGNED_1 = struct.Struct("<16sII16sI84s")
_KEY = struct.Struct("<384sI384s")
_SIGNED_2 = struct.Struct("<IIBB2s16s16s16s32s16s16sHH")
_TAIL = struct.Struct("<12s384s384s")


@dataclass(frozen=True, slots=True)
class EnclaveIdentity:
    """The signed part of SIGSTRUCT that is ours to choose."""

    mrenclave: bytes
    attributes: Attributes
    attribute_mask: bytes
    built: date
    isvprodid: int = 0
    isvsvn: int = 0
    miscselect: int = 0
    miscmask: int = 0xFFFFFFFF
    cet_attributes: int = 0
    cet_attributes_mask: int = 0
    isvfamilyid: bytes = bytes(16)
    isvextprodid: bytes = bytes(16)
    vendor: int = 0
    swdefined: int = 0

    def admits(self, attributes: Attributes, miscselect: int) -> bool:
        """Say whether EINIT lets an enclave with these ATTRIBUTES and MISCSELECT run under this SIGSTRUCT."""
        ours, theirs = (masked(one.encode(), self.attribute_mask) for one in (self.attributes, attributes))
        return ours == theirs and (miscselect ^ self.miscselect) & self.miscmask == 0


@dataclass(frozen=True, slots=True)
class SigStruct:
    """modulus and signature: integers."""

    identity: EnclaveIdentity
    modulus: int
    signature: int

    @property
    def mrsigner(self) -> bytes:
        return mrsigner_of(self.modulus)

    def encode(self) -> bytes:
        """Return the 1808 bytes."""
        q1 = self.signature**2 // self.modulus
        q2 = (self.signature**3 - q1 * self.signature * self.modulus) // self.modulus
        first, second = _signed_parts(self.identity)
        return (
            first
            + _KEY.pack(_little(self.modulus), EXPONENT, _little(self.signature))
            + second
            + _TAIL.pack(b"", _little(q1), _little(q2))
        )


def mrsigner_of(modulus: int) -> bytes:
    """Return MRSIGNER of an RSA-3072 modulus."""
    return hashlib.sha256(_little(modulus)).digest()


def generate_signing_key() -> rsa.RSAPrivateKey:
    """Return a new RSA-3072 key with exponent 3, the only kind that SGX takes."""
    return rsa.generate_private_key(EXPONENT, MODULUS_BYTES * 8)


def sign_enclave(identity: EnclaveIdentity, key: rsa.RSAPrivateKey) -> SigStruct:
    """Sign; raises ValueError for a key that is not RSA-3072 with exponent 3."""
    public = key.public_key().public_numbers()
    if key.key_size != MODULUS_BYTES * 8 or public.e != EXPONENT:
        raise ValueError("an enclave's signing key is RSA-3072 with exponent 3")
    signature = key.sign(b"".join(_signed_parts(identity)), PKCS1v15(), SHA256())
    return SigStruct(identity, public.n, int.from_bytes(signature, "big"))


def parse_sigstruct(data: bytes) -> SigStruct:
    """Parse 1808 bytes and verify them.

    Raises MalformedStructure for a wrong form (also wrong q1 or q2, as EINIT would), AuthenticationFailed for a
    signature that does not verify.
    """
    if len(data) != SIGSTRUCT_BYTES:
        raise MalformedStructure("SIGSTRUCT", f"{len(data)} bytes; expected {SIGSTRUCT_BYTES}")
    identity = _parse_identity(data[:128], data[900:1028])
    modulus_bytes, exponent, signature_bytes = unpack_exactly(_KEY, data[128:900], "SIGSTRUCT")
    modulus, signature = int.from_bytes(modulus_bytes, "little"), int.from_bytes(signature_bytes, "little")
    if exponent != EXPONENT or modulus.bit_length() != MODULUS_BYTES * 8 or modulus % 2 == 0 or signature >= modulus:
        raise MalformedStructure("SIGSTRUCT", "the key is not RSA-3072 with exponent 3, or the signature exceeds it")
    parsed = SigStruct(identity, modulus, signature)
    if parsed.encode() != data:
        raise MalformedStructure("SIGSTRUCT", "headers, reserved fields, Q1 or Q2 are wrong")
    try:
        rsa.RSAPublicNumbers(EXPONENT, modulus).public_key().verify(
            signature.to_bytes(MODULUS_BYTES, "big"), data[:128] + data[900:1028], PKCS1v15(), SHA256()
        )
    except (InvalidSignature, ValueError):
        raise AuthenticationFailed("the SIGSTRUCT's signature does not verify") from None
    return parsed


def _parse_identity(first: bytes, second: bytes) -> EnclaveIdentity:
    header_1, vendor, built, header_2, swdefined, reserved_1 = _SIGNED_1.unpack(first)
    if (header_1, header_2) != (_HEADER_1, _HEADER_2) or vendor not in (0, INTEL_VENDOR):
        raise MalformedStructure("SIGSTRUCT", "the header or the vendor is wrong")
    (
        miscselect,
        miscmask,
        cet_attributes,
        cet_mask,
        reserved_2,
        isvfamilyid,
        attributes,
        attribute_mask,
        mrenclave,
        reserved_3,
        isvextprodid,
        isvprodid,
        isvsvn,
    ) = _SIGNED_2.unpack(second)
    require_zero("SIGSTRUCT", reserved_1=reserved_1, reserved_2=reserved_2, reserved_3=reserved_3)
    return EnclaveIdentity(
        mrenclave=mrenclave,
        attributes=parse_attributes(attributes),
        attribute_mask=attribute_mask,
        built=_parse_date(built),
        isvprodid=isvprodid,
        isvsvn=isvsvn,
        miscselect=miscselect,
        miscmask=miscmask,
        cet_attributes=cet_attributes,
        cet_attributes_mask=cet_mask,
        isvfamilyid=isvfamilyid,
        isvextprodid=isvextprodid,
        vendor=vendor,
        swdefined=swdefined,
    )


def _signed_parts(identity: EnclaveIdentity) -> tuple[bytes, bytes]:
    built = int(identity.built.strftime("%Y%m%d"), 16)
    first = _SIGNED_1.pack(_HEADER_1, identity.vendor, built, _HEADER_2, identity.swdefined, b"")
    second = _SIGNED_2.pack(
        identity.miscselect,
        identity.miscmask,
        identity.cet_attributes,
        identity.cet_attributes_mask,
        b"",
        identity.isvfamilyid,
        identity.attributes.encode(),
        identity.attribute_mask,
        identity.mrenclave,
        b"",
        identity.isvextprodid,
        identity.isvprodid,
        identity.isvsvn,
    )
    return first, second


def _parse_date(packed: int) -> date:
    """Parse yyyymmdd in binary-coded decimal."""
    digits = f"{packed:08x}"
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        raise MalformedStructure("SIGSTRUCT", f"the date {digits} does not exist") from None


def _little(value: int) -> bytes:
    return value.to_bytes(MODULUS_BYTES, "little")
