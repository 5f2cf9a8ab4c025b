"""Every row of every column ends in exactly one count, whatever it holds."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from controlplane.profiles import ColumnProfile, Kind, Profile, ProfileBuilder, fit_bins

NAN, INF = float("nan"), float("inf")


def profile(reference: dict[str, Any], window: dict[str, Any] | pa.RecordBatch) -> Profile:
    bins = fit_bins(lambda: iter([pa.record_batch(reference)]))
    return ProfileBuilder(bins).add(window if isinstance(window, pa.RecordBatch) else pa.record_batch(window)).build()


def accounted(column: ColumnProfile) -> int:
    return column.missing + column.infinite + column.unseen + int(column.slots.sum())


def test_nulls_nans_and_infinities_are_each_counted_apart_from_bins() -> None:
    window = {"x": pa.array([1.0, 1.5, None, NAN, NAN, INF, -INF, 9.0, -9.0])}
    column = profile({"x": [1.0, 2.0, 3.0]}, window)["x"]
    assert (column.nulls, column.nans, column.pos_inf, column.neg_inf) == (1, 2, 1, 1)
    assert column.slots.tolist() == [1, 1, 1, 0, 0, 0, 1], "below, at 1, between 1 and 2, ..., above 3"
    assert (column.finite, column.out_of_range, column.low, column.high) == (4, 2, -9.0, 9.0)
    assert accounted(column) == column.n == 9


def test_unseen_categories_are_counted_with_the_first_few_by_name() -> None:
    window = {"city": ["rome", "oslo", None, "b", "a", "c", "d", "e", "f", "a"]}
    column = profile({"city": ["rome", "oslo", "rome"]}, window)["city"]
    assert column.bins.categories == ("oslo", "rome") and column.slots.tolist() == [1, 1]
    assert (column.nulls, column.unseen, column.examples) == (1, 7, ("a", "b", "c", "d", "e"))
    assert accounted(column) == column.n == 10


def test_a_column_of_each_type_has_its_kind() -> None:
    day, moment = date(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC)
    rows = {
        "int": pa.array([1, 2, 2]),
        "decimal": pa.array([Decimal("1.5")] * 3),
        "flag": pa.array([True, False, None]),
        "day": pa.array([day] * 3),
        "moment": pa.array([moment] * 3),
        "city": pa.array(["a", "b", "a"]).dictionary_encode(),
        "image": pa.array([[1.0, 3.0], [5.0, 7.0], None], pa.list_(pa.float32(), 2)),
        "nested": pa.array([[[1, 3], [5]], [], None]),
        "nothing": pa.nulls(3),
    }
    whole = profile(rows, rows)
    kinds = {name: column.bins.kind for name, column in whole.columns.items()}
    assert list(kinds.values()) == [
        Kind.NUMERIC,
        Kind.NUMERIC,
        Kind.BOOLEAN,
        Kind.DATETIME,
        Kind.DATETIME,
        Kind.CATEGORICAL,
        Kind.VECTOR,
        Kind.VECTOR,
        Kind.CATEGORICAL,
    ]
    assert whole["day"].mean == whole["moment"].mean == moment.timestamp()
    assert whole["image"].mean == 4.0 and whole["image"].bins.length == 2
    assert whole["nested"].mean == 3.0 and whole["nested"].nans == 1, "an empty list has no mean"
    assert whole["flag"].slots.tolist() == [1, 1] and whole["nothing"].nulls == 3


def test_vectors_of_another_length_are_counted() -> None:
    assert profile({"v": [[1.0, 2.0]] * 3}, {"v": [[1.0, 2.0], [1.0], [1.0, 2.0, 3.0]]})["v"].wrong_length == 2


def test_strings_that_hardly_repeat_are_text_and_summarised_by_their_length() -> None:
    rng = np.random.default_rng(1)
    notes = ["".join(rng.choice(list("abcdef"), size)) for size in rng.integers(10, 30, 500)]
    column = profile({"note": notes}, {"note": ["aa", "aaaa", None, "é" * 12]})["note"]
    assert column.bins.kind is Kind.TEXT and column.mean == 6.0 and column.out_of_range == 2 and column.nulls == 1


def test_a_long_list_of_categories_that_repeat_stays_categorical() -> None:
    rng = np.random.default_rng(2)
    codes = [f"code{value}" for value in rng.integers(0, 300, 20_000)]
    assert profile({"code": codes}, {"code": codes})["code"].bins.kind is Kind.CATEGORICAL


def test_a_column_that_is_gone_new_or_of_another_type_is_recorded_and_never_raises() -> None:
    window = {"a": ["1", "2"], "d": [1.0, 2.0], "c": [1, 2]}
    whole = profile({"a": [1, 2], "b": [1, 2], "c": ["x", "y"]}, window)
    assert whole.missing_columns == ("b",) and whole.new_columns == ("d",)
    assert dict(whole.type_changed) == {"a": "string", "c": "int64"}
    assert whole["a"].absent == whole["b"].absent == whole["c"].absent == 2


@pytest.mark.parametrize("type_", [pa.int8(), pa.uint64(), pa.float32(), pa.float64(), pa.decimal128(21, 2)])
def test_another_width_of_number_is_the_same_kind(type_: pa.DataType) -> None:
    whole = profile({"a": [1, 2]}, {"a": pa.array([1, 2]).cast(type_)})
    assert not whole.type_changed and whole["a"].slots.tolist() == [0, 1, 0, 1, 0]


def test_what_cannot_be_summarised_is_left_out_and_is_not_new() -> None:
    rows = {"a": [1, 2], "s": [{"x": 1}, {"x": 2}]}
    whole = profile(rows, rows)
    assert list(whole.columns) == ["a"] and whole.bins.ignored == ("s",) and whole.new_columns == ()


def test_an_all_null_window_and_an_empty_one_are_counted() -> None:
    for window, n in ({"a": pa.nulls(4)}, 4), ({"a": pa.array([], pa.int64())}, 0):
        column = profile({"a": [1, 2]}, window)["a"]
        assert (column.n, column.nulls, column.present) == (n, n, 0)


def test_a_column_that_begins_all_null_is_typed_by_its_first_values() -> None:
    batches = [pa.record_batch({"a": pa.nulls(3)}), pa.record_batch({"a": [1.0, 2.0]})]
    assert fit_bins(lambda: iter(batches))["a"].kind is Kind.NUMERIC


def test_huge_values_overflow_without_a_warning() -> None:
    assert profile({"a": [1.0, 2.0]}, {"a": [1e308, -1e308, 1e308]})["a"].out_of_range == 3


def test_edges_are_the_distinct_values_while_they_fit_and_quantiles_after() -> None:
    values = np.random.default_rng(3).normal(size=50_000)
    rows = pa.record_batch({"x": values, "day": np.arange(50_000) % 31})
    bins = fit_bins(lambda: (rows.slice(start, 7_000) for start in range(0, 50_000, 7_000)), max_bins=512)
    assert bins["day"].edges.tolist() == list(range(31))
    edges = bins["x"].edges
    assert len(edges) <= 512 and edges[0] == values.min() and edges[-1] == values.max()
    assert bins["x"].step > 0 and not (edges[1:-1] % bins["x"].step).any()
    share = np.histogram(values, edges)[0] / len(values)
    assert share.max() < 2 / 510


def test_bins_do_not_depend_on_where_batches_end() -> None:
    rows = pa.record_batch({"x": np.random.default_rng(4).normal(size=600_000)})
    one = fit_bins(lambda: iter([rows]), max_bins=64)
    other = fit_bins(lambda: (rows.slice(start, 9_999) for start in range(0, 600_000, 9_999)), max_bins=64)
    assert one.digest == other.digest


def test_a_window_of_100k_rows_by_10_columns_is_counted_in_half_a_second() -> None:
    rng = np.random.default_rng(5)
    rows = pa.record_batch(
        {f"x{i}": rng.normal(size=100_000) for i in range(8)}
        | {"city": rng.choice(np.array(["a", "b", "c"]), 100_000), "flag": rng.random(100_000) < 0.5}
    )
    bins = fit_bins(lambda: iter([rows]))
    start = time.process_time()
    ProfileBuilder(bins).add(rows)
    assert time.process_time() - start < 0.5
