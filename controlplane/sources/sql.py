"""Rows from a table or a query of any database that SQLAlchemy speaks to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, NoSuchTableError, SQLAlchemyError

from controlplane.domain.monitor import Columns, Window
from controlplane.errors import SourceError
from controlplane.sources.event_time import VALID
from controlplane.sources.part import Wanted
from controlplane.sources.sentences import one_line
from controlplane.sources.values import Typing

_BINDS = frozenset({"start", "end"})
_EVER = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))


class Sql:
    """A database table, or a query, as a source. It only reads: its transaction is never committed.

    Values arrive as the driver hands them out: on SQLite, which has no types for them, a boolean is 0 or 1 and a
    date is text. Decimals become float64, and what Arrow has no plain type for becomes text.
    """

    @dataclass(frozen=True)
    class Params:
        """Where the rows are: a SQLAlchemy `url`, and exactly one of `table` (`name` or `schema.name`) and `query`.

        A query may use the bound parameters `:start` and `:end` and should, so that the database does the filtering;
        rows outside the window are dropped either way. On SQLite both are text in UTC such as `2026-01-01 00:00:00`.
        `batch_rows` rows are held at a time.

        >>> Sql.Params("postgresql://anna:pa55@db/prod", table="answers")
        Sql.Params(table='answers', query=None, batch_rows=50000)
        """

        url: str = field(repr=False)
        table: str | None = None
        query: str | None = None
        batch_rows: int = 50_000

        def __post_init__(self) -> None:
            if (self.table is None) == (self.query is None):
                raise ValueError("a sql source takes exactly one of 'table' and 'query'")
            if self.batch_rows < 1:
                raise ValueError(f"batch_rows must be 1 or more, not {self.batch_rows}")
            unknown = sorted(_binds(self.query or "") - _BINDS)
            if unknown:
                raise ValueError(f"unknown query parameter :{unknown[0]}; valid: :start, :end")

    def __init__(self, params: Params, columns: Columns) -> None:
        self._params, self._columns = params, columns

    def fetch(self, window: Window | None) -> Iterator[pa.RecordBatch]:
        """The rows of a window by event time, or every row for None, in the order the database gives them.

        For None a query's `:start` and `:end` are the first and the last moment there is. The event time arrives as
        `timestamp[us, UTC]`; one without a zone is read as UTC, and rows without one are in no window. Nothing in
        the window is no batch; what the database refuses is a SourceError in its words, without the password.
        """
        with _connected(self._params.url, self._where) as connection:
            yield from self._rows(connection, self._statement(connection, window), window)

    def count(self, windows: Sequence[Window]) -> list[int]:
        """How many rows `fetch` gives of each window, of which the database is asked for the event times alone."""
        counts = []
        with _connected(self._params.url, self._where) as connection:
            for window in windows:
                statement = _narrowed(self._statement(connection, window), self._columns.event_time)
                counts.append(sum(batch.num_rows for batch in self._rows(connection, statement, window)))
        return counts

    @property
    def _where(self) -> str:
        return f"table {self._params.table!r}" if self._params.table else "the query"

    def _rows(
        self, connection: sa.Connection, statement: sa.Select[Any] | sa.TextClause, window: Window | None
    ) -> Iterator[pa.RecordBatch]:
        wanted, where = Wanted(self._columns.event_time, window), self._where
        options = {"yield_per": self._params.batch_rows}
        with connection.execute(statement, execution_options=options) as result:
            names = wanted.names(list(result.keys()), where)
            typing = Typing(names, _mixed(connection, statement, names))
            for rows in result.partitions(self._params.batch_rows):
                batch = wanted.rows(typing.batch(rows, where), where)
                if batch.num_rows:
                    yield batch

    def _statement(self, connection: sa.Connection, window: Window | None) -> sa.Select[Any] | sa.TextClause:
        where = self._where
        if self._params.query is not None:
            query = self._params.query.rstrip().removesuffix(";")
            start, end = _EVER if window is None else (window.start, window.end)
            bound: dict[str, Any] = {"start": start, "end": end}
            if connection.dialect.name == "sqlite":
                bound = {name: moment.replace(tzinfo=None).isoformat(" ") for name, moment in bound.items()}
            return sa.text(query).bindparams(**{name: bound[name] for name in _binds(query)})
        assert self._params.table is not None
        schema, _, table = self._params.table.rpartition(".")
        try:
            found = {
                column["name"]: column["type"] for column in sa.inspect(connection).get_columns(table, schema or None)
            }
        except NoSuchTableError:
            raise SourceError(f"{where} is not in the database; valid: the name of a table, or schema.name") from None
        rows = sa.table(table, *map(sa.column, found), schema=schema or None)
        statement = sa.select(*rows.c)
        if window is None:
            return statement
        name = self._columns.event_time
        Wanted(name, window).names(list(found), where)
        return statement.where(*_within(connection, rows, name, found[name], window, where))


def _narrowed(statement: sa.Select[Any] | sa.TextClause, name: str) -> sa.Select[Any]:
    if isinstance(statement, sa.TextClause):
        return sa.select(statement.columns(sa.column(name)).subquery().c[name])
    return statement.with_only_columns(statement.selected_columns[name])


def _within(
    connection: sa.Connection,
    rows: sa.TableClause,
    name: str,
    kind: sa.types.TypeEngine[Any],
    window: Window,
    where: str,
) -> list[sa.ColumnElement[bool]]:
    """What the database can say of `start <= event time < end`; where times are text, with a day to spare each way,
    because a moment has many spellings that do not sort by time."""
    sqlite = connection.dialect.name == "sqlite"
    if sqlite:
        # SQLite sorts numbers before all text: one in the column is at its very beginning, and no window would hold it.
        first = connection.scalar(sa.select(sa.func.typeof(sa.func.min(rows.c[name]))).select_from(rows))
        if first in ("integer", "real"):
            raise SourceError(f"event time column {name!r} of {where} holds {first} values; valid: {VALID}")
    if isinstance(kind, sa.String) or (sqlite and isinstance(kind, sa.DateTime | sa.Date | sa.types.NullType)):
        text, day = sa.type_coerce(rows.c[name], sa.String), timedelta(days=1)
        return [text >= f"{window.start - day:%Y-%m-%d}", text < f"{window.end + 2 * day:%Y-%m-%d}"]
    column = sa.type_coerce(rows.c[name], kind)
    if isinstance(kind, sa.Date):
        return [column >= window.start.date(), column <= window.end.date()]
    if isinstance(kind, sa.DateTime):
        zone = UTC if kind.timezone else None
        return [column >= window.start.replace(tzinfo=zone), column < window.end.replace(tzinfo=zone)]
    raise SourceError(f"event time column {name!r} of {where} is {kind}; valid: {VALID}")


def _mixed(
    connection: sa.Connection, statement: sa.Select[Any] | sa.TextClause, names: list[str]
) -> dict[str, pa.DataType]:
    """The columns that hold values of several types, which only SQLite allows: numbers become float64, others text."""
    if connection.dialect.name != "sqlite":
        return {}
    rows = statement.columns(*map(sa.column, names)) if isinstance(statement, sa.TextClause) else statement
    stored = sa.select(*[sa.func.group_concat(sa.func.typeof(column).distinct()) for column in rows.subquery().c])
    kinds = [set((said or "").split(",")) - {"null"} for said in connection.execute(stored).one()]
    return {
        name: pa.float64() if kind == {"integer", "real"} else pa.string()
        for name, kind in zip(names, kinds, strict=True)
        if len(kind) > 1
    }


@contextmanager
def _connected(address: str, where: str) -> Iterator[sa.Connection]:
    """A read-only connection whose every failure is a SourceError in one line without the password."""
    try:
        url = sa.make_url(address)
    except (SQLAlchemyError, ValueError):
        raise SourceError("the url of the sql source is not one; valid: dialect+driver://user@host/database") from None
    if url.get_backend_name() == "sqlite" and url.database and not url.database.startswith((":", "file:")):
        if not Path(url.database).is_file():
            raise SourceError(f"no database file {url.database}")
    shown = url.set(query={}).render_as_string()
    engine = None
    try:
        if url.get_driver_name() in ("psycopg", "psycopg2") and "connect_timeout" not in url.query:
            url = url.update_query_dict({"connect_timeout": "10"})
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        with engine.connect() as connection:
            _read_only(connection)
            yield connection
    except (SourceError, MemoryError):
        raise
    except Exception as error:
        said = one_line(error.orig if isinstance(error, DBAPIError) and isinstance(error.orig, Exception) else error)
        if url.password:
            said = said.replace(str(url.password), "***")
        raise SourceError(f"{where} of {shown} cannot be read: {said}") from None
    finally:
        if engine is not None:
            engine.dispose()


def _read_only(connection: sa.Connection) -> None:
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA query_only = ON")
        connection.exec_driver_sql("BEGIN")
    elif connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET TRANSACTION READ ONLY")
        # A time without a zone that is compared with `:start` is taken to be in the session's zone.
        connection.exec_driver_sql("SET TIME ZONE 'UTC'")


def _binds(query: str) -> frozenset[str]:
    return frozenset(sa.text(query).compile().params)
