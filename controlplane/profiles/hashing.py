"""Stable 64-bit hashes of Arrow values: the same in every process, on every platform, whatever the batches."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from controlplane.profiles.kinds import plain

Hashes: TypeAlias = npt.NDArray[np.uint64]

_NULL = np.uint64(0x9AE16A3B2F90404F)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_CANONICAL_NAN = np.uint64(0x7FF8000000000000)


def mix(values: Hashes) -> Hashes:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014): a bijection in which every input bit moves every other.

    >>> int(mix(np.array([1], np.uint64))[0])
    6238072747940578789
    """
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def hash_values(array: pa.Array) -> Hashes:
    """One hash a value, shape (n,); equal values hash alike whatever the width, dictionary or chunk they come in."""
    array = plain(array)
    types, type_ = pa.types, array.type
    if types.is_null(type_):
        return np.full(len(array), _NULL)
    if types.is_floating(type_):
        bits = _float_bits(array)
    elif types.is_integer(type_) or types.is_boolean(type_):
        wide = pa.uint64() if type_ == pa.uint64() else pa.int64()
        bits = pc.fill_null(array, False if types.is_boolean(type_) else 0).cast(wide).to_numpy().view(np.uint64)
    elif types.is_temporal(type_):
        return hash_values(array.cast(pa.int32() if type_.bit_width == 32 else pa.int64()))
    elif types.is_list(type_) or types.is_large_list(type_) or types.is_fixed_size_list(type_):
        return _hash_lists(array)
    else:
        return _hash_strings(array)
    return _with_nulls(mix(bits + _GOLDEN), array)


def hash_rows(batch: pa.RecordBatch) -> Hashes:
    """One hash a row over the content of every column, in the order of their names."""
    hashes = np.full(len(batch), _GOLDEN)
    for name in sorted(batch.schema.names):
        hashes = mix(hashes * np.uint64(3) + hash_values(batch.column(name)))
    return hashes


def _float_bits(array: pa.Array) -> Hashes:
    # Nulls are masked afterwards; adding zero folds -0.0 into 0.0, which compare equal.
    values = pc.fill_null(array.cast(pa.float64()), 0.0).to_numpy() + 0.0
    return np.where(np.isnan(values), _CANONICAL_NAN, values.view(np.uint64))


def _hash_strings(array: pa.Array) -> Hashes:
    if not (pa.types.is_binary(array.type) or pa.types.is_large_binary(array.type)):
        try:
            array = array.cast(pa.large_string())
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
            array = pa.array([None if value is None else repr(value) for value in array.to_pylist()], pa.large_string())
    array = array.cast(pa.large_binary())
    if not len(array):
        return np.empty(0, np.uint64)
    _, offset_buffer, data = array.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64)[array.offset : array.offset + len(array) + 1]
    size = int(offsets[-1] - offsets[0])
    letters = np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]] if size else np.empty(0, np.uint8)
    lengths = np.diff(offsets)
    positions = np.arange(size) - np.repeat(offsets[:-1] - offsets[0], lengths)
    parts = mix((positions.astype(np.uint64) << np.uint64(8)) + letters + _GOLDEN)
    return _with_nulls(mix(_sum_by(parts, lengths) + lengths.astype(np.uint64)), array)


def _hash_lists(array: pa.Array) -> Hashes:
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    inner = hash_values(array.flatten())
    ends = np.cumsum(lengths)
    positions = np.arange(len(inner)) - np.repeat(ends - lengths, lengths)
    parts = mix(inner + positions.astype(np.uint64) * _GOLDEN)
    return _with_nulls(mix(_sum_by(parts, lengths) + lengths.astype(np.uint64)), array)


def _sum_by(parts: Hashes, lengths: npt.NDArray[np.int64]) -> Hashes:
    sums = np.concatenate((np.zeros(1, np.uint64), np.cumsum(parts, dtype=np.uint64)))
    ends = np.cumsum(lengths)
    between: Hashes = sums[ends] - sums[ends - lengths]
    return between


def _with_nulls(hashes: Hashes, array: pa.Array) -> Hashes:
    if not array.null_count:
        return hashes
    return np.where(array.is_null().to_numpy(zero_copy_only=False), _NULL, hashes)
