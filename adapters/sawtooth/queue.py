"""The order in which batches run: as they come, save that one waits for the transactions it depends on.

A batch whose dependencies are not committed is held until they are, five minutes at most; then it is forgotten and
answered with the status UNKNOWN. What is held is not durable: who sent it gets no answer before it has run.

Invariants: a command is in the queue once; a held batch has a dependency that the head state does not have.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection
from dataclasses import dataclass

from adapters.sawtooth.commands import Submitted, parse_command
from adapters.sawtooth.replies import batch_status, refusal
from adapters.sawtooth.validation import InvalidBatch, SignedBatch
from adapters.sawtooth.wire.messages import BatchStatus, SubmitStatus
from core import limits
from core.adapter.interface import CommandRejected, Pending, ScopedTransaction

HELD_MILLISECONDS_MAX = 300_000
HELD_MAX = 1_000
HELD_PER_IDENTITY_MAX = 200

Replied = list[tuple[Pending, bytes]]


@dataclass(frozen=True, slots=True)
class _Held:
    pending: Pending
    submitted: Submitted
    missing: frozenset[str]
    until_ms: int


class BatchQueue:
    """A CommandQueue. read: opens the head state. Times are monotonic milliseconds."""

    def __init__(self, read: Callable[[], ScopedTransaction], *, total_max: int = limits.QUEUED_COMMANDS_MAX) -> None:
        self._read = read
        self._total_max = total_max
        self._ready: deque[tuple[Pending, Submitted]] = deque()
        self._held: dict[int, _Held] = {}
        self._held_by: Counter[str | None] = Counter()
        self._waiting_for: dict[str, set[int]] = {}
        self._ran: list[str] = []
        self._ids: Counter[tuple[str, str | None]] = Counter()
        self._parsed: tuple[bytes, Submitted] | None = None

    def __len__(self) -> int:
        return len(self._ready) + len(self._held)

    def push(self, pending: Pending, now_ms: int) -> Replied:
        """Take a batch. Raises CommandRejected for one that is malformed, or when too many are held."""
        try:
            submitted = parse_command(pending.payload)
        except InvalidBatch:
            raise CommandRejected(refusal(SubmitStatus.INVALID_BATCH)) from None
        if len(self) >= self._total_max:
            raise CommandRejected(refusal(SubmitStatus.QUEUE_FULL))
        missing = self._missing(submitted.batch)
        if missing:
            self._hold(_Held(pending, submitted, missing, now_ms + HELD_MILLISECONDS_MAX))
        else:
            self._ready.append((pending, submitted))
        self._ids[submitted.batch.id, pending.caller.identity] += 1
        return []

    def pop(self) -> Pending | None:
        """Remove and return the next batch that is ready."""
        if self._ran:
            self._release({ticket for one in self._ran for ticket in self._waiting_for.get(one, ())})
            self._ran.clear()
        if self._held and not self._ready:
            self._release(self._held)  # Also for what has run without coming from here: a block that was taken back.
        if not self._ready:
            return None
        pending, submitted = self._ready.popleft()
        self._parsed, batch = (pending.payload, submitted), submitted.batch
        if self._waiting_for:
            self._ran.extend(one.id for one in batch.transactions if one.id in self._waiting_for)
        self._forget(pending, batch)
        return pending

    def expire(self, now_ms: int) -> Replied:
        """Remove and return what was held too long."""
        expired = [one for one in self._held.values() if one.until_ms <= now_ms]
        for one in expired:
            self._unhold(one)
            self._forget(one.pending, one.submitted.batch)
        return [(one.pending, batch_status(one.submitted.batch.id, BatchStatus.UNKNOWN)) for one in expired]

    def next_deadline_ms(self) -> int | None:
        """When `expire` has something to do, if ever. Held batches are in the order of their deadlines."""
        return next((one.until_ms for one in self._held.values()), None)

    def holds(self, batch_id: str, identity: str | None) -> bool:
        """Say whether a batch of this identity waits here."""
        return (batch_id, identity) in self._ids

    def take_parsed(self, payload: bytes) -> Submitted | None:
        """Return the command popped last, parsed, if this is its payload."""
        parsed, self._parsed = self._parsed, None
        return parsed[1] if parsed is not None and parsed[0] is payload else None

    def _missing(self, batch: SignedBatch) -> frozenset[str]:
        wanted = {dependency for one in batch.transactions for dependency in one.header.dependencies}
        if not wanted:
            return frozenset()
        known = self._read().table("transactions")
        wanted.difference_update(one.id for one in batch.transactions)
        return frozenset(one for one in wanted if not known.has(bytes.fromhex(one)))

    def _hold(self, held: _Held) -> None:
        identity = held.pending.caller.identity
        if len(self._held) >= HELD_MAX or self._held_by[identity] >= HELD_PER_IDENTITY_MAX:
            raise CommandRejected(refusal(SubmitStatus.QUEUE_FULL))
        self._held[held.pending.ticket] = held
        self._held_by[identity] += 1
        for dependency in held.missing:
            self._waiting_for.setdefault(dependency, set()).add(held.pending.ticket)

    def _unhold(self, held: _Held) -> None:
        identity = held.pending.caller.identity
        del self._held[held.pending.ticket]
        self._held_by[identity] -= 1
        if not self._held_by[identity]:
            del self._held_by[identity]
        for dependency in held.missing:
            tickets = self._waiting_for[dependency]
            tickets.discard(held.pending.ticket)
            if not tickets:
                del self._waiting_for[dependency]

    def _release(self, tickets: Collection[int]) -> None:
        """Make ready those of the held batches that miss nothing any more, in the order in which they came."""
        known = self._read().table("transactions")
        for ticket in sorted(tickets):
            held = self._held[ticket]
            if all(known.has(bytes.fromhex(one)) for one in held.missing):
                self._unhold(held)
                self._ready.append((held.pending, held.submitted))

    def _forget(self, pending: Pending, batch: SignedBatch) -> None:
        key = (batch.id, pending.caller.identity)
        self._ids[key] -= 1
        if not self._ids[key]:
            del self._ids[key]
