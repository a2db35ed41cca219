"""What the key-value store raises."""

from __future__ import annotations

from core.errors import CocoError


class Conflict(CocoError):
    """What a transaction read has been changed since its snapshot. Run it again."""


class SnapshotGone(CocoError):
    """The state at that sequence number is no longer kept."""
