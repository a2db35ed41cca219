"""What a transaction wrote, and its encoding as the two domains of a ledger entry: public and private.

A domain is: version (1 byte), number of tables (4), and per table: name length (2), name, section length (4), section.
A section is: number of writes (4), and per write: key length (2), key, value length + 1 (4; 0 deletes), value.
Integers are little-endian. The section length lets a reader list the table names without reading their content.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from core import limits
from core.errors import MalformedMessage

PUBLIC_PREFIX = "public:"
DOMAIN_VERSION = 1

_HEADER = struct.Struct("<BI")
_U16 = struct.Struct("<H")
_U32 = struct.Struct("<I")

Writes = dict[str, dict[bytes, bytes | None]]


@dataclass(slots=True)
class WriteSet:
    """Table name -> key -> new value, None for a deletion."""

    tables: Writes = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.tables)

    def encode(self) -> tuple[bytes, bytes]:
        """Return the public and the private domain."""
        public = {name: writes for name, writes in self.tables.items() if name.startswith(PUBLIC_PREFIX)}
        private = {name: writes for name, writes in self.tables.items() if not name.startswith(PUBLIC_PREFIX)}
        return encode_domain(public), encode_domain(private)

    @classmethod
    def decode(cls, public: bytes, private: bytes) -> WriteSet:
        """Decode both domains; raises MalformedMessage, also for a table that stands in the wrong domain."""
        tables = decode_domain(public)
        if not all(name.startswith(PUBLIC_PREFIX) for name in tables):
            raise MalformedMessage("a private table stands in the public domain")
        hidden = decode_domain(private)
        if any(name.startswith(PUBLIC_PREFIX) for name in hidden):
            raise MalformedMessage("a public table stands in the private domain")
        return cls({**tables, **hidden})


def encode_domain(tables: Writes) -> bytes:
    """Encode tables in the order given."""
    parts = [_HEADER.pack(DOMAIN_VERSION, len(tables))]
    for name, writes in tables.items():
        section = [_U32.pack(len(writes))]
        for key, value in writes.items():
            section.append(_U16.pack(len(key)) + key)
            section.append(_U32.pack(0) if value is None else _U32.pack(len(value) + 1) + value)
        body = b"".join(section)
        encoded_name = name.encode()
        parts.append(_U16.pack(len(encoded_name)) + encoded_name + _U32.pack(len(body)) + body)
    return b"".join(parts)


def decode_domain(data: bytes) -> Writes:
    """Decode a domain; raises MalformedMessage on anything but exactly one well-formed domain."""
    return {name: _decode_section(section) for name, section in _sections(data)}


def table_names(data: bytes) -> list[str]:
    """Return the names of the tables a domain writes, without decoding their content."""
    return [name for name, _ in _sections(data)]


def _sections(data: bytes) -> list[tuple[str, bytes]]:
    try:
        version, count = _HEADER.unpack_from(data, 0)
        if version != DOMAIN_VERSION or count > limits.TABLES_MAX:
            raise MalformedMessage(f"write-set domain of version {version} with {count} tables")
        offset, found = _HEADER.size, {}
        for _ in range(count):
            raw_name, offset = _take(data, offset, _U16)
            section, offset = _take(data, offset, _U32)
            found[raw_name.decode()] = section
    except (struct.error, UnicodeDecodeError):
        raise MalformedMessage("write-set domain is cut short or misshapen") from None
    if offset != len(data) or len(found) != count:
        raise MalformedMessage("write-set domain has trailing bytes or a repeated table")
    return list(found.items())


def _decode_section(data: bytes) -> dict[bytes, bytes | None]:
    try:
        (count,) = _U32.unpack_from(data, 0)
        offset, writes = _U32.size, dict[bytes, bytes | None]()
        for _ in range(count):
            key, offset = _take(data, offset, _U16)
            (size,) = _U32.unpack_from(data, offset)
            offset += _U32.size
            if size == 0:
                writes[key] = None
                continue
            if offset + size - 1 > len(data):
                raise MalformedMessage("a value is cut short")
            writes[key] = data[offset : offset + size - 1]
            offset += size - 1
    except struct.error:
        raise MalformedMessage("a table section is cut short") from None
    if offset != len(data) or len(writes) != count:
        raise MalformedMessage("a table section has trailing bytes or a repeated key")
    return writes


def _take(data: bytes, offset: int, length: struct.Struct) -> tuple[bytes, int]:
    (size,) = length.unpack_from(data, offset)
    start = offset + length.size
    if start + size > len(data):
        raise MalformedMessage("a length runs past the end of the write set")
    return data[start : start + size], start + size
