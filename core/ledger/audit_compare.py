"""Audits several copies of one network's ledger side by side, against each other and against receipts.

The copies are read in step, entry by entry, so that nothing of them need be kept. Two leaders in two views may each
have signed a root for one seqno, of which at most one was committed; that is no fault. Equivocation is what cannot be:
two signed histories of one view, two that both say they are committed, or one without an entry whose commit evidence
is out. DESIGN section 4.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass

from core.errors import CocoError
from core.ledger.audit import AuditedEntry, LedgerAuditor
from core.ledger.audit_report import AuditReport, Finding
from core.ledger.audit_witness import Witness
from core.ports import Disk
from core.types import Digest, Seqno, TransactionId, View

PROGRESS_ENTRIES = 2_000

Progress = Callable[[int], None]
"""Told of every so many entries read, over all ledgers."""


def ignore_progress(entries: int) -> None:
    del entries


@dataclass(slots=True)
class _Conflict:
    """Two statements about one seqno. It counts once every ledger in `ledgers` has signed beyond it."""

    seqno: Seqno
    ledgers: tuple[int, ...]
    place: str
    offset: int
    what: str
    is_fault: bool


class Audit:
    """Audits ledgers, given as (auditor, disk), together with what others hold of them."""

    def __init__(self, ledgers: Sequence[tuple[LedgerAuditor, Disk]], witnesses: Sequence[Witness] = ()) -> None:
        self._ledgers = ledgers
        self._by_seqno: Mapping[int, list[Witness]] = _by_seqno(witnesses)
        self._witnesses = witnesses
        self._unseen_roots = {witness.root for witness in witnesses}
        self._conflicts: list[_Conflict] = []
        self._contradictions: list[tuple[Witness, _Conflict]] = []
        self._branches = [0] * len(ledgers)
        self._branches_made = 1

    async def run(self, progress: Progress = ignore_progress) -> AuditReport:
        """Read everything and return what was found. Raises StorageFailed."""
        report = AuditReport([auditor.report for auditor, _ in self._ledgers])
        streams = [auditor.entries(disk) for auditor, disk in self._ledgers]
        await self._walk(streams, progress)
        trusted = self._verified_witnesses(report)
        for conflict in self._conflicts:
            self._judge(conflict, report)
        self._tell_unseen(trusted, report)
        return report

    async def _walk(self, streams: Sequence[AsyncIterator[AuditedEntry]], progress: Progress) -> None:
        alive = dict(enumerate(streams))
        read = 0
        while alive:
            step: dict[int, AuditedEntry] = {}
            for number, stream in list(alive.items()):
                entry = await anext(stream, None)
                if entry is None:
                    del alive[number]
                else:
                    step[number] = entry
            if len(step) > 1:
                self._compare(step)
            for number, entry in step.items():
                self._compare_with_witnesses(number, entry)
            if read // PROGRESS_ENTRIES != (read + len(step)) // PROGRESS_ENTRIES:
                progress(read + len(step))
            read += len(step)

    def _compare(self, step: Mapping[int, AuditedEntry]) -> None:
        """Find where copies part, and roots that one view signs twice."""
        groups: dict[tuple[int, View, Digest], list[int]] = defaultdict(list)
        for number, entry in step.items():
            groups[self._branches[number], entry.view, entry.leaf].append(number)
        by_branch: dict[int, list[list[int]]] = defaultdict(list)
        for (branch, _, _), members in groups.items():
            by_branch[branch].append(members)
        for parts in by_branch.values():
            for part in parts[1:]:
                self._part(parts[0][0], part[0], step)
                for number in part:
                    self._branches[number] = self._branches_made
                self._branches_made += 1
        self._compare_roots(step)

    def _part(self, one: int, other: int, step: Mapping[int, AuditedEntry]) -> None:
        a, b = step[one], step[other]
        names = (
            f"{self._name(one)} has {_id(a)}, {self._name(other)} has {_id(b)} at {b.place.file}, byte {b.place.offset}"
        )
        if a.view == b.view:
            what = f"two histories of view {a.view} part here, both signed: {names}, and they differ"
            self._conflicts.append(_Conflict(a.seqno, (one, other), *self._at(one, a), what, is_fault=True))
        elif a.is_closed and b.is_closed:
            what = f"two histories part here, and both say that they are committed: {names}"
            self._conflicts.append(_Conflict(a.seqno, (one, other), *self._at(one, a), what, is_fault=True))
        else:
            what = f"two histories part here, of which at most one was committed: {names}"
            self._conflicts.append(_Conflict(a.seqno, (one, other), *self._at(one, a), what, is_fault=False))

    def _compare_roots(self, step: Mapping[int, AuditedEntry]) -> None:
        first: dict[View, int] = {}
        for number, entry in step.items():
            if entry.root is None:
                continue
            one = first.setdefault(entry.view, number)
            if step[one].root != entry.root:
                what = f"two roots are signed for {_id(entry)}: another one in {self._name(one)}"
                self._conflicts.append(_Conflict(entry.seqno, (), *self._at(number, entry), what, is_fault=True))

    def _compare_with_witnesses(self, number: int, entry: AuditedEntry) -> None:
        if entry.root is not None:
            self._unseen_roots.discard(entry.root)
        for witness in self._by_seqno.get(entry.seqno, ()):
            what = None
            if _is_at(witness.transaction, entry) and witness.leaf != entry.leaf:
                what = f"{witness.name} proves that {witness.transaction} is committed; this is another, {_id(entry)}"
            elif witness.signed_at == _id(entry) and witness.root != entry.root:
                signed = "another root is signed" if entry.root else "no root is signed"
                what = f"{witness.name} holds a signed root for {witness.signed_at}; here {signed} there"
            if what is not None:
                conflict = _Conflict(entry.seqno, (number,), *self._at(number, entry), what, is_fault=True)
                self._contradictions.append((witness, conflict))

    def _verified_witnesses(self, report: AuditReport) -> list[Witness]:
        """Return the witnesses that this service vouches for; the others are told, and prove nothing."""
        services = [auditor.service_certificate for auditor, _ in self._ledgers]
        service = next((one for one in services if one is not None), None)
        trusted = []
        for witness in self._witnesses:
            try:
                witness.verify(service, [auditor.nodes for auditor, _ in self._ledgers])
            except CocoError as error:
                report.findings.append(Finding(witness.name, 0, None, f"it proves nothing here: {error.message}"))
                continue
            trusted.append(witness)
            self._conflicts += [conflict for against, conflict in self._contradictions if against is witness]
        return trusted

    def _judge(self, conflict: _Conflict, report: AuditReport) -> None:
        reaches = all(self._signed_seqno(number) >= conflict.seqno for number in conflict.ledgers)
        finding = Finding(conflict.place, conflict.offset, conflict.seqno, conflict.what, kind="equivocation")
        if conflict.is_fault and reaches:
            report.findings.append(finding)
        else:
            report.warnings.append(finding)

    def _tell_unseen(self, witnesses: Sequence[Witness], report: AuditReport) -> None:
        """Tell which ledgers end too early to be judged by a witness."""
        for witness in witnesses:
            entry = witness.transaction or witness.signed_at
            for number in range(len(self._ledgers)):
                if entry is not None and (reached := self._signed_seqno(number)) < entry.seqno:
                    what = f"{self._name(number)} ends, signed, at entry {reached}, before {entry}"
                    report.warnings.append(Finding(witness.name, 0, entry.seqno, what))
            if witness.root in self._unseen_roots:
                what = "the root that it leads to is signed in none of the ledgers: they may not reach that far"
                report.warnings.append(Finding(witness.name, 0, entry.seqno if entry else None, what))

    def _signed_seqno(self, number: int) -> int:
        last = self._ledgers[number][0].report.last_signed
        return last.seqno if last is not None else 0

    def _name(self, number: int) -> str:
        return self._ledgers[number][0].report.name

    def _at(self, number: int, entry: AuditedEntry) -> tuple[str, int]:
        place = f"{self._name(number)}: {entry.place.file}" if len(self._ledgers) > 1 else entry.place.file
        return place, entry.place.offset


def _by_seqno(witnesses: Sequence[Witness]) -> Mapping[int, list[Witness]]:
    found: dict[int, list[Witness]] = defaultdict(list)
    for witness in witnesses:
        for seqno in {one.seqno for one in (witness.transaction, witness.signed_at) if one is not None}:
            found[seqno].append(witness)
    return found


def _is_at(transaction: TransactionId | None, entry: AuditedEntry) -> bool:
    return transaction is not None and transaction.seqno == entry.seqno


def _id(entry: AuditedEntry) -> TransactionId:
    return TransactionId(entry.view, entry.seqno)
