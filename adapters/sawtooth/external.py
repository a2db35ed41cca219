"""Takes over what a processor outside the enclave did with a transaction, where the network allows such processors.

Such a processor is not trusted: it may write what it likes, within the transaction's outputs. But it counts only as
long as what it was told of the state still holds. Otherwise it has to be asked again.
"""

from __future__ import annotations

import hashlib

from adapters.sawtooth.requests import TransactionResult
from adapters.sawtooth.sdk.context import Context
from adapters.sawtooth.sdk.exceptions import InternalError, InvalidTransaction
from adapters.sawtooth.wire.messages import MalformedMessage, parse


class Stale(Exception):
    """The state has changed since an external processor read it."""


def take_over(result: TransactionResult, context: Context) -> None:
    """Do in the context what the processor did.

    Raises Stale; InvalidTransaction where the processor, or what it did, says so; AuthorizationException for addresses
    that are not the transaction's.
    """
    for read in result.reads:
        entries = context.get_state([read.address.hex()])
        if (hashlib.sha256(entries[0].data).digest() if entries else b"") != read.digest:
            raise Stale
    if result.error is not None:
        raise InvalidTransaction(result.error, result.extended_data)
    for write in result.writes:
        if write.data is None:
            context.delete_state([write.address.hex()])
        else:
            context.set_state({write.address.hex(): write.data})
    for data in result.receipt_data:
        context.add_receipt_data(data)
    for encoded in result.events:
        try:
            event = parse("Event", encoded)
        except MalformedMessage:
            raise InternalError("the processor added an event that is none") from None
        context.add_event(event.event_type, [(one.key, one.value) for one in event.attributes], event.data)
