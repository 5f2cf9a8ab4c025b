"""The line that says what changed in a column names the change that explains most of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from controlplane.profiles import ColumnProfile, ProfileBuilder, fit_bins
from controlplane.profiles.shift import describe_shift


def sides(before: Any, after: Any, max_bins: int = 1024) -> tuple[ColumnProfile, ColumnProfile]:
    batches = [
        pa.record_batch({"x": side if isinstance(side, pa.Array) else pa.array(side)}) for side in (before, after)
    ]
    bins = fit_bins(lambda: iter(batches[:1]), max_bins=max_bins)
    one, two = (ProfileBuilder(bins).add(batch).build()["x"] for batch in batches)
    return one, two


def said(before: Any, after: Any) -> str:
    return describe_shift(*sides(before, after))


def grid(mean: float, std: float, n: int = 4000) -> np.ndarray:
    """The n quantiles of a normal, made to have this mean and spread to the last digit."""
    from scipy.stats import norm

    values = norm.ppf((np.arange(n) + 0.5) / n)
    return mean + std * (values - values.mean()) / values.std()


NORMAL = grid(31.2, 13)
START = datetime(2026, 1, 1)
CASES = {
    "mean": (NORMAL, grid(42.8, 13), "mean 31.2 -> 42.8 (+0.89 sd)"),
    "mean down": (NORMAL, grid(20.0, 13), "mean 31.2 -> 20 (-0.86 sd)"),
    "mean and a little spread": (NORMAL, grid(42.8, 15), "mean 31.2 -> 42.8 (+0.89 sd)"),
    "spread": (grid(31.2, 4.1), grid(31.3, 9.8), "spread 4.1 -> 9.8 (x2.4)"),
    "narrower": (grid(31.2, 4.1), grid(31.2, 1.0), "spread 4.1 -> 1 (x0.24)"),
    "one value": (
        np.append(grid(50, 5), np.zeros(40)),
        np.append(grid(50, 5), np.zeros(4000)),
        "share of 0 1 % -> 50 %",
    ),
    "below all": (grid(50, 5, 400), np.append(grid(50, 5, 400), [-40.0] * 400), "mean 50 -> 5 (-9 sd)"),
    "a few far out": (np.arange(1000.0), np.append(np.arange(999.0), 1e9), "0 to 1e+09, before 0 to 999"),
    "missing": (NORMAL, np.append(grid(31.2, 13, 880), [np.nan] * 120), "12 % missing, before none"),
    "missing less": (
        np.append(NORMAL, [np.nan] * 4000),
        np.append(NORMAL, [np.nan] * 1000),
        "20 % missing, before 50 %",
    ),
    "mean and missing": (
        NORMAL,
        np.append(grid(42.8, 13, 880), [np.nan] * 120),
        "mean 31.2 -> 42.8 (+0.89 sd); 12 % missing, before none",
    ),
    "all missing": (NORMAL, [np.nan] * 50, "all rows missing, before none"),
    "found again": ([None, None], pa.array([1.0, 2.0]), "column gone or of another type"),
    "infinite": (NORMAL, np.append(NORMAL, [np.inf] * 1000), "20 % infinite, before none"),
    "constant": ([3.0] * 40, [3.0] * 50, "no change, always 3"),
    "constants": ([3.0] * 40, [3.5] * 50, "always 3, now always 3.5"),
    "no longer constant": ([3.0] * 40, [1.0, 3.0, 9.0], "always 3, now 1 to 9"),
    "now constant": ([1.0, 3.0, 9.0], [3.0] * 40, "always 3, before 1 to 9"),
    "nothing": (NORMAL, NORMAL, "no change"),
    "next to nothing": (NORMAL, NORMAL + 0.1, "mean 31.2 -> 31.3 (+0.0077 sd)"),
    "share": (["Online TA"] * 46 + ["x"] * 54, ["Online TA"] * 71 + ["x"] * 29, "share of 'Online TA' 46 % -> 71 %"),
    "unseen": (["a", "b"] * 50, ["a", "b"] * 46 + ["X", "Y"] * 4, "unseen values ('X', 'Y') in 8 % of rows"),
    "boolean": ([True] * 3 + [False] * 7, [True] * 8 + [False] * 2, "share of true 30 % -> 80 %"),
    "zero and one": ([0, 1] * 50, [0] * 97 + [1] * 3, "share of 1 50 % -> 3 %"),
    "a few rows where hardly any lie": (
        np.append(grid(0, 0.01, 1010), grid(1, 0.01, 1000)),
        np.append(grid(0, 0.01, 1000), grid(1, 0.01, 1010)),
        "mean 0.498 -> 0.502 (+0.0099 sd)",
    ),
    "prices": (grid(29612.4, 500), grid(30007.7, 500), "mean 29612 -> 30008 (+0.79 sd)"),
    "text": (
        ["x" * (index % 9 + 3) + str(index) for index in range(100, 1000)],
        ["x" * (index % 9 + 4) + str(index) for index in range(100, 1000)],
        "mean length 10 -> 11 (+0.39 sd)",
    ),
    "dates": (
        [START + timedelta(days=day) for day in range(100)],
        [START + timedelta(days=day + 31) for day in range(100)],
        "mean 2026-02-19 12:00 -> 2026-03-22 12:00 (+31 d)",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_line_names_the_change_that_explains_most(name: str) -> None:
    before, after, line = CASES[name]
    assert said(before, after) == line


def test_a_change_of_shape_alone_is_told_by_the_median_or_a_share() -> None:
    skewed = np.random.default_rng(0).gamma(1, 1, 5000)
    mirrored = 2 * skewed.mean() - skewed
    assert said(skewed, mirrored).startswith("median 0.6")
    two = np.append(grid(-1, 0.05, 2000), grid(1, 0.05, 2000))
    assert said(np.append(two, [0.0]), np.append(grid(0, 1, 4000), [0.0])).startswith(("share ", "median "))


def test_no_rows_are_said_so() -> None:
    one, two = sides([1.0, 2.0], pa.array([], pa.float64()))
    assert (describe_shift(one, two), describe_shift(two, one)) == ("no rows", "no rows before")


def test_values_after_none_are_said_so() -> None:
    one, two = sides([1.0], [1.0, None, None, None])
    gone, _ = sides([1.0], [None])
    assert describe_shift(sides([1.0], pa.array([None], pa.float64()))[1], two) == "values in 25 % of rows, before none"
    assert describe_shift(gone, one) == "no change, always 1"


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("max_bins", [3, 1024])
def test_any_pair_of_columns_has_one_short_line(seed: int, max_bins: int) -> None:
    rng = np.random.default_rng(seed)

    def draw() -> np.ndarray:
        n, scale = int(rng.integers(1, 300)), 10.0 ** rng.integers(-300, 300)
        values = [
            rng.normal(size=n) * scale,
            rng.standard_cauchy(n),
            rng.integers(-2, 3, n).astype(float),
            np.full(n, scale),
            rng.choice([np.nan, np.inf, -np.inf, 0.0, scale], n),
            rng.choice([1.7e308, -1.7e308, 5e-324], n),
        ]
        return values[int(rng.integers(len(values)))]

    line = describe_shift(*sides(draw(), draw(), max_bins))
    assert line and "\n" not in line and "nan" not in line and len(line) < 160
