"""From Arrow rows to what a model takes: named columns in the order of its signature, or one tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from controlplane.errors import CheckError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a version says it takes: `columns` by name, or a tensor of `shape` (first axis: rows) and `dtype`.

    Both are empty for a model logged without a signature. `tensor` is the tensor's name where it has one.
    """

    version: str
    columns: tuple[str, ...] = ()
    optional: frozenset[str] = frozenset()
    shape: tuple[int, ...] = ()
    dtype: str = "float32"
    tensor: str | None = None

    @classmethod
    def of(cls, version: str, signature: Any, fallback: Sequence[str] = ()) -> Inputs:
        """Read an MLflow `ModelSignature` (or None); `fallback` names the columns where it names none."""
        schema = None if signature is None else signature.inputs
        if schema is None:
            return cls(version, tuple(map(str, fallback)))
        if schema.is_tensor_spec():
            if len(schema.inputs) != 1:
                raise CheckError(f"version {version} takes {len(schema.inputs)} tensors; one can be filled from rows")
            spec = schema.inputs[0]
            return cls(version, shape=tuple(spec.shape), dtype=str(spec.type), tensor=spec.name)
        names = tuple(map(str, schema.input_names())) if schema.has_input_names() else tuple(map(str, fallback))
        required = set(map(str, schema.required_input_names())) if schema.has_input_names() else set(names)
        return cls(version, names, frozenset(set(names) - required))

    def frame(self, rows: pa.Table) -> pd.DataFrame:
        """The named columns of the rows as a pandas frame, in the signature's order; an absent optional one is null."""
        if not self.columns:
            raise CheckError(
                f"version {self.version} was logged without a signature, so its input columns are unknown; "
                "log it again with one (mlflow.models.infer_signature)"
            )
        held = set(rows.column_names)
        absent = [name for name in self.columns if name not in held and name not in self.optional]
        if absent:
            there = ", ".join(rows.column_names)
            raise CheckError(f"version {self.version} needs the column {', '.join(absent)}; the rows hold {there}")
        present = [name for name in self.columns if name in held]
        frame = rows.select(present).to_pandas(ignore_metadata=True)
        return frame.reindex(columns=list(self.columns)) if len(present) < len(self.columns) else frame

    def array(self, rows: pa.Table) -> np.ndarray:
        """The tensor of the rows: the one vector column reshaped, or the named numeric columns side by side."""
        if self.columns:
            frame = self.frame(rows)
            wrong = [name for name in frame.columns if frame[name].dtype.kind not in "biuf"]
            if wrong:
                raise CheckError(f"version {self.version} takes numbers; {', '.join(wrong)} holds something else")
            return np.asarray(frame.to_numpy(dtype=self.dtype))
        name = self._vector_column(rows)
        column = rows[name]
        if column.null_count:
            raise CheckError(f"column {name!r} holds {column.null_count} nulls; version {self.version} needs a vector")
        values = pc.list_flatten(column)
        if values.null_count:
            raise CheckError(f"the vectors of column {name!r} hold {values.null_count} nulls; numbers are needed")
        lengths = pc.min_max(pc.list_value_length(column)).as_py() if rows.num_rows else {"min": 0, "max": 0}
        rest = self.shape[1:]
        wanted = prod(rest) if rest and min(rest) > 0 else None
        if lengths["min"] != lengths["max"] or (wanted is not None and rows.num_rows and lengths["min"] != wanted):
            takes = "vectors of one length" if wanted is None else f"{wanted} ({'x'.join(map(str, rest))})"
            raise CheckError(
                f"column {name!r} holds vectors of {lengths['min']} to {lengths['max']} numbers; "
                f"version {self.version} takes {takes}"
            )
        flat: np.ndarray = values.to_numpy().astype(self.dtype)
        return flat.reshape(rows.num_rows, *(rest if wanted is not None else (-1,)))

    def _vector_column(self, rows: pa.Table) -> str:
        found = [str(field.name) for field in rows.schema if _is_vector(field.type)]
        if self.tensor is not None and self.tensor in found:
            return self.tensor
        if len(found) == 1:
            return found[0]
        held = f"the rows hold several: {', '.join(found)}" if found else "the rows hold none"
        raise CheckError(f"version {self.version} takes one vector column (a list of numbers a row); {held}")


def _is_vector(kind: pa.DataType) -> bool:
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(lists and (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)))


def answers(values: Any, n: int, version: str) -> np.ndarray:
    """One answer a row, shape (n,), out of an array, a Series or a one-column frame; else CheckError."""
    array = np.asarray(values)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.shape != (n,):
        raise CheckError(f"version {version} answered an array of shape {array.shape} for {n} rows; needs ({n},)")
    return array


def class_probabilities(values: Any, n: int, version: str) -> np.ndarray:
    """Class probabilities, shape (n, k) with k of at least 2; else CheckError."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or array.shape[0] != n or array.shape[1] < 2:
        raise CheckError(f"version {version} gave probabilities of shape {array.shape} for {n} rows; needs ({n}, k)")
    return array
