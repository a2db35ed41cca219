"""Latencies counted in buckets that grow with the value, as HdrHistogram does: bounded memory, every value within 1 %.

A value of up to 255 us has a bucket of its own; above, each power of two is divided into 128 buckets. Histograms of
several processes add up exactly.
"""

from __future__ import annotations

from collections.abc import Mapping

_BITS = 8
_SPAN = 1 << _BITS
VALUE_US_MAX = (1 << 32) - 1
"""71 minutes; longer ones count as that."""


class Histogram:
    """See the module. counts: as another histogram's `counts` gave them."""

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        self._counts: dict[int, int] = dict(counts or {})
        self.total = sum(self._counts.values())

    @property
    def counts(self) -> dict[int, int]:
        """How many values are in each bucket, by the bucket's number."""
        return dict(self._counts)

    def record(self, value_us: int) -> None:
        """Count a value; a negative one counts as 0."""
        value = min(max(value_us, 0), VALUE_US_MAX)
        shift = max(0, value.bit_length() - _BITS)
        bucket = (shift << _BITS) + (value >> shift)
        self._counts[bucket] = self._counts.get(bucket, 0) + 1
        self.total += 1

    def add(self, counts: Mapping[int, int]) -> None:
        """Add another histogram's counts."""
        for bucket, count in counts.items():
            self._counts[bucket] = self._counts.get(bucket, 0) + count
            self.total += count

    def percentile_us(self, percent: float) -> int:
        """Return the smallest value that `percent` of all values do not exceed, to the bucket; 0 without values."""
        if not self.total:
            return 0
        wanted = max(1, -(-self.total * percent // 100))
        seen = 0
        for bucket in sorted(self._counts):
            seen += self._counts[bucket]
            if seen >= wanted:
                return _highest(bucket)
        return _highest(max(self._counts))

    def mean_us(self) -> float:
        """Return the mean, each value taken as the middle of its bucket."""
        if not self.total:
            return 0.0
        return sum((_lowest(bucket) + _highest(bucket)) / 2 * count for bucket, count in self._counts.items()) / (
            self.total
        )


def _lowest(bucket: int) -> int:
    return (bucket & (_SPAN - 1)) << (bucket >> _BITS)


def _highest(bucket: int) -> int:
    return (((bucket & (_SPAN - 1)) + 1) << (bucket >> _BITS)) - 1
