"""What every source promises, whichever it is: each entry of `ports.SOURCES` is held to all of this."""

from __future__ import annotations

import dataclasses
import pickle
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from tracing import tracking_store, write_traces  # beside this file

from controlplane import ports
from controlplane.domain.monitor import Columns, Window
from controlplane.errors import SourceError
from controlplane.log.layout import file_name, folder_name

WINDOW = Window.parse("2026-03-29T00:00Z/2026-03-30T00:00Z")
TICK = timedelta(microseconds=1)
EDGES = [WINDOW.start - TICK, WINDOW.start, WINDOW.start + TICK, WINDOW.end - TICK, WINDOW.end, WINDOW.end + TICK]
Maker = Callable[[Path, pa.Table], dict[str, Any]]


def parquet(folder: Path, rows: pa.Table) -> dict[str, Any]:
    pa.parquet.write_table(rows, folder / "rows.parquet", row_group_size=2)
    return {"path": str(folder / "rows.parquet")}


def comma(folder: Path, rows: pa.Table) -> dict[str, Any]:
    pa.csv.write_csv(rows, folder / "rows.csv")
    return {"path": str(folder)}


def table(folder: Path, rows: pa.Table) -> dict[str, Any]:
    with closing(sqlite3.connect(folder / "rows.db")) as connection, connection:
        connection.execute(f"CREATE TABLE rows ({', '.join(rows.column_names)})")
        for row in rows.to_pylist():
            values = [str(value) if isinstance(value, datetime) else value for value in row.values()]
            connection.execute(f"INSERT INTO rows VALUES ({', '.join('?' * len(values))})", values)
    return {"url": f"sqlite:///{folder / 'rows.db'}", "table": "rows", "batch_rows": 2}


def query(folder: Path, rows: pa.Table) -> dict[str, Any]:
    bound = "SELECT * FROM rows WHERE at >= :start AND at < :end"
    return {**table(folder, rows), "table": None, "query": bound}


def log(folder: Path, rows: pa.Table) -> dict[str, Any]:
    """Every row in the file of its hour, those without a time that can be read in one of them."""
    stream = "01J00000000000000000000000"
    times = rows["at"].to_pylist() if pa.types.is_timestamp(rows["at"].type) else [WINDOW.start] * len(rows)
    for place, moment in enumerate(times):
        hour = folder / "log" / folder_name(moment)
        hour.mkdir(parents=True, exist_ok=True)
        pa.parquet.write_table(rows.slice(place, 1), hour / file_name(stream, place, place))
    return {"path": str(folder / "log")}


def traces(folder: Path, rows: pa.Table) -> dict[str, Any]:
    """Every row a trace that began at its time; its other columns are what was asked."""
    uri = tracking_store(folder)
    times = rows["at"].to_pylist() if pa.types.is_timestamp(rows["at"].type) else [WINDOW.start] * len(rows)
    asked = [{name: value for name, value in row.items() if name != "at"} for row in rows.to_pylist()]
    write_traces(uri, zip(times, asked, strict=True))
    return {"experiment": "live", "tracking_uri": uri, "page": 100}


def wipe(folder: Path) -> None:
    for file in folder.iterdir():
        shutil.rmtree(file) if file.is_dir() else file.unlink()


MAKERS: list[tuple[str, Maker]] = [
    *(("files", parquet), ("files", comma), ("log", log), ("sql", table), ("sql", query), ("traces", traces)),
]
OWN_NAMES = {"traces": "event_time"}
"""The event time column of sources that name it themselves."""
every_source = pytest.mark.parametrize(("name", "make"), MAKERS, ids=lambda value: getattr(value, "__name__", value))


def source(name: str, options: dict[str, Any], event_time: str = "") -> Any:
    kind = ports.load("sources", name)
    return kind(kind.Params(**options), Columns(event_time or at(name)))


def at(name: str) -> str:
    return OWN_NAMES.get(name, "at")


def rows_at(moments: list[datetime]) -> pa.Table:
    times = pa.array(moments, pa.timestamp("us", "UTC"))
    return pa.table({"at": times, "x": [float(i) + 0.5 for i in range(len(moments))], "c": ["a"] * len(moments)})


def read(batches: Any) -> pa.Table:
    whole = [pa.Table.from_batches([batch]) for batch in batches]
    return pa.concat_tables(whole, promote_options="default") if whole else pa.table({})


def test_every_built_in_source_is_held_to_the_contract() -> None:
    assert {name for name, _ in MAKERS} == set(ports.SOURCES)


@every_source
def test_the_edges_of_a_window_are_half_open_to_the_microsecond(name: str, make: Maker, tmp_path: Path) -> None:
    rows = read(source(name, make(tmp_path, rows_at(EDGES))).fetch(WINDOW))
    assert rows[at(name)].to_pylist() == EDGES[1:4]
    assert rows["x"].to_pylist() == [1.5, 2.5, 3.5]


@every_source
def test_neighbouring_windows_share_no_row_and_lose_none(name: str, make: Maker, tmp_path: Path) -> None:
    moments = [WINDOW.start + timedelta(minutes=7 * i) for i in range(200)]
    made = source(name, make(tmp_path, rows_at(moments)))
    hours = [Window(WINDOW.start + timedelta(hours=h), WINDOW.start + timedelta(hours=h + 1)) for h in range(24)]
    found = [x for hour in hours for batch in made.fetch(hour) for x in batch.column("x").to_pylist()]
    assert found == [i + 0.5 for i in range(200)]


@every_source
def test_the_same_window_gives_the_same_rows_twice(name: str, make: Maker, tmp_path: Path) -> None:
    made = source(name, make(tmp_path, rows_at(EDGES)))
    assert read(made.fetch(WINDOW)).equals(read(made.fetch(WINDOW)))


@every_source
def test_no_window_gives_every_row(name: str, make: Maker, tmp_path: Path) -> None:
    assert read(source(name, make(tmp_path, rows_at(EDGES))).fetch(None))[at(name)].to_pylist() == EDGES


@every_source
def test_an_empty_window_gives_no_batch(name: str, make: Maker, tmp_path: Path) -> None:
    made = source(name, make(tmp_path, rows_at(EDGES)))
    assert list(made.fetch(Window.parse("2026-04-01T00:00Z/2026-04-02T00:00Z"))) == []


@every_source
def test_rows_are_counted_as_they_are_fetched(name: str, make: Maker, tmp_path: Path) -> None:
    moments = [*EDGES, *(WINDOW.start + timedelta(minutes=7 * i) for i in range(200))]
    made = source(name, make(tmp_path, rows_at(moments)))
    hours = [Window(WINDOW.start + timedelta(hours=h), WINDOW.start + timedelta(hours=h + 2)) for h in range(-3, 26)]
    asked = [*hours, WINDOW]
    assert made.count(asked) == [sum(batch.num_rows for batch in made.fetch(each)) for each in asked]
    assert made.count([]) == []


@every_source
def test_rows_that_came_since_are_counted_by_the_same_source(name: str, make: Maker, tmp_path: Path) -> None:
    made = source(name, make(tmp_path, rows_at(EDGES[:2])))
    assert made.count([WINDOW]) == [1]
    wipe(tmp_path)
    make(tmp_path, rows_at(EDGES))
    assert made.count([WINDOW]) == [3]


@every_source
def test_event_time_arrives_as_microseconds_in_utc(name: str, make: Maker, tmp_path: Path) -> None:
    for batch in source(name, make(tmp_path, rows_at(EDGES))).fetch(WINDOW):
        assert batch.schema.field(at(name)).type == pa.timestamp("us", "UTC")
        assert batch.num_rows > 0


@every_source
def test_rows_arrive_in_more_than_one_batch_of_one_schema(name: str, make: Maker, tmp_path: Path) -> None:
    rows = rows_at([WINDOW.start] * 5).append_column("gap", pa.array([None, None, None, 4, 5], pa.int64()))
    made = source(name, make(tmp_path, rows))
    assert read(made.fetch(WINDOW))["gap"].to_pylist() == [None, None, None, 4, 5]


@every_source
def test_an_event_time_column_that_is_gone_is_one_sentence_naming_it(name: str, make: Maker, tmp_path: Path) -> None:
    made = source(name, make(tmp_path, rows_at(EDGES)), event_time="when")
    for read_it in (lambda: list(made.fetch(WINDOW)), lambda: made.count([WINDOW])):
        with pytest.raises(SourceError, match="when") as caught:
            read_it()
        assert "\n" not in str(caught.value)


@every_source
def test_numbers_are_never_read_as_an_event_time(name: str, make: Maker, tmp_path: Path) -> None:
    made = source(name, make(tmp_path, pa.table({"at": [1_774_742_400, 1_774_742_401]})), event_time="at")
    try:
        assert list(made.fetch(None)) == []  # a query's own WHERE may leave them out
    except SourceError as error:
        assert "'at'" in str(error)
        assert "\n" not in str(error)


@every_source
def test_what_is_not_there_is_one_sentence(name: str, make: Maker, tmp_path: Path) -> None:
    options = make(tmp_path, rows_at(EDGES))
    wipe(tmp_path)
    made = source(name, options)
    for read_it in (lambda: list(made.fetch(WINDOW)), lambda: made.count([WINDOW])):
        with pytest.raises(SourceError) as caught:
            read_it()
        assert str(caught.value)
        assert "\n" not in str(caught.value)


@every_source
def test_reading_changes_nothing(name: str, make: Maker, tmp_path: Path) -> None:
    made = source(name, make(tmp_path, rows_at(EDGES)))
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    list(made.fetch(WINDOW))
    made.count([WINDOW])
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


@every_source
def test_params_are_frozen_and_survive_a_pickle(name: str, make: Maker, tmp_path: Path) -> None:
    kind = ports.load("sources", name)
    params = kind.Params(**make(tmp_path, rows_at([datetime(2026, 1, 1, tzinfo=UTC)])))
    assert dataclasses.is_dataclass(kind.Params)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(params, dataclasses.fields(params)[0].name, "other")
    assert pickle.loads(pickle.dumps(params)) == params
