"""What the files source reads, what it leaves alone, and what it says when it cannot."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.local import LocalFileSystem

from controlplane.domain.monitor import Columns, Window
from controlplane.errors import SourceError
from controlplane.sources.files import Files

DAY = Window.parse("2026-01-02T00:00Z/2026-01-03T00:00Z")
T0 = datetime(2026, 1, 1, tzinfo=UTC)


def fetch(path: object, window: Window | None = DAY, event_time: str = "at", **params: Any) -> pa.Table:
    batches = list(Files(Files.Params(str(path), **params), Columns(event_time)).fetch(window))
    return (
        pa.concat_tables([pa.Table.from_batches([b]) for b in batches], promote_options="default")
        if batches
        else pa.table({})
    )


def hours(n: int, unit: str = "us", zone: str | None = "UTC") -> pa.Array:
    return pa.array([T0 + timedelta(hours=i) for i in range(n)], pa.timestamp("us", "UTC")).cast(
        pa.timestamp(unit, zone)
    )


def write(path: Path, **columns: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


def text(path: Path, content: str) -> Path:
    path.write_text(content)
    return path


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", None, "+02:00"])
def test_every_kind_of_timestamp_is_read_as_utc(tmp_path: Path, unit: str, zone: str | None) -> None:
    rows = fetch(write(tmp_path / "a.parquet", at=hours(72, unit, zone), x=list(range(72))))
    assert rows["x"].to_pylist() == list(range(24, 48))
    assert rows.schema.field("at").type == pa.timestamp("us", "UTC")


def test_a_date_is_its_midnight_in_utc(tmp_path: Path) -> None:
    days = [date(2026, 1, d) for d in (1, 2, 3)]
    assert fetch(write(tmp_path / "a.parquet", at=days, x=[1, 2, 3]))["x"].to_pylist() == [2]


def test_iso_text_with_and_without_a_zone_is_read(tmp_path: Path) -> None:
    at = ["2026-01-02", "2026-01-02T00:30:00+01:00", "2026-01-02 23:59:59.9999999", "2026-01-03T00:00:00Z", None]
    rows = fetch(write(tmp_path / "a.parquet", at=at, x=[1, 2, 3, 4, 5]))
    assert rows["x"].to_pylist() == [1, 3]


def test_a_nanosecond_before_the_end_is_still_inside(tmp_path: Path) -> None:
    end = int(DAY.end.timestamp()) * 10**9
    at = pa.array([end - 1, end], pa.timestamp("ns", "UTC"))
    assert fetch(write(tmp_path / "a.parquet", at=at, x=[1, 2]))["x"].to_pylist() == [1]


def test_a_row_without_an_event_time_is_in_no_window_and_among_all_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", at=pa.array([DAY.start, None], pa.timestamp("us", "UTC")), x=[1, 2])
    assert fetch(path)["x"].to_pylist() == [1]
    assert fetch(path, None)["x"].to_pylist() == [1, 2]


@pytest.mark.parametrize("values", [[1, 2], [1.5, 2.5], [True, False], ["yesterday", "today"]])
def test_an_event_time_that_is_no_time_is_one_sentence(tmp_path: Path, values: list[Any]) -> None:
    path = write(tmp_path / "a.parquet", at=values)
    with pytest.raises(SourceError, match=r"event time column 'at' of .*a\.parquet.*valid: a timestamp") as caught:
        fetch(path)
    assert "\n" not in str(caught.value)


def test_integers_are_no_time_even_in_a_file_without_rows(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is int64"):
        fetch(write(tmp_path / "a.parquet", at=pa.array([], pa.int64())))


def test_only_row_groups_of_the_window_are_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"at": hours(240), "x": list(range(240))}), path, row_group_size=24)
    touched: list[int] = []
    whole = pq.ParquetFile.iter_batches

    def counted(self: Any, *args: Any, row_groups: Any = None, **rest: Any) -> Any:
        touched.extend(row_groups)
        return whole(self, *args, row_groups=row_groups, **rest)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", counted)
    assert fetch(path)["x"].to_pylist() == list(range(24, 48))
    assert touched == [1]


@pytest.fixture
def read_from_disk() -> Callable[[], int]:
    """Makes `counting://` paths readable, and tells how many bytes of them were read since it was last asked."""
    read = 0

    class Counting(LocalFileSystem):
        protocol = "counting"

        def open(self, path: str, mode: str = "rb", **rest: Any) -> Any:
            file = super().open(path, mode, **rest)
            whole = file.read

            def counted(size: int = -1) -> bytes:
                nonlocal read
                data: bytes = whole(size)
                read += len(data)
                return data

            file.read = counted
            return file

    def since() -> int:
        nonlocal read
        was, read = read, 0
        return was

    fsspec.register_implementation("counting", Counting, clobber=True)
    return since


def test_rows_outside_the_window_are_not_read_from_disk(tmp_path: Path, read_from_disk: Callable[[], int]) -> None:
    noise = np.random.default_rng(1).random(240_000)
    path = tmp_path / "a.parquet"
    times = pa.array(np.datetime64("2026-01-01", "us") + np.arange(240_000) * np.timedelta64(3_600_000, "us"))
    pq.write_table(pa.table({"at": times, "x": noise}), path, row_group_size=2_400)
    window = Window(datetime(2026, 1, 1, 0, 20, tzinfo=UTC), datetime(2026, 1, 1, 1, 20, tzinfo=UTC))
    assert fetch(f"counting://{path}", window).num_rows == 1_000
    assert 0 < read_from_disk() < path.stat().st_size / 8


def test_counting_reads_the_event_time_alone_and_once_for_all_windows(
    tmp_path: Path, read_from_disk: Callable[[], int]
) -> None:
    random = np.random.default_rng(1)
    times = pa.array(np.datetime64("2026-01-01", "us") + np.arange(240_000) * np.timedelta64(3_600_000, "us"))
    columns = {"at": times} | {f"x{i}": random.random(240_000) for i in range(8)}
    path = write(tmp_path / "a.parquet", **columns)
    hours = [Window(T0 + timedelta(hours=h), T0 + timedelta(hours=h + 1)) for h in range(240)]
    counts = Files(Files.Params(f"counting://{path}"), Columns("at")).count(hours)
    assert counts == [1_000] * 240
    assert 0 < read_from_disk() < path.stat().st_size / 6


def test_text_times_are_never_pruned_by_their_spelling(tmp_path: Path) -> None:
    at = ["2026-01-01T23:30:00-01:00", "2026-01-01T23:59:00-01:00"]
    assert fetch(write(tmp_path / "a.parquet", at=at, x=[1, 2]))["x"].to_pylist() == [1, 2]


def test_a_big_file_is_read_in_bounded_memory(tmp_path: Path) -> None:
    path, rows, group = tmp_path / "a.parquet", 2_000_000, 50_000
    schema = pa.schema([("at", pa.timestamp("us", "UTC")), *((f"x{i}", pa.float64()) for i in range(4))])
    rng = np.random.default_rng(2)
    with pq.ParquetWriter(path, schema) as writer:
        for first in range(0, rows, group):
            at = np.datetime64("2026-01-01", "us") + np.arange(first, first + group) * np.timedelta64(1, "s")
            writer.write_table(pa.table([at, *(rng.random(group) for _ in range(4))], schema=schema), group)
    pool = pa.default_memory_pool()
    seen, peak, before = 0, 0, pool.bytes_allocated()
    for batch in Files(Files.Params(str(path)), Columns("at")).fetch(None):
        seen += batch.num_rows
        peak = max(peak, pool.bytes_allocated() - before)
    assert seen == rows
    assert peak < rows * 5 * 8 / 4


def test_files_with_other_column_orders_are_joined_by_name(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", at=hours(30), x=[1] * 30, y=["a"] * 30)
    write(tmp_path / "b.parquet", y=["b"] * 30, at=hours(30), x=[2] * 30)
    rows = fetch(tmp_path)
    assert rows["x"].to_pylist() == [1] * 6 + [2] * 6
    assert rows["y"].to_pylist() == ["a"] * 6 + ["b"] * 6


def test_a_column_gone_from_one_file_is_null_there(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", at=hours(25), x=[1] * 25, y=[7] * 25)
    write(tmp_path / "b.parquet", at=hours(25), x=[2] * 25)
    assert fetch(tmp_path)["y"].to_pylist() == [7, None]


def test_a_column_gone_from_every_file_of_the_window_is_gone(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", at=hours(24), x=[1] * 24, y=[7] * 24)
    text(tmp_path / "b.csv", "at,y\n2026-01-01T05:00:00Z,3\n")
    write(tmp_path / "c.parquet", at=hours(25), x=[2] * 25)
    assert fetch(tmp_path).column_names == ["at", "x"]


def test_a_column_that_changed_its_type_reaches_the_checks(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", at=hours(25), n=pa.array([1] * 25, pa.int32()), s=[5] * 25)
    write(tmp_path / "b.parquet", at=hours(25), n=[1.5] * 25, s=["five"] * 25)
    rows = fetch(tmp_path)
    assert rows["n"].to_pylist() == [1.0, 1.5]
    assert rows["s"].to_pylist() == ["5", "five"]


def test_dictionary_columns_arrive_as_values(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", at=hours(25), c=pa.array(["u"] * 25).dictionary_encode())
    assert fetch(path).schema.field("c").type == pa.string()


def test_csv_types_are_decided_by_the_rows_of_the_window(tmp_path: Path) -> None:
    path = text(
        tmp_path / "a.csv",
        "at,i,f,b,s,gone\n"
        "2026-01-01T00:00:00Z,oops,oops,oops,1,5\n"
        "2026-01-02T00:00:00Z,1,2,true,x,\n"
        '2026-01-02T01:00:00Z,,inf,false,"two\nlines",\n',
    )
    rows = fetch(path)
    assert [str(field.type) for field in rows.schema] == [
        "timestamp[us, tz=UTC]",
        "int64",
        "double",
        "bool",
        "string",
        "null",
    ]
    assert rows["f"].to_pylist() == [2.0, float("inf")]
    assert rows["s"].to_pylist() == ["x", "two\nlines"]
    assert fetch(path, None)["i"].to_pylist() == ["oops", "1", None]


def test_a_csv_value_that_does_not_fit_far_down_the_file_does_not_end_the_run(tmp_path: Path) -> None:
    lines = [f"2026-01-02T00:00:00Z,{i},some padding to fill more than one block of the reader" for i in range(40_000)]
    path = text(tmp_path / "a.csv", "\n".join(["at,x,pad", *lines, "2026-01-02T00:00:00Z,2.5,end"]))
    assert path.stat().st_size > 2 << 20
    rows = fetch(path)
    assert rows.schema.field("x").type == pa.float64()
    assert rows.num_rows == 40_001


def test_a_compressed_csv_and_a_csv_by_another_ending_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"at,x\n2026-01-02,1\n"))
    assert fetch(tmp_path / "a.csv.gz")["x"].to_pylist() == [1]
    assert fetch(text(tmp_path / "a.txt", "at,x\n2026-01-02,1\n"), format="csv")["x"].to_pylist() == [1]
    with pytest.raises(SourceError, match=r"a\.txt ends in none of .*; give its format"):
        fetch(tmp_path / "a.txt")


def test_only_the_named_columns_and_the_event_time_are_read(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", x=[1] * 25, at=hours(25), y=[2] * 25)
    text(tmp_path / "b.csv", "at,x,y\n2026-01-02,3,4\n")
    rows = fetch(tmp_path, columns=("y",))
    assert rows.column_names == ["at", "y"]
    assert rows["y"].to_pylist() == [2, 4]


def test_globs_folders_and_urls_find_the_same_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "day=1" / "a.parquet", at=hours(30), x=list(range(30)))
    text(tmp_path / "_SUCCESS", "")
    text(tmp_path / "notes.md", "not rows")
    fsspec.filesystem("memory").pipe("/rows/a.parquet", path.read_bytes())
    want = fetch(path)
    for place in [tmp_path, f"{tmp_path}/*/*.parquet", f"file://{path}", "memory://rows", "memory://rows/*.parquet"]:
        assert fetch(place).equals(want)


def test_a_file_that_arrives_later_is_seen_by_the_same_source(tmp_path: Path) -> None:
    source = Files(Files.Params(str(tmp_path / "*.parquet")), Columns("at"))
    write(tmp_path / "a.parquet", at=hours(25))
    assert sum(batch.num_rows for batch in source.fetch(DAY)) == 1
    write(tmp_path / "b.parquet", at=hours(25))
    assert sum(batch.num_rows for batch in source.fetch(DAY)) == 2


@pytest.mark.parametrize("name", ["gone.parquet", "gone-*.csv", "gone/"])
def test_nothing_that_matches_is_one_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceError, match=r"no file matches .*gone"):
        fetch(tmp_path / name)
    with pytest.raises(SourceError, match="no file matches"):
        fetch(tmp_path)


def test_a_file_with_no_rows_in_the_window_gives_no_batch(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", at=hours(3), x=[1, 2, 3])
    write(tmp_path / "b.parquet", at=pa.array([], pa.timestamp("us", "UTC")))
    text(tmp_path / "c.csv", "at,x\n")
    text(tmp_path / "d.csv", "at,x\n2026-02-01,1\n")
    assert list(Files(Files.Params(str(tmp_path)), Columns("at")).fetch(DAY)) == []


def test_an_unreadable_parquet_file_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", at=hours(200), x=np.random.default_rng(3).random(200))
    whole = path.read_bytes()
    for broken in [
        b"",
        b"not parquet at all",
        whole[:-9],
        whole[:4] + bytes(len(whole) // 2) + whole[4 + len(whole) // 2 :],
    ]:
        path.write_bytes(broken)
        with pytest.raises(SourceError, match=r"a\.parquet cannot be read: ") as caught:
            fetch(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"at,x\n2026-01-02,1,2\n", b"at,x\n2026-01-02,\xff\xfe\n"])
def test_an_unreadable_csv_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(SourceError, match=r"a\.csv cannot be read: "):
        fetch(tmp_path / "a.csv")


def test_a_file_without_the_event_time_column_names_it_and_what_it_has(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", when=hours(2), x=[1, 2])
    with pytest.raises(SourceError, match=r"a\.parquet has no event time column 'at'; its columns: when, x"):
        fetch(path)
    assert fetch(path, None)["x"].to_pylist() == [1, 2]


def test_a_column_name_that_stands_twice_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="more than one column named 'x'"):
        fetch(text(tmp_path / "a.csv", "at,x,x\n2026-01-02,1,2\n"))


def test_an_unknown_url_scheme_is_one_sentence() -> None:
    with pytest.raises(SourceError, match=r"nosuch://bucket/a\.parquet cannot be read: Protocol not known"):
        fetch("nosuch://bucket/a.parquet")


def test_credentials_in_a_url_are_never_shown() -> None:
    params = Files.Params("nosuch://anna:pa55@bucket/a.parquet?token=t0ken", storage_options={"secret": "hush"})
    with pytest.raises(SourceError) as caught:
        list(Files(params, Columns("at")).fetch(DAY))
    for shown in (repr(params), str(params), str(caught.value)):
        assert not any(secret in shown for secret in ("pa55", "t0ken", "hush"))


def test_impossible_options_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match="unknown format 'json'; valid: parquet, csv"):
        Files.Params("a", format="json")
    with pytest.raises(ValueError, match="path must name"):
        Files.Params("")


def test_text_is_handed_on_as_dictionaries_only_where_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", at=hours(25), c=["u"] * 25, d=["v"] * 25, n=[1] * 25)
    write(tmp_path / "b.parquet", at=hours(25), c=[5] * 25, d=["w"] * 25, n=[1] * 25)
    encoded = ("at", "c", "d", "n", "gone")
    [rows] = Files(Files.Params(str(path)), Columns("at")).fetch(None, encoded)
    assert [pa.types.is_dictionary(kind) for kind in rows.schema.types] == [False, True, True, False]
    one, other = Files(Files.Params(str(tmp_path)), Columns("at")).fetch(None, encoded)
    assert one.schema.field("c").type == pa.dictionary(pa.int32(), pa.string())
    assert other["c"].to_pylist() == ["5"] * 25, "a type that changed arrives as text, as ever"
    assert one["d"].to_pylist() == ["v"] * 25
