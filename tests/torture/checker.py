"""Judges a run: histories against ledgers, and when the network served. Pure functions; each returns what is wrong.

The ledger is the witness order: a history is linearizable when the committed writes, run in the ledger's order, give
the answers that clients got, and that order respects real time (a write that ended before another began comes first).
With the order given there is nothing to search for. So with reads, whichever node answers: a read sees all that was
acknowledged, or read, by anybody before it began, and never what was not yet written.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from tests.torture.history import Ledger, Operation, Place, Read, Write

FIRST_VALUE = 0
"""What a register holds before anything is written."""


@dataclass(frozen=True, slots=True)
class Violation:
    """kind: `lost`, `twice`, `diverged`, `moved`, `refused`, `answer`, `order`, `read`, `stale`."""

    kind: str
    what: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.what}"


@dataclass(frozen=True, slots=True)
class Placed:
    """A committed write and where the ledger has it."""

    write: Write
    place: Place


def check_history(operations: Sequence[Operation], ledgers: Sequence[Ledger]) -> list[Violation]:
    """Run every check of histories and ledgers."""
    writes = [one for one in operations if isinstance(one, Write)]
    reads = [one for one in operations if isinstance(one, Read)]
    found = check_agreement(ledgers)
    found += check_nothing_lost(writes, ledgers)
    found += check_refused(writes)
    placed = place(writes, ledgers[0])
    return found + check_answers(placed) + check_real_time(placed) + check_reads(reads, placed)


def check_agreement(ledgers: Sequence[Ledger]) -> list[Violation]:
    """All ledgers hold the same entries; one may be behind another."""
    found = []
    longest = max(ledgers, key=lambda one: len(one.leaves))
    for ledger in ledgers:
        for seqno, (own, other) in enumerate(zip(ledger.leaves, longest.leaves, strict=False), start=1):
            if own != other:
                found.append(Violation("diverged", f"entry {seqno} of {ledger.node} is not that of {longest.node}"))
                break
    return found


def check_nothing_lost(writes: Iterable[Write], ledgers: Sequence[Ledger]) -> list[Violation]:
    """Every acknowledged write is in every ledger, once, at the same place."""
    places = {ledger.node: _places(ledger) for ledger in ledgers}
    found = []
    for write in writes:
        if not write.is_committed:
            continue
        seen: set[Place] = set()
        for node, known in places.items():
            at = known.get(write.claims, [])
            if not at:
                found.append(Violation("lost", f"{_name(write)} is not in the ledger of {node}"))
            elif len(at) > 1:
                found.append(Violation("twice", f"{_name(write)} is in the ledger of {node} at {_list(at)}"))
            seen.update(at[:1])
        if len(seen) > 1:
            found.append(Violation("moved", f"{_name(write)} is at {_list(seen)}, in one ledger and another"))
    return found


def check_refused(writes: Iterable[Write]) -> list[Violation]:
    """A write that was refused for good is never committed."""
    return [
        Violation("refused", f"{_name(write)} was refused, and is committed")
        for write in writes
        if write.outcome == "refused" and write.found
    ]


def place(writes: Iterable[Write], ledger: Ledger) -> list[Placed]:
    """Return the committed writes in the ledger's order; those it has not are left out."""
    places = _places(ledger)
    placed = [Placed(one, places[one.claims][0]) for one in writes if one.is_committed and one.claims in places]
    return sorted(placed, key=lambda one: one.place.seqno)


def check_answers(placed: Sequence[Placed]) -> list[Violation]:
    """Each answer is what the replay gives. placed: in the ledger's order."""
    registers: dict[int, int] = defaultdict(lambda: FIRST_VALUE)
    found = []
    for one in placed:
        write, expected = one.write, registers[one.write.key]
        if write.before != expected:
            said = f"{_name(write)} at {one.place} was told {write.before}, and the register held {expected}"
            found.append(Violation("answer", said))
        registers[write.key] = write.value
    return found


def check_real_time(placed: Sequence[Placed]) -> list[Violation]:
    """No write comes after one that began when it had ended already. placed: in the ledger's order."""
    found = []
    newest: Placed | None = None  # Of those before, the one that began last.
    for one in placed:
        if newest is not None and one.write.took_effect_by < newest.write.started:
            said = f"{_name(one.write)} at {one.place} had ended when {_name(newest.write)} at {newest.place} began"
            found.append(Violation("order", said))
        if newest is None or one.write.started > newest.write.started:
            newest = one
    return found


def check_reads(reads: Iterable[Read], placed: Sequence[Placed]) -> list[Violation]:
    """Reads see what any client was told of before they began, and nothing before it began to be written."""
    by_value = {(one.write.key, one.write.value): one for one in placed}
    seqnos: dict[int, list[int]] = defaultdict(list)
    for one in placed:
        seqnos[one.write.key].append(one.place.seqno)
    told = [(one.write.ended, one.place.seqno) for one in placed if one.write.outcome == "acknowledged"]
    known: list[tuple[Read, int]] = []
    found = []
    for read in reads:
        wrote = by_value.get((read.key, read.value))
        if wrote is None and read.value != FIRST_VALUE:
            found.append(Violation("read", f"{_read(read)}, which no committed write wrote"))
            continue
        first = wrote.place.seqno if wrote is not None else 0
        if wrote is not None and wrote.write.started > read.ended:
            found.append(Violation("read", f"{_read(read)} before {_name(wrote.write)} began"))
        known.append((read, first))
        told.append((read.ended, first))
    newest = _Newest(told)
    for read, first in known:
        later, floor = seqnos[read.key], newest.before(read.started)
        follows = bisect_right(later, first)
        if follows < len(later) and later[follows] <= floor:
            said = f"{_read(read)} of entry {first}, overwritten in {later[follows]}; {floor} had been told of"
            found.append(Violation("stale", said))
    return found


class _Newest:
    """The newest entry that anybody was told of, by time. told: (when, seqno)."""

    def __init__(self, told: Iterable[tuple[float, int]]) -> None:
        self._told = sorted(told)
        self._seqnos = list(accumulate((seqno for _, seqno in self._told), max))

    def before(self, moment: float) -> int:
        at = bisect_left(self._told, (moment, -1))
        return self._seqnos[at - 1] if at else 0


def _places(ledger: Ledger) -> Mapping[str, list[Place]]:
    found: dict[str, list[Place]] = defaultdict(list)
    for claims, at in ledger.claims:
        found[claims].append(at)
    return found


def _name(write: Write) -> str:
    return f"write {write.transaction or write.value} of client {write.client} at {write.node}"


def _read(read: Read) -> str:
    return f"client {read.client} read {read.value} of register {read.key} at {read.node}"


def _list(places: Iterable[Place]) -> str:
    return ", ".join(sorted(map(str, places)))
