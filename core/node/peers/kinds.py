"""What each message between nodes is: one way, a request or a reply, on which kind of channel, and in which lane.

Lanes keep what is urgent from waiting behind what is long (send_queue.py). The order of messages holds within a lane.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType

from core import limits
from core.node.attested_tls.hello import Mode
from core.node.peer_messages import (
    AnswerForwarded,
    Body,
    CatchUp,
    CaughtUp,
    ConsensusMessage,
    Fetched,
    FetchLedger,
    FetchSnapshot,
    ForwardCommands,
    JoinAccepted,
    JoinDenied,
    JoinRequest,
    Removed,
)


class Lane(IntEnum):
    """URGENT: short messages of consensus that need no order. ORDERED: the others. WORK: what nodes ask each other.

    BULK: pieces of files.
    """

    URGENT = 0
    ORDERED = 1
    WORK = 2
    BULK = 3


@dataclass(frozen=True, slots=True)
class LaneBounds:
    """messages_max, bytes_max: that wait to be sent, beside one of any size. message_bytes_max: of one, encoded.

    drops_oldest: what has no room makes room; otherwise it is refused.
    """

    messages_max: int
    bytes_max: int
    message_bytes_max: int
    drops_oldest: bool = False


ENVELOPE_BYTES_MAX = 64
"""What encoding adds to the bytes that a message carries."""

BOUNDS: Mapping[Lane, LaneBounds] = MappingProxyType(
    {
        Lane.URGENT: LaneBounds(256, 256 * limits.KIBIBYTE, limits.PEER_URGENT_BYTES_MAX, drops_oldest=True),
        Lane.ORDERED: LaneBounds(1_024, limits.PEER_ORDERED_QUEUE_BYTES_MAX, limits.MESSAGE_BYTES_MAX),
        Lane.WORK: LaneBounds(1_024, limits.PEER_WORK_QUEUE_BYTES_MAX, limits.PEER_WORK_BYTES_MAX),
        Lane.BULK: LaneBounds(
            limits.PEER_REQUESTS_MAX, limits.MESSAGE_BYTES_MAX, limits.DISK_READ_BYTES_MAX + ENVELOPE_BYTES_MAX
        ),
    }
)

REPLIES: Mapping[type[Body], tuple[type[Body], ...]] = MappingProxyType(
    {FetchLedger: (Fetched,), FetchSnapshot: (Fetched,), JoinRequest: (JoinAccepted, JoinDenied)}
)
"""Requests, and what answers each."""

ONE_WAY: frozenset[type[Body]] = frozenset(
    {ConsensusMessage, ForwardCommands, AnswerForwarded, CatchUp, CaughtUp, Removed}
)
JOINING: frozenset[type[Body]] = frozenset({JoinRequest, JoinAccepted, JoinDenied})
"""All that a channel of mode join carries, and no other carries."""

IsOrdered = Callable[[bytes], bool]
"""Whether a message of the consensus engine must not overtake those before it, nor be overtaken."""


def belongs(message: Body, mode: Mode) -> bool:
    """Say whether the message may travel on a channel of that mode."""
    return (type(message) in JOINING) is (mode is Mode.JOIN)


def lane_of(message: Body, is_ordered: IsOrdered) -> Lane:
    """Return the lane in which a message is sent."""
    match message:
        case ConsensusMessage(payload):
            is_short = len(payload) + ENVELOPE_BYTES_MAX <= limits.PEER_URGENT_BYTES_MAX
            return Lane.URGENT if is_short and not is_ordered(payload) else Lane.ORDERED
        case Fetched():
            return Lane.BULK
        case Removed():
            return Lane.URGENT
        case _:
            return Lane.WORK


def fits(message: Body, lane: Lane) -> bool:
    """Say whether a message may come in by that lane. Which lane of consensus is the sender's business."""
    match message:
        case ConsensusMessage():
            return lane in (Lane.URGENT, Lane.ORDERED)
        case Fetched():
            return lane is Lane.BULK
        case Removed():
            return lane is Lane.URGENT
        case _:
            return lane is Lane.WORK
