"""Labels that come apart from the rows, and late: joined by row id, the first value kept, and how many are there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from controlplane.domain.monitor import Columns
from controlplane.errors import SourceError
from controlplane.sources.event_time import normalise

ID, LABEL, KNOWN_AT = "id", "label", "known_at"


@dataclass(frozen=True)
class Labels:
    """The labels of a monitor as they are known at `now`: `fetch` gives every row of their source, in its order.

    `known_at` names the column that says when each became known; without it all that can be read is known. `held` are
    the labels that an earlier look joined to rows of the same window (columns `id` and `label`): they came first.
    """

    fetch: Callable[[], Iterator[pa.RecordBatch]]
    columns: Columns
    known_at: str | None
    now: datetime
    held: pa.Table | None = None

    def of(self, wanted: pa.Array) -> pa.Table:
        """Every known label of the `wanted` row ids, earliest first: columns `id` and `label`; raises SourceError."""
        known = self._known(wanted)
        if self.held is None:
            return known
        return self._joined([self.held.filter(pc.is_in(self.held.column(ID), value_set=wanted)), known])

    def _known(self, wanted: pa.Array) -> pa.Table:
        row_id, label = self._names()
        found: list[pa.Table] = []
        for batch in self.fetch():
            ids, values = names(_column(batch, row_id), row_id), _column(batch, label)
            known = pc.and_(pc.is_in(ids, value_set=wanted, skip_nulls=True), _known(values))
            rows = {ID: ids, LABEL: values}
            if self.known_at is not None:
                times = normalise(_column(batch, self.known_at), self.known_at, "the labels")
                known = pc.and_(known, pc.fill_null(pc.less_equal(times, pa.scalar(self.now, times.type)), False))
                rows[KNOWN_AT] = times
            found.append(pa.table(rows).filter(known))
        if not found:
            return pa.table({ID: pa.array([], pa.string()), LABEL: pa.nulls(0)})
        table = self._joined(found)
        if self.known_at is not None:
            # Row numbers break ties, so that of two labels known at once the first in the source is the earlier.
            table = table.append_column("place", pa.array(range(table.num_rows)))
            table = table.sort_by([(KNOWN_AT, "ascending"), ("place", "ascending")])
        return table.select([ID, LABEL])

    def _joined(self, tables: list[pa.Table]) -> pa.Table:
        try:
            return pa.concat_tables(tables, promote_options="permissive").combine_chunks()
        except pa.ArrowTypeError as error:
            said = f"the labels in column {self.columns.label!r} are not of one type: {error}"
            raise SourceError(said) from error

    def _names(self) -> tuple[str, str]:
        if self.columns.row_id is None or self.columns.label is None:
            raise SourceError("labels from their own source need columns.row_id and columns.label")
        return self.columns.row_id, self.columns.label


@dataclass(frozen=True)
class Joined:
    """Rows with their labels beside them: how many have one, and of how many it changed after it was first known."""

    table: pa.Table
    labelled: int
    changed: int


def join(table: pa.Table, known: pa.Table, columns: Columns, again: bool = False) -> Joined:
    """Put the first known label beside each row, null where there is none.

    `again`: the rows bear labels of an earlier join, which are kept whatever is known by now.
    """
    assert columns.label is not None
    ids = row_ids(table, columns)
    known = known.filter(pc.is_in(known.column(ID), value_set=ids)).combine_chunks()
    found = known.column(LABEL).combine_chunks().take(pc.index_in(ids, value_set=known.column(ID).combine_chunks()))
    distinct = known.group_by([ID, LABEL]).aggregate([]).num_rows
    changed = distinct - pc.count_distinct(known.column(ID)).as_py()
    if again:
        held = table.column(columns.label).combine_chunks()
        if not pa.types.is_null(held.type) and not pa.types.is_null(found.type):
            try:
                found = found.cast(held.type)
            except pa.ArrowException as error:
                said = f"the labels in column {columns.label!r} were {held.type} and are {found.type} now"
                raise SourceError(f"{said}: {error}") from None
            if not changed:
                changed = int(pc.sum(pc.not_equal(held, found)).as_py() or 0)
            found = pc.coalesce(held, found)
        elif pa.types.is_null(found.type):
            found = held
    others = [name for name in table.column_names if name != columns.label]
    return Joined(table.select(others).append_column(columns.label, found), count(found), changed)


def count(values: pa.Array | pa.ChunkedArray) -> int:
    """How many labels are known: neither null nor NaN."""
    return int(pc.sum(_known(values)).as_py() or 0)


def held(table: pa.Table, columns: Columns) -> pa.Table:
    """The labels that rows bear already, by row id: columns `id` and `label`."""
    values = table.column(columns.label).combine_chunks()
    return pa.table({ID: row_ids(table, columns), LABEL: values}).filter(_known(values))


def row_ids(table: pa.Table, columns: Columns) -> pa.Array:
    """The row ids as text; raises SourceError where there are none."""
    if columns.row_id is None:
        raise SourceError("labels from their own source need columns.row_id and columns.label")
    if columns.row_id not in table.column_names:
        raise SourceError(f"the rows have no column {columns.row_id!r}, named as columns.row_id")
    return names(table.column(columns.row_id).combine_chunks(), columns.row_id)


def names(values: pa.Array, column: str) -> pa.Array:
    """Versions and row ids as text: a whole number reads the same from every type; blank text and NaN name nobody."""
    try:
        if pa.types.is_dictionary(values.type):
            values = values.cast(values.type.value_type)
        if pa.types.is_floating(values.type):
            finite = pc.if_else(pc.is_finite(values), values, None)
            whole = pc.all(pc.equal(finite, pc.trunc(finite)), min_count=0).as_py()
            values = finite.cast(pa.int64()) if whole else finite
        text = pc.utf8_trim_whitespace(values.cast(pa.string()))
    except pa.ArrowException as error:
        raise SourceError(f"column {column!r} holds {values.type}, where a number or text was expected") from error
    return pc.if_else(pc.equal(text, ""), None, text)


def _known(values: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    known = pc.is_valid(values)
    if pa.types.is_floating(values.type):
        known = pc.and_(known, pc.invert(pc.fill_null(pc.is_nan(values), False)))
    return known


def _column(batch: pa.RecordBatch, name: str) -> pa.Array:
    if name not in batch.schema.names:
        raise SourceError(f"the labels have no column {name!r}; they have {', '.join(batch.schema.names)}")
    return batch.column(name)
