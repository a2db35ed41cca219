"""Who uses more than half of the executor is refused while others wait, and only then."""

from __future__ import annotations

from adapters.ethereum.quota import ExecutorQuota


def test_half_of_the_time_is_never_over() -> None:
    quota = ExecutorQuota()
    for second in range(100):
        quota.charge("a", 0.5, float(second))
        assert not quota.is_over("a", float(second))


def test_more_than_half_is_over_in_the_end_and_drains() -> None:
    quota = ExecutorQuota()
    for second in range(10):
        assert not quota.is_over("a", float(second))
        quota.charge("a", 1.0, float(second))
    assert quota.is_over("a", 9.0)
    assert not quota.is_over("a", 12.0)


def test_a_burst_over_the_share_waits_for_its_excess() -> None:
    quota = ExecutorQuota()
    quota.charge("a", 6.0, 0.0)
    assert quota.is_over("a", 1.9)
    assert not quota.is_over("a", 2.1)


def test_others_are_not_affected() -> None:
    quota = ExecutorQuota()
    quota.charge("a", 60.0, 0.0)
    quota.charge("b", 1.0, 0.0)
    assert not quota.is_over("b", 0.0)
    assert not quota.is_over("c", 0.0)
    assert not quota.is_over(None, 0.0)


def test_the_refusal_names_the_limit_and_the_time() -> None:
    quota = ExecutorQuota()
    quota.charge("a", 7.0, 0.0)
    error = quota.refusal("a", 0.0)
    assert error.code == -32000
    assert "5 s of processor time in 10 s" in error.message
    assert "try again in 4.0 s" in error.message


def test_the_table_is_bounded_and_keeps_the_heaviest() -> None:
    quota = ExecutorQuota(identities_max=10)
    quota.charge("heavy", 100.0, 0.0)
    for number in range(1_000):
        quota.charge(f"identity {number}", 0.1, 0.0)
    assert len(quota._buckets) <= 10
    assert quota.is_over("heavy", 0.0)
