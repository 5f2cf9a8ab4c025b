"""What a column is, and how its Arrow values become numbers or names."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]


class Kind(StrEnum):
    """How a column is summarised.

    NUMERIC and DATETIME (seconds since 1970 in UTC) by their values, TEXT by its length in characters, VECTOR (a list
    of numbers, such as an image) by its mean; CATEGORICAL and BOOLEAN by counts of each value.
    """

    NUMERIC = "numeric"
    CATEGORICAL = "categorical"
    BOOLEAN = "boolean"
    DATETIME = "datetime"
    TEXT = "text"
    VECTOR = "vector"

    @property
    def counted(self) -> bool:
        """Whether each value is counted by name; the other kinds are numbers on a line."""
        return self in (Kind.CATEGORICAL, Kind.BOOLEAN)


def kind_of(type_: pa.DataType) -> Kind | None:
    """The kind of an Arrow type, None where it cannot be summarised (a struct, a map).

    Strings are CATEGORICAL here; the bins make them TEXT where the reference shows too many distinct ones.

    >>> kind_of(pa.int8()), kind_of(pa.list_(pa.float32(), 64)), kind_of(pa.struct([]))
    (<Kind.NUMERIC: 'numeric'>, <Kind.VECTOR: 'vector'>, None)
    """
    types = pa.types
    if isinstance(type_, pa.BaseExtensionType):
        return kind_of(type_.storage_type)
    if types.is_boolean(type_):
        return Kind.BOOLEAN
    if types.is_timestamp(type_) or types.is_date(type_):
        return Kind.DATETIME
    if any(test(type_) for test in (types.is_integer, types.is_floating, types.is_decimal)):
        return Kind.NUMERIC
    if types.is_duration(type_) or types.is_time(type_):
        return Kind.NUMERIC
    if types.is_dictionary(type_):
        return Kind.CATEGORICAL if kind_of(type_.value_type) is not None else None
    if _is_list(type_):
        return Kind.VECTOR if kind_of(type_.value_type) in (Kind.NUMERIC, Kind.BOOLEAN, Kind.VECTOR) else None
    if types.is_null(type_) or _is_string(type_) or _is_binary(type_):
        return Kind.CATEGORICAL
    return None


def readable(type_: pa.DataType, kind: Kind) -> bool:
    """Whether a column of this type can be counted into bins of this kind.

    Widths do not matter (int32 or int64 or double, string or dictionary); a number that became a string does.
    """
    if pa.types.is_null(type_):
        return True
    found = kind_of(type_)
    return found is kind or (kind is Kind.TEXT and found is Kind.CATEGORICAL)


def plain(array: pa.Array) -> pa.Array:
    """The array under an extension type or a dictionary, or the array itself; views are copied."""
    array = _stored(array)
    return _stored(array.dictionary_decode()) if pa.types.is_dictionary(array.type) else array


def _stored(array: pa.Array) -> pa.Array:
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    # pyarrow filters no views, and counts their nulls as empty text.
    if pa.types.is_string_view(array.type):
        return array.cast(pa.large_string())
    return array.cast(pa.large_binary()) if pa.types.is_binary_view(array.type) else array


def tally(array: pa.Array) -> tuple[pa.Array, Ints]:
    """Each value as the string by which it is counted, and how often it stands there; nulls are left out.

    Dictionaries are counted by their indices, so that one spelling may come more than once.

    >>> names, counts = tally(pa.array([True, None, True]))
    >>> names.to_pylist(), counts
    (['true'], array([2]))
    """
    array = _stored(array)
    if pa.types.is_dictionary(array.type):
        numbers = np.bincount(array.indices.drop_null().to_numpy().astype(np.intp), minlength=len(array.dictionary))
        used = np.flatnonzero(numbers)
        values, numbers = plain(array.dictionary.take(pa.array(used))), numbers[used]
    else:
        counts = pc.value_counts(array)
        values, numbers = counts.field(0), counts.field(1).to_numpy()
    if values.null_count:
        numbers = numbers[values.is_valid().to_numpy(zero_copy_only=False)]
    return _spelled(values.drop_null()), numbers


def _spelled(values: pa.Array) -> pa.Array:
    if _is_binary(values.type):
        return pa.array([value.hex() for value in values.to_pylist()], pa.string())
    return values.cast(pa.string())


def numbers_of(array: pa.Array, kind: Kind) -> tuple[Floats, Ints | None]:
    """The non-null values as doubles; for a VECTOR their means, and the lengths they were taken over."""
    values = plain(array).drop_null()
    if pa.types.is_null(values.type):
        return np.empty(0), None
    if kind is Kind.VECTOR:
        sums, lengths = _sums(values)
        return np.divide(sums, lengths, out=np.full(len(sums), np.nan), where=lengths > 0), lengths
    if kind is Kind.TEXT:
        values = pc.binary_length(values) if _is_binary(values.type) else pc.utf8_length(values.cast(pa.string()))
        return _doubles(values), None
    if kind is Kind.DATETIME:
        return _seconds(values), None
    return _doubles(values), None


def _seconds(values: pa.Array) -> Floats:
    if pa.types.is_date(values.type):
        values = values.cast(pa.timestamp("ms"))
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[values.type.unit]
    return _doubles(values) / per_second


def _doubles(values: pa.Array) -> Floats:
    if pa.types.is_temporal(values.type):
        values = values.cast(pa.int32() if values.type.bit_width == 32 else pa.int64())
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.uint8())
    doubles: Floats = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return doubles


def _sums(values: pa.Array) -> tuple[Floats, Ints]:
    values = plain(values)
    if not _is_list(values.type):
        return _doubles(values), np.ones(len(values), np.int64)
    lengths = pc.fill_null(pc.list_value_length(values), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    inner, counts = _sums(values.flatten())
    starts = np.concatenate(([0], np.cumsum(lengths)[:-1])).astype(np.intp) if len(lengths) else np.empty(0, np.intp)
    filled = lengths > 0
    sums, totals = np.zeros(len(lengths)), np.zeros(len(lengths), np.int64)
    if filled.any():
        sums[filled] = np.add.reduceat(inner, starts[filled])
        totals[filled] = np.add.reduceat(counts, starts[filled])
    return sums, totals


def _is_list(type_: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_list(type_) or types.is_large_list(type_) or types.is_fixed_size_list(type_))


def _is_string(type_: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_string(type_) or types.is_large_string(type_) or types.is_string_view(type_))


def _is_binary(type_: pa.DataType) -> bool:
    types = pa.types
    tests = (types.is_binary, types.is_large_binary, types.is_fixed_size_binary, types.is_binary_view)
    return any(test(type_) for test in tests)
