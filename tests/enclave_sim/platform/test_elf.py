"""Names of needed libraries are read out of shared libraries, and nothing out of anything else."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from enclave_sim.platform.elf import needed_libraries


def library(*names: bytes) -> bytes:
    """Return a minimal ELF file of 64 bits that needs these libraries."""
    strings = b"\0" + b"\0".join(names) + b"\0"
    tags, place = [(5, 0x1000)], 1
    for name in names:
        tags.append((1, place))
        place += len(name) + 1
    dynamic = b"".join(struct.pack("<QQ", *tag) for tag in [*tags, (0, 0)])
    start = 64 + 2 * 56
    load = struct.pack("<IIQQQQQQ", 1, 4, start + len(dynamic), 0x1000, 0, len(strings), len(strings), 1)
    dynamics = struct.pack("<IIQQQQQQ", 2, 4, start, 0, 0, len(dynamic), len(dynamic), 1)
    header = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack(
        "<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0
    )
    return header + load + dynamics + dynamic + strings


def test_needed_libraries() -> None:
    assert needed_libraries(library(b"libgmp-a6f4.so.10", b"libc.so.6")) == ("libgmp-a6f4.so.10", "libc.so.6")
    assert needed_libraries(library()) == ()


@pytest.mark.parametrize("size", range(0, 260, 7))
def test_what_is_cut_short_needs_nothing_or_less(size: int) -> None:
    assert set(needed_libraries(library(b"libgmp.so", b"libc.so.6")[:size])) <= {"libgmp.so", "libc.so.6"}


def test_every_changed_byte_is_survived() -> None:
    whole = library(b"libgmp.so")
    for place in range(len(whole)):
        needed_libraries(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])


def test_other_files_need_nothing() -> None:
    assert needed_libraries(b"") == needed_libraries(b"\x7fELF") == needed_libraries(Path(__file__).read_bytes()) == ()
