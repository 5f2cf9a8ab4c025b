"""p-values that are quick however many rows are behind them."""

from __future__ import annotations

import math
import time

import pyarrow as pa
import pytest
from scipy.stats import kstwo

from controlplane.profiles import ColumnProfile, ProfileBuilder, fit_bins
from controlplane.profiles.significance import ks_p_value


def column(n: int) -> ColumnProfile:
    """A profile of n equal numbers; with the distance given, only how many there are counts."""
    rows = pa.record_batch({"x": pa.repeat(0.5, n)})
    bins = fit_bins(lambda: iter([pa.record_batch({"x": [0.0, 1.0]})]))
    return ProfileBuilder(bins).add(rows).build()["x"]


@pytest.mark.parametrize("n", [1_000, 3_000, 10_000, 60_000])
@pytest.mark.parametrize("square", [0.3, 1.0, 2.1, 2.2, 2.5, 4.0, 10.0, 40.0])
def test_the_ks_p_value_is_scipys_from_the_middle_to_the_far_tail(n: int, square: float) -> None:
    distance = math.sqrt(square / n)
    assert ks_p_value(column(2 * n), column(2 * n), distance) == pytest.approx(kstwo.sf(distance, n), abs=1e-7)


def test_the_ks_p_value_of_a_million_rows_that_moved_takes_no_time() -> None:
    one = column(1_000_000)
    started = time.process_time()
    found = [ks_p_value(one, one, math.sqrt(square / 500_000)) for square in (2.5, 5.0, 50.0)]
    assert time.process_time() - started < 0.5
    assert found == sorted(found, reverse=True)
