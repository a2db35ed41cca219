"""The half of the adapter that runs in the executor: batches into blocks.

A batch is one command and one ledger entry, committed or invalid. The block in which batches are committed is closed
with Coco's. Invariant: what is held here is the open block and caches of the tables; a command that raised has
changed none of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from adapters.sawtooth import onchain, records
from adapters.sawtooth.access import Sight, batch_namespaces
from adapters.sawtooth.addresses import BLOCK_INFO_NAMESPACE
from adapters.sawtooth.blocks import make_block
from adapters.sawtooth.claims import BatchClaims
from adapters.sawtooth.commands import Submitted, parse_command
from adapters.sawtooth.execution import CHANGES_MAX, BatchRun, BatchRunner, TransactionFailed
from adapters.sawtooth.external import Stale
from adapters.sawtooth.families.block_info import injected_batch
from adapters.sawtooth.families.registry import FamilyVersion
from adapters.sawtooth.merkle import MerkleTree
from adapters.sawtooth.queue import BatchQueue
from adapters.sawtooth.records import NO_BLOCK, OUTCOMES, Outcome, StoredBlock
from adapters.sawtooth.replies import batch_status, invalid_status, refusal
from adapters.sawtooth.requests import TransactionResult
from adapters.sawtooth.sdk.handler import TransactionHandler
from adapters.sawtooth.settings import Settings
from adapters.sawtooth.signatures import Signer
from adapters.sawtooth.validation import InvalidBatch, SignedBatch
from adapters.sawtooth.wire.messages import BatchStatus, SubmitStatus
from core import limits
from core.adapter.interface import (
    BlockFull,
    CommandRejected,
    Executed,
    ExecutionContext,
    ScopedTransaction,
)
from core.errors import InvariantBroken
from core.types import NO_CLAIMS, Digest, Seqno

BLOCK_BATCH_BYTES_MAX = 4 * limits.MEBIBYTE
"""What the batches of a block may come to, save that one always fits: a block is an answer to a query."""
INVALID_KEPT_MAX = 10_000
"""Of how many invalid batches it is kept why."""


@dataclass(slots=True)
class OpenBlock:
    """The block that batches go into. changed: addresses whose data changed."""

    previous: StoredBlock
    batch_ids: list[str] = field(default_factory=list)
    changed: set[bytes] = field(default_factory=set)
    size_bytes: int = 0


class SawtoothExecutor:
    """See the module."""

    def __init__(self, families: Mapping[FamilyVersion, TransactionHandler], settings: Settings) -> None:
        self._runner = BatchRunner(families, settings.transaction_seconds_max, settings.external_processors)
        self._settings = settings
        self._tree = MerkleTree()
        self._open: OpenBlock | None = None
        self._signer: Signer | None = None
        self._queue: BatchQueue | None = None
        self._in_flight: dict[str, tuple[Seqno, str]] = {}
        self._committed = Seqno(0)

    def reset(self) -> None:
        """Forget the open block and everything remembered of the tables."""
        self._tree.forget()
        self._open = None
        self._in_flight.clear()

    def make_queue(self, read: Callable[[], ScopedTransaction]) -> BatchQueue:
        """Return the queue; status queries look into it."""
        self._queue = BatchQueue(read)
        return self._queue

    def committed(self, seqno: Seqno) -> None:
        """Learn what is committed."""
        self._committed = seqno
        if self._in_flight:
            self._in_flight = {key: ran for key, ran in self._in_flight.items() if ran[0] > seqno}

    def is_pending(self, batch_id: str, identity: str | None) -> bool:
        """Say whether a batch of this identity waits, or has run in a block that is not committed yet."""
        if identity is None:
            return False
        ran = self._in_flight.get(batch_id)
        if ran is not None and ran[1] == identity:
            return True
        return self._queue is not None and self._queue.holds(batch_id, identity)

    def genesis(self, transaction: ScopedTransaction, context: ExecutionContext, changed: set[bytes]) -> None:
        """Write the first block and the key that signs blocks. changed: addresses that the state begins with."""
        secret = context.random(32)
        transaction.table("meta").put(b"signer", secret)
        root = self._tree.update(transaction, changed)
        self._tree.forget()
        block = make_block(None, (), root, Signer(secret), seqno=context.seqno, time_s=context.time_s)
        records.write_block(transaction, block)

    def execute(self, transaction: ScopedTransaction, payload: bytes, context: ExecutionContext) -> Executed:
        """Run a batch. Raises CommandRejected for one that is refused before it runs, or BlockFull.

        One whose external result is out of date is refused with the status PENDING: it is to be run again outside.
        """
        batch, external = self._parse(payload)
        known = records.outcome(transaction, batch.key)
        if known is not None and known.block != NO_BLOCK:
            if transaction.table("outcomes").version(batch.key) <= self._committed:
                raise CommandRejected(batch_status(batch.id, BatchStatus.COMMITTED))
            return Executed(batch_status(batch.id, BatchStatus.COMMITTED))  # It may go out with this entry.
        state = transaction.table("state")
        if not onchain.is_permitted(state, batch):
            raise CommandRejected(refusal(SubmitStatus.INVALID_BATCH))
        block = self._open or OpenBlock(records.head(transaction))
        self._check_room(block, batch, onchain.number_setting(state, onchain.BATCHES_PER_BLOCK))
        namespaces = batch_namespaces((*one.header.inputs, *one.header.outputs) for one in batch.transactions)
        mark = transaction.checkpoint()
        injected = self._inject(transaction, block, context)
        try:
            results = external.transactions if external is not None else ()
            run = self._run(transaction, batch, Sight(self._settings, context.caller).usable, results)
        except Stale:
            raise CommandRejected(batch_status(batch.id, BatchStatus.PENDING)) from None
        submitter = context.caller.identity or ""
        if run.failure is not None:
            transaction.revert(mark)
            status = invalid_status(batch.id, run.failed, run.failure)
            outcome = Outcome(NO_BLOCK, 0, submitter, namespaces, status, b"", run.external)
            self._note_invalid(transaction, batch.key, known is not None)
        else:
            status = batch_status(batch.id, BatchStatus.COMMITTED)
            place = len(block.batch_ids) + (injected is not None)
            digests = records.receipts_digest(run.receipts)
            outcome = Outcome(
                block.previous.number + 1,
                place,
                submitter,
                namespaces,
                status,
                digests,
                run.external,
            )
            self._write(transaction, batch, run)
        transaction.table("outcomes").put(batch.key, OUTCOMES.encode(outcome))
        if run.failure is None:
            for one, done in (injected, (batch, run)) if injected is not None else ((batch, run),):
                block.batch_ids.append(one.id)
                block.changed |= done.changed
                block.size_bytes += len(one.data)
            self._open = block
        self._in_flight[batch.id] = (context.seqno, submitter)
        return Executed(status, BatchClaims.of(outcome).digest)

    def close_block(self, transaction: ScopedTransaction, context: ExecutionContext) -> Digest:
        """End the open block, if there is one. Nothing is claimed: a header counts what others did."""
        block = self._open
        if block is None:
            return NO_CLAIMS
        if records.head(transaction).id != block.previous.id:
            raise InvariantBroken("the open Sawtooth block does not follow the newest one")
        root = self._tree.update(transaction, block.changed)
        closed = make_block(
            block.previous,
            block.batch_ids,
            root,
            self._signer_of(transaction),
            seqno=context.seqno,
            time_s=context.time_s,
        )
        records.write_block(transaction, closed)
        self._open = None
        return NO_CLAIMS

    def _parse(self, payload: bytes) -> Submitted:
        parsed = self._queue.take_parsed(payload) if self._queue is not None else None
        if parsed is not None:
            return parsed
        try:
            return parse_command(payload)
        except InvalidBatch:
            raise CommandRejected(refusal(SubmitStatus.INVALID_BATCH)) from None

    def _check_room(self, block: OpenBlock, batch: SignedBatch, batches_max: int) -> None:
        if not block.batch_ids:
            return
        full = block.size_bytes + len(batch.data) > BLOCK_BATCH_BYTES_MAX or len(block.changed) > CHANGES_MAX
        if full or 0 < batches_max <= len(block.batch_ids):
            raise BlockFull

    def _inject(
        self, transaction: ScopedTransaction, block: OpenBlock, context: ExecutionContext
    ) -> tuple[SignedBatch, BatchRun] | None:
        """Begin a block with the batch that tells of the block before, where the settings ask for it."""
        if block.batch_ids:
            return None
        state = transaction.table("state")
        injectors = onchain.setting(state, onchain.BATCH_INJECTORS)
        if "block_info" not in (one.strip() for one in injectors.split(",")):
            return None
        batch = injected_batch(block.previous, self._signer_of(transaction))
        run = self._runner.run(state, batch, None)
        if run.failure is not None:
            return None
        digests, status = records.receipts_digest(run.receipts), batch_status(batch.id, BatchStatus.COMMITTED)
        namespaces = batch_namespaces([[BLOCK_INFO_NAMESPACE]])
        outcome = Outcome(block.previous.number + 1, 0, "", namespaces, status, digests)
        transaction.table("outcomes").put(batch.key, OUTCOMES.encode(outcome))
        self._write(transaction, batch, run)
        return batch, run

    def _run(
        self,
        transaction: ScopedTransaction,
        batch: SignedBatch,
        usable: frozenset[bytes],
        external: Sequence[TransactionResult | None],
    ) -> BatchRun:
        """Run a batch whose transactions are new and whose dependencies are there."""
        known, own = transaction.table("transactions"), set[str]()
        for one in batch.transactions:
            if known.has(one.key):
                failure = TransactionFailed("this transaction is committed already, in another batch")
                return BatchRun(failed=one.id, failure=failure)
            for dependency in one.header.dependencies:
                if dependency not in own and not known.has(bytes.fromhex(dependency)):
                    failure = TransactionFailed(f"the transaction depends on {dependency}, which is not committed")
                    return BatchRun(failed=one.id, failure=failure)
            own.add(one.id)
        return self._runner.run(transaction.table("state"), batch, usable, external)

    def _write(self, transaction: ScopedTransaction, batch: SignedBatch, run: BatchRun) -> None:
        transaction.table("batches").put(batch.key, batch.data)
        transactions, receipts = transaction.table("transactions"), transaction.table("receipts")
        for place, (one, receipt) in enumerate(zip(batch.transactions, run.receipts, strict=True)):
            key = one.key
            transactions.put(key, batch.key + place.to_bytes(4, "big"))
            receipts.put(key, receipt)

    def _note_invalid(self, transaction: ScopedTransaction, key: bytes, is_known: bool) -> None:
        """Count an invalid batch, and forget the oldest one of too many."""
        if is_known:
            return
        meta, table = transaction.table("meta"), transaction.table("invalid")
        number = int.from_bytes(meta.get(b"invalid") or b"", "big")
        table.put(number.to_bytes(8, "big"), key)
        meta.put(b"invalid", (number + 1).to_bytes(8, "big"))
        oldest = (number - INVALID_KEPT_MAX).to_bytes(8, "big") if number >= INVALID_KEPT_MAX else b""
        forgotten = table.get(oldest) if oldest else None
        if forgotten is not None:
            table.delete(oldest)
            outcome = records.outcome(transaction, forgotten)
            if outcome is not None and outcome.block == NO_BLOCK:
                transaction.table("outcomes").delete(forgotten)

    def _signer_of(self, transaction: ScopedTransaction) -> Signer:
        if self._signer is None:
            secret = transaction.table("meta").get(b"signer")
            if secret is None:
                raise InvariantBroken("the key that signs Sawtooth blocks is missing")
            self._signer = Signer(secret)
        return self._signer
