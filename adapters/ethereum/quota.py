"""What an identity may use of the executor's time while others wait: half of it, over some ten seconds.

A bucket for each identity fills with the seconds its transactions took, refused ones as well, and drains at half a
second a second. Who has more than five seconds in it is refused while somebody else's transaction waits; alone, an
identity may use everything. What a gas price is to a free network, this is to the executor.

Kept in memory and lost with the process. Times are monotonic seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

from adapters.jsonrpc import SERVER_ERROR, RpcError

WINDOW_SECONDS = 10.0
SHARE = 0.5
IDENTITIES_MAX = 4_096
"""Buckets kept; when there are more, the emptiest are forgotten."""


@dataclass(slots=True)
class _Bucket:
    seconds: float
    at: float

    def level(self, now: float) -> float:
        return max(0.0, self.seconds - (now - self.at) * SHARE)


class ExecutorQuota:
    """See the module."""

    def __init__(self, *, window_seconds: float = WINDOW_SECONDS, identities_max: int = IDENTITIES_MAX) -> None:
        self._burst = window_seconds * SHARE
        self._window = window_seconds
        self._identities_max = identities_max
        self._buckets: dict[str | None, _Bucket] = {}

    def is_over(self, identity: str | None, now: float) -> bool:
        """Say whether an identity has used more than its share."""
        bucket = self._buckets.get(identity)
        return bucket is not None and bucket.level(now) > self._burst

    def refusal(self, identity: str | None, now: float) -> RpcError:
        """Return what an identity over its share is told."""
        bucket = self._buckets.get(identity)
        over = 0.0 if bucket is None else bucket.level(now) - self._burst
        text = f"executor time used up: while others wait, an identity gets {self._burst:g} s of processor time in "
        return RpcError(SERVER_ERROR, text + f"{self._window:g} s; try again in {max(0.1, over / SHARE):.1f} s")

    def charge(self, identity: str | None, seconds: float, now: float) -> None:
        """Count time that an identity's transaction has used up to now."""
        bucket = self._buckets.get(identity)
        if bucket is None:
            if len(self._buckets) >= self._identities_max:
                self._forget(now)
            bucket = self._buckets[identity] = _Bucket(0.0, now)
        bucket.seconds = bucket.level(now) + seconds
        bucket.at = now

    def _forget(self, now: float) -> None:
        """Drop the emptier half, at the least everything that has drained."""
        fullest = sorted(self._buckets.items(), key=lambda item: item[1].level(now), reverse=True)
        kept = fullest[: self._identities_max // 2]
        self._buckets = {identity: bucket for identity, bucket in kept if bucket.level(now) > 0}
