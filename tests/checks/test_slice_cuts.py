"""Columns cut into slices: every row has one code, names say what the codes hold, odd columns are codes too."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from controlplane.checks.moments import by_code, moments_of
from controlplane.checks.slice_cuts import cut_of
from controlplane.errors import CheckError


def column(values: Any, type_: pa.DataType | None = None) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values, type_)])


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(0).normal(size=1000),
        np.random.default_rng(0).lognormal(sigma=3, size=1000),
        np.random.default_rng(0).integers(2015, 2019, 1000),
        np.random.default_rng(0).normal(1.7e9, 3.0, size=1000),
        np.where(np.arange(1000) % 2, 1e308, -1e308),
        np.zeros(1000),
    ],
)
@pytest.mark.parametrize("bins", [2, 4, 64])
def test_names_say_exactly_which_numbers_a_code_holds(values: np.ndarray, bins: int) -> None:
    cut = cut_of("x", column(values), bins, 10)
    assert cut is not None and cut.edges is not None
    codes = cut.codes(column(values))
    assert len(set(cut.names)) == cut.size
    for code in np.unique(codes):
        name, inside = cut.names[code], values[codes == code].astype(float)
        bounds = [float(part) for part in re.findall(r"-?[0-9][0-9.e+-]*", name)]
        if " in [" in name:
            assert inside.min() >= bounds[0] and inside.max() < bounds[1]
        elif "<" in name:
            assert inside.max() < bounds[0]
        elif ">=" in name:
            assert inside.min() >= bounds[0]


def test_quarters_hold_about_a_quarter_each() -> None:
    values = np.random.default_rng(1).lognormal(size=4000)
    cut = cut_of("x", column(values), 4, 10)
    assert cut is not None
    assert np.bincount(cut.codes(column(values)))[:4] / 4000 == pytest.approx(np.full(4, 0.25), abs=0.02)


def test_categories_are_counted_alike_whatever_bears_them() -> None:
    words = ["b", "a", None, "a", "c", "a", "b"]
    expected = [1, 0, 3, 0, 2, 0, 1]
    cut = cut_of("c", column(words), 4, most=2)
    assert cut is not None and cut.names == ("c=a", "c=b", "c is another", "c is missing")
    twice = pa.DictionaryArray.from_arrays(pa.array([1, 0, 3, 2, 4, 0, 1]), pa.array(["a", "b", "a", None, "c"]))
    for given in (column(words), column(words, pa.string_view()), pa.chunked_array([twice])):
        assert cut.codes(given).tolist() == expected
    split = pa.chunked_array([pa.array(words[:3]).dictionary_encode(), pa.array(words[3:]).dictionary_encode()])
    assert cut.codes(split).tolist() == expected
    flags = cut_of("f", column([True, False, None, True]), 4, 10)
    assert flags is not None and flags.names[:2] == ("f=true", "f=false")


def test_missing_and_infinite_numbers_have_a_code() -> None:
    cut = cut_of("x", column([1.0, 2.0, 3.0, 4.0]), 2, 10)
    assert cut is not None and cut.edges == (3.0,)
    given = column([None, float("nan"), float("-inf"), float("inf"), 2.9])
    assert [cut.names[code] for code in cut.codes(given)] == ["x is missing"] * 2 + ["x < 3", "x >= 3", "x < 3"]
    assert cut.codes(column([None, None], pa.null())).tolist() == [cut.missing] * 2
    assert cut.codes(column([Decimal("3.5")])).tolist() == [1]


def test_what_cannot_be_cut_is_none_and_another_type_than_before_is_an_error() -> None:
    for values in ([date(2026, 1, 1)], [[1.0, 2.0]], [b"x"], [{"a": 1}]):
        assert cut_of("x", column(values), 4, 10) is None
    cut = cut_of("x", column([1.0, 2.0]), 2, 10)
    assert cut is not None
    with pytest.raises(CheckError, match="'x' came as string, which cannot be cut as before"):
        cut.codes(column(["1.0"]))


def test_moments_by_code_are_those_of_each_group_alone() -> None:
    rng = np.random.default_rng(2)
    values, codes = rng.normal(1e6, 1.0, 500), rng.integers(0, 4, 500)
    for code, one in enumerate(by_code(values, codes, 4)):
        alone = moments_of(values[codes == code])
        assert (one.n, one.mean) == (alone.n, pytest.approx(alone.mean))
        assert one.variance == pytest.approx(alone.variance)
