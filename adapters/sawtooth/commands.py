"""A command, read: its batch, and what external processors did with it."""

from __future__ import annotations

from typing import NamedTuple

from adapters.sawtooth.requests import COMMANDS, ExternalResult
from adapters.sawtooth.validation import InvalidBatch, SignedBatch, parse_batch
from core.errors import LimitExceeded, MalformedMessage


class Submitted(NamedTuple):
    """external: None when all of the batch is to run inside the enclave."""

    batch: SignedBatch
    external: ExternalResult | None


def parse_command(payload: bytes) -> Submitted:
    """Parse a command. Raises InvalidBatch."""
    try:
        command = COMMANDS.decode(payload)
    except (MalformedMessage, LimitExceeded) as error:
        raise InvalidBatch(error.message) from None
    batch = parse_batch(command.batch)
    external = command.external
    if external is not None and len(external.transactions) != len(batch.transactions):
        raise InvalidBatch("external results of another number of transactions")
    return Submitted(batch, external)
