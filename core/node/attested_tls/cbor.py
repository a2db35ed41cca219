"""The small part of CBOR that RA-TLS needs, read in its canonical form only (RFC 8949, section 4.2.1).

Unsigned integers, byte and text strings, arrays, maps and tags; definite lengths, in the shortest encoding.
"""

from __future__ import annotations

from core.errors import MalformedMessage

UNSIGNED, BYTES, TEXT, ARRAY, MAP, TAG = 0, 2, 3, 4, 5, 6
_NAMES = {UNSIGNED: "an unsigned integer", BYTES: "a byte string", TEXT: "a text", ARRAY: "an array", MAP: "a map"}


class MalformedCbor(MalformedMessage):
    """Bytes that are not the expected items, or not in canonical form."""


def encode_head(major: int, argument: int) -> bytes:
    """Return the head of an item: its major type and its value, length or tag."""
    if argument < 24:
        return bytes([major << 5 | argument])
    for code, size_bytes in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if argument < 1 << 8 * size_bytes:
            return bytes([major << 5 | code]) + argument.to_bytes(size_bytes, "big")
    raise MalformedCbor("a number of more than 64 bits")


def encode_bytes(data: bytes) -> bytes:
    return encode_head(BYTES, len(data)) + data


def encode_text(text: str) -> bytes:
    data = text.encode()
    return encode_head(TEXT, len(data)) + data


def encode_array(*items: bytes) -> bytes:
    """Return an array of encoded items."""
    return encode_head(ARRAY, len(items)) + b"".join(items)


class CborReader:
    """Reads items one after the other; every method raises MalformedCbor on anything but what it is asked for."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def take(self, major: int) -> int:
        """Take the head of an item of that type; return its value, length or tag."""
        first = self._raw(1)[0]
        if first >> 5 != major:
            raise MalformedCbor(f"expected {_NAMES.get(major, 'a tag')}")
        code = first & 0x1F
        if code < 24:
            return code
        if code > 27:
            raise MalformedCbor("an indefinite length, or a reserved encoding")
        size_bytes = 1 << code - 24
        argument = int.from_bytes(self._raw(size_bytes), "big")
        if argument < (24 if size_bytes == 1 else 1 << 4 * size_bytes):
            raise MalformedCbor("a number that is not in its shortest form")
        return argument

    def take_bytes(self, size_bytes_max: int) -> bytes:
        return self._string(BYTES, size_bytes_max)

    def take_text(self, size_bytes_max: int) -> str:
        try:
            return self._string(TEXT, size_bytes_max).decode()
        except UnicodeDecodeError:
            raise MalformedCbor("a text that is not UTF-8") from None

    def take_exactly(self, major: int, argument: int) -> None:
        """Take a head that must have this value, length or tag."""
        found = self.take(major)
        if found != argument:
            raise MalformedCbor(f"found {found} where {argument} belongs")

    def end(self) -> None:
        """Check that nothing follows."""
        if self._position != len(self._data):
            raise MalformedCbor(f"{len(self._data) - self._position} bytes after the end")

    def _string(self, major: int, size_bytes_max: int) -> bytes:
        size_bytes = self.take(major)
        if size_bytes > size_bytes_max:
            raise MalformedCbor(f"a string of {size_bytes} bytes; at most {size_bytes_max} are read")
        return self._raw(size_bytes)

    def _raw(self, size_bytes: int) -> bytes:
        end = self._position + size_bytes
        if end > len(self._data):
            raise MalformedCbor("it ends too early")
        piece = self._data[self._position : end]
        self._position = end
        return piece
