"""Rows of Python values, as database drivers hand them out, as Arrow batches of one unchanging schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa

from controlplane.sources.sentences import reading

_NUMBERS = {int, float, Decimal}
_ALONE = {bool: pa.bool_(), int: pa.int64(), str: pa.string(), date: pa.date32(), bytes: pa.binary()}


class Typing:
    """The Arrow type of each column, found at its first value that is not null and kept from there on.

    `known` settles columns beforehand, for databases whose columns hold values of several types. A column that has
    been null so far has Arrow's null type, which concatenates with any other.
    """

    def __init__(self, names: Sequence[str], known: Mapping[str, pa.DataType]) -> None:
        self._names, self._types = names, dict(known)

    def batch(self, rows: Sequence[Sequence[Any]], where: str) -> pa.RecordBatch:
        """The rows as one batch; raises SourceError where a value does not fit its column."""
        columns = list(zip(*rows, strict=True))
        arrays = [self._array(name, values, where) for name, values in zip(self._names, columns, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, names=list(self._names))

    def _array(self, name: str, values: Sequence[Any], where: str) -> pa.Array:
        kinds = {type(value) for value in values} - {type(None)}
        if kinds and name not in self._types:
            self._types[name] = _type_of(kinds, values)
        target = self._types.get(name, pa.null())
        if pa.types.is_string(target) and kinds - {str}:
            values = [value if value is None else str(value) for value in values]
        elif pa.types.is_floating(target) and kinds - {float}:
            values = [value if value is None else float(value) for value in values]
        with reading(f"column {name!r} of {where}"):
            return pa.array(values, target)


def _type_of(kinds: set[type], values: Sequence[Any]) -> pa.DataType:
    if len(kinds) == 1 and next(iter(kinds)) in _ALONE:
        return _ALONE[next(iter(kinds))]
    if kinds <= _NUMBERS:
        return pa.float64()
    if kinds == {datetime}:
        zoned = any(value is not None and value.tzinfo is not None for value in values)
        return pa.timestamp("us", "UTC" if zoned else None)
    return pa.string()
