"""When requests are due. Open loop: at a fixed rate, whatever the answers do; closed loop: when the last is answered.

Under an open loop latency counts from when a request was due, not from when it could be sent: a server that stalls is
charged for every request that had to wait for it. (Gil Tene's "coordinated omission"; wrk2 does the same.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

CLOSED_LOOP_SPARE = 50
"""Requests that each lane of a closed loop has beyond its expected share: the lanes are not equally quick."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """rate: requests a second over all lanes; None: closed loop. duration_s: from the start to the last request.

    lanes: connections, over all processes.
    """

    duration_s: float
    lanes: int
    rate: float | None = None

    @property
    def is_open(self) -> bool:
        return self.rate is not None

    def due_s(self, lane: int, number: int) -> float | None:
        """Return when a lane's request is due, in seconds from the start; None: not within the duration, or closed.

        number: counts the lane's requests from 0. The lanes take turns, so that the whole is evenly spaced.
        """
        if self.rate is None:
            return None
        due = (number * self.lanes + lane) / self.rate
        return due if due < self.duration_s else None

    def requests_per_lane(self, closed_rate: float = 0.0) -> int:
        """Return how many requests a lane may need. closed_rate: what a closed loop is expected to reach at most."""
        share = math.ceil((self.rate or closed_rate) * self.duration_s / self.lanes) + 1
        return share if self.is_open else share + CLOSED_LOOP_SPARE
