"""The order in which batches run outside the enclave: those that may meet in the state, one after another.

Invariant: of two batches of which one may write what the other reads or writes, the one that came first has ended
before the second one begins.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

PREFIXES_MAX = 256
"""A batch that names more is taken to meet every other."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """The prefixes of addresses that a batch may read and write."""

    reads: frozenset[str]
    writes: frozenset[str]

    @classmethod
    def of(cls, inputs: Iterable[str], outputs: Iterable[str]) -> Footprint:
        """Return a footprint."""
        reads, writes = frozenset(inputs), frozenset(outputs)
        return cls(reads, writes) if len(reads) + len(writes) <= PREFIXES_MAX else cls(_ALL, _ALL)

    def meets(self, other: Footprint) -> bool:
        """Say whether the order of both may matter."""
        return (
            _overlap(self.writes, other.writes)
            or _overlap(self.writes, other.reads)
            or _overlap(self.reads, other.writes)
        )


class Turns:
    """See the module."""

    def __init__(self) -> None:
        self._running: dict[asyncio.Future[None], Footprint] = {}

    @asynccontextmanager
    async def turn(self, footprint: Footprint) -> AsyncGenerator[None, None]:
        """Wait for all earlier ones that a batch meets; its own turn ends with the block."""
        before = [ended for ended, other in self._running.items() if other.meets(footprint)]
        own: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._running[own] = footprint
        try:
            if before:
                await asyncio.wait(before)
            yield
        finally:
            del self._running[own]
            own.set_result(None)


_ALL = frozenset({""})


def _overlap(these: frozenset[str], those: frozenset[str]) -> bool:
    """Say whether an address may begin with one of each."""
    if not these.isdisjoint(those):
        return True
    return _has_prefix(these, those) or _has_prefix(those, these)


def _has_prefix(these: frozenset[str], those: frozenset[str]) -> bool:
    """Say whether one of those begins with one of these."""
    lengths = {len(one) for one in these}
    return any(one[:length] in these for one in those for length in lengths if length < len(one))
