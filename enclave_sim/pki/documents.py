"""TCB info (version 3) and QE identity (version 2): the JSON documents that say which versions are good enough.

The authority signs the exact bytes, so a document is only ever decoded, never re-encoded, by who verifies it. Unknown
members are skipped, since Intel adds some without a new version. Source: Intel PCS API, version 4.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, TypeVar

import msgspec

from core.errors import MalformedMessage

DOCUMENT_BYTES_MAX = 256 * 1024
SGX_TCB_INFO = "SGX"
TDX_TCB_INFO = "TDX"
TCB_INFO_VERSION = 3
QE_IDENTITY_VERSION = 2


class MalformedDocument(MalformedMessage):
    """A signed document that is not the JSON it should be."""


class TcbStatus(StrEnum):
    """What the authority says about a platform or a quoting enclave at some TCB level."""

    UP_TO_DATE = "UpToDate"
    SW_HARDENING_NEEDED = "SWHardeningNeeded"
    CONFIGURATION_NEEDED = "ConfigurationNeeded"
    CONFIGURATION_AND_SW_HARDENING_NEEDED = "ConfigurationAndSWHardeningNeeded"
    OUT_OF_DATE = "OutOfDate"
    OUT_OF_DATE_CONFIGURATION_NEEDED = "OutOfDateConfigurationNeeded"
    REVOKED = "Revoked"


_Byte = Annotated[int, msgspec.Meta(ge=0, le=0xFF)]
_Short = Annotated[int, msgspec.Meta(ge=0, le=0xFFFF)]
_Long = Annotated[int, msgspec.Meta(ge=0, le=0xFFFFFFFF)]
_Hex = Annotated[str, msgspec.Meta(pattern="^(?:[0-9A-Fa-f]{2})*$", max_length=128)]
_Time = Annotated[datetime, msgspec.Meta(tz=True)]


class Component(msgspec.Struct, frozen=True, omit_defaults=True):
    svn: _Byte
    category: str | None = None
    type: str | None = None


_Components = Annotated[tuple[Component, ...], msgspec.Meta(min_length=16, max_length=16)]


class Tcb(msgspec.Struct, frozen=True, omit_defaults=True):
    sgxtcbcomponents: _Components
    pcesvn: _Short
    tdxtcbcomponents: _Components | None = None


class TcbLevel(msgspec.Struct, frozen=True, omit_defaults=True):
    """From this TCB on (all components and PCESVN at least as high), the platform has this status."""

    tcb: Tcb
    tcb_date: _Time = msgspec.field(name="tcbDate")
    status: TcbStatus = msgspec.field(name="tcbStatus")
    advisory_ids: tuple[str, ...] = msgspec.field(name="advisoryIDs", default=())


class EnclaveTcb(msgspec.Struct, frozen=True):
    isvsvn: _Short


class EnclaveTcbLevel(msgspec.Struct, frozen=True, omit_defaults=True):
    """From this security version on, the quoting enclave or TDX module has this status."""

    tcb: EnclaveTcb
    tcb_date: _Time = msgspec.field(name="tcbDate")
    status: TcbStatus = msgspec.field(name="tcbStatus")
    advisory_ids: tuple[str, ...] = msgspec.field(name="advisoryIDs", default=())


class TdxModule(msgspec.Struct, frozen=True, rename="camel"):
    """mrsigner: 48 bytes, attributes and their mask: 8, in hexadecimal."""

    mrsigner: _Hex
    attributes: _Hex
    attributes_mask: _Hex


class TdxModuleIdentity(msgspec.Struct, frozen=True, rename="camel"):
    id: str
    mrsigner: _Hex
    attributes: _Hex
    attributes_mask: _Hex
    tcb_levels: tuple[EnclaveTcbLevel, ...]


class TcbInfo(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """id: "SGX" or "TDX"; fmspc: 6 bytes and pce_id: 2, in hexadecimal."""

    id: str
    version: int
    issue_date: _Time
    next_update: _Time
    fmspc: _Hex
    pce_id: _Hex
    tcb_type: int
    tcb_evaluation_data_number: _Long
    tcb_levels: tuple[TcbLevel, ...]
    tdx_module: TdxModule | None = None
    tdx_module_identities: tuple[TdxModuleIdentity, ...] = ()


class QeIdentity(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """Who the quoting enclave must be. Masks say which bits count; all bytes in hexadecimal."""

    id: str
    version: int
    issue_date: _Time
    next_update: _Time
    tcb_evaluation_data_number: _Long
    miscselect: _Hex
    miscselect_mask: _Hex
    attributes: _Hex
    attributes_mask: _Hex
    mrsigner: _Hex
    isvprodid: _Short
    tcb_levels: tuple[EnclaveTcbLevel, ...]


_DocumentT = TypeVar("_DocumentT", TcbInfo, QeIdentity)


def decode_document(text: bytes, kind: type[_DocumentT]) -> _DocumentT:
    """Decode a document whose signature holds; raises MalformedDocument."""
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedDocument(f"{kind.__name__} is not what Intel's PCS API gives: {error}") from None


def encode_document(document: TcbInfo | QeIdentity) -> bytes:
    """Return the JSON that is to be signed."""
    return msgspec.json.encode(document)
