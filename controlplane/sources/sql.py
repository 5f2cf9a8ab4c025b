"""Rows from a table or a query of any database that SQLAlchemy speaks to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from controlplane.domain.monitor import Columns, Window


class Sql:
    """A database table, or a query, as a source."""

    @dataclass(frozen=True)
    class Params:
        """Where the rows are: a SQLAlchemy `url`, and exactly one of `table` (`name` or `schema.name`) and `query`.

        A query may use the bound parameters `:start` and `:end`; `batch_rows` rows are held at a time.
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

    def __init__(self, params: Params, columns: Columns) -> None:
        self._params, self._columns = params, columns

    def fetch(self, window: Window | None) -> Iterator[pa.RecordBatch]:
        """The rows of a window by event time, or every row for None."""
        raise NotImplementedError
