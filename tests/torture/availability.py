"""When the network served, judged by the times at which clients got answers. Pure functions.

A fault takes the service away for as long as it keeps a majority from working together (`blocks`), and for up to two
election time-outs more; one that leaves a majority may cost two election time-outs from its beginning (the leader was
there). Everything else is unavailability that no fault explains.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import msgspec

ELECTIONS_ALLOWED = 2


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """began, healed: seconds of the histories' clock. blocks: no majority could work together meanwhile.

    nodes: those it was done to. healed of a node that was killed: when it was a voter again.
    """

    kind: str
    nodes: tuple[str, ...]
    began: float
    healed: float
    blocks: bool = False

    @property
    def served_from(self) -> float:
        """From when on a majority could work together."""
        return self.healed if self.blocks else self.began


@dataclass(frozen=True, slots=True)
class Recovery:
    """How long after a fault the first answer came, in seconds. None: none came before the end of the run."""

    fault: Fault
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Availability:
    """longest_seconds: without an answer, all told. longest_unexplained_seconds: outside of what faults explain."""

    longest_seconds: float
    longest_unexplained_seconds: float
    recoveries: tuple[Recovery, ...]

    def late(self, election_seconds: float) -> list[Recovery]:
        """Return the faults after which service took longer than two election time-outs to come back."""
        allowed = ELECTIONS_ALLOWED * election_seconds
        return [one for one in self.recoveries if one.seconds is None or one.seconds > allowed]


def availability_of(
    answers: Sequence[float], faults: Sequence[Fault], *, began: float, ended: float, election_seconds: float
) -> Availability:
    """Judge a run from `began` to `ended`. answers: when writes were acknowledged, in any order."""
    times = [began, *sorted(one for one in answers if began <= one <= ended), ended]
    gaps = list(pairwise(times))
    allowed = ELECTIONS_ALLOWED * election_seconds
    excused = [(one.began, one.served_from + allowed) for one in faults]
    return Availability(
        longest_seconds=max((b - a for a, b in gaps), default=0.0),
        longest_unexplained_seconds=max((_outside(a, b, excused) for a, b in gaps), default=0.0),
        recoveries=tuple(Recovery(one, _after(one, times[1:-1], faults)) for one in faults),
    )


def _outside(start: float, end: float, excused: Sequence[tuple[float, float]]) -> float:
    """Return the length of the longest piece of a gap that no excuse covers."""
    longest, at = 0.0, start
    for a, b in sorted(excused):
        if b <= at or a >= end:
            continue
        longest = max(longest, a - at)
        at = max(at, b)
    return max(longest, end - at)


def _after(fault: Fault, answers: Sequence[float], faults: Sequence[Fault]) -> float | None:
    """Return how long the first answer took, from when nothing kept a majority from working any more.

    Faults that overlap are one for this: what counts is the last one that blocks.
    """
    start = fault.served_from
    moved = True
    while moved:
        moved = False
        for other in faults:
            if other.blocks and other.began <= start < other.healed:
                start, moved = other.healed, True
    return next((one - start for one in answers if one >= start), None)
