"""Runs the transactions of a batch on the state, one after another; the first one that is invalid ends it."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from adapters.deadline import Deadline, TimeExceeded
from adapters.sawtooth.addresses import is_prefix
from adapters.sawtooth.external import Stale, take_over
from adapters.sawtooth.families.registry import FamilyVersion
from adapters.sawtooth.onchain import refusal_of_family
from adapters.sawtooth.requests import TransactionResult
from adapters.sawtooth.sdk.context import Context, Transaction
from adapters.sawtooth.sdk.exceptions import AuthorizationException, InternalError, InvalidTransaction
from adapters.sawtooth.sdk.handler import TransactionHandler
from adapters.sawtooth.validation import SignedBatch, SignedTransaction
from adapters.sawtooth.wire.messages import MESSAGES, StateChangeType
from core import limits
from core.errors import InvariantBroken, LimitExceeded
from core.kv.transaction import TableHandle

MESSAGE_CHARACTERS_MAX = 4_096
RECEIPTS_BYTES_MAX = 8 * limits.MEBIBYTE
"""Of one batch: what it sets stands in them, and all of it comes into one ledger entry."""
BATCH_TRANSACTIONS_TIME = 5
"""A batch may take as much processor time as this many transactions may, each at its bound."""
CHANGES_MAX = 20_000
"""Addresses that one batch, or one block, may change."""

Apply = Callable[[Transaction, Context], None]

_Receipt = MESSAGES["TransactionReceipt"]


class TransactionFailed(Exception):
    """A transaction that is not valid. message and extended_data are for the client."""

    def __init__(self, message: str, extended_data: bytes | None = None) -> None:
        super().__init__(message)
        self.message = message[:MESSAGE_CHARACTERS_MAX].encode(errors="replace").decode()
        self.extended_data = extended_data or b""


@dataclass(slots=True)
class BatchRun:
    """What a batch did. receipts: serialised, in order; changed: addresses; failed: the id of what was invalid.

    external: whether a processor outside the enclave took part.
    """

    receipts: list[bytes] = field(default_factory=list)
    changed: set[bytes] = field(default_factory=set)
    failed: str = ""
    failure: TransactionFailed | None = None
    external: bool = False


class BatchRunner:
    """Knows the families. It holds nothing between batches.

    seconds_max: processor time of one transaction. outside: families that processors outside the enclave may run.
    """

    def __init__(
        self,
        families: Mapping[FamilyVersion, TransactionHandler],
        seconds_max: float,
        outside: Collection[str] = (),
    ) -> None:
        self._families = families
        self._outside = outside
        self._deadline = Deadline(seconds_max)

    def run(
        self,
        state: TableHandle,
        batch: SignedBatch,
        usable: Collection[bytes] | None,
        external: Sequence[TransactionResult | None] = (),
    ) -> BatchRun:
        """Run a batch. Whoever calls undoes what it wrote where it failed. Raises Stale.

        usable: see Context. external: what processors did with each transaction, for families that are not here.
        """
        run, size_bytes, ends = BatchRun(), 0, time.thread_time() + BATCH_TRANSACTIONS_TIME * self._deadline.seconds
        for place, transaction in enumerate(batch.transactions):
            try:
                result = external[place] if external else None
                apply, is_external = self._apply_of(transaction, result)
                run.external = run.external or is_external
                context = self._run_one(state, transaction, usable, apply)
                receipt = make_receipt(transaction.id, context)
                run.changed.update(context.changes)
                size_bytes += len(receipt)
                if size_bytes > RECEIPTS_BYTES_MAX or len(run.changed) > CHANGES_MAX:
                    raise TransactionFailed("the batch changes more than fits into a block")
                if time.thread_time() > ends:
                    raise TransactionFailed("the batch took too much processor time")
            except TransactionFailed as failure:
                run.failed, run.failure = transaction.id, failure
                return run
            run.receipts.append(receipt)
        return run

    def _apply_of(self, transaction: SignedTransaction, result: TransactionResult | None) -> tuple[Apply, bool]:
        """Return what runs a transaction, and whether it was run outside. A family that is here runs here."""
        header = transaction.header
        handler = self._families.get((header.family_name, header.family_version))
        if handler is not None:
            return handler.apply, False
        if result is not None and header.family_name in self._outside:
            return partial(_take_over, result), True
        raise TransactionFailed(
            f"no transaction processor for family {header.family_name[:80]} {header.family_version[:80]}"
        )

    def _run_one(
        self, state: TableHandle, transaction: SignedTransaction, usable: Collection[bytes] | None, apply: Apply
    ) -> Context:
        header = transaction.header
        refusal = refusal_of_family(state, transaction)
        if refusal:
            raise TransactionFailed(refusal)
        for name, prefixes in (("inputs", header.inputs), ("outputs", header.outputs)):
            for prefix in prefixes:
                if is_prefix(prefix) is None:
                    raise TransactionFailed(f"Address or namespace {prefix[:80]} listed in {name} is not valid")
        context = Context(state, header.inputs, header.outputs, usable)
        given = Transaction(header, transaction.payload, transaction.id, header_bytes=transaction.header_bytes)
        try:
            self._deadline.run(lambda: _call(apply, given, context))
        except TimeExceeded:
            message = f"the transaction took more than {self._deadline.seconds:g} s of processor time"
            raise TransactionFailed(message) from None
        try:
            context.write()
        except LimitExceeded as error:
            raise TransactionFailed(error.message) from None
        return context


def _take_over(result: TransactionResult, transaction: Transaction, context: Context) -> None:
    del transaction
    take_over(result, context)


def _call(apply: Apply, transaction: Transaction, context: Context) -> None:
    """Run a family's own code, which writes nothing yet. Whatever it raises makes the transaction invalid."""
    try:
        apply(transaction, context)
    except (InvalidTransaction, InternalError) as error:
        raise TransactionFailed(str(error), error.extended_data) from None
    except AuthorizationException as error:
        raise TransactionFailed(str(error)) from None
    except (InvariantBroken, Stale):
        raise
    except Exception as error:  # noqa: BLE001 - the family is other people's code; its failure is the answer
        # Its text may hold what the family keeps, so only its type goes on.
        raise TransactionFailed(f"the family failed on this transaction ({type(error).__name__})") from None


def make_receipt(transaction_id: str, context: Context) -> bytes:
    """Return a serialised TransactionReceipt: what was set, then what was deleted, then events and data."""
    receipt: Any = _Receipt(transaction_id=transaction_id, data=context.receipt_data)
    for address, data in context.changes.items():
        if data is not None:
            receipt.state_changes.add(address=address.hex(), value=data, type=StateChangeType.SET)
    for address, data in context.changes.items():
        if data is None:
            receipt.state_changes.add(address=address.hex(), type=StateChangeType.DELETE)
    receipt.events.extend(context.events)
    return bytes(receipt.SerializeToString())
