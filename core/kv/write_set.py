"""What a transaction wrote, and its encoding as the two domains of a ledger entry: public and private.

A domain is a sequence of tables, as CCF writes them (CCF 6, "Ledger format"): name length (8), name, read version (8,
always 0), number of reads (8, always 0), number of writes (8), per write key length (8), key, value length (8), value;
then number of deletions (8), per deletion key length (8), key. Integers are little-endian. The domain of an empty write
set is empty.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from functools import lru_cache

from core import limits
from core.errors import MalformedMessage

PUBLIC_PREFIX = "public:"
_U64 = struct.Struct("<Q")
_NO_READS = bytes(16)

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


@lru_cache(maxsize=limits.TABLES_MAX)
def _table_head(name: str) -> bytes:
    encoded = name.encode()
    return _U64.pack(len(encoded)) + encoded + _NO_READS


def encode_domain(tables: Writes) -> bytes:
    """Encode tables in the order given; tables without writes are left out."""
    pack = _U64.pack
    parts: list[bytes] = []
    for name, writes in tables.items():
        if not writes:
            continue
        deleted = [key for key, value in writes.items() if value is None]
        parts.append(_table_head(name))
        parts.append(pack(len(writes) - len(deleted)))
        for key, value in writes.items():
            if value is not None:
                parts += (pack(len(key)), key, pack(len(value)), value)
        parts.append(pack(len(deleted)))
        for key in deleted:
            parts += (pack(len(key)), key)
    return b"".join(parts)


def decode_domain(data: bytes) -> Writes:
    """Decode a domain; raises MalformedMessage on anything but exactly one well-formed domain."""
    found: Writes = {}
    offset = 0
    try:
        while offset < len(data):
            if len(found) >= limits.TABLES_MAX:
                raise MalformedMessage(f"a write set of more than {limits.TABLES_MAX} tables")
            name, offset = _take_name(data, offset)
            if name in found:
                raise MalformedMessage("write-set domain has a repeated table")
            found[name], offset = _take_table(data, offset)
    except (struct.error, OverflowError):
        raise MalformedMessage("write-set domain is cut short") from None
    return found


def table_names(data: bytes) -> list[str]:
    """Return the names of the tables a domain writes."""
    return list(decode_domain(data)) if data else []


def _take_name(data: bytes, offset: int) -> tuple[str, int]:
    raw, offset = _take(data, offset)
    if len(raw) > limits.TABLE_NAME_BYTES_MAX or data[offset : offset + len(_NO_READS)] != _NO_READS:
        raise MalformedMessage("a table of a write set has too long a name, or reads")
    try:
        return raw.decode(), offset + len(_NO_READS)
    except UnicodeDecodeError:
        raise MalformedMessage("a table's name is not UTF-8") from None


def _take_table(data: bytes, offset: int) -> tuple[dict[bytes, bytes | None], int]:
    unpack, end = _U64.unpack_from, len(data)
    writes: dict[bytes, bytes | None] = {}
    (count,) = unpack(data, offset)
    offset += 8
    for _ in range(count):
        start = offset + 8
        middle = start + unpack(data, offset)[0]
        key = data[start:middle]
        offset = middle + 8
        start, offset = offset, offset + unpack(data, middle)[0]
        if offset > end:
            raise MalformedMessage("a value is cut short")
        writes[key] = data[start:offset]
    (deleted,) = unpack(data, offset)
    offset += 8
    for _ in range(deleted):
        key, offset = _take(data, offset)
        writes[key] = None
    if len(writes) != count + deleted or not writes:
        raise MalformedMessage("a table of a write set is empty or has a repeated key")
    return writes, offset


def _take(data: bytes, offset: int) -> tuple[bytes, int]:
    start = offset + 8
    end = start + _U64.unpack_from(data, offset)[0]
    if end > len(data):
        raise MalformedMessage("a length runs past the end of the write set")
    return data[start:end], end
