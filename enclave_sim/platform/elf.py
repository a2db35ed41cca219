"""Reads which other libraries a shared library asks for (DT_NEEDED), from its bytes (ELF, System V ABI, 64 bits)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

_MAGIC = b"\x7fELF\x02\x01"
_LOAD, _DYNAMIC = 1, 2
_NEEDED, _STRING_TABLE = 1, 5


def needed_libraries(data: bytes) -> tuple[str, ...]:
    """Return the names in the order of the file; none for what is no little-endian ELF of 64 bits, or is damaged."""
    if not data.startswith(_MAGIC):
        return ()
    try:
        return tuple(_needed(data))
    except (struct.error, ValueError, OverflowError):
        return ()


def _needed(data: bytes) -> Iterator[str]:
    (headers,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    segments = [struct.unpack_from("<IIQQQQ", data, headers + size * number) for number in range(count)]
    dynamic = next((each for each in segments if each[0] == _DYNAMIC), None)
    if dynamic is None:
        return
    tags = list(struct.iter_unpack("<QQ", data[dynamic[2] : dynamic[2] + dynamic[5] // 16 * 16]))
    strings = next((value for tag, value in tags if tag == _STRING_TABLE), 0)
    for kind, _, offset, address, _, length in segments:
        if kind == _LOAD and address <= strings < address + length:
            strings += offset - address
            break
    for tag, value in tags:
        if tag == _NEEDED:
            start = strings + value
            yield data[start : data.index(b"\0", start)].decode("utf-8", "replace")
