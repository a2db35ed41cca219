"""Rounds of reads that the executor asks for: consensus confirms an index, and the executor hears when it is there.

A round is answered through the one queue of what is applied (driver.py), once everything up to the confirmed index
stands in it: so the executor has been sent all those blocks before. Invariant: every round is answered, and the engine
answers within an election timeout while its clock runs.
"""

from __future__ import annotations

import heapq
from collections.abc import Awaitable, Callable, Sequence

from core.consensus.engine import ConsensusEngine
from core.errors import LimitExceeded
from core.node.messages import FromManager, ReadsConfirmed
from core.node.replication.applying import Say

Tell = Callable[[FromManager], Awaitable[None]]
_NUMBER_BYTES = 8


class ReadRounds:
    """See the module. say: does something after all that was committed so far is applied. tell: the executor."""

    def __init__(self, engine: ConsensusEngine, say: Callable[[Say], None], tell: Tell) -> None:
        self._engine = engine
        self._say = say
        self._tell = tell
        self._waiting: list[tuple[int, int]] = []
        self._reached = engine.status().applied_index

    def begin(self, number: int) -> None:
        """Ask the engine, whose caller carries out what it wants after this."""
        try:
            self._engine.read_index(number.to_bytes(_NUMBER_BYTES, "little"))
        except LimitExceeded:
            self._end(number, is_confirmed=False)

    def take(self, reads: Sequence[tuple[bytes, int]], dropped: Sequence[bytes]) -> None:
        """Take what the engine answered: (context, confirmed index), and the contexts of those it cannot confirm."""
        for context in dropped:
            self._end(int.from_bytes(context, "little"), is_confirmed=False)
        for context, index in reads:
            heapq.heappush(self._waiting, (index, int.from_bytes(context, "little")))
        self._answer()

    def reached(self, index: int) -> None:
        """Everything up to this index is applied, or stands in the queue."""
        self._reached = index
        self._answer()

    def _answer(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._reached:
            self._end(heapq.heappop(self._waiting)[1], is_confirmed=True)

    def _end(self, number: int, *, is_confirmed: bool) -> None:
        async def say() -> None:
            await self._tell(ReadsConfirmed(number, is_confirmed))

        self._say(say)
