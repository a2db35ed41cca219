"""Every message between nodes has its kind, its lane and its kind of channel."""

from __future__ import annotations

from typing import Any, get_args

from core import limits
from core.consensus.raft.messages import Append, Heartbeat, RaftMessage, WireEntry, encode_message, is_append
from core.node.attested_tls.hello import Mode
from core.node.peer_messages import Body, ConsensusMessage, Fetched, FetchLedger, JoinRequest
from core.node.peers.kinds import JOINING, ONE_WAY, REPLIES, Lane, belongs, fits, lane_of


def test_every_message_is_of_one_kind() -> None:
    replies = {kind for kinds in REPLIES.values() for kind in kinds}
    for kind in get_args(Body):
        assert [kind in ONE_WAY, kind in REPLIES, kind in replies].count(True) == 1, kind


def test_joining_stands_by_itself() -> None:
    assert belongs(JoinRequest(b"", ""), Mode.JOIN)
    assert not belongs(JoinRequest(b"", ""), Mode.PINNED)
    assert belongs(FetchLedger(1, 0, 1), Mode.PINNED)
    assert not belongs(FetchLedger(1, 0, 1), Mode.JOIN)
    for request in set(REPLIES) & JOINING:
        assert set(REPLIES[request]) <= JOINING


def test_lanes() -> None:
    heartbeat = ConsensusMessage(encode_message(Heartbeat(1, 0, 0)))
    append = ConsensusMessage(encode_message(Append(1, 0, 0, 0, (WireEntry(1, b"block", b""),))))
    long = ConsensusMessage(bytes(limits.PEER_URGENT_BYTES_MAX))
    assert [lane_of(one, is_append) for one in (heartbeat, append, long)] == [Lane.URGENT, Lane.ORDERED, Lane.ORDERED]
    assert lane_of(Fetched(b""), is_append) is Lane.BULK
    assert lane_of(FetchLedger(1, 0, 1), is_append) is Lane.WORK
    for message in (heartbeat, append, Fetched(b""), FetchLedger(1, 0, 1)):
        found = lane_of(message, is_append)
        assert fits(message, found)
        others = {Lane.URGENT, Lane.ORDERED} if isinstance(message, ConsensusMessage) else {found}
        assert not any(fits(message, lane) for lane in set(Lane) - others)


def test_appends_are_told_apart_without_decoding() -> None:
    made: dict[Any, Any] = {Append: Append(1, 0, 0, 0, ())}
    for kind in get_args(RaftMessage):
        message = made.get(kind)
        if message is None:
            message = kind(
                *(bool(0) if field in ("pre", "transfer", "granted") else 1 for field in kind.__struct_fields__)
            )
        assert is_append(encode_message(message)) is (kind is Append)
    assert not is_append(b"")
