"""Reads a snapshot back from a disk that nobody trusts.

First `verify_snapshot`: the receipt verifies under the service's certificate, the entry it is for stands in the ledger
and says that it is evidence of a snapshot of this seqno, and the file is, byte for byte, the one it names. What was
hashed is noted block by block, so that `read_tables` can tell, before it looks at a block, whether the disk returns the
same again. Whatever is wrong raises SnapshotRefused, which says why; the ledger is no worse for that.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass

from core import limits
from core.crypto.aead_stream import StreamDecryptor
from core.errors import AuthenticationFailed, CocoError, LedgerDamaged, LimitExceeded, MalformedMessage
from core.ledger.entry import ParsedEntry, parse_entry
from core.ledger.files import FOLDER as LEDGER_FOLDER
from core.ledger.files import arrange_chunks, read_exactly, read_records
from core.ledger.receipt import LeafComponents, Receipt, verify_receipt
from core.ledger.snapshot_evidence import SnapshotEvidence
from core.ledger.snapshot_format import (
    FOLDER,
    HEAD_BYTES_MAX,
    PREFIX_BYTES,
    DomainReader,
    Prefix,
    SnapshotName,
    SnapshotPoint,
    TablePart,
    snapshot_nonce,
)
from core.ledger.tables import SINGLETON_KEY, SNAPSHOT_EVIDENCE, DomainCodec
from core.ports import Disk, FileInfo
from core.types import Digest, Seqno

BLOCK_BYTES = limits.SNAPSHOT_WRITE_BYTES


class SnapshotRefused(CocoError):
    """A file that is not the snapshot it passes for. Another one is used, or the whole ledger."""


@dataclass(frozen=True, slots=True)
class VerifiedSnapshot:
    """A file whose every byte the ledger vouches for.

    blocks: SHA-256 of all of it up to the end of each BLOCK_BYTES, which is had for next to nothing while it is hashed.
    """

    file: str
    name: SnapshotName
    prefix: Prefix
    evidence: SnapshotEvidence
    blocks: tuple[bytes, ...]


async def list_snapshots(disk: Disk) -> list[tuple[SnapshotName, FileInfo]]:
    """Return the files that have the name of a committed snapshot, the newest first."""
    found = [(SnapshotName.parse(info.name), info) for info in await disk.list_files(FOLDER)]
    named = [(name, info) for name, info in found if name is not None]
    return sorted(named, key=lambda one: (one[0].seqno, one[0].evidence), reverse=True)


async def verify_snapshot(
    disk: Disk, name: SnapshotName, size_bytes: int, *, service_certificate: str, domains: DomainCodec
) -> VerifiedSnapshot:
    """Verify a whole file, without any key. size_bytes: as the disk lists it. Raises SnapshotRefused, StorageFailed."""
    try:
        prefix = Prefix.decode(await read_exactly(disk, name.file, 0, PREFIX_BYTES))
        if prefix.seqno != name.seqno:
            raise MalformedMessage(f"it holds the state at {prefix.seqno}, not at {name.seqno}")
        receipt = await _read_receipt(disk, name, prefix, size_bytes)
        verify_receipt(receipt, service_certificate)
        evidence, claims = await _find_evidence(disk, name, receipt, domains)
    except (MalformedMessage, AuthenticationFailed, LimitExceeded, LedgerDamaged) as error:
        raise SnapshotRefused(f"{name.file}: {error.message}") from None
    digest, blocks = await hash_file(disk, name.file, prefix.size_bytes)
    if digest != claims or digest.hex() != evidence.hash:
        raise SnapshotRefused(f"{name.file}: its bytes are not those that the ledger's evidence is for")
    return VerifiedSnapshot(name.file, name, prefix, evidence, blocks)


async def read_tables(
    disk: Disk, snapshot: VerifiedSnapshot, key: bytes, on_point: Callable[[SnapshotPoint], None]
) -> AsyncIterator[TablePart]:
    """Yield the tables' rows, public tables first. on_point: called before with what the public domain begins with.

    The disk must return what it returned when the file was verified, block by block; nothing else is ever parsed. At
    the end the whole is authentic under `key`. Raises SnapshotRefused, StorageFailed.
    """
    prefix, file = snapshot.prefix, snapshot.file
    decryptor = StreamDecryptor(key, snapshot_nonce(prefix.view, prefix.seqno))
    public_end = PREFIX_BYTES + prefix.public_bytes
    public, private = DomainReader(), DomainReader()
    head, has_point, at, hashed = b"", False, 0, hashlib.sha256()
    try:
        for number, digest in enumerate(snapshot.blocks):
            size = min(BLOCK_BYTES, prefix.size_bytes - number * BLOCK_BYTES)
            block = await read_exactly(disk, file, number * BLOCK_BYTES, size)
            hashed.update(block)
            if hashed.copy().digest() != digest:
                raise AuthenticationFailed("the disk returned other bytes than when it was verified")
            body = block[PREFIX_BYTES:] if number == 0 else block
            split = max(0, min(len(body), public_end - max(at, PREFIX_BYTES)))
            at += len(block)
            plain = body[:split]
            if plain:
                decryptor.associate(plain)
            if not has_point:
                head += plain
                if len(head) < min(prefix.public_bytes, HEAD_BYTES_MAX):
                    continue
                point, used = SnapshotPoint.decode(head, prefix.view)
                if point.seqno != prefix.seqno:
                    raise MalformedMessage("its public domain is of another seqno")
                on_point(point)
                plain, has_point, head = head[used:], True, b""
            for part in public.feed(plain, prefix.seqno):
                yield part
            hidden = decryptor.decrypt(body[split:]) if split < len(body) else b""
            for part in private.feed(hidden, prefix.seqno):
                yield part
        decryptor.finish(prefix.tag)
        if not has_point:
            raise MalformedMessage("its public domain is cut short")
        public.finish()
        private.finish()
    except (MalformedMessage, AuthenticationFailed) as error:
        raise SnapshotRefused(f"{file}: {error.message}") from None


async def _read_receipt(disk: Disk, name: SnapshotName, prefix: Prefix, size_bytes: int) -> Receipt:
    """Return the receipt at the file's end, which must be for the entry that the file's name tells."""
    receipt_bytes = size_bytes - prefix.size_bytes
    if not 0 < receipt_bytes <= limits.RECEIPT_BYTES_MAX:
        raise MalformedMessage("its length is not that of a snapshot and its receipt")
    receipt = Receipt.decode(await read_exactly(disk, name.file, prefix.size_bytes, receipt_bytes))
    stated = receipt.transaction_id
    if stated is None or stated.seqno != name.evidence:
        raise MalformedMessage(f"its receipt is not that of entry {name.evidence}")
    return receipt


async def _find_evidence(
    disk: Disk, name: SnapshotName, receipt: Receipt, domains: DomainCodec
) -> tuple[SnapshotEvidence, Digest]:
    """Return the evidence in the ledger, which must be the receipt's entry, and its claims digest."""
    entry = await _read_entry(disk, name.evidence)
    if entry is None:
        raise AuthenticationFailed(f"the ledger does not hold its evidence, entry {name.evidence}")
    if not isinstance(receipt.leaf, LeafComponents) or entry.leaf != receipt.leaf.digest:
        raise AuthenticationFailed(f"entry {name.evidence} of the ledger is not the one its receipt is for")
    stated = domains.decode(entry.public).get(SNAPSHOT_EVIDENCE, {}).get(SINGLETON_KEY)
    if stated is None:
        raise AuthenticationFailed(f"entry {name.evidence} of the ledger is no evidence of a snapshot")
    evidence = SnapshotEvidence.decode(stated)
    if evidence.version != name.seqno:
        raise AuthenticationFailed(f"its evidence is for the state at {evidence.version}, not at {name.seqno}")
    return evidence, entry.claims


async def _read_entry(disk: Disk, seqno: Seqno) -> ParsedEntry | None:
    """Return an entry as it stands in the ledger, None when the ledger does not reach so far."""
    for chunk in arrange_chunks(await disk.list_files(LEDGER_FOLDER)):
        if chunk.last is not None and chunk.last < seqno:
            continue
        at = chunk.first
        async with aclosing(read_records(disk, chunk)) as records:
            async for record in records:
                if record.whole and at == seqno:
                    entry = parse_entry(record.data)
                    return entry if entry.seqno == seqno else None
                at = Seqno(at + 1)
    return None


async def hash_file(disk: Disk, file: str, size_bytes: int) -> tuple[Digest, tuple[bytes, ...]]:
    """Return the digest of a file up to its receipt, and `VerifiedSnapshot.blocks`."""
    whole, blocks = hashlib.sha256(), list[bytes]()
    for at in range(0, size_bytes, BLOCK_BYTES):
        data = await read_exactly(disk, file, at, min(BLOCK_BYTES, size_bytes - at))
        whole.update(data)
        blocks.append(whole.copy().digest())
    return Digest(whole.digest()), tuple(blocks)
