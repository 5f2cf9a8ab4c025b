"""Labels and answers made comparable: numbers with numbers, text with text, and nothing silently unequal.

A label that came through a join is often `1.0` where the model says `1`, or `"1"` where a file was text. The first pair
is equal here; the second is a CheckError, because counting it as a wrong answer would invent a regression.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from controlplane.errors import CheckError, NotEnoughData

_FEW = 16


def with_labels(rows: pa.Table, label: str | None, needed: int) -> pa.Table:
    """The rows whose label is known (neither null nor NaN); raises NotEnoughData below `needed` of them."""
    if label is None or label not in rows.column_names:
        raise CheckError("the rows have no label column" if label is None else f"the rows have no column {label!r}")
    column = rows[label]
    known = pc.is_valid(column)
    if pa.types.is_floating(column.type):
        known = pc.and_(known, pc.invert(pc.fill_null(pc.is_nan(column), False)))
    labelled = rows if pc.all(known).as_py() else rows.filter(known)
    if labelled.num_rows < needed:
        raise NotEnoughData(
            f"{labelled.num_rows} of {rows.num_rows} rows have a label; {needed} are needed", labelled.num_rows, needed
        )
    return labelled


def keys(values: pa.ChunkedArray | np.ndarray, what: str) -> np.ndarray:
    """Labels or answers as float64 (numbers, booleans) or as text; raises CheckError where they are neither.

    >>> keys(np.array([True, False]), "labels")
    array([1., 0.])
    >>> keys(np.array([1.0, float("nan")]), "predictions")
    Traceback (most recent call last):
    ...
    controlplane.errors.CheckError: 1 of 2 predictions are not finite numbers
    """
    if isinstance(values, pa.ChunkedArray):
        if _is_text(values.type) and not values.null_count and len(values):
            return _text(values)
        values = _plain(values)
    array = np.asarray(values)
    if array.dtype.kind == "O":
        kinds = {type(value) for value in array}
        if kinds <= {str, np.str_}:
            return array.astype(str)
        if not all(isinstance(value, int | float | np.number | np.bool_) for value in array):
            raise CheckError(f"{what} must be numbers or text; found {', '.join(sorted(k.__name__ for k in kinds))}")
    elif array.dtype.kind == "U":
        return array
    elif array.dtype.kind not in "biuf":
        raise CheckError(f"{what} must be numbers or text; found {array.dtype}")
    numbers = array.astype(np.float64)
    broken = int((~np.isfinite(numbers)).sum())
    if broken:
        raise CheckError(f"{broken} of {len(numbers)} {what} are not finite numbers")
    return numbers


def same_kind(labels: np.ndarray, answers: np.ndarray, what: str) -> None:
    """Raise CheckError where labels are numbers and answers text, or the other way round."""
    if (labels.dtype.kind == "U") != (answers.dtype.kind == "U"):
        raise CheckError(
            f"labels such as {said(labels[:1])} can never equal {what} such as {said(answers[:1])}: "
            "one is text, the other a number"
        )


def distinct(*arrays: np.ndarray) -> np.ndarray:
    """The distinct values of arrays of one kind, sorted; a few of them are found without sorting every row.

    >>> distinct(np.array([2.0, 1.0]), np.array([3.0, 2.0]))
    array([1., 2., 3.])
    """
    found: list[np.ndarray] = []
    for array in arrays:
        rest = array
        for known in found:
            rest = rest[~np.isin(rest, known)] if len(known) > _FEW else _without(rest, known)
        one: list[Any] = []
        while len(rest) and len(one) < _FEW:
            one.append(rest[0])
            rest = rest[rest != rest[0]]
        found.append(np.concatenate([np.array(one, dtype=array.dtype), np.unique(rest)]))
    return np.sort(np.concatenate(found))


def codes(values: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """The place of each value among sorted classes that hold them all.

    >>> codes(np.array(["b", "a"]), np.array(["a", "b"]))
    array([1, 0])
    """
    if len(classes) > _FEW:
        return np.searchsorted(classes, values)
    places = np.zeros(len(values), dtype=np.intp)
    for place, one in enumerate(classes[1:], start=1):
        places += place * (values == one)
    return places


def _without(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    kept = np.ones(len(values), dtype=bool)
    for one in known:
        kept &= values != one
    return values[kept]


def said(values: Iterable[Any], most: int = 5) -> str:
    """The distinct values in words, at most `most` of them.

    >>> said(np.array([1.0, 2.0, 2.0])), said(np.array(["a"]))
    ('1, 2', "'a'")
    """
    distinct = sorted(set(values))
    words = [repr(str(value)) if isinstance(value, str) else f"{value:g}" for value in distinct[:most]]
    return ", ".join(words) + (f" and {len(distinct) - most} more" if len(distinct) > most else "")


def _is_text(kind: pa.DataType) -> bool:
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(value) or pa.types.is_large_string(value))


def _text(column: pa.ChunkedArray) -> np.ndarray:
    """Text as NumPy holds it, made once for each distinct value."""
    coded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    coded = coded.unify_dictionaries().combine_chunks()
    return np.asarray(np.array(coded.dictionary.to_pylist(), dtype=str)[coded.indices.to_numpy()])


def _plain(column: pa.ChunkedArray) -> np.ndarray:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    return np.asarray(column.to_numpy())
