"""The state at any entry, made again from the ledger alone: public tables without keys, everything with them.

Both verify what they read. Without keys the state at an entry counts only once a signature after it was verified; with
keys (`LedgerVerifier`) entries come in blocks whose signature has verified.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import aclosing

from core.errors import CocoError, InvariantBroken, LedgerDamaged
from core.kv.store import Store
from core.kv.write_set import WriteSet
from core.ledger.audit import LedgerAuditor, Tables
from core.ledger.entry import OpenedEntry, ParsedEntry
from core.ledger.reader import ReadableEntry, find_service_certificate, read_entries
from core.ledger.replay import replay
from core.ledger.secrets import EpochSecret, Keyring
from core.ledger.snapshot_evidence import SnapshotEvidence
from core.ledger.state_digest import Row, digest_of
from core.ledger.tables import SINGLETON_KEY, SNAPSHOT_EVIDENCE, SignedRoot
from core.ledger.verify import LedgerVerifier
from core.node.manager_tables import WRITE_SETS
from core.ports import Disk
from core.types import Seqno

Versions = dict[str, dict[bytes, tuple[int, bytes]]]
"""Table -> key -> (version, value), without deleted keys."""
Progress = Callable[[int], None]


class AnotherState(CocoError):
    """A snapshot's evidence states the digest of another state than the ledger makes."""

    exit_code = 4


class _Collector:
    """A rule that objects to nothing, and keeps the public tables as of one entry."""

    def __init__(self, at: int) -> None:
        self.tables: Versions = {}
        self._at = at

    def take(self, entry: ParsedEntry, tables: Tables) -> Sequence[str]:
        if entry.seqno <= self._at:
            for name, writes in tables.items():
                table = self.tables.setdefault(name, {})
                for key, value in writes.items():
                    if value is None:
                        table.pop(key, None)
                    else:
                        table[key] = (entry.seqno, value)
        return []

    def take_signature(self, entry: ParsedEntry, signed: SignedRoot) -> Sequence[str]:
        del entry, signed
        return []

    def facts(self) -> Mapping[str, object]:
        return {}


async def public_state(disk: Disk, at: Seqno, service_certificate: str | None = None) -> Versions:
    """Return the public tables as of an entry, signatures aside.

    Raises LedgerDamaged where the ledger is wrong before the signature that covers it, CocoError when it ends before.
    """
    collector = _Collector(at)
    auditor = LedgerAuditor("", WRITE_SETS, [collector], service_certificate)
    async with aclosing(auditor.entries(disk)) as entries:
        async for entry in entries:
            if entry.root is not None and entry.seqno >= at:
                break
    findings = auditor.report.findings
    if findings:
        first = findings[0]
        raise LedgerDamaged(
            f"the ledger is damaged: {first}", file=first.file, offset=first.offset, entry=first.entry, what=first.what
        )
    _require_reach(auditor.report.last_signed.seqno if auditor.report.last_signed else 0, at)
    return collector.tables


async def rebuild(
    disk: Disk,
    secrets: Sequence[EpochSecret],
    at: Seqno | None = None,
    *,
    service_certificate: str | None = None,
    progress: Progress = lambda seqno: None,
    snapshots: Mapping[int, str] | None = None,
) -> Store:
    """Return the whole state as of an entry (None: the last signature), every entry authenticated and decrypted.

    snapshots: seqno -> digest of the state that a snapshot of it holds (`snapshot_digests`), to be compared on the way.
    Raises LedgerDamaged (a key that is missing or wrong looks like damage, and is said to), AnotherState, CocoError.
    """
    certificate = service_certificate or await find_service_certificate(disk, WRITE_SETS)
    if certificate is None:
        raise CocoError("the ledger names no service", hint="Is this the directory of a ledger?")
    store = Store()

    async def deliver(block: Sequence[OpenedEntry]) -> None:
        for entry in block:
            if at is None or entry.seqno <= at:
                _apply(store, entry)
                _compare(store, (snapshots or {}).get(entry.seqno))
        store.compact(store.head)
        progress(block[-1].seqno)

    replayed = await replay(disk, LedgerVerifier(Keyring(secrets), WRITE_SETS, certificate), deliver)
    _require_reach(replayed.signed.seqno, at or Seqno(1))
    return store


async def snapshot_digests(disk: Disk) -> dict[int, str]:
    """Return the state digests that the ledger's evidence of snapshots states, by the seqno of the state.

    Nothing is verified here; `rebuild` authenticates the same entries. Raises LedgerDamaged, MalformedMessage.
    """
    found: dict[int, str] = {}
    async for entry in read_entries(disk, WRITE_SETS):
        if isinstance(entry, ReadableEntry):
            stated = entry.public.get(SNAPSHOT_EVIDENCE, {}).get(SINGLETON_KEY)
            if stated is not None:
                evidence = SnapshotEvidence.decode(stated)
                found[evidence.version] = evidence.state_digest
    return found


def _compare(store: Store, digest: str | None) -> None:
    if digest is not None and digest_of(rows_of(store)).hex() != digest:
        raise AnotherState(
            f"the snapshot at entry {store.head} holds another state than the ledger makes",
            hint="A worker put it there. Remove the snapshots, so that the node replays its ledger, and find out how.",
        )


def rows_of(store: Store) -> Iterator[Row]:
    """Yield the rows of a store's newest state, for a `StateDigest`."""
    for name in store.table_names():
        for key, (version, value) in store.table(name).current.items():
            if value is not None:
                yield name, key, version, value


def _apply(store: Store, entry: OpenedEntry) -> None:
    if entry.is_signature:
        store.advance(entry.seqno)
    elif entry.seqno != store.head + 1:
        raise InvariantBroken(f"entry {entry.seqno} is delivered after {store.head}")
    else:
        store.apply(entry.seqno, WriteSet.decode(entry.public, entry.private))


def _require_reach(reached: int, at: Seqno) -> None:
    if reached < at:
        raise CocoError(
            f"the ledger reaches, signed, to entry {reached}; {at} was asked for",
            hint="Ask for an entry up to the last signature: coco ledger verify tells it.",
        )
