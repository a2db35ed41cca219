"""Hellos: one form, and a protocol name that covers both."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.node.attested_tls.errors import HelloMalformed
from core.node.attested_tls.hello import HELLO_BYTES, Hello, Mode, check_hello_start, parse_hello, protocol_of

HELLO = Hello(Mode.JOIN, bytes(range(32)))
DATA = HELLO.encode()


def test_the_layout() -> None:
    assert DATA.hex() == "002b" + b"coco node".hex() + "0101" + bytes(range(32)).hex()
    assert len(DATA) == HELLO_BYTES
    assert parse_hello(DATA) == HELLO
    assert parse_hello(Hello(Mode.PINNED, bytes(32)).encode()).mode is Mode.PINNED


def test_anything_else_is_refused() -> None:
    for size in range(HELLO_BYTES):
        check_hello_start(DATA[:size])
        with pytest.raises(HelloMalformed):
            parse_hello(DATA[:size])
    for offset in range(13):
        changed = bytearray(DATA)
        changed[offset] ^= 0x40
        with pytest.raises(HelloMalformed):
            parse_hello(bytes(changed))
    with pytest.raises(HelloMalformed):
        parse_hello(DATA + b"\0")
    for start in (b"GET / HTTP/1.1", b"\x16\x03\x01\x02", b"\0\0"):
        with pytest.raises(HelloMalformed):
            check_hello_start(start)


@given(st.binary(max_size=60))
def test_what_parses_has_one_encoding(data: bytes) -> None:
    with contextlib.suppress(HelloMalformed):
        assert parse_hello(data).encode() == data


def test_the_protocol_covers_every_field_of_both_in_their_order() -> None:
    other = Hello(Mode.JOIN, bytes(32))
    names = {
        protocol_of(HELLO, other),
        protocol_of(other, HELLO),
        protocol_of(Hello(Mode.PINNED, HELLO.nonce), other),
        protocol_of(HELLO, Hello(Mode.PINNED, other.nonce)),
        protocol_of(HELLO, Hello(Mode.JOIN, b"\1" * 32)),
        protocol_of(Hello(Mode.JOIN, b"\1" * 32), other),
    }
    assert len(names) == 6
    assert all(len(name) < 256 for name in names)
