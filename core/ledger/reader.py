"""What a ledger says: where entries stand, how large they are, their public tables, and with keys the private ones.

Without keys nothing is verified here: whoever shows a ledger can show anything (`core/ledger/audit.py` verifies). With
keys each entry that is shown decrypted is authenticated by its tag.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass

from core.errors import AuthenticationFailed, MalformedMessage
from core.ledger.entry import ParsedEntry, open_entry, parse_entry, position_of
from core.ledger.epoch_records import EPOCHS, EpochsSeen
from core.ledger.files import FOLDER, Record, arrange_chunks, read_records
from core.ledger.secrets import Keyring
from core.ledger.tables import SERVICE, SINGLETON_KEY, DomainCodec, ServiceInfo, SignedRoot
from core.ledger.verify import damaged
from core.ports import Disk
from core.types import Digest, Seqno, View

Tables = Mapping[str, Mapping[bytes, bytes | None]]


@dataclass(frozen=True, slots=True)
class ReadableEntry:
    """One entry. private_bytes: how long the encrypted part is. private: its tables, None where no key was at hand.

    missing_epoch: the number of the epoch whose key is not among those given, 0 where none is missing or known.
    """

    seqno: Seqno
    view: View
    is_signature: bool
    claims: Digest
    file: str
    offset: int
    size_bytes: int
    private_bytes: int
    public: Tables
    private: Tables | None = None
    missing_epoch: int = 0


@dataclass(frozen=True, slots=True)
class TornTail:
    """What stands after the last whole entry: a write that never finished."""

    file: str
    offset: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Span:
    """Entries first to last; last=None: to the end."""

    first: int = 1
    last: int | None = None

    def holds(self, seqno: int) -> bool:
        return self.first <= seqno and (self.last is None or seqno <= self.last)


WHOLE = Span()


async def read_entries(
    disk: Disk, domains: DomainCodec, span: Span = WHOLE, keyring: Keyring | None = None
) -> AsyncGenerator[ReadableEntry | TornTail, None]:
    """Yield the entries in order, and at last what is torn.

    Raises LedgerDamaged, and AuthenticationFailed for a key that does not open its entry.
    """
    learner = None if keyring is None else _Learner(domains, keyring)
    for chunk in arrange_chunks(await disk.list_files(FOLDER)):
        if chunk.last is not None and chunk.last < span.first and keyring is None:
            continue
        if span.last is not None and chunk.first > span.last:
            return
        seqno = chunk.first
        async for record in read_records(disk, chunk):
            if not record.whole:
                if record.size_bytes and not record.is_table:
                    yield TornTail(record.place.file, record.place.offset, record.size_bytes)
                continue
            if learner is not None:
                learner.take(record)
            if span.holds(seqno):
                yield _read(record, seqno, domains, learner)
            seqno = Seqno(seqno + 1)


async def find_service_certificate(disk: Disk, domains: DomainCodec) -> str | None:
    """Return the certificate of the service that the ledger names first, None when it names none. Not verified."""
    async with aclosing(read_entries(disk, domains)) as entries:
        async for entry in entries:
            if isinstance(entry, ReadableEntry) and SERVICE in entry.public:
                value = entry.public[SERVICE].get(SINGLETON_KEY)
                return ServiceInfo.decode(value).cert if value is not None else None
    return None


def _read(record: Record, seqno: Seqno, domains: DomainCodec, learner: _Learner | None) -> ReadableEntry:
    place = record.place
    try:
        entry = parse_entry(record.data)
        if entry.seqno != seqno:
            raise MalformedMessage(f"it says it is entry {entry.seqno}; entry {seqno} belongs here")
        public = domains.decode(entry.public)
    except MalformedMessage as error:
        raise damaged(place, seqno, error.message) from None
    missing = 0 if learner is None else learner.missing_epoch(entry.view, entry.seqno)
    private = None if learner is None or missing else _open(entry, record.data, domains, learner.keyring)
    return ReadableEntry(
        seqno=entry.seqno,
        view=entry.view,
        is_signature=entry.is_signature,
        claims=entry.claims,
        file=place.file,
        offset=place.offset,
        size_bytes=len(record.data),
        private_bytes=len(entry.private),
        public=public,
        private=private,
        missing_epoch=missing,
    )


class _Learner:
    """Has a keyring know who leads a view from the signature that it begins with, and which epoch is in force; neither
    is verified. What an epoch sealed whose key is not given stays closed, whatever other keys there are.

    A view that begins with anything else began an epoch of its own: without that epoch's key nothing of it is opened.
    """

    def __init__(self, domains: DomainCodec, keyring: Keyring) -> None:
        self.keyring = keyring
        self._domains = domains
        self._view = View(0)
        self._epochs = EpochsSeen()
        self._given = {secret.epoch for secret in keyring.epochs}

    def missing_epoch(self, view: View, seqno: Seqno) -> int:
        """Return the number of the epoch in force there if its key is not given, else 0."""
        number = self._epochs.number(view, seqno)
        return 0 if number in self._given else number

    def take(self, record: Record) -> None:
        """Take the next entry. Raises LedgerDamaged."""
        try:
            view, seqno = position_of(record.data)
            is_first, self._view = view != self._view, view
            entry = parse_entry(record.data)
            if is_first and self.keyring.leader(view) is None and entry.is_signature:
                signed = SignedRoot.from_tables(self._domains.decode(entry.public))
                self.keyring.learn_view(view, seqno, signed.node.signer)
            if EPOCHS in self._domains.names(entry.public):
                self._epochs.take(self._domains.decode(entry.public))
        except MalformedMessage as error:
            raise damaged(record.place, None, error.message) from None


def _open(entry: ParsedEntry, data: bytes, domains: DomainCodec, keyring: Keyring) -> Tables | None:
    """Return the private tables; None without a key for this entry."""
    key = keyring.find(entry.view, entry.seqno)
    if key is None:
        return None
    try:
        return domains.decode(open_entry(data, key).private)
    except AuthenticationFailed:
        raise AuthenticationFailed(
            f"the key given for view {entry.view} does not open entry {entry.seqno}",
            hint="It is another key, of another node, or the entry was changed: coco ledger verify tells.",
        ) from None
