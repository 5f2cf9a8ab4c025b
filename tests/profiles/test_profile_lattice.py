"""Edges on a lattice: quicker to count, and never another count than by sorting."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from controlplane.profiles import Bins, ColumnBins, Profile, ProfileBuilder, fit_bins
from controlplane.profiles.column import slots_of
from controlplane.profiles.compare import ks
from controlplane.profiles.kinds import Floats
from controlplane.profiles.lattice import slots_on, snapped

N = 40_000


def fitted(values: Floats | pa.Array) -> ColumnBins:
    return fit_bins(lambda: iter([pa.record_batch({"x": values})]))["x"]


def drawn(rng: np.random.Generator, shape: int) -> Floats:
    scale = 10.0 ** rng.integers(-6, 6)
    place = scale * rng.normal() * 10.0 ** rng.integers(-3, 7)
    draws = rng.normal(size=N), rng.gamma(2.0, size=N), rng.uniform(size=N), rng.logistic(size=N)
    values: Floats = place + scale * draws[shape % len(draws)]
    return values


@pytest.mark.parametrize("seed", range(100))
def test_counting_cells_and_searching_sorted_values_give_the_same_slots(seed: int) -> None:
    rng = np.random.default_rng(seed)
    reference = drawn(rng, seed)
    bins = fitted(reference)
    assert bins.step > 0 and len(bins.edges) > 500
    spread = reference.std()
    window = np.concatenate(
        (
            rng.choice(reference, 5_000) + rng.normal() * spread,
            rng.choice(bins.edges, 3_000),
            np.nextafter(rng.choice(bins.edges, 3_000), np.inf),
            np.nextafter(rng.choice(bins.edges, 3_000), -np.inf),
            reference.mean() + spread * rng.standard_cauchy(3_000),
            [0.0, -0.0, 5e-324, -5e-324, 1e308, -1e308, 1.7976931348623157e308, -1.7976931348623157e308],
        )
    )
    rng.shuffle(window)
    low, high = bins.edges[0], bins.edges[-1]
    for part in (window, window[(window >= low) & (window <= high)], window[(window > low) & (window < high)]):
        by_cells = slots_on(part, part.min(), part.max(), bins.edges, bins.step)
        assert by_cells.tolist() == slots_of(np.sort(part), bins.edges, bins.step).tolist()
        assert by_cells.sum() == len(part)


def test_the_slots_are_those_that_the_edges_say() -> None:
    rng = np.random.default_rng(1)
    bins = fitted(rng.normal(size=N))
    window = np.concatenate((rng.normal(0.2, 1, N), rng.choice(bins.edges, 500)))
    below = np.concatenate(([0], np.cumsum(slots_on(window, window.min(), window.max(), bins.edges, bins.step))))
    for index, edge in enumerate(bins.edges):
        assert below[2 * index + 1] == (window < edge).sum(), "exact just below every edge"
    assert below[2] == (window <= bins.edges[0]).sum() and below[-2] == (window <= bins.edges[-1]).sum()


def test_zeros_at_the_lowest_edge_do_not_cost_a_column_its_lattice() -> None:
    rng = np.random.default_rng(2)
    bins = fitted(np.where(rng.random(N) < 0.3, 0.0, rng.exponential(100, N)))
    assert bins.step and bins.edges[0] == 0
    window = pa.record_batch({"x": np.where(rng.random(N) < 0.4, 0.0, rng.exponential(100, N))})
    slots = ProfileBuilder(Bins((bins,))).add(window).build()["x"].slots
    assert slots[1] == (window["x"].to_numpy() == 0).sum()


def test_the_outermost_edges_are_the_smallest_and_the_largest_value() -> None:
    values = np.random.default_rng(2).normal(size=N)
    rows = pa.record_batch({"x": values})
    profile = ProfileBuilder(fit_bins(lambda: iter([rows]))).add(rows).build()["x"]
    assert (profile.bins.edges[0], profile.bins.edges[-1]) == (values.min(), values.max())
    assert profile.out_of_range == 0 and (profile.low, profile.high) == (values.min(), values.max())


def test_times_stand_on_a_lattice_of_seconds() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    seconds = start + np.random.default_rng(3).uniform(0, 90 * 86_400, N)
    bins = fitted(pa.array((seconds * 1e6).astype(np.int64), pa.timestamp("us", "UTC")))
    assert bins.step == 512.0 and len(bins.edges) > 1000


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(4).lognormal(sigma=3.0, size=N),
        np.where(np.arange(N) % 100 == 0, 0.5, np.random.default_rng(5).normal(size=N)),
        np.concatenate((np.full(N - 1200, 7.0), np.arange(1200) / 7)),
        1e17 + np.arange(N) * 16.0,
        np.random.default_rng(6).normal(size=N) * 1e-307,
        np.random.default_rng(7).uniform(-1.7, 1.7, N) * 1e308,
    ],
    ids=["a long tail", "an atom", "almost all one value", "too far from zero", "too small", "too wide"],
)
def test_where_a_lattice_is_too_coarse_the_edges_are_values_of_the_reference(values: Floats) -> None:
    bins = fitted(values)
    if bins.step:
        rows = pa.record_batch({"x": values})
        found = ProfileBuilder(fit_bins(lambda: iter([rows]))).add(rows).build()["x"]
        assert found.slots.max() / found.n < 0.01
    else:
        assert np.isin(bins.edges, values).all()


def test_a_lattice_needs_a_width() -> None:
    values = np.sort(np.concatenate(([-1.0], np.zeros(5_000), [1.0])))
    assert snapped(values, values, -1.0, 1.0) is None


def test_rows_with_holes_are_counted_alike_with_and_without_them() -> None:
    rng = np.random.default_rng(8)
    values = rng.normal(size=2 * N)
    bins = fit_bins(lambda: iter([pa.record_batch({"x": values})]))
    whole = ProfileBuilder(bins).add(pa.record_batch({"x": values})).build()["x"]
    odd = np.concatenate((values, [np.nan, np.inf, -np.inf]))
    holed = ProfileBuilder(bins).add(pa.record_batch({"x": pa.array([*odd, None])})).build()["x"]
    assert holed.slots.tolist() == whole.slots.tolist() and holed.mean == pytest.approx(whole.mean, rel=1e-12)
    assert (holed.nans, holed.pos_inf, holed.neg_inf, holed.nulls) == (1, 1, 1, 1)


def test_the_step_survives_being_bytes_and_tells_bins_apart() -> None:
    rows = pa.record_batch({"x": np.random.default_rng(9).normal(size=N)})
    profile = ProfileBuilder(fit_bins(lambda: iter([rows]))).add(rows).build()
    again = Profile.from_bytes(profile.to_bytes())
    assert again["x"].bins.step == profile["x"].bins.step > 0 and again.digest == profile.digest


@pytest.mark.parametrize("shift", [0.0, 0.01, 0.2])
def test_ks_on_a_lattice_is_never_above_the_exact_one_which_is_never_above_what_it_may_hide(shift: float) -> None:
    from scipy.stats import ks_2samp

    rng = np.random.default_rng(10)
    before, after = rng.gamma(3.0, size=N), rng.gamma(3.0, size=N) + shift
    bins = fit_bins(lambda: iter([pa.record_batch({"x": before})]))
    one, two = (ProfileBuilder(bins).add(pa.record_batch({"x": values})).build()["x"] for values in (before, after))
    exact = float(ks_2samp(before, after).statistic)
    assert ks(one, two).estimate <= exact + 1e-12 and exact - ks(one, two).estimate < 0.002
    assert exact <= ks(one, two).high
