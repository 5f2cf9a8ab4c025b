"""How a column is cut into slices: a number at quantiles, a category by its common values, each with a name."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from controlplane.errors import CheckError
from controlplane.profiles import Kind
from controlplane.profiles.kinds import kind_of, plain


@dataclass(frozen=True, slots=True)
class Cut:
    """One column's slices by code.

    Of numbers: k `edges` make the codes 0 to k, each from its edge up to below the next. Of categories (`edges` None):
    a code for each of `values`, then one for every other value. Last, for both, one for rows without a value.
    """

    column: str
    edges: tuple[float, ...] | None = None
    values: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """How many codes there are."""
        return self.missing + 1

    @property
    def missing(self) -> int:
        """The code of rows without a value."""
        return (len(self.values) if self.edges is None else len(self.edges)) + 1

    @property
    def names(self) -> tuple[str, ...]:
        """What each code is called."""
        return tuple(self.name(code, code) for code in range(self.size))

    def name(self, low: int, high: int) -> str:
        """What the codes from `low` to `high`, both included, are called together.

        >>> cut = Cut("age", (40.0, 52.5))
        >>> cut.name(0, 0), cut.name(1, 1), cut.name(1, 2), cut.name(3, 3)
        ('age < 40', 'age in [40, 52.5)', 'age >= 40', 'age is missing')
        >>> Cut("sex", values=("f", "m")).names
        ('sex=f', 'sex=m', 'sex is another', 'sex is missing')
        """
        if low == self.missing:
            return f"{self.column} is missing"
        if self.edges is None:
            return f"{self.column}={self.values[low]}" if low < len(self.values) else f"{self.column} is another"
        start = None if low == 0 else f"{self.edges[low - 1]:.15g}"
        end = None if high == len(self.edges) else f"{self.edges[high]:.15g}"
        if start is None:
            return f"{self.column} is known" if end is None else f"{self.column} < {end}"
        return f"{self.column} >= {start}" if end is None else f"{self.column} in [{start}, {end})"

    def codes(self, column: pa.ChunkedArray) -> np.ndarray:
        """The code of each row, shape (n,), intp; raises CheckError where the column came with another type."""
        kind = sliced_as(column.type)
        if not pa.types.is_null(column.type) and kind is not (Kind.CATEGORICAL if self.edges is None else Kind.NUMERIC):
            raise CheckError(f"column {self.column!r} came as {column.type}, which cannot be cut as before")
        if self.edges is not None:
            numbers = _numbers(column)
            codes = np.searchsorted(np.array(self.edges), numbers, side="right")
            codes[np.isnan(numbers)] = self.missing
            return np.asarray(codes)
        indices, names = _categories(column)
        place = {value: code for code, value in enumerate(self.values)}
        # The last of all stands for rows without a value, whose index is -1.
        lookup = np.array([*(place.get(name, len(self.values)) for name in names), self.missing], np.intp)
        return np.asarray(lookup[indices])


def sliced_as(type_: pa.DataType) -> Kind | None:
    """NUMERIC or CATEGORICAL for what can be cut into slices; None for times, vectors and bytes.

    >>> sliced_as(pa.bool_()), sliced_as(pa.date32())
    (<Kind.CATEGORICAL: 'categorical'>, None)
    """
    inner = type_.value_type if pa.types.is_dictionary(type_) else type_
    kind = kind_of(inner)
    if kind in (Kind.CATEGORICAL, Kind.BOOLEAN):
        binary = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary, pa.types.is_binary_view)
        return None if any(test(inner) for test in binary) else Kind.CATEGORICAL
    if kind is Kind.NUMERIC:
        return Kind.CATEGORICAL if pa.types.is_dictionary(type_) else Kind.NUMERIC
    return None


def cut_of(name: str, column: pa.ChunkedArray, bins: int, most: int, least: int = 1) -> Cut | None:
    """Cut a column into `bins` of about equal size, or by its `most` common values of at least `least` rows each.

    None where it can be neither. Edges are round numbers where that moves them by little.

    >>> cut_of("age", pa.chunked_array([[31.0, 38.0, 44.0, 52.0]]), bins=2, most=10).names
    ('age < 44', 'age >= 44', 'age is missing')
    """
    kind = sliced_as(column.type)
    if kind is None:
        return None
    if kind is Kind.NUMERIC:
        numbers = _numbers(column)
        return Cut(name, _edges(numbers[np.isfinite(numbers)], bins))
    indices, names = _categories(column)
    counts = np.bincount(indices[indices >= 0], minlength=len(names))
    ranked = sorted(np.flatnonzero(counts >= least).tolist(), key=lambda code: (-counts[code], names[code]))
    return Cut(name, values=tuple(names[code] for code in ranked[:most]))


def _edges(values: np.ndarray, bins: int) -> tuple[float, ...]:
    if not len(values):
        return ()
    # Observed values, so that a number that many rows bear is never split from itself.
    ordered = np.sort(values)
    places = np.ceil(np.arange(1, bins) * len(ordered) / bins).astype(np.intp)
    edges = np.unique(ordered[np.minimum(places, len(ordered) - 1)] + 0.0)
    edges = edges[edges > ordered[0]]
    return tuple(np.unique(_rounded(edges, ordered[0])).tolist())


def _rounded(edges: np.ndarray, low: float) -> np.ndarray:
    """With as few digits as move no edge by a tenth of the narrowest slice."""
    with np.errstate(over="ignore"):
        narrowest = float(np.diff(edges, prepend=low).min()) if len(edges) else 0.0
        for digits in range(3, 17):
            tried = np.array([float(f"{edge:.{digits}g}") for edge in edges])
            if not np.any(np.abs(tried - edges) > narrowest / 10):
                return tried
    return edges


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    """As doubles, NaN where there is no value."""
    array = plain(_whole(column))
    if pa.types.is_null(array.type):
        return np.full(len(array), math.nan)
    if pa.types.is_temporal(array.type):
        array = array.cast(pa.int32() if array.type.bit_width == 32 else pa.int64())
    doubles = array.cast(pa.float64(), safe=False)
    return np.asarray(pc.fill_null(doubles, math.nan).to_numpy(zero_copy_only=False))


def _categories(column: pa.ChunkedArray) -> tuple[np.ndarray, list[str]]:
    """Each row's place among the names, -1 where there is no value; and the names."""
    array = _whole(column)
    if not pa.types.is_dictionary(array.type):
        array = plain(array)
        array = (array.cast(pa.string()) if pa.types.is_null(array.type) else array).dictionary_encode()
    spelled = plain(array.dictionary).cast(pa.string()).to_pylist()
    indices = pc.fill_null(array.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
    names = list(dict.fromkeys(name for name in spelled if name is not None))
    if len(names) == len(spelled):
        return indices, names
    # A dictionary may spell one value twice, or hold a null.
    place = {name: code for code, name in enumerate(names)}
    return np.array([*(place.get(name, -1) for name in spelled), -1])[indices], names


def _whole(column: pa.ChunkedArray) -> pa.Array:
    array = column.combine_chunks()
    return pa.concat_arrays(array.chunks) if isinstance(array, pa.ChunkedArray) else array
