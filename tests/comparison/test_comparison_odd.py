"""Odd columns have a named outcome and spoil no other; input that is no table is one clear sentence."""

from __future__ import annotations

import decimal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import controlplane as cp
from controlplane.comparison import Outcome
from controlplane.errors import SourceError

N = 200
FINE = list(np.random.default_rng(0).normal(size=N))
START = datetime(2026, 1, 1, tzinfo=UTC)
ODD: dict[str, tuple[pa.Array, pa.Array, Outcome, str]] = {
    "constant": (pa.array([3.0] * N), pa.array([3.0] * N), Outcome.COMPARED, "no change, always 3"),
    "new constant": (pa.array([3.0] * N), pa.array([4.0] * N), Outcome.COMPARED, "always 3, now always 4"),
    "all null": (pa.nulls(N), pa.nulls(N), Outcome.EMPTY, "all rows missing"),
    "all null now": (pa.array(FINE), pa.nulls(N, pa.float64()), Outcome.EMPTY, "all rows missing, before none"),
    "null before": (pa.nulls(N, pa.float64()), pa.array(FINE), Outcome.EMPTY, "values in 100 % of rows, before none"),
    "all NaN now": (pa.array(FINE), pa.array([float("nan")] * N), Outcome.EMPTY, "all rows missing, before none"),
    "infinite": (
        pa.array(FINE),
        pa.array([*FINE[20:], *[float("inf")] * 20]),
        Outcome.COMPARED,
        "10 % infinite, before none",
    ),
    "all infinite": (
        pa.array(FINE),
        pa.array([float("-inf")] * N),
        Outcome.COMPARED,
        "100 % infinite, before none",
    ),
    "type changed": (pa.array(FINE), pa.array(["a"] * N), Outcome.RETYPED, "type double -> string"),
    "ids": (
        pa.array([f"user-{index}" for index in range(N)]),
        pa.array([f"guest-{index + 300}" for index in range(N)]),
        Outcome.COMPARED,
        "length always 9, before 6 to 8",
    ),
    "struct": (
        pa.array([{"a": 1}] * N),
        pa.array([{"a": 1}] * N),
        Outcome.UNREADABLE,
        "values of type struct<a: int64> cannot be compared",
    ),
    "vectors": (
        pa.array([[1.0, 2.0]] * N),
        pa.array([[1.0, 2.0, 6.0]] * N),
        Outcome.COMPARED,
        "vectors of another length than 2 in 100 % of rows; vector mean always 1.5, now always 3",
    ),
    "list of text": (
        pa.array([["a"]] * N),
        pa.array([["a"]] * N),
        Outcome.UNREADABLE,
        "values of type list<item: string> cannot be compared",
    ),
    "binary": (
        pa.array([b"\xff", b"a"] * (N // 2)),
        pa.array([b"\xff"] * N),
        Outcome.COMPARED,
        "share of 'ff' 50 % -> 100 %",
    ),
    "decimal": (
        pa.array([decimal.Decimal("1.50")] * N),
        pa.array([decimal.Decimal("2.50")] * N),
        Outcome.COMPARED,
        "always 1.5, now always 2.5",
    ),
    "dates": (
        pa.array([START + timedelta(days=index) for index in range(N)]),
        pa.array([START + timedelta(days=index + 31) for index in range(N)]),
        Outcome.COMPARED,
        "mean 2026-04-10 12:00 -> 2026-05-11 12:00 (+31 d)",
    ),
    "categories explode": (
        pa.array(["a", "b"] * (N // 2)),
        pa.array([f"new-{index}" for index in range(N)]),
        Outcome.COMPARED,
        "unseen values ('new-0', 'new-1', 'new-10', ...) in 100 % of rows; share of 'a' 50 % -> 0 %",
    ),
    "dictionary": (
        pa.array(["a", "b"] * (N // 2)).dictionary_encode(),
        pa.array(["a"] * N),
        Outcome.COMPARED,
        "share of 'a' 50 % -> 100 %",
    ),
    "huge": (
        pa.array([1e308, -1e308] * (N // 2)),
        pa.array([1e308] * N),
        Outcome.COMPARED,
        "always 1e+308, before -1e+308 to 1e+308",
    ),
}


def both(names: list[str]) -> tuple[pa.Table, pa.Table]:
    one, two = ({name: ODD[name][side] for name in names} for side in (0, 1))
    return pa.table(one | {"fine": pa.array(FINE)}), pa.table(two | {"fine": pa.array(FINE)})


@pytest.mark.parametrize("name", ODD)
def test_an_odd_column_is_named(name: str) -> None:
    row = cp.compare(*both([name]))[name]
    assert (row.outcome, row.moved) == ODD[name][2:]


def test_all_odd_columns_together_leave_a_plain_one_unharmed() -> None:
    found = cp.compare(*both(list(ODD)))
    assert len(found) == len(ODD) + 1 and len(str(found).splitlines()) == len(ODD) + 4
    assert found["fine"].figure is not None and found["fine"].figure.estimate == 0
    for row in found:
        assert row.column == "fine" or row.outcome is ODD[row.column][2]
    assert len(found.to_frame()) == len(found) and found.to_json() and found._repr_html_()


def test_odd_columns_in_files_have_the_same_outcomes(tmp_path: Path) -> None:
    for table, name in zip(both(list(ODD)), ("before", "after"), strict=True):
        pq.write_table(table, tmp_path / f"{name}.parquet")
    found = cp.compare(tmp_path / "before.parquet", tmp_path / "after.parquet")
    assert {row.column: row.outcome for row in found} == {name: odd[2] for name, odd in ODD.items()} | {
        "fine": Outcome.COMPARED
    }


def test_columns_that_came_and_went_and_moved_place() -> None:
    before, after = pa.table({"a": FINE, "b": FINE, "old": FINE}), pa.table({"new": FINE, "b": FINE, "a": FINE})
    found = cp.compare(before, after)
    assert [(row.column, row.outcome.value) for row in found] == [
        ("old", "gone"),
        ("a", "compared"),
        ("b", "compared"),
        ("new", "new"),
    ]


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_column_of_mixed_types_spoils_no_other(library: str, tmp_path: Path) -> None:
    mixed = [1, "a", [3], {4}] * (N // 4)
    if library == "pandas":
        before, after = pd.DataFrame({"x": FINE, "odd": mixed}), pd.DataFrame({"x": FINE, "odd": mixed})
    else:
        before, after = (pl.DataFrame({"x": FINE, "odd": pl.Series(mixed, dtype=pl.Object)}) for _ in range(2))
    found = cp.compare(before, after)
    assert found["odd"].outcome is Outcome.UNREADABLE and found["x"].outcome is Outcome.COMPARED
    assert found["odd"].moved == "mixed types: int, list, set, str in the reference"
    pq.write_table(pa.table({"x": FINE, "odd": FINE}), tmp_path / "before.parquet")
    found = cp.compare(tmp_path / "before.parquet", after)
    assert found["odd"].moved == "mixed types: int, list, set, str in the current rows"
    assert found["x"].outcome is Outcome.COMPARED


def test_frames_with_an_index_or_numbered_columns_are_read_by_column() -> None:
    frame = pd.DataFrame({0: FINE, 1: FINE}, index=[f"r{index}" for index in range(N)])
    assert {row.column for row in cp.compare(frame, frame)} == {"0", "1"}


def test_one_row_is_compared() -> None:
    row = cp.compare(pa.table({"a": FINE}), pa.table({"a": [0.5]}))["a"]
    assert row.figure is not None and row.n_current == 1 and row.sure == 0


class Stream:
    """Something that speaks Arrow's protocol and is not a table."""

    def __arrow_c_stream__(self, requested: Any = None) -> object:
        return pa.chunked_array([[1, 2]]).__arrow_c_stream__(requested)


FINE_TABLE = pa.table({"a": [1.0, 2.0]})
BAD: dict[str, tuple[Any, str]] = {
    "a number": (7, "reference is a int; valid: a pandas or polars DataFrame"),
    "nothing": (None, "reference is a NoneType; valid: "),
    "rows": ([{"a": 1}], "reference is a list; valid: "),
    "a lazy frame": (pl.LazyFrame({"a": [1]}), "reference is a LazyFrame; valid: "),
    "a column": (Stream(), "reference cannot be read as a table"),
    "no rows": (pa.table({"a": pa.array([], pa.float64())}), "reference has no rows"),
    "no columns": (pd.DataFrame(index=[0, 1]), "reference has no columns"),
    "other columns": (pa.table({"b": [1.0]}), "the tables share no column: reference has b, current has a"),
    "a name twice": (
        pa.table([[1.0], [2.0]], names=["a", "a"]),
        "reference has more than one column named 'a'",
    ),
    "an empty path": ("", "reference is an empty path; valid: "),
    "a path to nothing": ("/no/such/file.parquet", "no file matches /no/such/file.parquet; valid: "),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_table_is_one_sentence(name: str) -> None:
    bad, sentence = BAD[name]
    with pytest.raises(SourceError) as raised:
        cp.compare(bad, FINE_TABLE)
    assert str(raised.value).startswith(sentence) and "\n" not in str(raised.value)


def refused(*arguments: Any) -> str:
    with pytest.raises(SourceError) as raised:
        cp.compare(*arguments)
    return str(raised.value)


def test_the_current_side_is_named_too() -> None:
    assert refused(FINE_TABLE, FINE_TABLE.slice(0, 0)).startswith("current has no rows")


def test_a_column_that_is_asked_for_and_not_there_is_named(tmp_path: Path) -> None:
    pq.write_table(FINE_TABLE, path := tmp_path / "fine.parquet")
    assert refused(FINE_TABLE, FINE_TABLE, ["b"]) == "reference has no column 'b'; it has a"
    assert refused(pa.table({"a": [1], "b": [1]}), FINE_TABLE, ["a", "b"]) == "current has no column 'b'; it has a"
    assert refused(path, path, ["b"]) == "reference has no column 'b'; it has a"
    assert refused(FINE_TABLE, FINE_TABLE, []).startswith("columns is empty")


def test_files_that_cannot_be_read_are_one_sentence(tmp_path: Path) -> None:
    (broken := tmp_path / "broken.parquet").write_bytes(b"not parquet")
    (other := tmp_path / "notes.txt").write_text("a,b\n1,2\n")
    assert refused(broken, FINE_TABLE).startswith(f"{broken} cannot be read")
    assert "ends in none of" in refused(other, FINE_TABLE)
    pq.write_table(FINE_TABLE.slice(0, 0), empty := tmp_path / "empty.parquet")
    assert refused(empty, FINE_TABLE).startswith("reference has no")


def test_a_column_may_be_called_as_a_time_or_as_nothing(tmp_path: Path) -> None:
    (path := tmp_path / "t.csv").write_text(",time\n0,never\n1,always\n")
    assert {row.column for row in cp.compare(path, path)} == {"", "time"}
    assert "''" in str(cp.compare(path, path))


def test_the_library_has_no_other_attribute() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'comparison_of'"):
        cp.__getattr__("comparison_of")


def batches() -> Iterator[pa.RecordBatch]:
    yield from FINE_TABLE.to_batches()


def test_a_generator_is_not_a_table() -> None:
    assert refused(batches(), FINE_TABLE).startswith("reference is a generator; valid: ")
