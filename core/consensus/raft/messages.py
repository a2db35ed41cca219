"""Messages between Raft engines: a version byte and MessagePack (core/codec.py), strict and bounded.

The sender is not in the message: the channel knows it. Snapshots are not here either; the caller ships them, and the
engine knows only their reference. Invariant of a decoded Append: its entries' terms do not fall, none is above the
message's.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from core import limits
from core.codec import Codec, Message
from core.consensus.configuration import Number, decode_change
from core.errors import LimitExceeded, MalformedMessage

Term = Annotated[int, msgspec.Meta(ge=1, lt=2**62)]


class WireEntry(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """An entry; its index follows from its place in the message."""

    term: Term
    data: bytes
    change: bytes


class VoteRequest(Message, frozen=True, tag=1):
    """pre: ask only whether the vote would be given in `term`. transfer: the leader itself asked for this election."""

    term: Term
    last_index: Number
    last_term: Number
    pre: bool
    transfer: bool


class VoteResponse(Message, frozen=True, tag=2):
    """term: the request's when granted, the responder's when not. commit: what the responder knows to be committed."""

    term: Term
    granted: bool
    pre: bool
    commit: Number
    commit_term: Number


class Append(Message, frozen=True, tag=3):
    term: Term
    previous_index: Number
    previous_term: Number
    commit: Number
    entries: Annotated[tuple[WireEntry, ...], msgspec.Meta(max_length=limits.CONSENSUS_APPEND_ENTRIES_MAX)]


class AppendResponse(Message, frozen=True, tag=4):
    """index: up to where the responder has the sender's log on disk; received: up to where it has it at all."""

    term: Term
    index: Number
    received: Number
    commit: Number


class AppendRejection(Message, frozen=True, tag=5):
    """index: the previous_index that did not match. hint: the last place where the logs may match, and its term."""

    term: Term
    index: Number
    hint_index: Number
    hint_term: Number


class Heartbeat(Message, frozen=True, tag=6):
    """round: the newest round of reads that this heartbeat confirms once it is answered."""

    term: Term
    commit: Number
    round: Number


class HeartbeatResponse(Message, frozen=True, tag=7):
    term: Term
    commit: Number
    round: Number


class TimeoutNow(Message, frozen=True, tag=8):
    """Stand for election at once: leadership is handed over."""

    term: Term


class ReadRequest(Message, frozen=True, tag=9):
    term: Term
    number: Number


class ReadResponse(Message, frozen=True, tag=10):
    term: Term
    number: Number
    index: Number


RaftMessage = (
    VoteRequest
    | VoteResponse
    | Append
    | AppendResponse
    | AppendRejection
    | Heartbeat
    | HeartbeatResponse
    | TimeoutNow
    | ReadRequest
    | ReadResponse
)
_CODEC: Codec[RaftMessage] = Codec(RaftMessage)


def encode_message(message: RaftMessage) -> bytes:
    return _CODEC.encode(message)


def decode_message(data: bytes) -> RaftMessage:
    """Raises MalformedMessage, also for what is too large."""
    try:
        message = _CODEC.decode(data)
    except LimitExceeded as error:
        raise MalformedMessage(error.message) from None
    if isinstance(message, Append):
        _verify_append(message)
    return message


def _verify_append(message: Append) -> None:
    term = message.previous_term
    for entry in message.entries:
        if entry.term < term:
            raise MalformedMessage("the terms of an append's entries fall")
        if len(entry.data) + len(entry.change) > limits.CONSENSUS_ENTRY_BYTES_MAX:
            raise MalformedMessage(f"an entry of more than {limits.CONSENSUS_ENTRY_BYTES_MAX} bytes")
        if entry.change:
            decode_change(entry.change)
        term = entry.term
    if term > message.term:
        raise MalformedMessage("an append holds entries of a later term than its sender's")
    if (message.previous_index == 0) != (message.previous_term == 0):
        raise MalformedMessage("an append's previous index and term are zero together")
