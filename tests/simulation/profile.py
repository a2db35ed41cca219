"""What a seed makes of the world: how bad the network, the disks, the clocks and the operators are."""

from __future__ import annotations

import random
from dataclasses import dataclass

from core.consensus.raft.settings import RaftSettings

TICK = 10
"""Units of simulated time between two ticks of an exact clock."""


@dataclass(slots=True)
class Profile:
    """Chances are per message or, where it says so, per tick. Times are in units, TICK of which make a tick."""

    nodes: int
    loss: float
    duplicates: float
    delay_max: int
    late: float
    """Chance that a message takes many times as long: the network reorders."""
    disk_latency_max: int
    slow_disk: float
    """Per tick, the chance that a host's disk becomes slow, or quick again."""
    skew: int
    """By how many units a host's ticks may be shorter or longer."""
    apply_late: bool
    """Whether committed entries are applied after the write of their Ready, not before."""
    propose: float
    read: float
    compact: float
    transfer: float
    campaign: float
    """Per tick, the chance that some nodes are told to stand for election at once."""
    partition: float
    crash: float
    change: float
    disaster: bool
    """Whether all hosts crash at once in the middle, and some hand back older disks."""
    ticks: int

    @classmethod
    def draw(cls, rng: random.Random) -> Profile:
        rough = rng.random() < 0.5
        profile = cls(
            nodes=rng.choice((1, 2, 3, 3, 3, 4, 5, 5)),
            loss=rng.choice((0.0, 0.01, 0.1, 0.25)) if rough else 0.0,
            duplicates=rng.choice((0.0, 0.02, 0.1)),
            delay_max=rng.choice((2, 5, 10, 30)),
            late=rng.choice((0.0, 0.01, 0.05)),
            disk_latency_max=rng.choice((0, 3, 10, 30)),
            slow_disk=rng.choice((0.0, 0.0, 0.01)),
            skew=rng.choice((0, 1, 3)),
            apply_late=rng.random() < 0.3,
            propose=rng.choice((0.2, 0.5, 1.0)),
            read=rng.choice((0.0, 0.1, 0.3)),
            compact=rng.choice((0.0, 0.01, 0.05)),
            transfer=rng.choice((0.0, 0.0, 0.01, 0.03)),
            campaign=rng.choice((0.0, 0.0, 0.05, 0.2)),
            partition=rng.choice((0.0, 0.01, 0.03, 0.1)),
            crash=rng.choice((0.0, 0.005, 0.02)),
            change=rng.choice((0.0, 0.02, 0.1, 0.3)),
            disaster=rng.random() < 0.1,
            ticks=rng.choice((80, 150, 250)),
        )
        if rng.random() < 0.2:
            profile._make_duel(rng)
        return profile

    def _make_duel(self, rng: random.Random) -> None:
        """Have few nodes fight for leadership all the time, with logs that differ."""
        self.nodes = rng.choice((3, 3, 5))
        self.loss = rng.choice((0.05, 0.2))
        self.delay_max = rng.choice((10, 30))
        self.late = rng.choice((0.05, 0.2))
        self.propose, self.campaign = 1.0, rng.choice((0.05, 0.1, 0.3))
        self.read = 0.3
        self.crash = self.change = 0.0


def draw_settings(rng: random.Random) -> RaftSettings:
    """Bounds are small, so that they are reached."""
    return RaftSettings(
        election_ticks=rng.choice((6, 10)),
        heartbeat_ticks=rng.choice((1, 2, 3)),
        append_bytes_max=rng.choice((1, 200, 10_000)),
        inflight_messages_max=rng.choice((1, 3, 64)),
        inflight_bytes_max=rng.choice((100, 100_000)),
        uncommitted_bytes_max=rng.choice((300, 100_000)),
        committed_bytes_max=rng.choice((1, 500, 100_000)),
        catch_up_entries_max=rng.choice((3, 64)),
        departing_ticks_max=rng.choice((5, 60)),
    )
