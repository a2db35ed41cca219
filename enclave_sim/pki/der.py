"""The little DER that the SGX extension of a PCK certificate needs: read strictly, written canonically (X.690).

Invariant: what `read_elements` takes is the only encoding of its content (minimal lengths and integers).
"""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import MalformedMessage

INTEGER = 0x02
BIT_STRING = 0x03
OCTET_STRING = 0x04
OBJECT_IDENTIFIER = 0x06
BOOLEAN = 0x01
ENUMERATED = 0x0A
SEQUENCE = 0x30
_LONG_FORM_BYTES_MAX = 3


class MalformedDer(MalformedMessage):
    """Bytes that are not DER, or not the DER that is expected."""


@dataclass(frozen=True, slots=True)
class Element:
    """One tag and its content."""

    tag: int
    content: bytes

    def encode(self) -> bytes:
        size = len(self.content)
        if size < 0x80:
            return bytes([self.tag, size]) + self.content
        length = size.to_bytes((size.bit_length() + 7) // 8, "big")
        return bytes([self.tag, 0x80 | len(length)]) + length + self.content


def read_elements(data: bytes) -> list[Element]:
    """Read elements that lie one after the other, to the end of data; raises MalformedDer."""
    elements = []
    offset = 0
    while offset < len(data):
        start = offset
        if len(data) - offset < 2:
            raise MalformedDer("DER is cut short")
        tag, size = data[offset], data[offset + 1]
        offset += 2
        if size & 0x80:
            length_bytes = size & 0x7F
            if not 1 <= length_bytes <= _LONG_FORM_BYTES_MAX:
                raise MalformedDer("DER has a length of an unsupported form")
            size = int.from_bytes(data[offset : offset + length_bytes], "big")
            offset += length_bytes
        element = Element(tag, data[offset : offset + size])
        offset += size
        if element.encode() != data[start:offset]:
            raise MalformedDer("DER is cut short, or a length is not minimal")
        elements.append(element)
    return elements


def read_one(data: bytes, tag: int) -> bytes:
    """Return the content of the one element that data is; raises MalformedDer."""
    elements = read_elements(data)
    if len(elements) != 1 or elements[0].tag != tag:
        raise MalformedDer(f"expected one DER element of tag {tag:#04x}")
    return elements[0].content


def sequence(*parts: bytes) -> bytes:
    return Element(SEQUENCE, b"".join(parts)).encode()


def integer(value: int, tag: int = INTEGER) -> bytes:
    """Encode a non-negative integer."""
    return Element(tag, value.to_bytes(value.bit_length() // 8 + 1, "big")).encode()


def octets(content: bytes) -> bytes:
    return Element(OCTET_STRING, content).encode()


def boolean(value: bool) -> bytes:
    return Element(BOOLEAN, b"\xff" if value else b"\x00").encode()


def object_identifier(dotted: str) -> bytes:
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    content = bytearray()
    for arc in (first * 40 + second, *rest):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(0x80 | arc & 0x7F)
        content += bytes(reversed(groups))
    return Element(OBJECT_IDENTIFIER, bytes(content)).encode()


def integer_value(element: Element, tag: int = INTEGER) -> int:
    """Return a non-negative integer; raises MalformedDer."""
    value = int.from_bytes(element.content, "big", signed=True)
    if element.tag != tag or value < 0 or integer(value, tag) != element.encode():
        raise MalformedDer("expected a non-negative DER integer in its shortest form")
    return value


def octets_value(element: Element, size_bytes: int) -> bytes:
    """Return an octet string of that size; raises MalformedDer."""
    if element.tag != OCTET_STRING or len(element.content) != size_bytes:
        raise MalformedDer(f"expected a DER octet string of {size_bytes} bytes")
    return element.content


def boolean_value(element: Element) -> bool:
    if element.tag != BOOLEAN or element.content not in (b"\x00", b"\xff"):
        raise MalformedDer("expected a DER boolean")
    return element.content == b"\xff"
