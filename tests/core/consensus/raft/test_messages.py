"""Messages on the wire: strict, bounded, and nothing but MalformedMessage for what is not one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import limits
from core.consensus.configuration import ChangeKind, ConfigurationChange, NodeChange, encode_change
from core.consensus.raft.messages import (
    Append,
    AppendRejection,
    AppendResponse,
    Heartbeat,
    HeartbeatResponse,
    RaftMessage,
    ReadRequest,
    ReadResponse,
    TimeoutNow,
    VoteRequest,
    VoteResponse,
    WireEntry,
    decode_message,
    encode_message,
)
from core.errors import MalformedMessage
from tests.consensus.wording import node_id

CHANGE = encode_change(ConfigurationChange((NodeChange(ChangeKind.REMOVE, node_id(1)),)))
MESSAGES: list[RaftMessage] = [
    VoteRequest(3, 7, 2, True, False),
    VoteResponse(3, True, False, 6, 2),
    Append(3, 7, 2, 6, (WireEntry(2, b"block", b""), WireEntry(3, b"", CHANGE))),
    Append(1, 0, 0, 0, ()),
    AppendResponse(3, 7, 8, 6),
    AppendRejection(3, 7, 5, 2),
    Heartbeat(3, 6, 1),
    HeartbeatResponse(3, 6, 1),
    TimeoutNow(3),
    ReadRequest(3, 1),
    ReadResponse(3, 1, 6),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_messages_come_back_and_parts_of_them_do_not(message: RaftMessage) -> None:
    data = encode_message(message)
    assert decode_message(data) == message
    for size in range(len(data)):
        with pytest.raises(MalformedMessage):
            decode_message(data[:size])
    for wrong in (data + b"\0", b"\2" + data[1:]):
        with pytest.raises(MalformedMessage):
            decode_message(wrong)


@pytest.mark.parametrize(
    "message",
    [
        Append(3, 7, 2, 6, (WireEntry(1, b"", b""),)),
        Append(3, 7, 2, 6, (WireEntry(3, b"", b""), WireEntry(2, b"", b""))),
        Append(3, 7, 2, 6, (WireEntry(4, b"", b""),)),
        Append(3, 7, 4, 6, ()),
        Append(3, 7, 0, 6, ()),
        Append(3, 0, 2, 6, ()),
        Append(3, 7, 2, 6, (WireEntry(2, b"", b"not a change"),)),
        Append(3, 7, -1, 6, ()),
        VoteRequest(0, 7, 2, True, False),
        Heartbeat(3, 2**62, 0),
        TimeoutNow(-1),
    ],
)
def test_messages_that_make_no_sense(message: RaftMessage) -> None:
    with pytest.raises(MalformedMessage):
        decode_message(encode_message(message))


def test_what_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    many = tuple(WireEntry(1, b"", b"") for _ in range(limits.CONSENSUS_APPEND_ENTRIES_MAX + 1))
    decode_message(encode_message(Append(1, 0, 0, 0, many[1:])))
    with pytest.raises(MalformedMessage):
        decode_message(encode_message(Append(1, 0, 0, 0, many)))
    monkeypatch.setattr(limits, "CONSENSUS_ENTRY_BYTES_MAX", 10)
    with pytest.raises(MalformedMessage):
        decode_message(encode_message(Append(1, 0, 0, 0, (WireEntry(1, bytes(11), b""),))))
    data = encode_message(TimeoutNow(1))
    monkeypatch.setattr(limits, "MESSAGE_BYTES_MAX", len(data) - 1)
    with pytest.raises(MalformedMessage):
        decode_message(data)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.sampled_from(MESSAGES), st.integers(0, 200))
def test_nothing_else_is_raised(noise: bytes, message: RaftMessage, place: int) -> None:
    data = encode_message(message)
    place %= len(data)
    for wrong in (noise, b"\1" + noise, data[:place] + noise, data[:place] + noise + data[place + len(noise) :]):
        try:
            decode_message(wrong)
        except MalformedMessage:
            continue
