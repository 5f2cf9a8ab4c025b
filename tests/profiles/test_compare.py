"""Distances on bins are those that scipy finds on the values."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import ks_2samp

from controlplane.profiles import ColumnProfile, ProfileBuilder, fit_bins
from controlplane.profiles.compare import (
    cells,
    jensen_shannon,
    ks,
    missing_increase,
    presence,
    total_variation,
    unseen_increase,
)
from controlplane.profiles.distances import js_distance, tv_distance


def columns(before: npt.ArrayLike, after: npt.ArrayLike, max_bins: int = 2048) -> tuple[ColumnProfile, ColumnProfile]:
    batches = [pa.record_batch({"x": pa.array(np.asarray(side))}) for side in (before, after)]
    bins = fit_bins(lambda: iter(batches[:1]), max_bins=max_bins)
    one, two = (ProfileBuilder(bins).add(batch).build()["x"] for batch in batches)
    return one, two


@pytest.mark.parametrize("seed", range(8))
def test_ks_is_scipys_where_every_distinct_value_of_the_reference_is_an_edge(seed: int) -> None:
    rng = np.random.default_rng(seed)
    before = rng.poisson(5, 700).astype(float) if seed % 2 else rng.normal(size=700)
    after = rng.normal(0.3, 1.4, 400) + (5 if seed % 2 else 0)
    assert ks(*columns(before, after)).estimate == pytest.approx(ks_2samp(before, after).statistic, abs=1e-12)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("max_bins", [16, 256])
def test_ks_of_coarser_bins_is_off_by_no_more_than_a_bins_share(seed: int, max_bins: int) -> None:
    rng = np.random.default_rng(seed)
    before, after = rng.gamma(2, size=5000), rng.gamma(2, size=900) * rng.uniform(0.8, 1.3)
    figure, exact = ks(*columns(before, after, max_bins)), ks_2samp(before, after).statistic
    assert 0 <= exact - figure.estimate <= min(figure.hidden + 1e-12, 2 / (max_bins - 3))
    assert figure.low <= exact <= figure.high


def test_bins_hide_nothing_from_the_upper_bound() -> None:
    before = np.concatenate([np.zeros(1), np.linspace(1, 2, 5000), np.full(1, 3.0)])
    after = np.full(2000, 1.5001)
    figure = ks(*columns(before, after, 8))
    assert figure.estimate <= ks_2samp(before, after).statistic <= figure.estimate + figure.hidden <= figure.high


def test_infinities_are_the_ends_of_the_line() -> None:
    before, after = np.arange(100.0), np.concatenate([np.full(50, np.inf), np.full(10, -np.inf), np.arange(40.0)])
    assert ks(*columns(before, after)).estimate == pytest.approx(0.5), "half of them lie above all"


def test_ks_leaves_missing_values_out() -> None:
    before, after = np.arange(100.0), np.arange(100.0)
    assert ks(*columns(before, np.concatenate([after, np.full(300, np.nan)]))).n == 100


@pytest.mark.parametrize("seed", range(5))
def test_jensen_shannon_and_total_variation_are_scipys_and_numpys(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, two = rng.integers(0, 40, 12), rng.integers(0, 40, 12)
    assert js_distance(one, two) == pytest.approx(jensenshannon(one, two, base=2), abs=1e-12)
    assert tv_distance(one, two) == pytest.approx(np.abs(one / one.sum() - two / two.sum()).sum() / 2)


def test_the_noise_taken_off_vanishes_with_more_rows() -> None:
    before, after = ["a", "b"] * 200_000, ["a", "b", "b", "b"] * 100_000
    assert total_variation(*columns(before, after)).estimate == pytest.approx(0.25, abs=1e-3)
    assert jensen_shannon(*columns(before, after)).estimate == pytest.approx(
        jensenshannon([0.5, 0.5], [0.25, 0.75], base=2), abs=1e-3
    )


def test_cells_of_numbers_hold_equal_shares_of_the_reference_and_atoms_stay_whole() -> None:
    values = np.random.default_rng(1).normal(size=20_000)
    one, _ = cells(*columns(values, values))
    assert len(one) == 20 and (abs(one - 1000) < 25).all()
    one, _ = cells(*columns(np.repeat([0.0, 1.0, 2.0], [900, 50, 50]), [0.0]))
    assert one.tolist() == [900, 50, 50]


def test_rare_categories_share_a_cell_and_unseen_ones_another() -> None:
    before = [f"c{i}" for i in range(100) for _ in range(100 - i)]
    one, two = cells(*columns(before, ["c0", "c99", "new", "newer"]))
    assert len(one) == 52 and one[50] == sum(100 - i for i in range(50, 100)) and two[[0, 50, 51]].tolist() == [1, 1, 2]


def test_a_column_that_lost_its_values_is_wholly_apart_by_presence() -> None:
    one, two = columns(np.arange(500.0), np.full(400, np.nan))
    assert presence(one, two).estimate == pytest.approx(1.0, abs=1e-3)
    assert missing_increase(one, two).low > 0.98


def test_unseen_values_are_a_rise_from_none() -> None:
    figure = unseen_increase(*columns(["a", "b"] * 100, ["a"] * 90 + ["new"] * 10))
    assert figure.estimate == pytest.approx(0.1) and 0.02 < figure.low < 0.1 < figure.high < 0.2
