"""Our RLP against the rlp package, and every non-canonical form refused."""

from __future__ import annotations

from typing import Any

import pytest
import rlp
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.ethereum.rlp_codec import NESTING_MAX, decode, encode, encode_list
from core.errors import MalformedMessage

items = st.recursive(st.binary(max_size=80), lambda children: st.lists(children, max_size=6), max_leaves=20)


@given(items)
@settings(max_examples=150, deadline=None)
def test_agrees_with_the_rlp_package(item: Any) -> None:
    encoded = encode(item)
    assert encoded == rlp.encode(item)
    assert decode(encoded) == item


@given(st.binary(max_size=40))
@settings(max_examples=400, deadline=None)
def test_any_bytes_decode_as_the_package_says_or_are_refused(data: bytes) -> None:
    try:
        expected = rlp.decode(data, strict=True)
    except rlp.exceptions.DecodingError:
        with pytest.raises(MalformedMessage):
            decode(data)
    else:
        assert decode(data) == expected


@pytest.mark.parametrize("value", [0, 1, 0x7F, 0x80, 0xFF, 0x100, 2**64 - 1, 2**256 - 1])
def test_integers(value: int) -> None:
    assert encode(value) == rlp.encode(value)


@pytest.mark.parametrize(
    "text",
    [
        "",  # nothing
        "8100",  # a small byte with a prefix
        "817f",
        "b800",  # a long form for a short string
        "b837" + "00" * 55,
        "b90038" + "00" * 56,  # a length with a leading zero
        "f800",
        "f90038" + "c0" * 56,
        "83ffff",  # cut short
        "c201",
        "b9ff",  # a length cut short
        "0101",  # bytes after the value
        "c0c0",
        "c183",  # an item that runs past its list
        "c3830102",
    ],
)
def test_misshapen_input_is_refused(text: str) -> None:
    with pytest.raises(MalformedMessage):
        decode(bytes.fromhex(text))


def test_deep_nesting_is_refused() -> None:
    item: list[Any] = []
    for _ in range(NESTING_MAX - 1):
        item = [item]
    assert decode(encode(item)) == item
    with pytest.raises(MalformedMessage, match="nested"):
        decode(encode([item]))
    deep = b"\xc0"
    for _ in range(20_000):
        deep = encode_list([deep])
    with pytest.raises(MalformedMessage, match="nested"):
        decode(deep)
