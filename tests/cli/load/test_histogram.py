"""The histogram against sorted lists: within its promised error, and adding up exactly."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cli.load.histogram import VALUE_US_MAX, Histogram

VALUES = st.lists(st.integers(0, VALUE_US_MAX), min_size=1, max_size=200)


def of(values: list[int]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram


@given(VALUES, st.sampled_from([0.0, 1.0, 50.0, 90.0, 99.0, 99.9, 100.0]))
def test_percentiles_are_within_one_percent(values: list[int], percent: float) -> None:
    rank = max(1, -(-len(values) * percent // 100))
    exact = sorted(values)[int(rank) - 1]
    assert exact <= of(values).percentile_us(percent) <= exact * 1.01


@given(VALUES, VALUES)
def test_adding_is_recording_both(first: list[int], second: list[int]) -> None:
    both = of(first)
    both.add(of(second).counts)
    assert both.counts == of(first + second).counts
    assert both.total == len(first) + len(second)
    assert Histogram(both.counts).percentile_us(50) == both.percentile_us(50)


@given(VALUES)
def test_mean_is_within_one_percent(values: list[int]) -> None:
    exact = sum(values) / len(values)
    assert abs(of(values).mean_us() - exact) <= exact * 0.01 + 1


def test_empty_and_extreme_values() -> None:
    assert Histogram().percentile_us(99) == 0
    assert Histogram().mean_us() == 0.0
    assert of([-5]).percentile_us(50) == 0
    assert of([VALUE_US_MAX * 9]).percentile_us(50) == VALUE_US_MAX


def test_small_values_are_exact() -> None:
    assert [of([value]).percentile_us(50) for value in range(256)] == list(range(256))
