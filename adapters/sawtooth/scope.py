"""One query: the committed state it runs on, and the sight of its caller."""

from __future__ import annotations

from collections.abc import Callable

from adapters.sawtooth import records
from adapters.sawtooth.access import Sight
from adapters.sawtooth.records import Outcome, StoredBlock
from adapters.sawtooth.settings import Settings
from adapters.sawtooth.wire.messages import parse
from core.adapter.interface import QueryContext, ScopedTransaction
from core.errors import InvariantBroken
from core.types import Seqno

STATE_BLOCKS_MAX = 128
"""State can be asked for at this many newest blocks."""


def retained_seqno(transaction: ScopedTransaction) -> Seqno:
    """Return the oldest sequence number that queries still ask for."""
    newest = records.head(transaction).number
    block = records.block_by_number(transaction, max(0, newest - STATE_BLOCKS_MAX + 1))
    if block is None:
        raise InvariantBroken("a Sawtooth block is missing below the head")
    return Seqno(block.seqno)


class Scope:
    """See the module. is_pending: whether a batch of the caller's own is on its way."""

    def __init__(
        self, settings: Settings, context: QueryContext, is_pending: Callable[[str, str | None], bool]
    ) -> None:
        self.transaction = context.transaction
        self.caller = context.caller
        self.at = context.at
        self.sight = Sight(settings, context.caller)
        self.head = records.head(context.transaction)
        self._is_pending = is_pending

    def is_pending(self, batch_id: str) -> bool:
        return self._is_pending(batch_id, self.caller.identity)

    def outcome(self, batch_key: bytes) -> Outcome | None:
        """Return what became of a batch that the caller sees, of a closed block or invalid."""
        found = records.outcome(self.transaction, batch_key)
        if found is None or found.block > self.head.number or not self.sight.sees_batch(found):
            return None
        return found

    def batch_data(self, batch_key: bytes) -> bytes:
        """Return a committed batch as it was sent."""
        data = self.transaction.table("batches").get(batch_key)
        if data is None:
            raise InvariantBroken("a committed batch is missing")
        return data

    def find_batch(self, batch_key: bytes | None) -> tuple[Outcome, bytes] | None:
        """Return a committed batch that the caller sees."""
        outcome = None if batch_key is None else self.outcome(batch_key)
        if batch_key is None or outcome is None or outcome.block < 0:
            return None
        return outcome, self.batch_data(batch_key)

    def sees_some(self, outcome: Outcome) -> bool:
        """Say whether the caller may see one of a batch's transactions."""
        return self.sight.is_submitter(outcome) or not self.sight.readable.isdisjoint(outcome.namespaces)

    def visible_transactions(self, outcome: Outcome, data: bytes) -> list[bytes]:
        """Return those of a batch's transactions, serialised, that the caller sees."""
        transactions = parse("Batch", data).transactions
        everything = self.sight.sees_batch(outcome)
        return [one.SerializeToString() for one in transactions if everything or self.sees_header(outcome, one.header)]

    def sees_header(self, outcome: Outcome, header: bytes) -> bool:
        """Say whether the caller sees a transaction. outcome: its batch's; header: its serialised header."""
        parsed = parse("TransactionHeader", header)
        return self.sight.sees_transaction(outcome, (*parsed.inputs, *parsed.outputs))

    def find_transaction(self, transaction_key: bytes | None) -> tuple[Outcome, int, bytes] | None:
        """Return a transaction that the caller sees, serialised, with its batch's outcome and its place there."""
        place = None if transaction_key is None else records.batch_of(self.transaction, transaction_key)
        if place is None:
            return None
        outcome = records.outcome(self.transaction, place[0])
        if outcome is None or not 0 <= outcome.block <= self.head.number:
            return None
        one = parse("Batch", self.batch_data(place[0])).transactions[place[1]]
        if not self.sight.sees_batch(outcome) and not self.sees_header(outcome, one.header):
            return None
        return outcome, place[1], one.SerializeToString()

    def block_batch_keys(self, block: StoredBlock) -> list[bytes]:
        """Return the keys of a block's batches, in order."""
        return [bytes.fromhex(one) for one in parse("BlockHeader", block.header).batch_ids]
