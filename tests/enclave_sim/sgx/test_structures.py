"""The architectural structures: offsets as Intel's manual has them, exact lengths, reserved bits, one encoding."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave_sim.sgx.attributes import AttributeFlag, Attributes, parse_attributes
from enclave_sim.sgx.fields import MalformedStructure
from enclave_sim.sgx.keyrequest import KeyName, KeyPolicy, KeyRequest, parse_key_request
from enclave_sim.sgx.quote import parse_quote, without_padding
from enclave_sim.sgx.report import Report, ReportBody, TargetInfo, parse_report, parse_report_body, parse_target_info
from enclave_sim.sgx.tdx import parse_td_report_body
from tests.support.attestation import hardware, vector

ATTRIBUTES = Attributes(AttributeFlag.INIT | AttributeFlag.KSS, 0xE7)
BODY = ReportBody(
    cpusvn=b"\x01" * 16,
    attributes=ATTRIBUTES,
    mrenclave=b"\x02" * 32,
    mrsigner=b"\x03" * 32,
    isvprodid=0x0405,
    isvsvn=0x0607,
    report_data=b"\x08" * 64,
    miscselect=1,
    cet_attributes=9,
    isvextprodid=b"\x0a" * 16,
    configid=b"\x0b" * 64,
    configsvn=0x0C0D,
    isvfamilyid=b"\x0e" * 16,
)
REPORT = Report(BODY, b"\x0f" * 32, b"\x10" * 16)
TARGET = TargetInfo(b"\x01" * 32, ATTRIBUTES, 2, 0x0304, 1, b"\x05" * 64)
REQUEST = KeyRequest(KeyName.SEAL, b"\x01" * 16, KeyPolicy.MRSIGNER, 2, b"\x03" * 16, b"\x04" * 32, 5, 6, 7)

Parse = Callable[[bytes], Any]
RESERVED: list[tuple[Parse, bytes, list[range]]] = [
    (parse_report_body, BODY.encode(), [range(21, 32), range(96, 128), range(160, 192), range(262, 304)]),
    (parse_report, REPORT.encode(), [range(21, 32)]),
    (parse_target_info, TARGET.encode(), [range(49, 50), range(56, 64), range(128, 512)]),
    (parse_key_request, REQUEST.encode(), [range(7, 8), range(78, 512)]),
]
STRUCTURES = [(parse, data) for parse, data, _ in RESERVED]


def test_fields_lie_where_the_manual_says() -> None:
    body = BODY.encode()
    assert body[:16] == BODY.cpusvn
    assert body[48:64] == ATTRIBUTES.encode() == (0x81).to_bytes(8, "little") + (0xE7).to_bytes(8, "little")
    assert body[64:96] == BODY.mrenclave
    assert body[128:160] == BODY.mrsigner
    assert body[192:256] == BODY.configid
    assert body[256:262] == bytes.fromhex("0504 0706 0d0c")
    assert body[304:320] == BODY.isvfamilyid
    assert body[320:] == BODY.report_data
    report = REPORT.encode()
    assert (report[384:416], report[416:]) == (REPORT.key_id, REPORT.mac)
    assert TARGET.encode()[64:128] == TARGET.configid
    request = REQUEST.encode()
    assert request[:6] == bytes.fromhex("0400 0200 0200")
    assert (request[8:24], request[24:40], request[40:72]) == (b"\x01" * 16, b"\x03" * 16, b"\x04" * 32)
    assert [len(data) for _, data in STRUCTURES] == [384, 432, 512, 512]


@pytest.mark.parametrize(("parse", "data"), STRUCTURES)
def test_they_come_back_and_only_whole(parse: Parse, data: bytes) -> None:
    assert parse(data).encode() == data
    for other in (b"", data[:-1], data + b"\0"):
        with pytest.raises(MalformedStructure):
            parse(other)


@pytest.mark.parametrize(("parse", "data", "reserved"), RESERVED)
def test_reserved_bytes_are_zero(parse: Parse, data: bytes, reserved: list[range]) -> None:
    for offset in (offset for part in reserved for offset in part):
        changed = bytearray(data)
        assert changed[offset] == 0
        changed[offset] = 1
        with pytest.raises(MalformedStructure):
            parse(bytes(changed))


def test_reserved_bits_of_attributes_miscselect_and_policy() -> None:
    for bit in (3, 8, 9, *range(11, 64)):
        with pytest.raises(MalformedStructure):
            parse_attributes(Attributes(1 << bit).encode())
    for xfrm in (0, 1, 2):
        with pytest.raises(MalformedStructure):
            parse_attributes(Attributes(1, xfrm).encode())
    for offset, value in ((16, 4), (19, 1)):
        with pytest.raises(MalformedStructure):
            parse_report_body(BODY.encode()[:offset] + bytes([value]) + BODY.encode()[offset + 1 :])
    for offset, value in ((0, 5), (1, 1), (2, 0x40), (3, 1)):
        with pytest.raises(MalformedStructure):
            parse_key_request(REQUEST.encode()[:offset] + bytes([value]) + REQUEST.encode()[offset + 1 :])


@pytest.mark.parametrize("name", ["sgx", "tdx"])
def test_real_quotes_come_back(name: str) -> None:
    quote, _ = hardware(name)
    assert parse_quote(quote).encode() == quote
    with pytest.raises(MalformedStructure):
        parse_quote(quote + b"\0")
    for end in range(len(quote)):
        with pytest.raises(MalformedStructure):
            parse_quote(quote[:end])


def test_only_zero_padding_is_taken_off() -> None:
    padded = vector("tdx_quote").read_bytes()
    assert len(padded) - len(without_padding(padded)) == 70
    for other in (padded[:-1] + b"\1", b"", b"\4\0", bytes(700), without_padding(padded)):
        assert without_padding(other) == other


def test_a_header_of_another_kind() -> None:
    quote, _ = hardware("sgx")
    for offset, value in ((0, 2), (0, 4), (0, 5), (2, 3), (4, 0x81), (12, 0)):
        with pytest.raises(MalformedStructure):
            parse_quote(quote[:offset] + bytes([value]) + quote[offset + 1 :])


@pytest.mark.parametrize(
    ("parse", "size"),
    [
        (parse_report_body, 384),
        (parse_report, 432),
        (parse_target_info, 512),
        (parse_key_request, 512),
        (parse_td_report_body, 584),
        (parse_quote, 2000),
    ],
)
@given(data=st.data())
def test_random_bytes_parse_to_themselves_or_not_at_all(parse: Parse, size: int, data: st.DataObject) -> None:
    # Mostly zero bytes, so that some get past the reserved fields.
    raw = bytearray(size)
    for _ in range(data.draw(st.integers(0, 8))):
        raw[data.draw(st.integers(0, size - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(MalformedStructure):
        assert parse(bytes(raw)).encode() == bytes(raw)
