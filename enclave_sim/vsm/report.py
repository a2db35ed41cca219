"""VBS_ENCLAVE_REPORT, the evidence of an enclave in virtual secure mode, as Windows' secure kernel writes it.

    package header 24: size, version 1, scheme 1 (RSA-PSS with SHA-256), statement size, signature size, reserved
    statement: report 224 (size of the statement, version 1, enclave data 64, identity 152), then descriptions of
        modules (type 1, size, unique and author id, family and image id, SVN, name in UTF-16 closed by a zero)
    signature by the identity key, over the statement

    identity 152: owner, unique and author id 32 each, family and image id 16 each, then u32: enclave SVN, secure
    kernel SVN, platform SVN, flags, signing level, enclave type

Integers are little-endian. `parse_package(data).encode() == data`. Source: ntenclv.h (Windows SDK; its documentation,
and the bindings that are generated from it). Two facts are not in the header: the signature's salt is 32 bytes, and a
module's block is filled with zeros to a multiple of 8 bytes, which its size includes. The first was measured by others
on Windows 11; the second we infer from the size of a report of theirs.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntFlag

from enclave_sim.sgx.fields import Cursor, MalformedStructure, require_zero, unpack_exactly

HEADER_BYTES = 24
IDENTITY_BYTES = 152
REPORT_BYTES = 224
ENCLAVE_DATA_BYTES = 64
PACKAGE_BYTES_MAX = 16 * 1024
MODULES_MAX = 32
VERSION = 1
RSA_PSS_SHA256 = 1
VBS_ENCLAVE_TYPE = 0x10

_HEADER = struct.Struct("<6I")
_IDENTITY = struct.Struct("<32s32s32s16s16s6I")
_REPORT = struct.Struct("<II64s152s")
_MODULE = struct.Struct("<II32s32s16s16sI")
_MODULE_TYPE = 1
_MODULE_ALIGNMENT = 8


class VbsFlag(IntFlag):
    """How an enclave may be inspected; all other bits are reserved and zero."""

    FULL_DEBUG_ENABLED = 1
    DYNAMIC_DEBUG_ENABLED = 2
    DYNAMIC_DEBUG_ACTIVE = 4


@dataclass(frozen=True, slots=True)
class VbsIdentity:
    """Who the enclave is. unique_id: the image's digest; author_id: who signed it (both 32 bytes)."""

    owner_id: bytes
    unique_id: bytes
    author_id: bytes
    family_id: bytes
    image_id: bytes
    enclave_svn: int
    secure_kernel_svn: int
    platform_svn: int
    flags: int = 0
    signing_level: int = 0
    enclave_type: int = VBS_ENCLAVE_TYPE

    def encode(self) -> bytes:
        """Return the 152 bytes."""
        return _IDENTITY.pack(
            self.owner_id,
            self.unique_id,
            self.author_id,
            self.family_id,
            self.image_id,
            self.enclave_svn,
            self.secure_kernel_svn,
            self.platform_svn,
            self.flags,
            self.signing_level,
            self.enclave_type,
        )


def parse_identity(data: bytes) -> VbsIdentity:
    """Parse 152 bytes; raises MalformedStructure."""
    identity = VbsIdentity(*unpack_exactly(_IDENTITY, data, "ENCLAVE_IDENTITY"))
    if identity.flags & ~sum(VbsFlag):
        raise MalformedStructure("ENCLAVE_IDENTITY", f"reserved flags are set: {identity.flags:#x}")
    if identity.enclave_type != VBS_ENCLAVE_TYPE:
        raise MalformedStructure("ENCLAVE_IDENTITY", f"enclave type {identity.enclave_type:#x}; expected VBS (0x10)")
    return identity


@dataclass(frozen=True, slots=True)
class VbsModule:
    """Another module loaded into the enclave. name: in the report UTF-16, closed by a zero."""

    unique_id: bytes
    author_id: bytes
    family_id: bytes
    image_id: bytes
    svn: int
    name: str

    def encode(self) -> bytes:
        name = (self.name + "\0").encode("utf-16-le")
        name += bytes(-(_MODULE.size + len(name)) % _MODULE_ALIGNMENT)
        size = _MODULE.size + len(name)
        fixed = _MODULE.pack(
            _MODULE_TYPE, size, self.unique_id, self.author_id, self.family_id, self.image_id, self.svn
        )
        return fixed + name


@dataclass(frozen=True, slots=True)
class VbsPackage:
    """A report with its signature. enclave_data: 64 bytes the enclave chose."""

    enclave_data: bytes
    identity: VbsIdentity
    modules: tuple[VbsModule, ...]
    signature: bytes

    def statement(self) -> bytes:
        """Return the bytes that the identity key signs."""
        modules = b"".join(module.encode() for module in self.modules)
        size = REPORT_BYTES + len(modules)
        return _REPORT.pack(size, VERSION, self.enclave_data, self.identity.encode()) + modules

    def encode(self) -> bytes:
        """Return the whole package."""
        statement = self.statement()
        size = HEADER_BYTES + len(statement) + len(self.signature)
        header = _HEADER.pack(size, VERSION, RSA_PSS_SHA256, len(statement), len(self.signature), 0)
        return header + statement + self.signature


def parse_package(data: bytes) -> VbsPackage:
    """Parse a package; raises MalformedStructure. Verifies nothing."""
    if len(data) > PACKAGE_BYTES_MAX:
        raise MalformedStructure("VBS package", f"{len(data)} bytes; at most {PACKAGE_BYTES_MAX} are read")
    cursor = Cursor(data, "VBS package")
    size, version, scheme, statement_size, signature_size, reserved = _HEADER.unpack(cursor.take(HEADER_BYTES))
    require_zero("VBS package", reserved=reserved)
    if size != len(data) or (version, scheme) != (VERSION, RSA_PSS_SHA256):
        raise MalformedStructure("VBS package", f"size {size}, version {version}, signature scheme {scheme}")
    statement = Cursor(cursor.take(statement_size), "VBS statement")
    signature = cursor.take(signature_size)
    cursor.finish()
    report_size, report_version, enclave_data, identity = _REPORT.unpack(statement.take(REPORT_BYTES))
    if (report_size, report_version) != (statement_size, VERSION):
        raise MalformedStructure("VBS report", f"size {report_size}, version {report_version}")
    modules: list[VbsModule] = []
    while statement.offset < statement_size:
        if len(modules) == MODULES_MAX:
            raise MalformedStructure("VBS report", f"more than {MODULES_MAX} modules")
        modules.append(_take_module(statement))
    return VbsPackage(enclave_data, parse_identity(identity), tuple(modules), signature)


def _take_module(statement: Cursor) -> VbsModule:
    kind, size, unique_id, author_id, family_id, image_id, svn = _MODULE.unpack(statement.take(_MODULE.size))
    name = statement.take(max(size - _MODULE.size, 0))
    try:
        text = name.decode("utf-16-le").partition("\0")[0]
    except UnicodeDecodeError:
        raise MalformedStructure("VBS module", "the name is not UTF-16") from None
    module = VbsModule(unique_id, author_id, family_id, image_id, svn, text)
    if kind != _MODULE_TYPE or module.encode()[_MODULE.size :] != name:
        raise MalformedStructure("VBS module", f"type {kind}, size {size}, or a name that is not closed by zeros")
    return module
