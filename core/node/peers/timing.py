"""The times by which channels are kept. Tests make them short."""

from __future__ import annotations

from dataclasses import dataclass

from core import limits


@dataclass(frozen=True, slots=True)
class PeerTiming:
    """All in seconds, save silent_max.

    keep_alive: a sign of life is sent when nothing else was for so long; silent_max: so many of these times without
    one, and the other end is dead. retry_min, retry_max: between attempts to connect, doubled and jittered;
    refused_max: where the other side refuses. fallback: how long the node that is called waits before it calls itself.
    settled: a channel that lived as long begins with retry_min again, and gives way to one of either side's making.
    dial, handshake, join: what each may take.
    """

    keep_alive: float = 0.5
    silent_max: int = 6
    retry_min: float = 0.05
    retry_max: float = 0.5
    refused_max: float = 2.0
    fallback: float = 2.0
    settled: float = 10.0
    dial: float = 2.0
    handshake: float = limits.NODE_HANDSHAKE_SECONDS_MAX
    join: float = limits.PEER_JOIN_SECONDS_MAX
