"""The bytes of a snapshot: the state at a signature, in one file. CCF 6, "Snapshots"; docs/snapshots.md.

    header          version 1 | flags 1 | size of all up to the receipt 6
    GCM header      tag 16 | nonce 12 = seqno 8 | view 4, its top bit set
    public domain   length 8 | type 1 | seqno 8 | highest conflict (always 0) 8
                    | length 8, Merkle frontier | length 8, view history: per view its first seqno 8 | public tables
    private domain  private tables, encrypted; associated data: the public domain
    receipt         of the entry that is this snapshot's evidence: JSON

    table           length of name 8 | name | seqno 8 | length of rows 8 | rows
    row             length of key 8 | key | padding to 8 | 8 + length of value 8 | version 8 | value | padding to 8

Integers are little-endian. A row's version is the seqno of the entry that wrote it; deleted keys are no rows. A view
that has no entry has the first seqno of the next one.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from core import limits
from core.errors import InvariantBroken, MalformedMessage
from core.ledger.entry import ENTRY_VERSION, VIEW_MAX
from core.ledger.merkle import MerkleFrontier
from core.types import Seqno, View

FOLDER = "snapshots"
SNAPSHOT_TYPE = 1
PREFIX_BYTES = 44
SIZE_MAX = 2**48 - 1
_SNAPSHOT_BIT = 1 << 31
_PREFIX = struct.Struct("<Q16sQIQ")
_NONCE = struct.Struct("<QI")
_HEAD = struct.Struct("<BQQ")
_U64 = struct.Struct("<Q")
_TWO_U64 = struct.Struct("<QQ")
_HEADER_BYTES = 8
_PADDING = [bytes(-size % 8) for size in range(8)]
_NAME = re.compile(r"snapshot_([1-9][0-9]{0,17})_([1-9][0-9]{0,17})\.committed")

Row = tuple[bytes, int, bytes]
"""Key, version, value."""

Rows = dict[bytes, tuple[int, bytes]]
"""Key -> version, value: as a table keeps them."""


@dataclass(frozen=True, slots=True)
class SnapshotName:
    """seqno: whose state it holds. evidence: the seqno of the entry that says so."""

    seqno: Seqno
    evidence: Seqno

    @property
    def file(self) -> str:
        return f"{FOLDER}/snapshot_{self.seqno}_{self.evidence}.committed"

    @classmethod
    def parse(cls, file: str) -> SnapshotName | None:
        """Return what a file's name says, None when it is no committed snapshot's."""
        match = _NAME.fullmatch(file.rpartition("/")[2])
        return None if match is None else cls(Seqno(int(match[1])), Seqno(int(match[2])))


def partial_file(seqno: Seqno) -> str:
    """Return the name of a snapshot that is being written."""
    return f"{FOLDER}/snapshot_{seqno}.partial"


@dataclass(frozen=True, slots=True)
class SnapshotPoint:
    """A signature in the ledger. views: (view, its first seqno), in order. frontier: with the signature's leaf."""

    seqno: Seqno
    view: View
    frontier: MerkleFrontier
    views: tuple[tuple[View, Seqno], ...]

    def encode(self) -> bytes:
        """Return the public domain up to its first table."""
        if not self.views or self.views[-1][0] != self.view or self.frontier.last_seqno != self.seqno:
            raise InvariantBroken("a snapshot's view history or Merkle tree is not that of its seqno")
        frontier, history = self.frontier.to_bytes(), _encode_views(self.views)
        head = _HEAD.pack(SNAPSHOT_TYPE, self.seqno, 0)
        return b"".join((head, _U64.pack(len(frontier)), frontier, _U64.pack(len(history)), history))

    @classmethod
    def decode(cls, data: bytes, view: View) -> tuple[SnapshotPoint, int]:
        """Parse the head of a public domain; returns how long it is, too. Raises MalformedMessage."""
        try:
            kind, seqno, conflict = _HEAD.unpack_from(data, 0)
            if kind != SNAPSHOT_TYPE or conflict:
                raise MalformedMessage(f"a public domain of type {kind}, conflict version {conflict}")
            frontier, at = _take(data, _HEAD.size)
            history, at = _take(data, at)
        except struct.error:
            raise MalformedMessage("the head of the public domain is cut short") from None
        tree, views = MerkleFrontier.from_bytes(frontier), _decode_views(history)
        if tree.last_seqno != seqno or not views or views[-1][0] != view:
            raise MalformedMessage("view history or Merkle tree are of another seqno or view")
        return cls(Seqno(seqno), view, tree, views), at


HEAD_BYTES_MAX = _HEAD.size + 16 + 8 + 64 * 32 + 8 * limits.SNAPSHOT_VIEWS_MAX


@dataclass(frozen=True, slots=True)
class Prefix:
    """What a file begins with. size_bytes: of the file up to its receipt."""

    size_bytes: int
    tag: bytes
    seqno: Seqno
    view: View
    public_bytes: int

    def encode(self) -> bytes:
        if self.size_bytes > SIZE_MAX:
            raise InvariantBroken("a snapshot is larger than its header can say")
        word = (self.size_bytes - _HEADER_BYTES) << 16 | ENTRY_VERSION
        return _PREFIX.pack(word, self.tag, self.seqno, self.view | _SNAPSHOT_BIT, self.public_bytes)

    @classmethod
    def decode(cls, data: bytes) -> Prefix:
        """Parse; raises MalformedMessage."""
        if len(data) != PREFIX_BYTES:
            raise MalformedMessage("it is shorter than its header")
        word, tag, seqno, view, public_bytes = _PREFIX.unpack(data)
        size = (word >> 16) + _HEADER_BYTES
        if word & 0xFFFF != ENTRY_VERSION or not view & _SNAPSHOT_BIT:
            raise MalformedMessage("its header is not that of a snapshot")
        if PREFIX_BYTES + public_bytes > size:
            raise MalformedMessage("its public domain runs past its end")
        return cls(size, tag, Seqno(seqno), View(view ^ _SNAPSHOT_BIT), public_bytes)


def snapshot_nonce(view: View, seqno: Seqno) -> bytes:
    """Return the nonce of a snapshot, which no entry has."""
    if not 0 < view <= VIEW_MAX:
        raise InvariantBroken(f"view {view} does not fit a nonce")
    return _NONCE.pack(seqno, view | _SNAPSHOT_BIT)


def encode_table_head(name: str, seqno: Seqno, rows_bytes: int) -> bytes:
    """Return what stands before the rows of a table."""
    encoded = name.encode()
    return _U64.pack(len(encoded)) + encoded + _TWO_U64.pack(seqno, rows_bytes)


def row_bytes(key: bytes, value: bytes) -> int:
    """Return how long a row is."""
    return 24 + ((len(key) + 7) & -8) + ((len(value) + 7) & -8)


def encode_rows(rows: Iterable[Row]) -> bytes:
    """Encode rows, one after the other."""
    parts: list[bytes] = []
    pack, pack_two, padding = _U64.pack, _TWO_U64.pack, _PADDING
    for key, version, value in rows:
        size = len(value)
        parts += (
            pack(len(key)), key, padding[len(key) & 7], pack_two(8 + size, version), value, padding[size & 7],
        )  # fmt: skip
    return b"".join(parts)


def cut_rows(data: bytes) -> tuple[Rows, int]:
    """Return the whole rows, in order, and where the first one begins that is not whole. Raises MalformedMessage.

    A start spends most of its time here, so a row is put where it stays at once: no lists in between.
    """
    rows: Rows = {}
    count = at = 0
    key_bytes_max, size_max = limits.KEY_BYTES_MAX, 8 + limits.VALUE_BYTES_MAX
    end, one, two = len(data), _U64.unpack_from, _TWO_U64.unpack_from
    while end - at >= _HEADER_BYTES:
        key_bytes = one(data, at)[0]
        start = at + 8
        value_at = start + ((key_bytes + 7) & -8)
        if key_bytes > key_bytes_max:
            raise MalformedMessage("a row's key is too long")
        if end - value_at < 16:
            break
        size, version = two(data, value_at)
        if not 8 <= size <= size_max:
            raise MalformedMessage("a row's value has a length that none can have")
        stop = value_at + 8 + ((size + 7) & -8)
        if stop > end:
            break
        rows[data[start : start + key_bytes]] = (version, data[value_at + 16 : value_at + 8 + size])
        count += 1
        at = stop
    if len(rows) != count:
        raise MalformedMessage("a table has two rows of one key")
    return rows, at


@dataclass(frozen=True, slots=True)
class TablePart:
    """Some of the rows of a table as they stand; the parts of a table follow one another, cut anywhere."""

    table: str
    data: bytes


class DomainReader:
    """Cuts the tables of a domain out of a stream."""

    def __init__(self) -> None:
        self._buffer = b""
        self._table = ""
        self._left_bytes = 0
        self._names = set[str]()

    def feed(self, data: bytes, seqno: Seqno) -> list[TablePart]:
        """Take more of the domain; raises MalformedMessage."""
        parts: list[TablePart] = []
        data, at = self._buffer + data, 0
        while at < len(data):
            if self._left_bytes:
                piece = data[at : at + self._left_bytes]
                parts.append(TablePart(self._table, piece))
                at += len(piece)
                self._left_bytes -= len(piece)
                continue
            found = self._head(data, at, seqno)
            if found is None:
                break
            at = found
        self._buffer = data[at:]
        return parts

    def finish(self) -> None:
        """Say that the domain has ended; raises MalformedMessage where it should not."""
        if self._buffer or self._left_bytes:
            raise MalformedMessage("a table is cut short")

    def _head(self, data: bytes, at: int, seqno: Seqno) -> int | None:
        """Take the head of a table; returns where its rows begin, None when the head is not all there."""
        if len(data) - at < 8:
            return None
        name_bytes: int = _U64.unpack_from(data, at)[0]
        if name_bytes > limits.TABLE_NAME_BYTES_MAX:
            raise MalformedMessage("a table's name is too long")
        rows_at = at + 24 + name_bytes
        if len(data) < rows_at:
            return None
        try:
            name = data[at + 8 : at + 8 + name_bytes].decode()
        except UnicodeDecodeError:
            raise MalformedMessage("a table's name is not UTF-8") from None
        stated, size = _TWO_U64.unpack_from(data, rows_at - 16)
        if stated != seqno or name in self._names or len(self._names) >= limits.TABLES_MAX:
            raise MalformedMessage("a table is repeated, or of another seqno")
        self._names.add(name)
        self._table, self._left_bytes = name, size
        return rows_at


def _encode_views(views: Sequence[tuple[View, Seqno]]) -> bytes:
    """Return the first seqno of each view from 1 on."""
    starts: list[int] = []
    for view, first in views:
        if view <= len(starts) or view > limits.SNAPSHOT_VIEWS_MAX:
            raise InvariantBroken(f"view {view} is out of order in the view history, or the history is too long")
        starts += [first] * (view - len(starts))
    return struct.pack(f"<{len(starts)}Q", *starts)


def _decode_views(data: bytes) -> tuple[tuple[View, Seqno], ...]:
    if len(data) % 8:
        raise MalformedMessage("the view history is cut short")
    starts = struct.unpack(f"<{len(data) // 8}Q", data)
    if list(starts) != sorted(starts) or (starts and not starts[0]):
        raise MalformedMessage("the view history is out of order")
    last_of = {first: view for view, first in enumerate(starts, 1)}
    return tuple((View(view), Seqno(first)) for first, view in last_of.items())


def _take(data: bytes, at: int) -> tuple[bytes, int]:
    start = at + 8
    end = start + _U64.unpack_from(data, at)[0]
    if end > len(data):
        raise MalformedMessage("the head of the public domain is cut short")
    return data[start:end], end
