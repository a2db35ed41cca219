"""Where a transaction id stands. Source: CCF, `tx_status.h`: the rules follow from the first seqno of each view."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from core.adapter.interface import TransactionStatus
from core.errors import InvariantBroken
from core.types import Seqno, TransactionId, View


class ViewHistory:
    """The first seqno of each view, in order. A view may begin where an earlier one did, and then replaces it."""

    def __init__(self, starts: Iterable[tuple[int, int]]) -> None:
        self._starts: list[tuple[int, int]] = []
        for view, first_seqno in starts:
            self.begin(View(view), Seqno(first_seqno))

    @property
    def view(self) -> View:
        """The newest view; 0 before the first."""
        return View(self._starts[-1][0]) if self._starts else View(0)

    def begin(self, view: View, first_seqno: Seqno) -> None:
        """Record that a view begins at a seqno: later ones of earlier views are void."""
        if view <= self.view:
            raise InvariantBroken(f"view {view} does not come after view {self.view}")
        while self._starts and self._starts[-1][1] >= first_seqno:
            self._starts.pop()
        self._starts.append((view, first_seqno))

    def view_at(self, seqno: Seqno) -> View:
        """Return the view that a seqno up to the head was made in; 0 when it is before the first view."""
        position = bisect_right(self._starts, int(seqno), key=lambda start: int(start[1]))
        return View(self._starts[position - 1][0]) if position else View(0)

    def status(self, target: TransactionId, *, head: Seqno, committed: Seqno) -> TransactionStatus:
        """Return the status of a transaction id. head: the newest entry; committed: the newest committed one."""
        local_view = self.view_at(target.seqno) if 0 < target.seqno <= head else View(0)
        if target.seqno <= committed:
            return "Committed" if local_view == target.view and local_view > 0 else "Invalid"
        if local_view == target.view and local_view > 0:
            return "Pending"
        if self.view_at(committed) > target.view:
            return "Invalid"
        return "Unknown"
