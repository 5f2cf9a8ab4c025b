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


def with_labels(rows: pa.Table, label: str | None, needed: int) -> pa.Table:
    """The rows whose label is known (neither null nor NaN); raises NotEnoughData below `needed` of them."""
    if label is None or label not in rows.column_names:
        raise CheckError("the rows have no label column" if label is None else f"the rows have no column {label!r}")
    column = rows[label]
    known = pc.is_valid(column)
    if pa.types.is_floating(column.type):
        known = pc.and_(known, pc.invert(pc.fill_null(pc.is_nan(column), False)))
    labelled = rows.filter(known)
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
    array = _plain(values) if isinstance(values, pa.ChunkedArray) else np.asarray(values)
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


def said(values: Iterable[Any], most: int = 5) -> str:
    """The distinct values in words, at most `most` of them.

    >>> said(np.array([1.0, 2.0, 2.0])), said(np.array(["a"]))
    ('1, 2', "'a'")
    """
    distinct = sorted(set(values))
    words = [repr(str(value)) if isinstance(value, str) else f"{value:g}" for value in distinct[:most]]
    return ", ".join(words) + (f" and {len(distinct) - most} more" if len(distinct) > most else "")


def _plain(column: pa.ChunkedArray) -> np.ndarray:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    return np.asarray(column.to_numpy())
