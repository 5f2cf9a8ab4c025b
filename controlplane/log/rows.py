"""Requests -> rows: many at a time, so that the server's process spends little on each."""

from __future__ import annotations

import hmac
import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from controlplane.log.layout import COLUMNS, FAILED, is_answer, reserved_as
from controlplane.log.shapes import WHOLE, Arrays, array, columns_of, joined, rows_of, shape_of, weight_of
from controlplane.log.types import as_text

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_REQUEST_BYTES = 512


@dataclass(slots=True)
class Request:
    """What was asked and answered, as `InferenceLog.write` takes it; `rows` are those it becomes, `size` its bytes."""

    version: str
    inputs: Any
    outputs: Any
    request_id: str
    role: str
    event_time: datetime | int
    latency: float | None
    status: int
    error: str
    rows: int
    size: int


def request_of(
    version: str,
    inputs: Any,
    outputs: Any,
    request_id: str,
    role: str,
    event_time: datetime | int,
    latency: float | None,
    status: int,
    error: str,
) -> Request:
    """A request with its rows and about its bytes told; raises nothing, whatever the inputs are."""
    try:
        asked = inputs if inputs is not None else outputs
        rows = max(1, 1 if asked is None else rows_of(asked))
        size = _REQUEST_BYTES + weight_of(inputs, rows) + weight_of(outputs, rows)
    except Exception:
        # Whatever that is, it will be said once it was tried to make rows of it.
        rows, size = 1, _REQUEST_BYTES
    return Request(version, inputs, outputs, request_id, role, event_time, latency, status, error, rows, size)


@dataclass(frozen=True)
class Redaction:
    """Columns that are left out, and those of which only an HMAC-SHA256 with `key` is kept, in hexadecimal."""

    drop: frozenset[str] = frozenset()
    hash: frozenset[str] = frozenset()
    key: bytes = b""

    def apply(self, columns: Arrays) -> Arrays:
        """The columns as they may be kept; nulls stay nulls."""
        kept = {name: column for name, column in columns.items() if name not in self.drop}
        return {name: self._digest(column) if name in self.hash else column for name, column in kept.items()}

    def _digest(self, column: pa.Array) -> pa.Array:
        spelled = as_text(column.to_pylist()).to_pylist()
        digests = [None if text is None else hmac.digest(self.key, text.encode(), "sha256").hex() for text in spelled]
        return pa.array(digests, pa.string())


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request with its inputs and its answer as columns; None where there are none."""

    request: Request
    inputs: Any
    outputs: Any

    @property
    def shape(self) -> Hashable:
        """What requests must have in common to become one batch."""
        return self.failed, shape_of(self.inputs), shape_of(self.outputs)

    @property
    def failed(self) -> bool:
        """Whether it was answered with a failure."""
        return self.request.status >= FAILED


def prepare(request: Request) -> Prepared:
    """The request as columns, an answer that does not fit its rows left out; raises ValueError for inputs that differ
    in length."""
    inputs = outputs = None
    if request.inputs is not None and rows_of(request.inputs) == request.rows:
        inputs = columns_of(request.inputs)
    if request.outputs is not None and rows_of(request.outputs) == request.rows:
        outputs = columns_of(request.outputs)
        if isinstance(outputs, dict) and getattr(outputs.get(WHOLE), "shape", None) == (request.rows, 1):
            outputs = {WHOLE: outputs[WHOLE].reshape(-1)}
    return Prepared(request, inputs, outputs)


def to_batch(group: Sequence[Prepared], redaction: Redaction) -> pa.RecordBatch:
    """Requests of one shape as one batch; raises what pyarrow and numpy raise of values that are no rows."""
    columns = _reserved([each.request for each in group])
    inputs, outputs = group[0].inputs, group[0].outputs
    shown: Arrays = {}
    if inputs is not None:
        for name, values in joined([each.inputs for each in group]).items():
            shown[_free(reserved_as(name) if name != WHOLE else "inputs", shown)] = values
    if outputs is not None:
        answers = joined([each.outputs for each in group])
        alone = len(answers) == 1
        shown |= {"prediction" if alone else f"prediction_{name}": values for name, values in answers.items()}
    kept = redaction.apply(shown)
    if group[0].failed and kept:
        columns["failed_inputs"] = _texts(kept)
    else:
        columns |= {"failed_inputs": pa.nulls(len(columns["row_id"]), pa.string()), **kept}
    return pa.RecordBatch.from_arrays(list(columns.values()), list(columns))


def _texts(columns: Arrays) -> pa.Array:
    """Each row as one JSON object."""
    rows = zip(*(column.to_pylist() for column in columns.values()), strict=True)
    return pa.array([json.dumps(dict(zip(columns, row, strict=True)), default=str) for row in rows], pa.string())


def _free(name: str, taken: Mapping[str, object]) -> str:
    while name in taken or is_answer(name):
        name = f"input_{name}"
    return name


def _reserved(requests: Sequence[Request]) -> Arrays:
    ids = [str(request.request_id) for request in requests]
    rows = [request.rows for request in requests]
    asked = [rows_of(each.inputs) if each.inputs is not None else each.rows for each in requests]
    times = [_micros(request.event_time) for request in requests]
    latencies = [None if request.latency is None else 1000.0 * request.latency for request in requests]
    values: dict[str, list[Any]] = {
        "request_id": ids,
        "event_time": times,
        "model_version": [str(request.version) for request in requests],
        "role": [str(request.role) for request in requests],
        "status": [request.status for request in requests],
        "error": [str(request.error) for request in requests],
        "latency_ms": latencies,
        "request_rows": asked,
    }
    arrays = {name: _typed(each, COLUMNS.field(name).type) for name, each in values.items()}
    if all(count == 1 for count in rows):
        return {"row_id": arrays["request_id"], **arrays}
    numbered = [
        text if count == 1 else f"{text}-{place}"
        for text, count in zip(ids, rows, strict=True)
        for place in range(count)
    ]
    places = pa.array(np.repeat(np.arange(len(rows)), rows))
    return {"row_id": _typed(numbered, pa.string()), **{name: each.take(places) for name, each in arrays.items()}}


def _typed(values: list[Any], kind: pa.DataType) -> pa.Array:
    found = array(values, kind)
    return found if found.type == kind else found.cast(kind)


def _micros(moment: datetime | int) -> int:
    if isinstance(moment, int):
        return moment
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // _MICROSECOND
