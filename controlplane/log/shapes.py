"""Inputs and answers, in whatever shape a server has them, as Arrow columns: many requests at a time."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from enum import Enum
from itertools import chain, islice
from typing import Any

import numpy as np
import pyarrow as pa

from controlplane.log.types import as_text

Arrays = dict[str, pa.Array]

# Frames of few rows are put together as Python values, which costs a third of what pandas' own concatenation does.
SMALL_ROWS = 32
WHOLE = ""
"""The name of a column that is the whole of an input or an answer, such as an image or a number."""

_LOOKED = 4
_REFUSED = (pa.ArrowException, OverflowError, TypeError, ValueError)


def rows_of(value: Any) -> int:
    """How many rows an input or an answer holds, as cheaply as can be told.

    >>> rows_of([{"a": 1}, {"a": 2}]), rows_of({"a": [1, 2, 3]}), rows_of("one")
    (2, 3, 1)
    """
    if _form(value) is _Form.MAPPING:
        return _length(next(iter(value.values()), ()))
    return _length(value)


def weight_of(value: Any, rows: int) -> int:
    """About how many bytes an input or an answer takes, judged by its first row and its first columns."""
    form = _form(value)
    if form is _Form.FRAME:
        return 16 * rows * len(value.columns)
    if form is _Form.MAPPING:
        looked = [weight_of(each, rows) for each in islice(value.values(), _LOOKED)]
        return sum(looked) * len(value) // max(len(looked), 1)
    if form is _Form.TEXT:
        return 32 + len(value)
    if form is _Form.LIST:
        return 16 + len(value) * weight_of(value[0], 1) if value else 16
    return 16 + int(getattr(value, "nbytes", 16))


def columns_of(value: Any) -> Any:
    """A value as its columns: a DataFrame as it is, all else as a mapping of names to lists and arrays.

    A tensor, and a list of anything but mappings, is one column named `WHOLE`.
    """
    form = _form(value)
    if form is _Form.FRAME:
        return value
    if form is _Form.MAPPING:
        columns = {str(name): _listed(each) for name, each in value.items()}
        if len({len(each) for each in columns.values()}) > 1:
            raise ValueError("the columns differ in length")
        return columns
    if form is _Form.LIST and value and all(_form(row) is _Form.MAPPING for row in value):
        names = dict.fromkeys(name for row in value for name in row)
        return {str(name): [row.get(name) for row in value] for name in names}
    return {WHOLE: _listed(value)}


def shape_of(columns: Any) -> Hashable:
    """What columns must have in common to be put together."""
    if columns is None:
        return None
    if _form(columns) is _Form.FRAME:
        return (len(columns) <= SMALL_ROWS or id(columns), *columns.columns)
    return tuple(
        (name, each.dtype.str, each.shape[1:]) if isinstance(each, np.ndarray) else name
        for name, each in columns.items()
    )


def joined(many: Sequence[Any]) -> Arrays:
    """The columns of several values of one shape, one below the other."""
    first = many[0]
    if _form(first) is _Form.FRAME:
        return _small_frames(many) if len(first) <= SMALL_ROWS else _frame(first)
    return {name: _column([columns[name] for columns in many]) for name in first}


class _Form(Enum):
    FRAME, MAPPING, LIST, TEXT, OTHER = range(5)


_FORMS: dict[type, _Form] = {}


def _form(value: object) -> _Form:
    # Asked of its type, once: asking the value itself costs more than all else that is done with a small request.
    kind = type(value)
    found = _FORMS.get(kind)
    if found is None:
        found = _FORMS[kind] = _form_of(kind)
    return found


def _form_of(kind: type) -> _Form:
    if hasattr(kind, "iloc") and hasattr(kind, "columns"):
        return _Form.FRAME
    if issubclass(kind, Mapping):
        return _Form.MAPPING
    if issubclass(kind, list | tuple):
        return _Form.LIST
    return _Form.TEXT if issubclass(kind, str | bytes) else _Form.OTHER


def _length(value: Any) -> int:
    form = _form(value)
    if form is _Form.TEXT or (form is _Form.OTHER and (not hasattr(value, "__len__") or _is_scalar(value))):
        return 1
    return len(value)


def _is_scalar(value: Any) -> bool:
    return getattr(value, "shape", None) == ()


def _listed(value: Any) -> list[Any] | np.ndarray:
    form = _form(value)
    if form is _Form.LIST:
        return list(value)
    if form is _Form.TEXT or not hasattr(value, "__array__"):
        return [value]
    return np.atleast_1d(np.asarray(value))


def _small_frames(frames: Sequence[Any]) -> Arrays:
    cells = np.concatenate([frame.to_numpy(dtype=object) for frame in frames])
    kinds = [_kind_of(dtype) for dtype in frames[0].dtypes]
    names = _distinct(frames[0].columns)
    return {name: array(cells[:, place], kind) for place, (name, kind) in enumerate(zip(names, kinds, strict=True))}


def _frame(frame: Any) -> Arrays:
    names = _distinct(frame.columns)
    return {name: array(frame.iloc[:, place], None) for place, name in enumerate(names)}


def _kind_of(dtype: Any) -> pa.DataType | None:
    plain = isinstance(dtype, np.dtype) and dtype.kind in "iufb" and dtype != np.float16
    return pa.from_numpy_dtype(dtype) if plain else None


def _distinct(names: Iterable[object]) -> list[str]:
    found: dict[str, None] = {}
    for name in map(str, names):
        place, free = 2, name
        while free in found:
            place, free = place + 1, f"{name}_{place}"
        found[free] = None
    return list(found)


def _column(pieces: Sequence[list[Any] | np.ndarray]) -> pa.Array:
    if isinstance(pieces[0], np.ndarray):
        return _tensor(np.concatenate(pieces))
    return array(list(chain.from_iterable(pieces)), None)


def _tensor(values: np.ndarray) -> pa.Array:
    """A row of an array of more than one dimension is a list, of lists where it has more than two."""
    if values.ndim == 1 or values.dtype.kind not in "iufb":
        return array(values if values.ndim == 1 else values.tolist(), None)
    native = values.dtype.newbyteorder("=")
    flat = values.astype(np.float32 if native == np.float16 else native, copy=False)
    nested = pa.array(np.ascontiguousarray(flat).reshape(-1))
    for axis in range(values.ndim - 1, 0, -1):
        lists = int(np.prod(values.shape[:axis]))
        offsets = np.arange(lists + 1, dtype=np.int32) * values.shape[axis]
        nested = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), nested)
    return nested


def array(values: Any, kind: pa.DataType | None) -> pa.Array:
    """Values of one column; of `kind` where they are all that, else of what they all are, else text."""
    if kind is not None:
        try:
            return pa.array(values, kind, from_pandas=True)
        except _REFUSED:
            pass
    try:
        return _stored(pa.array(values, from_pandas=True))
    except _REFUSED:
        plain = [_plain(value) for value in values]
    try:
        return _stored(pa.array(plain, from_pandas=True))
    except _REFUSED:
        return as_text(plain)


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


def _stored(found: pa.Array) -> pa.Array:
    """The array, where Parquet can hold it; raises TypeError elsewhere."""
    if pa.types.is_dictionary(found.type):
        found = found.cast(found.type.value_type)
    if isinstance(found, pa.ChunkedArray):
        found = found.combine_chunks()
    if pa.types.is_float16(found.type):
        return found.cast(pa.float32())
    if not _can_store(found.type):
        raise TypeError(f"{found.type} cannot be stored")
    return found


def _can_store(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return kind.num_fields > 0 and all(_can_store(kind.field(place).type) for place in range(kind.num_fields))
    if pa.types.is_list(kind):
        return _can_store(kind.value_type)
    test = pa.types
    known = (test.is_primitive, test.is_string, test.is_large_string, test.is_binary, test.is_decimal, test.is_null)
    return any(each(kind) for each in known) and not test.is_interval(kind)
