"""What the source `log` reads of a log, and what it leaves unread."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from controlplane.domain.monitor import Columns, Window
from controlplane.errors import SourceError
from controlplane.log.layout import COLUMNS, file_name, folder_name
from controlplane.sources.log import Log

NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)
STREAM = "01J00000000000000000000000"


def store(folder: Path, number: int, start: dt.datetime, rows: int, role: str = "champion", **columns: Any) -> Path:
    """A file of rows a second apart, in row groups of ten."""
    given = {
        "row_id": [f"{number}-{row}" for row in range(rows)],
        "request_id": [f"{number}-{row}" for row in range(rows)],
        "event_time": [start + dt.timedelta(seconds=row) for row in range(rows)],
        "model_version": ["1"] * rows,
        "role": [role] * rows,
        "status": [200] * rows,
        "error": [""] * rows,
        "latency_ms": [1.0] * rows,
        "request_rows": [1] * rows,
        "failed_inputs": [None] * rows,
    }
    table = pa.table({**given, "x": list(range(rows)), **columns}).cast(
        pa.schema([*COLUMNS, ("x", pa.int64()), *((name, pa.array(values).type) for name, values in columns.items())])
    )
    path = folder / folder_name(start) / file_name(STREAM, number, number)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=10)
    return path


def source(folder: Path, **options: Any) -> Log:
    return Log(Log.Params(str(folder), **options), Columns("event_time"))


def read(made: Log, window: Window | None = None) -> pa.Table:
    return pa.concat_tables([pa.Table.from_batches([batch]) for batch in made.fetch(window)])


def test_hours_outside_the_window_are_never_opened(tmp_path: Path) -> None:
    store(tmp_path, 1, NOON, 30)
    for place, away in enumerate((-60, 60, 24 * 60, -24 * 60), 2):
        store(tmp_path, place, NOON + away * MINUTE, 1).write_bytes(b"no Parquet at all")
    window = Window(NOON + dt.timedelta(seconds=5), NOON + MINUTE)
    assert len(read(source(tmp_path), window)) == 25
    assert source(tmp_path).count([window]) == [25]
    with pytest.raises(SourceError, match="cannot be read"):
        read(source(tmp_path))


def test_row_groups_outside_the_window_or_of_other_roles_are_never_decoded(tmp_path: Path) -> None:
    path = store(tmp_path, 1, NOON, 40)
    store(tmp_path, 2, NOON, 20, "shadow")
    whole = pq.ParquetFile(path).metadata
    spoiled = bytearray(path.read_bytes())
    for group in (0, 1, 3):
        column = whole.row_group(group).column(9)
        begin = column.dictionary_page_offset or column.data_page_offset
        spoiled[begin : begin + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    path.write_bytes(spoiled)
    window = Window(NOON + dt.timedelta(seconds=20), NOON + dt.timedelta(seconds=30))
    assert read(source(tmp_path, roles=("champion",)), window)["x"].to_pylist() == list(range(20, 30))
    assert read(source(tmp_path, roles=("shadow",)))["x"].to_pylist() == list(range(20))


def test_roles_choose_rows_also_where_the_column_is_not_asked_for(tmp_path: Path) -> None:
    path = store(tmp_path, 1, NOON, 10)
    mixed = pq.read_table(path).set_column(4, "role", pa.array(["champion", "canary"] * 5))
    pq.write_table(mixed, path)
    made = source(tmp_path, roles=("canary", "shadow"), read=("x",))
    assert read(made).to_pydict() == {"event_time": read(made)["event_time"].to_pylist(), "x": [1, 3, 5, 7, 9]}
    assert made.count([Window(NOON, NOON + MINUTE)]) == [5]
    assert list(source(tmp_path, roles=("shadow",)).fetch(None)) == []


def test_a_file_that_another_one_holds_is_passed_over(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        store(tmp_path, number, NOON, 10)
    merged = store(tmp_path, 9, NOON, 30)
    merged.rename(merged.parent / file_name(STREAM, 1, 3))
    store(tmp_path, 4, NOON, 5)
    assert len(read(source(tmp_path))) == 35


def test_columns_come_and_go_from_file_to_file(tmp_path: Path) -> None:
    store(tmp_path, 1, NOON, 2, age=[41, 35])
    store(tmp_path, 2, NOON, 2, age=[0.5, 1.5])
    store(tmp_path, 3, NOON, 2, name=["Ann", "Bob"])
    batches = list(source(tmp_path).fetch(None))
    assert {str(batch.schema.field("age").type) for batch in batches if "age" in batch.schema.names} == {"double"}
    assert [batch.num_columns for batch in batches] == [12, 12, 12]


def test_a_folder_without_a_log_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "rows.parquet").write_bytes(b"")
    with pytest.raises(SourceError, match=r"no inference log at .*; valid: the folder or URL that a server logs to"):
        list(source(tmp_path).fetch(None))
