"""Checks one ledger as anyone can who holds its files: without keys, entry by entry, in memory that does not grow.

All that a node checks at its start but the tags of encrypted entries, for which it takes their keys; the Merkle roots
cover those entries byte for byte. Reading ends at the first place from which on nothing can be judged (framing, seqno,
a root that is not signed); what breaks a rule is found and reading goes on. What entries mean beyond the ledger's own
tables is for the `Rule`s handed in.

A byte changed in an encrypted entry is placed no closer than its block, since only the block's root is signed.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from core.crypto.certificates import public_key_of, to_der
from core.crypto.keys import PublicKey
from core.errors import AuthenticationFailed, LedgerDamaged, MalformedMessage
from core.ledger.audit_report import Finding, LedgerReport, SignedAt, ViewReport
from core.ledger.entry import ParsedEntry, parse_entry
from core.ledger.files import FOLDER, Chunk, Record, arrange_chunks, is_chunk_name, read_records
from core.ledger.merkle import MerkleFrontier
from core.ledger.tables import (
    ENDORSED_CERTIFICATES,
    NODES,
    SERVICE,
    SINGLETON_KEY,
    DomainCodec,
    ServiceInfo,
    SignedRoot,
    TrustedNodes,
)
from core.ledger.tail import follows, whole_with_another_length
from core.ledger.verify import Place, damaged, read_signed_root, verify_signed_root
from core.ports import Disk
from core.types import Digest, Seqno, View

Tables = Mapping[str, Mapping[bytes, bytes | None]]

_STATUS_AFTER = {
    "Opening": ("Open", "WaitingForRecoveryShares"),
    "Recovering": ("WaitingForRecoveryShares",),
    "WaitingForRecoveryShares": ("Open",),
    "Open": ("Recovering",),
}
"""As CCF's validator has it; a service may also stay as it is, or begin again with Opening."""


class Rule(Protocol):
    """Judges what the entries say. Whatever it returns is what is wrong."""

    def take(self, entry: ParsedEntry, tables: Tables) -> Sequence[str]:
        """Judge a write-set entry, in order. tables: the public ones, {} when it has none."""
        ...

    def take_signature(self, entry: ParsedEntry, signed: SignedRoot) -> Sequence[str]:
        """Judge a signature entry whose signatures are right."""
        ...

    def facts(self) -> Mapping[str, object]:
        """Return what was learned, for the report."""
        ...


@dataclass(frozen=True, slots=True)
class AuditedEntry:
    """One entry that fits. root: what a signature entry signs. is_closed: its file says that it is committed."""

    seqno: Seqno
    view: View
    leaf: Digest
    root: Digest | None
    place: Place
    is_closed: bool


@dataclass(slots=True)
class _Block:
    """What has come since the last signature."""

    entries: int = 0
    first: Place | None = None
    seqno: Seqno = field(default_factory=lambda: Seqno(0))


class LedgerAuditor:
    """Takes the entries of one ledger in order. service_certificate: PEM; None: the ledger's own first one is taken."""

    def __init__(
        self, name: str, domains: DomainCodec, rules: Sequence[Rule] = (), service_certificate: str | None = None
    ) -> None:
        self.report = LedgerReport(name)
        self.nodes = TrustedNodes()
        self._domains = domains
        self._rules = rules
        self._service = service_certificate
        self._given = service_certificate is not None
        self._service_key: PublicKey | None = None
        self._time_s = 0
        self._status: str | None = None
        self._frontier = MerkleFrontier()
        self._block = _Block()
        if service_certificate is not None:
            self._service_key = public_key_of(service_certificate)

    @property
    def next_seqno(self) -> Seqno:
        return Seqno(self._frontier.last_seqno + 1)

    @property
    def service_certificate(self) -> str | None:
        """The given one, or the ledger's own once it was read."""
        return self._service

    async def entries(self, disk: Disk) -> AsyncGenerator[AuditedEntry, None]:
        """Read and check all of it; the report is complete once this ends. Raises StorageFailed only."""
        try:
            files = await disk.list_files(FOLDER)
            for info in files:
                if not is_chunk_name(info.name):
                    self._find(Place(info.name, 0), None, "this is not the name of a ledger's file")
            chunks = arrange_chunks(files)
            self.report.chunks = len(chunks)
            for chunk in chunks:
                async for entry in self._chunk(disk, chunk):
                    yield entry
            self._end(chunks)
        except LedgerDamaged as error:
            self._find_end(error)
        for rule in self._rules:
            self.report.facts.update(rule.facts())
        self.report.service_certificate = self._service

    async def _chunk(self, disk: Disk, chunk: Chunk) -> AsyncIterator[AuditedEntry]:
        end = Place(chunk.file, 0)
        async for record in read_records(disk, chunk):
            self.report.size_bytes += record.size_bytes
            if not record.whole:
                self._take_rest(record, chunk)
                return
            yield self._accept(record, is_closed=chunk.last is not None)
            end = Place(chunk.file, record.place.offset + len(record.data))
        if chunk.last is not None and (self._block.entries or self.next_seqno != chunk.last + 1):
            what = f"a closed file ends before the signature at entry {chunk.last} that its name promises"
            raise damaged(end, self.next_seqno, what)

    def _accept(self, record: Record, *, is_closed: bool) -> AuditedEntry:
        """Check the next entry; raises LedgerDamaged where reading cannot go on."""
        seqno, place, root = self.next_seqno, record.place, None
        try:
            entry = parse_entry(record.data)
            self._check_place(entry)
            if not self._block.entries:
                self._block = _Block(0, place, seqno)
            if entry.is_signature:
                root = self._frontier.root()
                self._take_signature(entry, place, root)
                self._block = _Block()
            else:
                self._take_writes(entry, place)
                self._block.entries += 1
        except (AuthenticationFailed, MalformedMessage) as error:
            raise damaged(place, seqno, error.message) from None
        self._frontier.append(entry.leaf)
        self.report.entries = seqno
        return AuditedEntry(seqno, entry.view, entry.leaf, root, place, is_closed)

    def _check_place(self, entry: ParsedEntry) -> None:
        if entry.seqno != self.next_seqno:
            raise MalformedMessage(f"it says it is entry {entry.seqno}; entry {self.next_seqno} belongs here")
        views = self.report.views
        if not views or entry.view != views[-1].view:
            if entry.view < 1 or (views and entry.view < views[-1].view):
                raise MalformedMessage(f"its view {entry.view} is before that of the entry before it")
            if self._block.entries:
                raise MalformedMessage(f"its view {entry.view} begins before the block of the last view is signed")
            views.append(ViewReport(entry.view, entry.seqno))
        views[-1].last_seqno = entry.seqno

    def _take_signature(self, entry: ParsedEntry, place: Place, root: Digest) -> None:
        signed = read_signed_root(entry.public, self._domains)
        if self._service_key is None:
            raise AuthenticationFailed("it is signed before the ledger names its service")
        self._reject_changed_block(entry, signed, root)
        self._time_s = verify_signed_root(signed, entry, root, self.nodes, self._service_key, after_s=self._time_s)
        view = self.report.views[-1]
        if view.node is None:
            view.node = signed.node.node
        elif view.node != signed.node.node:
            self._find(place, entry.seqno, f"two nodes sign in view {entry.view}, which one node leads")
        self.report.signatures += 1
        self.report.last_signed = SignedAt(entry.view, entry.seqno, root, signed.node.node)
        for rule in self._rules:
            self._find_all(place, entry.seqno, rule.take_signature(entry, signed))

    def _reject_changed_block(self, entry: ParsedEntry, signed: SignedRoot, root: Digest) -> None:
        """Raise LedgerDamaged that names the block, when it is its entries and not the signature that were changed."""
        key, first = self.nodes.find(signed.node.node), self._block.first
        if signed.node.root == root.hex() or key is None or first is None or not self._block.entries:
            return
        try:
            signed.node.verify(key, Digest(bytes.fromhex(signed.node.root)))
        except (AuthenticationFailed, ValueError):
            return  # The signature entry itself is wrong, which is told next.
        last = entry.seqno - 1
        which = f"entry {last} is" if self._block.seqno == last else f"one of the entries up to {last} is"
        raise damaged(first, self._block.seqno, f"{which} not what was signed: the Merkle root is another")

    def _take_writes(self, entry: ParsedEntry, place: Place) -> None:
        tables = self._domains.decode(entry.public) if entry.public else {}
        if SERVICE in tables:
            self._take_service(tables[SERVICE], place, entry.seqno)
        if NODES in tables or ENDORSED_CERTIFICATES in tables:
            if self._service is None:
                raise AuthenticationFailed("it names a node before the ledger names its service")
            self.nodes.absorb(tables, self._service)
        for rule in self._rules:
            self._find_all(place, entry.seqno, rule.take(entry, tables))

    def _take_service(self, writes: Mapping[bytes, bytes | None], place: Place, seqno: Seqno) -> None:
        value = writes.get(SINGLETON_KEY)
        if value is None or len(writes) != 1:
            raise MalformedMessage("the service's record is deleted, or there are two")
        info = ServiceInfo.decode(value)
        if self._service is None:
            self._service, self._service_key = info.cert, public_key_of(info.cert)
            self._warn(
                place,
                seqno,
                "the service's certificate is taken from the ledger itself: whoever made up a whole ledger would pass. "
                "Give the one you know with --service-cert",
            )
        elif to_der(info.cert) != to_der(self._service):
            other = "the ledger names another service than the certificate given"
            raise AuthenticationFailed(other if self._given and self._status is None else "the service is replaced")
        before, self._status = self._status, info.status
        if before not in (None, info.status) and info.status != "Opening" and info.status not in _STATUS_AFTER[before]:
            self._find(place, seqno, f"the service goes from {before} to {info.status}")

    def _take_rest(self, record: Record, chunk: Chunk) -> None:
        """Judge what stands after the last whole entry; raises LedgerDamaged."""
        place, seqno = record.place, self.next_seqno
        if chunk.last is not None:
            raise damaged(place, seqno, "a closed file ends within an entry")
        if record.is_table and self._block.entries:
            raise damaged(place, seqno, "the file's table follows an entry that is not signed")
        if record.is_closed:
            self._warn(place, None, "the file is complete but has not got its last name: its closing was cut short")
        elif record.is_table:
            self._warn(place, None, f"{record.size_bytes} bytes of the file's table: its closing was cut short")
        elif not record.size_bytes:
            self._warn(place, None, "the file holds no entry yet")
        else:
            self._reject_unless_torn(record)
            self.report.torn_bytes = record.size_bytes
            nature = "zero bytes" if record.zero_bytes else "bytes of an entry that was cut off"
            self._warn(
                place, seqno, f"{record.size_bytes} {nature}: a write that never finished, cut at the next start"
            )

    def _reject_unless_torn(self, record: Record) -> None:
        seqno = self.next_seqno
        view = self.report.views[-1].view if self.report.views else View(1)
        whole = whole_with_another_length(record.data)
        if whole is not None and whole.is_signature and whole.seqno == seqno:
            raise damaged(record.place, seqno, "the length in its header is wrong: the signature entry is all there")
        if follows(record.data, Seqno(seqno + 1), view):
            raise damaged(record.place, seqno, "the length in its header is wrong: a later entry follows it")

    def _end(self, chunks: Sequence[Chunk]) -> None:
        if not chunks:
            self._find(Place(FOLDER, 0), None, "there is no ledger here")
        elif self._block.first is not None:
            self.report.unsigned_entries = self._block.entries
            many = self._block.entries
            what = f"{many} entr{'y is' if many == 1 else 'ies are'} not under any signature: nothing vouches for them"
            if self.report.torn_bytes:
                self._warn(self._block.first, self._block.seqno, f"{what}; the write of their block never finished")
            else:
                self._find(self._block.first, self._block.seqno, what)
        elif self.report.last_signed is None and not self.report.torn_bytes:
            self._find(Place(chunks[0].file, 0), None, "the ledger holds no signature")

    def _find_end(self, error: LedgerDamaged) -> None:
        """Record where reading ended. What is wrong there may follow from an entry before it that is not signed yet."""
        what, first = error.what, self._block.first
        if first is not None and (first.file, first.offset) < (error.file, error.offset):
            what += f" (or the change is in the block that begins at byte {first.offset} of {first.file})"
        self.report.findings.append(Finding(error.file, error.offset, error.entry, what, complete=False))

    def _find_all(self, place: Place, seqno: Seqno, wrong: Sequence[str]) -> None:
        for what in wrong:
            self._find(place, seqno, what)

    def _find(self, place: Place, seqno: int | None, what: str) -> None:
        self.report.findings.append(Finding(place.file, place.offset, seqno, what))

    def _warn(self, place: Place, seqno: int | None, what: str) -> None:
        self.report.warnings.append(Finding(place.file, place.offset, seqno, what))
