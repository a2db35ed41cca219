"""When something holds, and the check of it. Time is always given; nothing here reads a clock."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from enclave_sim.verify.errors import Expired, NotYetValid


@dataclass(frozen=True, slots=True)
class Window:
    """From start to end, both included. what: the certificate, list or document, as users know it."""

    what: str
    start: datetime
    end: datetime


def require_aware(at: datetime) -> datetime:
    """Return the time in UTC; raises ValueError when it has no time zone."""
    if at.tzinfo is None:
        raise ValueError("the time of verification needs a time zone")
    return at.astimezone(UTC)


def require_within(windows: Iterable[Window], at: datetime) -> None:
    """Raise NotYetValid or Expired unless all hold at that time."""
    for window in windows:
        if at < window.start:
            raise NotYetValid(f"{window.what} holds from {window.start:%Y-%m-%d %H:%M:%S} UTC on")
        if at > window.end:
            raise Expired(
                f"{window.what} held until {window.end:%Y-%m-%d %H:%M:%S} UTC",
                hint="Fetch fresh collateral, or verify at the time the evidence was made.",
            )
