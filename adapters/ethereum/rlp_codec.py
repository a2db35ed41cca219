"""Recursive Length Prefix, decoded strictly and encoded fast. Yellow Paper, appendix B.

Decoding refuses whatever is not the one canonical encoding: a length in more bytes than needed, a single small byte
with a prefix, bytes left over. Only so is a transaction's hash the hash of the bytes that came.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from core.errors import MalformedMessage

Item: TypeAlias = "bytes | list[Item]"
Encodable: TypeAlias = "bytes | int | Sequence[Encodable]"

NESTING_MAX = 8
"""Deepest nesting of lists that is decoded. A transaction has four levels."""


def encode(item: Encodable) -> bytes:
    """Encode bytes, an integer (big-endian, minimal) or a sequence of such."""
    if isinstance(item, bytes):
        return encode_bytes(item)
    if isinstance(item, int):
        return encode_int(item)
    return encode_list([encode(part) for part in item])


def encode_bytes(data: bytes) -> bytes:
    size = len(data)
    if size == 1 and data[0] < 0x80:
        return data
    if size < 56:
        return bytes((0x80 + size,)) + data
    return _long_prefix(size, 0xB7) + data


def encode_int(value: int) -> bytes:
    if value == 0:
        return b"\x80"
    if value < 0x80:
        return bytes((value,))
    return encode_bytes(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def encode_list(encoded_items: Iterable[bytes]) -> bytes:
    """Make a list of items that are encoded already."""
    body = b"".join(encoded_items)
    if len(body) < 56:
        return bytes((0xC0 + len(body),)) + body
    return _long_prefix(len(body), 0xF7) + body


def decode(data: bytes) -> Item:
    """Decode exactly one item; raises MalformedMessage on anything but its canonical encoding."""
    item, end = _decode_at(data, 0, len(data), 0)
    if end != len(data):
        raise MalformedMessage("rlp: input contains bytes after the value")
    return item


def _long_prefix(size: int, base: int) -> bytes:
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((base + len(length),)) + length


def _decode_at(data: bytes, start: int, limit: int, depth: int) -> tuple[Item, int]:
    if start >= limit:
        raise MalformedMessage("rlp: value runs past the end of the input")
    prefix = data[start]
    if prefix < 0x80:
        return data[start : start + 1], start + 1
    if prefix < 0xC0:
        begin, end = _payload(data, start, limit, prefix, 0x80)
        if prefix == 0x81 and data[begin] < 0x80:
            raise MalformedMessage("rlp: non-canonical encoding of a single byte")
        return data[begin:end], end
    begin, end = _payload(data, start, limit, prefix, 0xC0)
    if depth >= NESTING_MAX:
        raise MalformedMessage(f"rlp: lists nested deeper than {NESTING_MAX}")
    items: list[Item] = []
    while begin < end:
        prefix = data[begin]
        if prefix < 0x80:
            items.append(data[begin : begin + 1])
            begin += 1
        elif prefix < 0xB8 and prefix != 0x81:
            # A short string, as nearly every item of a transaction is: no further call for it.
            stop = begin + prefix - 0x7F
            if stop > end:
                raise MalformedMessage("rlp: value size exceeds available input length")
            items.append(data[begin + 1 : stop])
            begin = stop
        else:
            item, begin = _decode_at(data, begin, end, depth + 1)
            items.append(item)
    return items, end


def _payload(data: bytes, start: int, limit: int, prefix: int, base: int) -> tuple[int, int]:
    """Return where the payload of a string or list begins and ends."""
    size, begin = prefix - base, start + 1
    if size > 55:
        length_size = size - 55
        length = data[begin : begin + length_size]
        if begin + length_size > limit or length[0] == 0:
            raise MalformedMessage("rlp: misshapen length")
        size, begin = int.from_bytes(length, "big"), begin + length_size
        if size < 56:
            raise MalformedMessage("rlp: non-canonical size information")
    if begin + size > limit:
        raise MalformedMessage("rlp: value size exceeds available input length")
    return begin, begin + size
