"""Healthy rows: drawn from the reference with a seed, of the same hours where it knows them; and their shift."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from controlplane.domain.monitor import Columns, Window
from controlplane.drills.supply import Supply, numeric, shifted

COLUMNS = Columns("at", row_id="id", prediction="p", label="y")
MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)


def reference(days: float, hourly: int = 60) -> pa.Table:
    """Rows evenly over so many days; `hour` is the hour of the week each happened in."""
    n = round(days * 24 * hourly)
    at = [MONDAY + HOUR / hourly * row for row in range(n)]
    hours = [(moment - MONDAY) // HOUR % 168 for moment in at]
    return pa.table({"id": range(n), "at": at, "hour": hours, "p": [0.5] * n, "y": [0, 1] * (n // 2)})


def drawn(table: pa.Table, start: datetime, number: int = 1, usual: int = 50, seed: int = 0) -> pa.Table:
    return Supply(table, COLUMNS, usual, seed).draw(Window(start, start + HOUR), number)


def test_a_window_takes_each_row_once_without_times_and_answers() -> None:
    rows = drawn(reference(1).drop_columns(["at"]), MONDAY, usual=700)
    assert rows.column_names == ["hour", "y", "id"]
    assert rows.num_rows == len(set(rows["id"].to_pylist())) == 700
    assert rows["id"][0].as_py() == "drill-1-0"


def test_each_row_is_an_answered_request_as_quick_as_the_reference_says() -> None:
    columns = Columns("at", row_id="id", status="code", latency="ms", request="call")
    plain = pa.table({"x": [1.0, 2.0, 3.0]})
    told = plain.append_column("code", pa.array([200, 200, 302])).append_column("ms", pa.array([8.0, 8.0, 8.0]))
    for table, took in ((plain, 1.0), (told, 8.0)):
        rows = Supply(table, columns, 3).draw(Window(MONDAY, MONDAY + HOUR), 1)
        assert sorted(rows.column_names) == ["call", "code", "id", "ms", "x"]
        assert set(rows["code"].to_pylist()) == {200} and set(rows["ms"].to_pylist()) == {took}
        assert rows["call"].to_pylist() == rows["id"].to_pylist()


def test_the_seed_and_the_number_decide_which_rows() -> None:
    table = reference(1).drop_columns(["at"])
    hours = [
        drawn(table, MONDAY, number, seed=seed)["hour"].to_pylist() for number, seed in ((1, 0), (1, 0), (2, 0), (1, 1))
    ]
    assert hours[0] == hours[1]
    assert hours[0] != hours[2] and hours[0] != hours[3]


def test_rows_are_of_the_same_hour_of_the_week_where_the_reference_is_long_enough() -> None:
    rows = drawn(reference(15), MONDAY + timedelta(days=200, hours=9))
    assert set(rows["hour"].to_pylist()) == {((200 % 7) * 24 + 9) % 168}


def test_rows_are_of_the_same_hour_of_the_day_where_it_is_not() -> None:
    rows = drawn(reference(2), MONDAY + timedelta(days=200, hours=9))
    assert {hour % 24 for hour in rows["hour"].to_pylist()} == {9}


def test_too_few_rows_of_those_hours_are_filled_by_all() -> None:
    rows = drawn(reference(15, hourly=4), MONDAY + timedelta(days=200, hours=9), usual=300)
    assert rows.num_rows == 300


@pytest.mark.parametrize(("values", "moved"), [([1.0, 3.0], [2.0, 4.0]), ([1, 3], [2, 4])])
def test_a_shift_is_in_standard_deviations_and_keeps_the_type(values: list[float], moved: list[float]) -> None:
    table = pa.table({"a": values, "b": ["x", "y"]})
    found = shifted(table, table, ["a"], 1.0)
    assert (found["a"].to_pylist(), found.schema) == (moved, table.schema)


def test_nulls_stay_nulls_in_a_shift() -> None:
    table = pa.table({"a": [0.0, None, 2.0]})
    assert np.array_equal(np.isnan(shifted(table, table, ["a"], 1.0)["a"].to_numpy()), [False, True, False])


def test_numbers_of_two_values_are_shifted_only_where_there_are_no_others() -> None:
    flags = pa.table({"flag": [0, 1, 1], "name": ["a", "b", "c"]})
    assert numeric(flags, ["flag", "name"]) == ["flag"]
    assert numeric(flags.append_column("age", pa.array([30, 40, 50])), ["flag", "name", "age"]) == ["age"]
