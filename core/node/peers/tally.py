"""Counts what goes wrong with channels, and tells of it at 1, 2, 4, 8, ...: a flood does not fill the log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType

from core.errors import CocoError


def reason_of(error: CocoError) -> str:
    """Return the short name of a refusal, or of an error's class."""
    return str(getattr(error, "reason", type(error).__name__))


class Tally:
    """See the module."""

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self._counts: Counter[str] = Counter()
        self._told: Counter[str] = Counter()

    @property
    def counts(self) -> Mapping[str, int]:
        """How often each reason has been counted."""
        return MappingProxyType(self._counts)

    def refused(self, what: str, error: CocoError) -> None:
        """Count an error by its reason."""
        reason = reason_of(error)
        self._counts[reason] += 1
        count = self._counts[reason]
        if count & (count - 1) == 0:
            self._log(f"{what}: {reason}: {error.message} ({count} so far)")

    def tell(self, subject: str, text: str) -> None:
        """Tell of an event of some subject; there is a bounded number of subjects."""
        self._told[subject] += 1
        count = self._told[subject]
        if count & (count - 1) == 0:
            self._log(f"{text} ({count} so far)" if count > 1 else text)

    def forget(self, subjects: str) -> None:
        """Forget the subjects that begin so."""
        for subject in [one for one in self._told if one.startswith(subjects)]:
            del self._told[subject]
