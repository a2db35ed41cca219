"""Writes one snapshot, table by table, holding no more of it than a buffer.

The header is written last, over zeros. The digest that goes into the ledger is that of the file as it is read back, and
only if what is read back is what was written: the body's digest is kept here meanwhile, so a host cannot have another
file vouched for. Until the evidence is committed the file has a name under which nobody looks for a snapshot.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from core import limits
from core.crypto.aead_stream import StreamEncryptor
from core.errors import InvariantBroken, StorageFailed
from core.ledger.snapshot_format import (
    PREFIX_BYTES,
    Prefix,
    SnapshotName,
    SnapshotPoint,
    encode_table_head,
    partial_file,
    snapshot_nonce,
)
from core.ports import Disk
from core.types import Digest, Seqno


@dataclass(frozen=True, slots=True)
class WrittenSnapshot:
    """A snapshot on disk that lacks its receipt. digest: SHA-256 of all its bytes."""

    seqno: Seqno
    digest: Digest
    size_bytes: int


class SnapshotWriter:
    """See the module. key: of this seqno's snapshot, which is written once under it (the caller's part)."""

    def __init__(self, disk: Disk, key: bytes, point: SnapshotPoint) -> None:
        self._disk = disk
        self._point = point
        self._file = partial_file(point.seqno)
        self._encryptor = StreamEncryptor(key, snapshot_nonce(point.view, point.seqno))
        self._body = hashlib.sha256()
        self._buffer = bytearray(PREFIX_BYTES)
        self._written_bytes = 0
        self._public_bytes = 0
        self._is_private = False
        self._due_bytes = 0
        self._put(point.encode())

    @property
    def size_bytes(self) -> int:
        return self._written_bytes + len(self._buffer)

    async def add_table(self, name: str, rows_bytes: int, *, is_public: bool) -> None:
        """Begin a table of so many bytes of rows; public ones come first. Raises InvariantBroken, StorageFailed."""
        if self._due_bytes:
            raise InvariantBroken(f"a table of the snapshot lacks {self._due_bytes} bytes")
        if is_public and self._is_private:
            raise InvariantBroken("a public table comes after the private ones in the snapshot")
        self._is_private = not is_public
        self._due_bytes = rows_bytes
        self._put(encode_table_head(name, self._point.seqno, rows_bytes))
        await self._flush(limits.SNAPSHOT_WRITE_BYTES)

    async def add_rows(self, data: bytes) -> None:
        """Add encoded rows of the table begun last. Raises InvariantBroken, StorageFailed."""
        if len(data) > self._due_bytes:
            raise InvariantBroken("a table of the snapshot is longer than was said")
        self._due_bytes -= len(data)
        self._put(data)
        await self._flush(limits.SNAPSHOT_WRITE_BYTES)

    async def finish(self) -> WrittenSnapshot:
        """Write the header, read everything back, and return its digest. Raises InvariantBroken, StorageFailed."""
        if self._due_bytes:
            raise InvariantBroken(f"the last table of the snapshot lacks {self._due_bytes} bytes")
        await self._flush(0)
        point, tag = self._point, self._encryptor.finish()
        head = Prefix(self._written_bytes, tag, point.seqno, point.view, self._public_bytes).encode()
        await self._disk.patch(self._file, 0, head)
        return WrittenSnapshot(point.seqno, await self._read_back(head), self._written_bytes)

    async def commit(self, evidence: Seqno, receipt: bytes) -> SnapshotName:
        """Add the receipt of the committed evidence and give the file its name. Raises StorageFailed."""
        name = SnapshotName(self._point.seqno, evidence)
        await self._disk.append(self._file, self._written_bytes, receipt)
        await self._disk.rename(self._file, name.file)
        return name

    def _put(self, data: bytes) -> None:
        if self._is_private:
            data = self._encryptor.encrypt(data)
        else:
            self._encryptor.associate(data)
            self._public_bytes += len(data)
        self._body.update(data)
        self._buffer += data

    async def _flush(self, more_than_bytes: int) -> None:
        if len(self._buffer) > more_than_bytes:
            data, self._buffer = bytes(self._buffer), bytearray()
            await self._disk.append(self._file, self._written_bytes, data)
            self._written_bytes += len(data)

    async def _read_back(self, head: bytes) -> Digest:
        whole, body = hashlib.sha256(), hashlib.sha256()
        at = 0
        while at < self._written_bytes:
            wanted = min(limits.SNAPSHOT_WRITE_BYTES, self._written_bytes - at)
            data = await self._disk.read(self._file, at, wanted)
            if not 0 < len(data) <= wanted or (at == 0 and data[:PREFIX_BYTES] != head):
                break
            whole.update(data)
            body.update(data if at else data[PREFIX_BYTES:])
            at += len(data)
        if at != self._written_bytes or body.digest() != self._body.digest():
            raise StorageFailed(
                f"what is read back of {self._file} is not what was written",
                hint="Check the disk, then start the node again.",
            )
        return Digest(whole.digest())
