"""The intervals hold what they promise: published numbers, scipy's, and their coverage on simulated truth."""

import math

import numpy as np
import pytest
from scipy import stats

from controlplane.checks import intervals


@pytest.mark.parametrize(("hits", "n"), [(0, 30), (1, 30), (45, 60), (999, 1000), (200, 200)])
def test_wilson_is_what_scipy_computes(hits: int, n: int) -> None:
    wanted = stats.binomtest(hits, n).proportion_ci(method="wilson")
    assert intervals.wilson(hits, n) == pytest.approx((wanted.low, wanted.high), abs=1e-12)


def test_of_nothing_seen_the_share_may_be_anything() -> None:
    assert intervals.wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("counts", "published"),
    [
        # Newcombe 1998, table II, method 10.
        ((56, 70, 48, 80), (0.0524, 0.3339)),
        ((9, 10, 3, 10), (0.1705, 0.8090)),
        ((10, 10, 0, 20), (0.6791, 1.0)),
    ],
)
def test_the_difference_of_two_shares_is_newcombes(
    counts: tuple[int, int, int, int], published: tuple[float, float]
) -> None:
    hits, n, others, m = counts
    found = intervals.apart(hits / n, intervals.wilson(hits, n), others / m, intervals.wilson(others, m))
    assert found == pytest.approx(published, abs=6e-5)


def test_the_interval_of_a_mean_and_of_two_is_what_scipy_computes() -> None:
    rng = np.random.default_rng(5)
    one, two = rng.exponential(2.0, 40), rng.normal(1.0, 3.0, 25)
    mean = stats.ttest_1samp(one, 0.0).confidence_interval(0.95)
    assert intervals.mean(one) == pytest.approx((mean.low, mean.high))
    welch = stats.ttest_ind(one, two, equal_var=False).confidence_interval(0.95)
    assert intervals.welch(one, two) == pytest.approx((welch.low, welch.high))


def test_values_without_spread_give_a_point_and_single_values_give_no_bound() -> None:
    assert intervals.mean(np.zeros(9)) == (0.0, 0.0)
    assert intervals.welch(np.ones(3), np.zeros(3)) == (1.0, 1.0)
    assert intervals.mean(np.ones(1)) == (-math.inf, math.inf)
    assert intervals.welch(np.ones(1), np.zeros(9)) == (-math.inf, math.inf)


def test_two_versions_that_never_disagree_still_leave_room_for_doubt() -> None:
    low, high = intervals.paired_proportions(0, 0, 100)
    assert low == -high
    assert 0.01 < high < 0.04


def test_the_paired_interval_agrees_with_mcnemar_on_who_is_better() -> None:
    for only_first, only_other in [(30, 10), (18, 12), (9, 1), (40, 38)]:
        low, _ = intervals.paired_proportions(only_first, only_other, 400)
        two_sided = stats.binomtest(only_first, only_first + only_other).pvalue
        assert (low > 0) == (two_sided < 0.05)


@pytest.mark.parametrize("n", [30, 200])
@pytest.mark.parametrize(
    ("both", "only_first", "only_other"), [(0.8, 0.1, 0.05), (0.93, 0.03, 0.02), (0.5, 0.3, 0.02), (0.97, 0.01, 0.01)]
)
def test_the_paired_interval_covers_the_truth_19_times_in_20(
    n: int, both: float, only_first: float, only_other: float
) -> None:
    rng = np.random.default_rng(20)
    draws = rng.multinomial(n, [both, only_first, only_other, 1 - both - only_first - only_other], size=4000)
    bounds = [intervals.paired_proportions(int(first), int(other), n) for _, first, other, _ in draws]
    covered = np.mean([low <= only_first - only_other <= high for low, high in bounds])
    assert covered > 0.93
