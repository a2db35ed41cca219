"""Why an open channel between nodes is ended: one class per reason. `reason` is the short name that programs see."""

from __future__ import annotations

from core.node.attested_tls.errors import ChannelRefused


class PeerVersionUnknown(ChannelRefused):
    """The other side does not begin with a version of this protocol that we speak."""

    reason = "unknown-version"


class PeerMessageMalformed(ChannelRefused):
    """What came in is not in the form of packets, envelopes and messages."""

    reason = "malformed-message"


class PeerMessageTooLong(ChannelRefused):
    """A packet, or a message of its kind, above its bound."""

    reason = "oversized-message"


class PeerMessageMisplaced(ChannelRefused):
    """A message that does not belong on this channel, in this lane, or in this direction."""

    reason = "misplaced-message"


class ReplyUnasked(ChannelRefused):
    """A reply to a request that was never made or was answered before, or of another kind."""

    reason = "unasked-reply"


class RequestRepeated(ChannelRefused):
    """A request number that is not above the one before."""

    reason = "repeated-request"


class RequestsExceeded(ChannelRefused):
    """More requests at a time than a node makes."""

    reason = "too-many-requests"


class PeerSilent(ChannelRefused):
    """Nothing came for so long that the other end, or the way to it, is taken for dead."""

    reason = "silent"


class PeerOther(ChannelRefused):
    """At this node's address answers another node."""

    reason = "other-node"


class ChannelReplaced(ChannelRefused):
    """There is a newer channel with the same node."""

    reason = "replaced"


class HandshakeDisplaced(ChannelRefused):
    """Too many handshakes at a time: the oldest gave way."""

    reason = "too-many-handshakes"


class JoinsExceeded(ChannelRefused):
    """More nodes ask to join than this one makes evidence for."""

    reason = "too-many-joins"


class JoinOverdue(ChannelRefused):
    """A node that joins took too long to ask, or to take its answer."""

    reason = "join-overdue"
