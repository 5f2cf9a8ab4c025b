"""CSV files: read twice as text, so that the rows of the window alone decide the types of their columns."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import BinaryIO

import pyarrow as pa
from pyarrow.csv import ConvertOptions, ParseOptions, open_csv

from controlplane.log.types import Types
from controlplane.sources.event_time import EVENT_TIME
from controlplane.sources.part import Part, Wanted, retyped
from controlplane.sources.sentences import reading

_PARSE = ParseOptions(newlines_in_values=True)
_LADDER = (pa.int64(), pa.float64(), pa.bool_())


def scan(opened: Callable[[], BinaryIO], where: str, wanted: Wanted) -> Part | None:
    """What the file holds for the window; None where that is nothing.

    Guessing a type from the first block ends a run at the first later value that does not fit. Here a column is
    int64, else float64, else bool, else text, by what every row of the window can be; other files decide with it.
    Empty fields and the usual words for missing (`NA`, `null`, `NaN`) are nulls.
    """
    with reading(where), opened() as file, open_csv(file, parse_options=_PARSE) as header:
        names = wanted.names(header.schema.names, where)
    possible: dict[str, list[pa.DataType]] = {}
    for batch in _text(opened, where, wanted, names):
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if column.null_count == len(column):
                possible.setdefault(name, [pa.null(), *_LADDER])
            else:
                possible[name] = [kind for kind in possible.get(name, _LADDER) if _fits(column, kind)]
    if not possible:
        return None
    types = {name: kinds[0] if kinds else pa.string() for name, kinds in possible.items()}
    if wanted.event_time in types:
        types[wanted.event_time] = EVENT_TIME

    def read(agreed: Types) -> Generator[pa.RecordBatch, None, None]:
        for batch in _text(opened, where, wanted, names):
            with reading(where):
                rows = retyped(batch, agreed)
            yield rows

    return Part(types, read)


def _text(opened: Callable[[], BinaryIO], where: str, wanted: Wanted, names: list[str]) -> Iterator[pa.RecordBatch]:
    as_text = ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()), include_columns=names, strings_can_be_null=True
    )
    with reading(where), opened() as file, open_csv(file, parse_options=_PARSE, convert_options=as_text) as batches:
        for batch in batches:
            rows = wanted.rows(batch, where)
            if rows.num_rows:
                yield rows


def _fits(column: pa.Array, kind: pa.DataType) -> bool:
    if pa.types.is_null(kind) or not pa.types.is_string(column.type):
        return False
    try:
        column.cast(kind)
    except pa.ArrowInvalid:
        return False
    return True
