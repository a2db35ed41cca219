"""What a driver (driver.py) hands on: committed entries, the places where they end, and changes of leadership."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from core.consensus.engine import SnapshotNeeded, Status
from core.node.replication.blocks import LogBlock
from core.types import Seqno, View


class Watcher(Protocol):
    """Whoever decides what a change of leadership means. Its calls must not wait."""

    def observe(self, status: Status) -> None:
        """Look at the engine after all that it asked for was taken. May propose."""
        ...

    def rolled_back(self, seqno: Seqno) -> None:
        """The ledger goes on after `seqno`: what came after is gone."""
        ...

    def snapshot_needed(self, needed: SnapshotNeeded) -> None: ...


@dataclass(frozen=True, slots=True)
class Point:
    """A committed block's end: in the ledger, and in the files as (first seqno of the chunk, offset).

    reference: the engine's snapshot that stands for the ledger up to there.
    """

    reference: bytes
    seqno: Seqno
    view: View
    chunk: Seqno
    end: int


@dataclass(frozen=True, slots=True)
class Applied:
    """A committed entry. configuration: the encoded configuration in force from here on; b"" where it stays."""

    log_block: LogBlock
    configuration: bytes


Apply = Callable[[Applied], Awaitable[None]]
Say = Callable[[], Awaitable[None]]
