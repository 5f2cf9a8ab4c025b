"""What bins hide is bounded: the exact value lies between the estimate and the estimate with its bound."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import chi2_contingency, chisquare, ks_2samp, norm, wasserstein_distance

from controlplane.profiles import Profile, ProfileBuilder, fit_bins
from controlplane.profiles.distances import chi_squared, js_distance, stability_index, tv_distance
from controlplane.profiles.figures import cramers_v, figures, jensen_shannon_of, psi_of, share_moved
from controlplane.profiles.pairs import Pair, binned_pair, exact_pair
from controlplane.profiles.significance import ks_p_value
from controlplane.profiles.transport import wasserstein

TRIALS = 250
# Of 250 trials, a true coverage of 95 % shows as less than this once in a thousand times.
AT_LEAST = 0.905


def binned(before: np.ndarray, after: np.ndarray, max_bins: int) -> Pair:
    batches = [pa.record_batch({"x": pa.array(side)}) for side in (before, after)]
    bins = fit_bins(lambda: iter(batches[:1]), max_bins=max_bins)
    one, two = (ProfileBuilder(bins).add(batch).build() for batch in batches)
    return binned_pair(one["x"], two["x"])


def draws(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Before and after of all shapes, with ties, gaps, one-sided tails and values beyond the reference's."""
    rng = np.random.default_rng(seed)
    m, n = int(rng.integers(40, 4000)), int(rng.integers(5, 3000))
    by = rng.uniform(-1, 1)
    match seed % 5:
        case 0:
            return rng.normal(size=m), rng.normal(by, 1 + by / 2, n)
        case 1:
            return rng.gamma(1, 3, m), rng.gamma(1, 3 + by, n) + by
        case 2:
            return np.where(rng.random(m) < 0.3, 0.0, rng.exponential(5, m)), rng.exponential(5, n)
        case 3:
            return rng.standard_cauchy(m), rng.standard_cauchy(n) + by
        case _:
            return rng.choice([0.0, 10.0], m) + rng.normal(0, 0.1, m), rng.normal(5, 2, n)


@pytest.mark.parametrize("max_bins", [4, 32, 1024])
@pytest.mark.parametrize("seed", range(20))
def test_the_exact_distance_lies_within_the_bound(seed: int, max_bins: int) -> None:
    before, after = draws(seed)
    pair = binned(before, after, max_bins)
    found = figures(pair)
    for name, exact in (
        ("ks", ks_2samp(before, after).statistic),
        ("wasserstein", wasserstein_distance(before, after) / before.std()),
    ):
        figure = found[name]
        rounding = 1e-9 * max(1.0, exact)
        assert figure.estimate - rounding <= exact <= figure.estimate + figure.hidden + rounding
        assert figure.low <= figure.estimate <= figure.estimate + figure.hidden <= figure.high + rounding
    p_value = found["ks"].p_value
    assert p_value is not None and p_value >= ks_2samp(before, after, method="asymp").pvalue - 1e-9


def test_a_thousand_bins_hide_little() -> None:
    rng = np.random.default_rng(0)
    found = figures(binned(rng.normal(size=50_000), rng.normal(0.2, 1.1, 20_000), 1024))
    assert found["ks"].hidden < 0.003 and found["wasserstein"].hidden < 0.03
    assert found["wasserstein"].estimate == pytest.approx(0.2, abs=0.03)


def test_a_shift_of_everything_is_measured_whole_in_the_coarsest_bins() -> None:
    values = np.random.default_rng(1).normal(size=2000)
    pair = binned(values, values + 0.5, 4)
    figure = wasserstein(pair.before, pair.after)
    assert figure.estimate == pytest.approx(0.5 / values.std(), rel=1e-9)


def test_categories_in_bins_hide_nothing_but_how_the_unseen_ones_differ() -> None:
    rng = np.random.default_rng(2)
    before, after = rng.choice([f"c{i}" for i in range(70)], 4000), rng.choice([f"c{i}" for i in range(5, 75)], 900)
    exact = exact_pair("x", [pa.array(before)], [pa.array(after)])
    assert exact is not None
    one, two = figures(exact), figures(binned(before, after, 1024))
    for name in ("total_variation", "jensen_shannon", "unseen"):
        assert two[name].estimate == pytest.approx(one[name].estimate, abs=1e-12)


def test_wasserstein_of_two_normals_is_the_closed_form() -> None:
    rng = np.random.default_rng(3)
    pair = binned(rng.normal(10, 2, 200_000), rng.normal(13, 2, 200_000), 1024)
    assert wasserstein(pair.before, pair.after).estimate == pytest.approx(1.5, abs=0.02)


def test_a_constant_reference_is_measured_in_the_columns_own_unit() -> None:
    found = figures(binned(np.full(50, 3.0), np.full(20, 7.0), 1024))["wasserstein"]
    assert found.estimate == pytest.approx(4.0)


def test_no_finite_value_is_no_distance() -> None:
    pair = binned(np.arange(9.0), np.full(5, np.inf), 1024)
    assert math.isnan(wasserstein(pair.before, pair.after).estimate)
    assert set(figures(pair)) == {"missing", "ks"} and figures(pair)["ks"].estimate == 1.0


@pytest.mark.parametrize("shift", [0.0, 0.15, 1.0])
def test_the_wasserstein_interval_holds_the_true_distance(shift: float) -> None:
    held = above = 0
    for seed in range(TRIALS):
        rng = np.random.default_rng(seed)
        pair = binned(rng.normal(size=1500), rng.normal(shift, 1, 300), 1024)
        figure = wasserstein(pair.before, pair.after)
        held += figure.low <= shift <= figure.high
        above += figure.low > shift
    assert held / TRIALS >= AT_LEAST and above / TRIALS <= 0.05


FEW = ([0.5, 0.3, 0.2], [0.5, 0.3, 0.2]), ([0.5, 0.3, 0.2], [0.3, 0.3, 0.4]), ([0.1] * 10, [0.12, 0.08] * 5)


@pytest.mark.parametrize("shares", FEW)
@pytest.mark.parametrize("name", ["psi", "total_variation", "jensen_shannon", "chi_squared"])
def test_intervals_of_counts_hold_the_truth(name: str, shares: tuple[list[float], list[float]]) -> None:
    measure = {
        "psi": (psi_of, stability_index),
        "total_variation": (share_moved, tv_distance),
        "jensen_shannon": (jensen_shannon_of, js_distance),
        "chi_squared": (
            cramers_v,
            lambda p, q: math.sqrt(chi_squared(2000 * np.array(p), 600 * np.array(q))[0] / 2600),
        ),
    }[name]
    truth, held = measure[1](*shares), 0
    for seed in range(TRIALS):
        rng = np.random.default_rng(seed)
        figure = measure[0](rng.multinomial(2000, shares[0]), rng.multinomial(600, shares[1]))
        assert 0 <= figure.low <= figure.estimate <= figure.high
        held += figure.low <= truth + 1e-12 and truth <= figure.high + 1e-12
    assert held / TRIALS >= AT_LEAST


def expected_v(p: list[float], q: list[float]) -> float:
    """Cramer's V of 2000 and 600 rows that hold these shares to the row."""
    return math.sqrt(chi_squared(2000 * np.array(p), 600 * np.array(q))[0] / 2600)


def test_chi_squared_is_scipys_in_both_its_forms() -> None:
    one, two = np.array([40, 30, 30, 0]), np.array([20, 25, 10, 5])
    exact = chi2_contingency([one, two], correction=False)
    assert chi_squared(one, two) == (pytest.approx(exact.statistic), exact.dof)
    known = chisquare(two[:3], one[:3] * two[:3].sum() / one[:3].sum())
    assert chi_squared(one[:3], two[:3], known=True)[0] == pytest.approx(known.statistic)
    assert math.isinf(chi_squared(one, two, known=True)[0])


def test_p_values_are_even_where_nothing_changed() -> None:
    rng = np.random.default_rng(7)
    found = []
    for _ in range(300):
        pair = binned(rng.normal(size=800), rng.normal(size=400), 1024)
        found.append(ks_p_value(pair.before, pair.after, figures(pair)["ks"].estimate))
    assert ks_2samp(found, (np.arange(3000) + 0.5) / 3000).pvalue > 0.01


def test_ks_of_two_normals_is_the_closed_form() -> None:
    rng = np.random.default_rng(8)
    figure = figures(binned(rng.normal(size=200_000), rng.normal(0.5, 1, 200_000), 1024))["ks"]
    assert figure.estimate == pytest.approx(2 * norm.cdf(0.25) - 1, abs=0.005)


def test_statistics_of_merged_profiles_are_those_of_all_rows() -> None:
    rng = np.random.default_rng(9)
    before, parts = pa.record_batch({"x": rng.normal(size=900)}), np.split(rng.normal(0.4, 1, 600), 3)
    bins = fit_bins(lambda: iter([before]))

    def profile(values: np.ndarray) -> Profile:
        return ProfileBuilder(bins).add(pa.record_batch({"x": values})).build()

    first, second, third = map(profile, parts)
    reference = ProfileBuilder(bins).add(before).build()["x"]
    merged = figures(binned_pair(reference, first.merge(second).merge(third)["x"]))
    whole = figures(binned_pair(reference, profile(np.concatenate(parts))["x"]))
    assert {name: figure.estimate for name, figure in merged.items()} == pytest.approx(
        {name: figure.estimate for name, figure in whole.items()}
    )
