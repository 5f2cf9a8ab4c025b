"""The intervals hold the true distance at least as often as they say, on distributions whose distance is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from scipy.stats import beta, chi2, norm

from controlplane.profiles import Bins, ColumnProfile, ProfileBuilder, fit_bins
from controlplane.profiles.compare import jensen_shannon, ks, total_variation
from controlplane.profiles.distances import js_distance, tv_distance
from controlplane.profiles.intervals import Figure, Z, chi_squared_bound, difference, dkw_radius, wilson

TRIALS = 250
# Of 250 trials, a true coverage of 95 % shows as less than this once in a thousand times.
AT_LEAST = 0.905


def column(bins: Bins, values: npt.ArrayLike) -> ColumnProfile:
    return ProfileBuilder(bins).add(pa.record_batch({"x": pa.array(np.asarray(values))})).build()["x"]


def coverage(
    compare: Callable[[ColumnProfile, ColumnProfile], Figure],
    draw: Callable[[np.random.Generator, bool], npt.ArrayLike],
    truth: float,
) -> tuple[float, float]:
    """How often the interval holds the truth, and how often its low end lies above it."""
    held = above = 0
    for seed in range(TRIALS):
        rng = np.random.default_rng(seed)
        reference = pa.record_batch({"x": pa.array(np.asarray(draw(rng, False)))})
        bins = fit_bins(lambda reference=reference: iter([reference]))
        figure = compare(column(bins, reference["x"]), column(bins, draw(rng, True)))
        assert 0 <= figure.low <= figure.estimate <= figure.high <= 1
        held += figure.low <= truth <= figure.high
        above += figure.low > truth
    return held / TRIALS, above / TRIALS


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_the_ks_interval_holds_the_true_distance(shift: float) -> None:
    def draw(rng: np.random.Generator, after: bool) -> npt.ArrayLike:
        return rng.normal(shift, 1, 300) if after else rng.normal(size=1000)

    held, above = coverage(ks, draw, 2 * norm.cdf(shift / 2) - 1)
    assert held >= AT_LEAST and above <= 0.05


def test_the_ks_interval_holds_for_numbers_that_repeat() -> None:
    def draw(rng: np.random.Generator, after: bool) -> npt.ArrayLike:
        return rng.choice(4, 200, p=[0.4, 0.3, 0.2, 0.1] if after else [0.3, 0.3, 0.2, 0.2])

    assert coverage(ks, draw, 0.1)[0] >= AT_LEAST


TAIL = [*(0.5 ** np.arange(1, 13)), 0.5**12]
SHARES = {
    "two even": ([0.5, 0.5], [0.5, 0.5]),
    "two apart": ([0.5, 0.5], [0.3, 0.7]),
    "two rare": ([0.98, 0.02], [0.95, 0.05]),
    "ten even": ([0.1] * 10, [0.1] * 10),
    "ten apart": ([0.1] * 10, [0.2, 0.0] * 5),
    "forty slightly apart": ([0.025] * 40, [0.028, 0.022] * 20),
    "long tail": (TAIL, TAIL),
}


@pytest.mark.parametrize("name", SHARES)
@pytest.mark.parametrize("n", [60, 500])
def test_the_total_variation_interval_holds_the_true_distance(name: str, n: int) -> None:
    held, above = coverage(total_variation, drawing(name, n), tv_distance(*SHARES[name]))
    assert held >= AT_LEAST and above <= 0.05


@pytest.mark.parametrize("name", SHARES)
def test_the_jensen_shannon_interval_holds_the_true_distance(name: str) -> None:
    held, above = coverage(jensen_shannon, drawing(name, 500), js_distance(*SHARES[name]))
    assert held >= AT_LEAST and above <= 0.05


def drawing(name: str, n: int) -> Callable[[np.random.Generator, bool], npt.ArrayLike]:
    def draw(rng: np.random.Generator, after: bool) -> npt.ArrayLike:
        shares = SHARES[name][after]
        return rng.choice([f"c{i}" for i in range(len(shares))], n if after else 2000, p=shares)

    return draw


@pytest.mark.parametrize(("n", "m"), [(30, 30), (200, 5000), (5000, 200), (10**6, 10**6)])
def test_the_dkw_radius_keeps_its_promise_against_a_direct_simulation(n: int, m: int) -> None:
    rng = np.random.default_rng(0)
    tails = (np.sqrt(np.log(2 / rng.uniform(size=400_000)) / (2 * size)) for size in (n, m))
    assert np.mean(sum(tails) > dkw_radius(n, m)) == pytest.approx(0.05, abs=0.002)
    bonferroni = np.sqrt(np.log(4 / 0.05) / 2) * (n**-0.5 + m**-0.5)
    assert dkw_radius(n, m) < bonferroni


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (3, 10), (10, 10), (7, 4000)])
def test_wilson_solves_the_score_equation(hits: int, n: int) -> None:
    figure = wilson(hits, n)
    for bound in (figure.low, figure.high):
        if 0 < bound < 1:
            assert abs(hits / n - bound) == pytest.approx(Z * np.sqrt(bound * (1 - bound) / n))
    assert figure.low <= beta.ppf(0.5, hits + 0.5, n - hits + 0.5) <= figure.high


def test_newcombes_interval_is_the_published_one() -> None:
    # Newcombe (1998), Statistics in Medicine 17:873-890, table II, method 10: 56/70 - 48/80 and 9/10 - 3/10.
    first, second = difference(wilson(56, 70), wilson(48, 80)), difference(wilson(9, 10), wilson(3, 10))
    assert (round(first.low, 4), round(first.high, 4)) == (0.0524, 0.3339)
    assert (round(second.low, 4), round(second.high, 4)) == (0.1705, 0.8090)


@pytest.mark.parametrize("cells", [2, 5, 20, 52])
def test_the_chi_squared_bound_is_scipys_within_two_percent(cells: int) -> None:
    assert chi_squared_bound(cells) == pytest.approx(chi2.ppf(0.975, cells - 1), rel=0.02)
