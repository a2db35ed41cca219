"""Packets: what one message of an attested channel holds. Pieces of several messages travel in one, in turn.

    first message   "coco peers" | version (2 bytes)
    packet          any number of pieces: lane (1) | last (1) | size (4) | bytes; none at all: a sign of life

All numbers are little-endian. A message is the pieces of one lane up to one that is the last.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from core import limits
from core.errors import InvariantBroken
from core.node.peers.errors import PeerMessageMalformed, PeerMessageTooLong, PeerVersionUnknown
from core.node.peers.kinds import BOUNDS, Lane

VERSION = 1
PIECE_BYTES_MAX = 16 * limits.KIBIBYTE
PACKET_BYTES = 64 * limits.KIBIBYTE
"""A packet takes no further piece once it holds this much."""

PIECE_HEADER = struct.Struct("<BBI")
PACKET_BYTES_MAX = PACKET_BYTES + 2 * PIECE_BYTES_MAX
_NAME = b"coco peers"


def encode_greeting(version: int = VERSION) -> bytes:
    """Return the first message of a channel."""
    return _NAME + version.to_bytes(2, "little")


def encode_whole(lane: Lane, data: bytes) -> bytes:
    """Return a packet with one short message, whole. Raises InvariantBroken for one that takes several pieces."""
    if not data or len(data) > PIECE_BYTES_MAX:
        raise InvariantBroken(f"a message of {len(data)} bytes does not travel in one piece")
    return PIECE_HEADER.pack(lane, 1, len(data)) + data


def verify_greeting(data: bytes) -> None:
    """Raise PeerVersionUnknown unless the other side speaks this version."""
    if data[: len(_NAME)] != _NAME or len(data) != len(_NAME) + 2:
        raise PeerVersionUnknown("the other side does not begin as a node does")
    version = int.from_bytes(data[len(_NAME) :], "little")
    if version != VERSION:
        raise PeerVersionUnknown(
            f"the other side speaks version {version} of the nodes' protocol; this one speaks {VERSION}",
            hint="Run versions of Coco that work together.",
        )


class Assembler:
    """Puts messages together. Holds at most one unfinished message of each lane."""

    def __init__(self) -> None:
        self._parts: dict[Lane, bytearray] = {}

    def feed(self, packet: bytes) -> Iterator[tuple[Lane, bytes]]:
        """Yield the messages that a packet completes. Raises PeerMessageMalformed, PeerMessageTooLong."""
        position, end = 0, len(packet)
        while position < end:
            if end - position < PIECE_HEADER.size:
                raise PeerMessageMalformed("a packet ends inside a piece's header")
            number, last, size = PIECE_HEADER.unpack_from(packet, position)
            position += PIECE_HEADER.size
            if number not in _LANES or last > 1 or size > end - position or not (size or last):
                raise PeerMessageMalformed("a packet holds a piece of unknown form")
            lane = _LANES[number]
            piece = memoryview(packet)[position : position + size]
            position += size
            message = self._add(lane, piece, is_last=bool(last))
            if message is not None:
                yield lane, message

    def _add(self, lane: Lane, piece: memoryview, *, is_last: bool) -> bytes | None:
        before = self._parts.get(lane)
        size = len(piece) + (len(before) if before is not None else 0)
        bound = BOUNDS[lane].message_bytes_max
        if size > bound:
            raise PeerMessageTooLong(f"a message of more than {bound} bytes in lane {lane.name.lower()}")
        if before is None:
            if is_last:
                return bytes(piece)
            self._parts[lane] = bytearray(piece)
            return None
        before += piece
        if not is_last:
            return None
        del self._parts[lane]
        return bytes(before)


_LANES = {int(lane): lane for lane in Lane}
