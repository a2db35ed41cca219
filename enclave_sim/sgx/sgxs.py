"""The SGX instruction stream: the canonical `.sgxs` file, whose SHA-256 is MRENCLAVE.

Each instruction is one 64-byte record, exactly what the processor hashes (Intel SDM volume 3D, ECREATE, EADD, EEXTEND):

    "ECREATE\\0" | SSAFRAMESIZE u32 | SIZE u64 | 44 zero bytes
    "EADD" 4 zero bytes | OFFSET u64 | SECINFO 48 (flags u64, 40 zero bytes)
    "EEXTEND\\0" | OFFSET u64 | 48 zero bytes, followed by the 256 bytes it measures

Canonical: pages ascend, each page's EEXTENDs follow its EADD in ascending order; a page is measured whole or not at
all. Integers are little-endian.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntFlag

from enclave_sim.sgx.fields import Cursor, MalformedStructure, require_zero

PAGE_BYTES = 4096
CHUNK_BYTES = 256
RECORD_BYTES = 64
ENCLAVE_BYTES_MAX = 1 << 36

_ECREATE = struct.Struct("<8sIQ44s")
_EADD = struct.Struct("<8sQQ40s")
_EEXTEND = struct.Struct("<8sQ48s")
_ECREATE_TAG = b"ECREATE\0"
_EADD_TAG = b"EADD\0\0\0\0"
_EEXTEND_TAG = b"EEXTEND\0"


class SecInfo(IntFlag):
    """SECINFO.FLAGS of a page: permissions and page type (bits 8 to 15)."""

    READ = 1 << 0
    WRITE = 1 << 1
    EXECUTE = 1 << 2
    TCS = 1 << 8
    REGULAR = 2 << 8


_PAGE_TYPES = (0x100, 0x200)


@dataclass(frozen=True, slots=True)
class Page:
    """One page. offset: bytes from the enclave's base; content: 4096 bytes, or None when it is not measured."""

    offset: int
    flags: int
    content: bytes | None


@dataclass(frozen=True, slots=True)
class EnclaveImage:
    """An enclave as it is built. size_bytes: a power of two; ssa_frame_size: in pages."""

    size_bytes: int
    ssa_frame_size: int
    pages: tuple[Page, ...]


def write_sgxs(image: EnclaveImage) -> Iterator[bytes]:
    """Yield the canonical stream in pieces; raises MalformedStructure for an image no processor would load."""
    _require_header(image.size_bytes, image.ssa_frame_size)
    yield _ECREATE.pack(_ECREATE_TAG, image.ssa_frame_size, image.size_bytes, b"")
    lowest = 0
    for page in image.pages:
        _require_page(page.offset, page.flags, lowest, image.size_bytes)
        lowest = page.offset + PAGE_BYTES
        yield _EADD.pack(_EADD_TAG, page.offset, page.flags, b"")
        if page.content is not None:
            yield from _extend(page.offset, page.content)


def _extend(offset: int, content: bytes) -> Iterator[bytes]:
    if len(content) != PAGE_BYTES:
        raise MalformedStructure("SGXS", f"a page of {len(content)} bytes")
    for start in range(0, PAGE_BYTES, CHUNK_BYTES):
        yield _EEXTEND.pack(_EEXTEND_TAG, offset + start, b"")
        yield content[start : start + CHUNK_BYTES]


def measure(stream: Iterable[bytes]) -> bytes:
    """Return MRENCLAVE of a canonical stream: its SHA-256."""
    digest = hashlib.sha256()
    for piece in stream:
        digest.update(piece)
    return digest.digest()


def parse_sgxs(data: bytes) -> EnclaveImage:
    """Parse a canonical stream; raises MalformedStructure for any other."""
    cursor = Cursor(data, "SGXS")
    tag, ssa_frame_size, size_bytes, reserved = _ECREATE.unpack(cursor.take(RECORD_BYTES))
    if tag != _ECREATE_TAG:
        raise MalformedStructure("SGXS", "does not start with ECREATE")
    require_zero("SGXS ECREATE", reserved=reserved)
    _require_header(size_bytes, ssa_frame_size)
    pages = []
    lowest = 0
    while cursor.offset < len(data):
        page = _take_page(cursor, data)
        _require_page(page.offset, page.flags, lowest, size_bytes)
        lowest = page.offset + PAGE_BYTES
        pages.append(page)
    return EnclaveImage(size_bytes, ssa_frame_size, tuple(pages))


def _take_page(cursor: Cursor, data: bytes) -> Page:
    tag, offset, flags, reserved = _EADD.unpack(cursor.take(RECORD_BYTES))
    if tag != _EADD_TAG:
        raise MalformedStructure("SGXS", f"expected EADD at byte {cursor.offset - RECORD_BYTES}")
    require_zero("SGXS EADD", reserved=reserved)
    if data[cursor.offset : cursor.offset + 8] != _EEXTEND_TAG:
        return Page(offset, flags, None)
    content = bytearray()
    for start in range(0, PAGE_BYTES, CHUNK_BYTES):
        tag, chunk_offset, reserved = _EEXTEND.unpack(cursor.take(RECORD_BYTES))
        if tag != _EEXTEND_TAG or chunk_offset != offset + start:
            raise MalformedStructure("SGXS", f"the page at {offset:#x} is not measured whole and in order")
        require_zero("SGXS EEXTEND", reserved=reserved)
        content += cursor.take(CHUNK_BYTES)
    return Page(offset, flags, bytes(content))


def _require_header(size_bytes: int, ssa_frame_size: int) -> None:
    if not PAGE_BYTES * 2 <= size_bytes <= ENCLAVE_BYTES_MAX or size_bytes & (size_bytes - 1):
        raise MalformedStructure("SGXS ECREATE", f"SIZE {size_bytes} is not a power of two between 8 KiB and 64 GiB")
    if not 1 <= ssa_frame_size <= 0xFFFFFFFF:
        raise MalformedStructure("SGXS ECREATE", f"SSAFRAMESIZE {ssa_frame_size}")


def _require_page(offset: int, flags: int, lowest: int, size_bytes: int) -> None:
    if offset % PAGE_BYTES or not lowest <= offset <= size_bytes - PAGE_BYTES:
        raise MalformedStructure("SGXS EADD", f"the page at {offset:#x} is out of order, unaligned or outside")
    if flags & ~0x707 or flags & 0x700 not in _PAGE_TYPES:
        raise MalformedStructure("SGXS EADD", f"SECINFO flags {flags:#x}")
