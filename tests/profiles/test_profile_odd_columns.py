"""Columns that cost other tools a run: each has an outcome of its own, and the column beside it is unharmed."""

from __future__ import annotations

import time
import tracemalloc
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from controlplane.profiles import Bins, ColumnProfile, Kind, Profile, ProfileBuilder, fit_bins
from controlplane.profiles.compare import ks, missing_rate, total_variation, unseen_rate

NAN, INF = float("nan"), float("inf")
GOOD = np.random.default_rng(0).normal(size=200)


def fitted(*batches: pa.RecordBatch) -> Bins:
    return fit_bins(lambda: iter(batches))


def counted(bins: Bins, window: pa.RecordBatch) -> Profile:
    """The window's profile, which must hold the good column whole beside the odd one."""
    whole = ProfileBuilder(bins).add(window).build()
    for column in whole.columns.values():
        assert column.missing + column.infinite + column.unseen + int(column.slots.sum()) == column.n == len(window)
    if "good" in window.schema.names:
        assert whole["good"].finite == len(window) and whole["good"].out_of_range == 0
    return whole


def beside(odd: Any, n: int = 200) -> pa.RecordBatch:
    return pa.record_batch({"good": GOOD[:n], "odd": odd})


def alone(odd: Any, window: Any = None) -> ColumnProfile:
    reference = beside(odd)
    bins = fitted(reference)
    return counted(bins, reference if window is None else beside(window))["odd"]


@pytest.mark.parametrize(
    ("values", "spread"), [([5.0] * 200, 0.0), ([5] * 200, 0.0), ([1e300] * 200, 0.0), ([True] * 200, 0.0)]
)
def test_a_constant_column_has_no_spread_and_does_not_drift_from_itself(values: list[Any], spread: float) -> None:
    column = alone(values)
    assert column.std == spread and column.present == 200
    distance = total_variation if column.bins.kind.counted else ks
    assert distance(column, column).estimate == 0.0


@pytest.mark.parametrize("type_", [pa.null(), pa.float64(), pa.string(), pa.bool_(), pa.list_(pa.float64())])
def test_an_all_null_reference_column_counts_what_arrives_later_without_raising(type_: pa.DataType) -> None:
    bins = fitted(beside(pa.nulls(200, type_)))
    assert counted(bins, beside(pa.nulls(200, type_)))["odd"].nulls == 200
    arrived = counted(bins, beside(["late"] * 200))
    assert arrived["odd"].unseen == 200 or arrived["odd"].absent == 200 or arrived["odd"].out_of_range == 200
    assert missing_rate(arrived["odd"]).n == 200


def test_an_all_null_column_of_strings_finds_every_later_value_unseen() -> None:
    assert alone(pa.nulls(200, pa.string()), ["late"] * 200).examples == ("late",)


@pytest.mark.parametrize("values", [[INF] * 200, [-INF] * 200, [NAN] * 200, [INF, -INF] * 100])
def test_a_column_without_a_finite_number_has_neither_range_nor_slots(values: list[float]) -> None:
    column = alone(values)
    assert column.finite == 0 and np.isnan(column.low) and np.isnan(column.high)
    assert column.infinite + column.nans == 200 and len(column.bins.edges) == 0


def test_infinities_in_the_window_alone_are_counted_at_the_ends_of_the_line() -> None:
    column = alone(GOOD, [INF] * 30 + [-INF] * 20 + [NAN] * 10 + [None] * 5 + GOOD[:135].tolist())
    assert (column.pos_inf, column.neg_inf, column.nans, column.nulls, column.finite) == (30, 20, 10, 5, 135)
    assert column.low == GOOD[:135].min() and column.std == pytest.approx(GOOD[:135].std(), rel=1e-12)


@pytest.mark.parametrize(
    "type_",
    [
        pa.struct([("x", pa.int64())]),
        pa.list_(pa.struct([("x", pa.int64())])),
        pa.map_(pa.string(), pa.int64()),
        pa.list_(pa.string()),
        pa.month_day_nano_interval(),
    ],
)
def test_a_nested_column_is_left_out_by_name_with_its_type(type_: pa.DataType) -> None:
    bins = fitted(beside(pa.nulls(200, type_)))
    assert dict(bins.unreadable) == {"odd": str(type_)} and bins.ignored == ("odd",)
    window = counted(bins, beside(pa.nulls(200, type_)))
    assert list(window.columns) == ["good"] and window.new_columns == ()
    assert dict(Profile.from_bytes(window.to_bytes()).bins.unreadable) == {"odd": str(type_)}


def test_a_column_that_became_nested_is_absent_with_its_new_type() -> None:
    window = counted(fitted(beside(GOOD)), beside([{"x": 1}] * 200))
    assert window["odd"].absent == 200 and dict(window.type_changed) == {"odd": "struct<x: int64>"}


def test_a_column_whose_type_differs_from_batch_to_batch_is_counted_where_it_fits() -> None:
    one, other = beside(GOOD), beside(["7"] * 200)
    bins = fitted(one, other)
    whole = ProfileBuilder(bins).add(one).add(other).build()
    assert bins["odd"].kind is Kind.NUMERIC and whole["good"].n == 400
    assert (whole["odd"].finite, whole["odd"].absent) == (200, 200) and dict(whole.type_changed) == {"odd": "string"}


@pytest.mark.parametrize(
    "values",
    [
        pa.array(["a", None, "b"] * 66, pa.string_view()),
        pa.array([b"a", None, b"b"] * 66, pa.binary_view()),
        pa.array([b"a", None, b"b"] * 66, pa.binary(1)),
        pa.array(["a", None, "b"] * 66, pa.large_string()),
        pa.array(["a", None, "b"] * 66).dictionary_encode(),
        pa.DictionaryArray.from_arrays(pa.array([0, 1, 2] * 66, pa.uint64()), pa.array(["a", None, "b"])),
        pa.DictionaryArray.from_arrays(pa.array([0, None, 2] * 66, pa.int8()), pa.array(["a", "a", "b"])),
    ],
)
def test_names_are_counted_alike_however_arrow_holds_them(values: pa.Array) -> None:
    column = counted(fitted(beside(values, 198)), beside(values, 198))["odd"]
    assert column.slots.tolist() == [66, 66] and (column.nulls, column.unseen) == (66, 0)


def test_one_name_at_two_places_of_a_dictionary_is_one_category() -> None:
    twice = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2, 2] * 50), pa.array(["x", "x", "new"]))
    column = alone(["x", "y"] * 100, twice)
    assert column.slots.tolist() == [100, 0] and column.unseen == 100 and column.examples == ("new",)


@pytest.mark.parametrize(
    "values", [pa.array([timedelta(seconds=3)] * 200), pa.array([1.5] * 200, pa.float16()), pa.array([2] * 200)]
)
def test_numbers_of_rare_types_are_numbers(values: pa.Array) -> None:
    column = alone(values)
    assert column.bins.kind is Kind.NUMERIC and column.finite == 200


def test_ids_are_summarised_by_their_length_and_not_one_by_one() -> None:
    ids = [f"user-{value:09d}" for value in range(20_000)]
    bins = fitted(pa.record_batch({"id": ids}))
    assert bins["id"].kind is Kind.TEXT and bins["id"].categories == () and bins["id"].slots == 3


def test_a_hundred_thousand_new_categories_are_counted_in_bounded_memory_and_time() -> None:
    names = np.array(["red", "green", "blue"])
    bins = fitted(pa.record_batch({"odd": names[np.arange(300) % 3]}))
    builder = ProfileBuilder(bins)
    batches = [
        pa.record_batch({"odd": [f"new {value:06d}" for value in range(first, first + 10_000)]})
        for first in range(0, 100_000, 10_000)
    ]
    tracemalloc.start()
    started, before = time.process_time(), pa.total_allocated_bytes()
    for batch in batches:
        builder.add(batch)
    took = time.process_time() - started
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    column = builder.build()["odd"]
    assert column.unseen == 100_000 and unseen_rate(column).estimate == 1.0
    assert column.examples == tuple(f"new {value:06d}" for value in range(5))
    assert pa.total_allocated_bytes() - before < 1 << 16 and kept < 1 << 20
    assert took < 5


def test_a_window_of_one_row_is_counted() -> None:
    column = counted(fitted(beside(GOOD)), beside([0.5], 1))["odd"]
    assert (column.n, column.finite, column.mean, column.std, column.low, column.high) == (1, 1, 0.5, 0.0, 0.5, 0.5)


def test_a_reference_of_thirty_rows_has_an_edge_a_value() -> None:
    bins = fitted(beside(GOOD[:30], 30))
    assert bins["odd"].edges.tolist() == sorted(GOOD[:30])
    assert counted(bins, beside(GOOD[:30], 30))["odd"].slots.tolist() == [0, 1] * 30 + [0]


def test_reordered_columns_are_found_by_name_and_renamed_ones_are_gone_and_new() -> None:
    bins = fitted(pa.record_batch({"good": GOOD, "odd": GOOD, "city": ["a", "b"] * 100}))
    window = {"city": ["b", "a"] * 100, "Odd": GOOD, "good": GOOD}
    whole = counted(bins, pa.record_batch(window))
    assert whole["city"].slots.tolist() == [100, 100] and whole["odd"].absent == 200
    assert whole.missing_columns == ("odd",) and whole.new_columns == ("Odd",)


def test_five_thousand_columns_are_counted_each_on_its_own() -> None:
    rng = np.random.default_rng(1)
    columns = {f"x{index}": rng.normal(index, 1, 40) for index in range(5_000)}
    started = time.process_time()
    rows = pa.record_batch(columns | {"x17": ["text"] * 40, "x23": pa.nulls(40, pa.struct([]))})
    bins = fitted(pa.record_batch(columns))
    whole = ProfileBuilder(bins).add(rows).build()
    again = Profile.from_bytes(whole.to_bytes())
    assert time.process_time() - started < 20
    assert again.digest == whole.digest and dict(whole.type_changed) == {"x17": "string", "x23": "struct<>"}
    assert sum(column.finite == 40 for column in whole.columns.values()) == 4_998


def test_a_long_batch_is_counted_as_its_parts_are() -> None:
    rng = np.random.default_rng(2)
    rows = pa.record_batch(
        {
            "x": rng.lognormal(size=300_000),
            "n": rng.integers(0, 9, 300_000),
            "c": np.array(["a", "b"])[np.arange(300_000) % 2],
        }
    )
    bins = fitted(rows)
    whole, parts = ProfileBuilder(bins).add(rows).build(), ProfileBuilder(bins)
    for start in range(0, 300_000, 9_999):
        parts.add(rows.slice(start, 9_999))
    assert whole.digest == parts.build().digest


def test_what_a_slot_between_two_edges_hides_is_about_a_thousandth_of_a_long_reference() -> None:
    values = np.random.default_rng(3).lognormal(sigma=2.0, size=200_000)
    rows = pa.record_batch({"x": values})
    column = ProfileBuilder(fitted(rows)).add(rows).build()["x"]
    assert 900 < len(column.bins.edges) <= 1024
    assert column.slots.max() / column.n < 2 / 1024


def test_an_atom_keeps_a_slot_of_its_own_in_a_long_reference() -> None:
    rng = np.random.default_rng(4)
    values = np.where(rng.random(100_000) < 0.3, 0.0, rng.normal(size=100_000))
    rows = pa.record_batch({"x": values})
    column = ProfileBuilder(fitted(rows)).add(rows).build()["x"]
    at_zero = 2 * int(np.flatnonzero(column.bins.edges == 0.0)[0]) + 1
    assert column.slots[at_zero] == (values == 0.0).sum()
