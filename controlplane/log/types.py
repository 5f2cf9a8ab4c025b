"""How columns whose types differ from batch to batch, or from file to file, become one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

import pyarrow as pa

Types = Mapping[str, pa.DataType]


def agree(parts: Iterable[Types]) -> dict[str, pa.DataType]:
    """One type for each column name over all parts: the wider number, or text where nothing else fits both.

    Readers of the batches can so concatenate them whatever the files hold, and a column whose type has changed
    arrives as text, where the quality check sees it, instead of ending the run.

    >>> agree([{"a": pa.int64(), "b": pa.int64()}, {"a": pa.float64(), "b": pa.string()}])
    {'a': DataType(double), 'b': DataType(string)}
    """
    agreed: dict[str, pa.DataType] = {}
    for types in parts:
        for name, kind in types.items():
            agreed[name] = _wider(agreed[name], kind) if name in agreed else kind
    return agreed


def _wider(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    if one == other:
        return one
    both = [pa.schema([("", one)]), pa.schema([("", other)])]
    try:
        return pa.unify_schemas(both, promote_options="permissive").field(0).type
    except pa.ArrowTypeError:
        return pa.string()


def cast(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """The column as its agreed type; lists and the like become text as JSON.

    >>> cast(pa.array([[1, 2], None]), pa.string()).to_pylist()
    ['[1, 2]', None]
    """
    if column.type == kind:
        return column
    if pa.types.is_null(kind):
        return pa.nulls(len(column))
    if pa.types.is_nested(column.type) and pa.types.is_string(kind):
        return as_text(column.to_pylist())
    return column.cast(kind)


def as_text(values: Iterable[object]) -> pa.Array:
    """Whatever the values are, as text: what holds others as JSON, and None as null."""
    return pa.array([None if value is None else _text(value) for value in values], pa.string())


def _text(value: object) -> str:
    spelled = json.dumps(value, default=str) if isinstance(value, dict | list | tuple) else str(value)
    return spelled.encode("utf-8", "replace").decode()
