"""The instruction stream: its bytes, its hash, and every other form refused."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from enclave_sim.sgx.fields import MalformedStructure
from enclave_sim.sgx.sgxs import EnclaveImage, Page, SecInfo, measure, parse_sgxs, write_sgxs

CODE = SecInfo.REGULAR | SecInfo.READ | SecInfo.EXECUTE
CONTENT = bytes(range(256)) * 16
IMAGE = EnclaveImage(
    0x4000, 1, (Page(0, CODE, CONTENT), Page(0x1000, SecInfo.REGULAR | 3, None), Page(0x3000, SecInfo.TCS, bytes(4096)))
)
STREAM = b"".join(write_sgxs(IMAGE))


def test_the_records_are_the_processors() -> None:
    assert STREAM[:64] == b"ECREATE\0" + (1).to_bytes(4, "little") + (0x4000).to_bytes(8, "little") + bytes(44)
    assert STREAM[64:128] == b"EADD\0\0\0\0" + bytes(8) + (0x205).to_bytes(8, "little") + bytes(40)
    assert STREAM[128:192] == b"EEXTEND\0" + bytes(56)
    assert STREAM[192:448] == CONTENT[:256]
    assert STREAM[448:512] == b"EEXTEND\0" + (256).to_bytes(8, "little") + bytes(48)
    assert len(STREAM) == 64 + 3 * 64 + 2 * 16 * (64 + 256)


def test_the_files_hash_is_the_measurement(tmp_path: Path) -> None:
    file = tmp_path / "enclave.sgxs"
    file.write_bytes(STREAM)
    assert measure(write_sgxs(IMAGE)) == hashlib.sha256(STREAM).digest() == measure([STREAM])
    done = subprocess.run(["sha256sum", file], capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == measure([STREAM]).hex()


def test_one_bit_of_content_place_or_permission_changes_it() -> None:
    first = IMAGE.pages[0]
    others = [
        replace(first, content=CONTENT[:-1] + b"\0"),
        replace(first, flags=CODE | SecInfo.WRITE),
        replace(first, content=None),
    ]
    images = [replace(IMAGE, pages=(page, *IMAGE.pages[1:])) for page in others]
    images += [replace(IMAGE, size_bytes=0x8000), replace(IMAGE, ssa_frame_size=2), replace(IMAGE, pages=())]
    assert len({measure(write_sgxs(image)) for image in (IMAGE, *images)}) == 7


def test_it_comes_back_and_only_whole() -> None:
    assert parse_sgxs(STREAM) == IMAGE
    whole = {64, 128, 128 + 5120, 192 + 5120, 256 + 5120}  # After ECREATE, an EADD, or a measured page.
    for end in range(len(STREAM)):
        if end in whole:
            assert b"".join(write_sgxs(parse_sgxs(STREAM[:end]))) == STREAM[:end]
            continue
        with pytest.raises(MalformedStructure):
            parse_sgxs(STREAM[:end])


def test_other_streams_are_refused() -> None:
    for offset in (*range(64), *range(64, 72), *range(80, 192), *range(448, 512)):
        changed = bytearray(STREAM)
        changed[offset] ^= 0x80
        if offset not in range(8, 12):  # SSAFRAMESIZE may be any number.
            with pytest.raises(MalformedStructure):
                parse_sgxs(bytes(changed))


@pytest.mark.parametrize(
    "image",
    [
        replace(IMAGE, size_bytes=0x3000),
        replace(IMAGE, size_bytes=0x1000),
        replace(IMAGE, size_bytes=1 << 40),
        replace(IMAGE, ssa_frame_size=0),
        replace(IMAGE, pages=(Page(1, CODE, None),)),
        replace(IMAGE, pages=(Page(0x4000, CODE, None),)),
        replace(IMAGE, pages=(Page(0x1000, CODE, None), Page(0, CODE, None))),
        replace(IMAGE, pages=(Page(0, CODE, None), Page(0, CODE, None))),
        replace(IMAGE, pages=(Page(0, 0x305, None),)),
        replace(IMAGE, pages=(Page(0, CODE | 8, None),)),
        replace(IMAGE, pages=(Page(0, CODE, b"short"),)),
    ],
)
def test_images_that_no_processor_loads(image: EnclaveImage) -> None:
    with pytest.raises(MalformedStructure):
        measure(write_sgxs(image))
