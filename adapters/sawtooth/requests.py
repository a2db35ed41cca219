"""What a gateway asks the executor: one batch, one command. Both ends are the worker enclave.

A command's reply is a serialised `ClientBatchStatus`; a batch that is refused before anything runs is answered with a
serialised `ClientBatchSubmitResponse`. Every query is one of Sawtooth's own client messages, in its
envelope; one more is the gateway's own.
"""

from __future__ import annotations

from core.codec import Codec, Message

BLOCK_HEADER = 9_000
"""The message type of a question that no client asks: a ClientBlockGetByNumRequest that is answered with the block
alone, without its batches. What follows the chain, and each read of the state, needs no more."""
NEWEST_BLOCK = 2**64 - 1
"""The number that such a question has for the newest block."""


class StateRead(Message, frozen=True):
    """What an external processor was told. digest: SHA-256 of the value, b"" when there was none."""

    address: bytes
    digest: bytes


class StateWrite(Message, frozen=True):
    """data: the new value, None for a deletion."""

    address: bytes
    data: bytes | None


class TransactionResult(Message, frozen=True):
    """What an external processor did with one transaction. events: serialised, in order; error: why it is invalid."""

    reads: tuple[StateRead, ...] = ()
    writes: tuple[StateWrite, ...] = ()
    events: tuple[bytes, ...] = ()
    receipt_data: tuple[bytes, ...] = ()
    error: str | None = None
    extended_data: bytes = b""


class ExternalResult(Message, frozen=True):
    """What external processors did with a batch, transaction by transaction; None: run inside the enclave."""

    transactions: tuple[TransactionResult | None, ...]


class SubmitBatch(Message, frozen=True, tag=1):
    """batch: the serialised Batch, as the client signed it."""

    batch: bytes
    external: ExternalResult | None = None


COMMANDS: Codec[SubmitBatch] = Codec(SubmitBatch)
