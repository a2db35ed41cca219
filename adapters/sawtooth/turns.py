"""The order in which batches run outside the enclave: those that may meet in the state, one after another.

Invariant: of two batches of which one may write what the other reads or writes, the one that came first has ended
before the second one begins. A prefix counts as its namespace, or as everything where it is shorter than one.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from adapters.sawtooth.addresses import ADDRESS_BYTES, NAMESPACE_BYTES

_Ended = asyncio.Future[None]


@dataclass(slots=True)
class _Users:
    """Batches by what they use. at: by an address, a namespace or "" for everything; under: by what that lies in."""

    at: dict[str, set[_Ended]] = field(default_factory=lambda: defaultdict(set))
    under: dict[str, set[_Ended]] = field(default_factory=lambda: defaultdict(set))

    def add(self, batch: _Ended, used: Iterable[str]) -> None:
        for one in used:
            self.at[one].add(batch)
            self.under[_namespace(one)].add(batch)
            self.under[""].add(batch)

    def remove(self, batch: _Ended, used: Iterable[str]) -> None:
        for one in used:
            for users, key in ((self.at, one), (self.under, _namespace(one)), (self.under, "")):
                if key in users:
                    users[key].discard(batch)
                    if not users[key]:
                        del users[key]

    def find(self, used: Iterable[str]) -> set[_Ended]:
        """Return the batches that may use the same address as one that uses this."""
        found = set[_Ended]()
        for one in used:
            namespace = _namespace(one)
            places = (self.under, (one,)) if one == namespace else (self.at, (one, namespace))
            for key in places[1]:
                found |= places[0].get(key, set())
            found |= self.at.get("", set())
        return found


class Turns:
    """See the module."""

    def __init__(self) -> None:
        self._readers = _Users()
        self._writers = _Users()

    @asynccontextmanager
    async def turn(self, inputs: Iterable[str], outputs: Iterable[str]) -> AsyncGenerator[None, None]:
        """Wait for all earlier batches that one with these prefixes may meet; its own turn ends with the block."""
        reads, writes = set(map(_covered, inputs)), set(map(_covered, outputs))
        before = self._writers.find(reads | writes) | self._readers.find(writes)
        own: _Ended = asyncio.get_running_loop().create_future()
        self._readers.add(own, reads)
        self._writers.add(own, writes)
        try:
            if before:
                await asyncio.wait(before)
            yield
        finally:
            self._readers.remove(own, reads)
            self._writers.remove(own, writes)
            own.set_result(None)

    def is_empty(self) -> bool:
        """Say whether nothing has a turn."""
        return not (self._readers.at or self._readers.under or self._writers.at or self._writers.under)


def _covered(prefix: str) -> str:
    """Return the address that a prefix is, or the namespace that it lies in, or "" for everything."""
    if len(prefix) == 2 * ADDRESS_BYTES:
        return prefix
    return _namespace(prefix)


def _namespace(used: str) -> str:
    return used[: 2 * NAMESPACE_BYTES] if len(used) >= 2 * NAMESPACE_BYTES else ""
