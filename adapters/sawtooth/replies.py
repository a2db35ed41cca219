"""Serialised answers to commands."""

from __future__ import annotations

from adapters.sawtooth.execution import TransactionFailed
from adapters.sawtooth.wire.messages import MESSAGES, BatchStatus, SubmitStatus

_Status = MESSAGES["ClientBatchStatus"]
_Submitted = MESSAGES["ClientBatchSubmitResponse"]


def batch_status(batch_id: str, status: BatchStatus) -> bytes:
    """Return a ClientBatchStatus."""
    return bytes(_Status(batch_id=batch_id, status=status).SerializeToString())


def invalid_status(batch_id: str, transaction_id: str, failure: TransactionFailed) -> bytes:
    """Return the ClientBatchStatus of an invalid batch, with the transaction that made it so."""
    status = _Status(batch_id=batch_id, status=BatchStatus.INVALID)
    status.invalid_transactions.add(
        transaction_id=transaction_id, message=failure.message, extended_data=failure.extended_data
    )
    return bytes(status.SerializeToString())


def refusal(status: SubmitStatus) -> bytes:
    """Return the ClientBatchSubmitResponse of a batch that was not taken."""
    return bytes(_Submitted(status=status).SerializeToString())
