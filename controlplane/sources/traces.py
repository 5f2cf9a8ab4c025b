"""Rows from MLflow's traces: one a request, for teams whose servers trace what they answer and keep no log of ours."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any, ClassVar

import pyarrow as pa

from controlplane.domain.monitor import Columns, Window
from controlplane.errors import SourceError, masked
from controlplane.log.layout import reserved_as
from controlplane.log.types import Types, agree, as_text
from controlplane.sources.event_time import EVENT_TIME, count_inside, inside
from controlplane.sources.part import retyped
from controlplane.sources.sentences import reading

AT = "event_time"
_MODEL_ID, _VERSIONS = "mlflow.modelId", "mlflow.modelVersions"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND, _MILLISECOND = timedelta(microseconds=1), timedelta(milliseconds=1)
_STATUS = {"OK": 200, "ERROR": 500}
_TYPED = {
    "row_id": pa.string(),
    AT: EVENT_TIME,
    "model_version": pa.string(),
    "status": pa.int16(),
    "error": pa.string(),
    "latency_ms": pa.float64(),
    "failed_inputs": pa.string(),
}
# MLflow would try for minutes, and report each trace without spans.
_DEFAULTS = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
}


class Traces:
    """The traces of one MLflow experiment, each a request with one row. A job need not name columns: `columns` knows.

    `row_id` is the trace's id, and the event time, the latency, the inputs and the answer are those of its root span.
    Inputs are columns by their names, an answer is `prediction`, or `prediction_<name>` for each of its fields; what
    holds other values is JSON text. A trace that failed has status 500 and its inputs as one JSON text in
    `failed_inputs`; one without a root span has no inputs; one that has not ended is no row yet.

    `model_version` is null where a trace names no version, and such rows are nobody's. A job whose traces name none
    says `columns: {model_version: null}`; rows then belong to whoever held the alias.
    """

    columns: ClassVar[Mapping[str, str | tuple[str, ...]]] = MappingProxyType(
        {
            "event_time": AT,
            "row_id": "row_id",
            "model_version": "model_version",
            "prediction": "prediction",
            "status": "status",
            "latency": "latency_ms",
            "ignored": ("error", "failed_inputs"),
        }
    )

    @dataclass(frozen=True)
    class Params:
        """Which traces: those of an `experiment`, on the installation's own server unless `tracking_uri` names another.

        `version` names the tag or the metadata that holds the version; without it that is the one as which the trace's
        `mlflow.modelId` is registered, of `model` where it is registered as several. `inputs` names the input whose
        own fields are the inputs, such as `model_input` (empty: they are the inputs). `page` traces are held at a time.
        """

        experiment: str
        tracking_uri: str = field(default="", repr=False)
        version: str = ""
        model: str = ""
        inputs: str = ""
        page: int = 200

        def __post_init__(self) -> None:
            if not self.experiment:
                raise ValueError("experiment must name an experiment of MLflow")
            if not 1 <= self.page <= 10_000:
                raise ValueError(f"page must be 1 to 10000 traces, not {self.page}")

    def __init__(self, params: Params, columns: Columns) -> None:
        self._params, self._columns = params, columns

    def fetch(self, window: Window | None) -> Iterator[pa.RecordBatch]:
        """The rows of a window by event time, or every row for None, in the order of their milliseconds.

        Rows wait on disk until the last one has come, because only then a column's type is known: the one that fits
        all, else text. Nothing in the window is no batch; what MLflow refuses is a SourceError in its words.
        """
        with TemporaryDirectory(prefix="controlplane-traces-") as folder, reading(self._where):
            files: list[Path] = []
            types: list[Types] = []
            for batch in self._batches(window):
                files.append(Path(folder) / f"{len(files)}.arrow")
                types.append({item.name: item.type for item in batch.schema})
                with pa.OSFile(str(files[-1]), "wb") as file, pa.ipc.new_file(file, batch.schema) as writer:
                    writer.write_batch(batch)
            agreed = agree(types)
            for path in files:
                with pa.OSFile(str(path)) as file:
                    yield retyped(pa.ipc.open_file(file).get_batch(0), agreed)

    def count(self, windows: Sequence[Window]) -> list[int]:
        """How many rows `fetch` gives of each window; spans are asked for only where a window cuts a millisecond."""
        if not windows:
            return []
        edges = [edge for each in windows for edge in (each.start, each.end)]
        whole = all((edge - _EPOCH) % _MILLISECOND == timedelta() for edge in edges)
        with reading(self._where):
            pages = self._pages(Window(min(edges), max(edges)), spans=not whole)
            times = (pa.array([_moment(trace) for trace in page], EVENT_TIME) for page in pages)
            return count_inside((pa.record_batch({AT: each}) for each in times), AT, windows)

    @property
    def _where(self) -> str:
        return f"the traces of experiment {self._params.experiment!r}"

    def _batches(self, window: Window | None) -> Iterator[pa.RecordBatch]:
        versions = _Versions(self._params)
        for page in self._pages(window, spans=True):
            rows = [self._row(trace, versions) for trace in page]
            names = dict.fromkeys(name for row in rows for name in row)
            batch = pa.record_batch({name: _column(name, [row.get(name) for row in rows]) for name in names})
            if window is not None:
                batch = batch.filter(inside(batch.column(AT), window))
            if batch.num_rows:
                yield batch

    def _pages(self, window: Window | None, spans: bool) -> Iterator[list[Any]]:
        """The ended traces of all milliseconds that a window touches, by time; in spans, each with its own."""
        if self._columns.event_time != AT:
            raise SourceError(f"{self._where} have no event time column {self._columns.event_time!r}; it is {AT!r}")
        client = connect(self._params.tracking_uri)
        experiment = client.get_experiment_by_name(self._params.experiment)
        if experiment is None or experiment.lifecycle_stage != "active":
            known = ", ".join(found.name for found in client.search_experiments(max_results=10))
            raise SourceError(f"there is no experiment {self._params.experiment!r}; MLflow has: {known}")
        asked: dict[str, Any] = {
            "locations": [experiment.experiment_id],
            "filter_string": None if window is None else _filter(window),
            "max_results": self._params.page,
            "order_by": ["timestamp_ms ASC"],
        }
        token: str | None = None
        while True:
            found = client.search_traces(**asked, page_token=token, include_spans=False)
            page = [trace for trace in found if str(trace.info.state) != "IN_PROGRESS"]
            if page and spans:
                # A trace whose spans are gone is left out here, and only here.
                whole = client.search_traces(**asked, page_token=token, include_spans=True)
                by_id = {trace.info.trace_id: trace for trace in whole}
                page = [by_id.get(trace.info.trace_id, trace) for trace in page]
            if page:
                yield page
            token = found.token
            if not token:
                return

    def _row(self, trace: Any, versions: _Versions) -> dict[str, Any]:
        info, root = trace.info, _root(trace)
        state = str(info.state)
        took = info.execution_duration
        row: dict[str, Any] = {
            "row_id": info.trace_id,
            AT: _moment(trace),
            "model_version": versions.of(info),
            "status": _STATUS.get(state),
            "error": None,
            "latency_ms": None if took is None else float(took),
        }
        if root is None:
            return row
        if root.end_time_ns is not None:
            row["latency_ms"] = (root.end_time_ns - root.start_time_ns) / 1e6
        if state == "ERROR":
            failed = root.inputs
            return row | {
                "error": root.status.description or None,
                "failed_inputs": None if failed is None else json.dumps(failed, default=str),
            }
        inputs = {reserved_as(str(name)): value for name, value in self._inputs(root.inputs).items()}
        return row | inputs | _answer(root.outputs)

    def _inputs(self, given: Any) -> Mapping[str, Any]:
        named = given if isinstance(given, Mapping) else {} if given is None else {"inputs": given}
        if not self._params.inputs:
            return named
        inner = _only(named.get(self._params.inputs))
        return inner if isinstance(inner, Mapping) else {}


class _Versions:
    """Which registered version a trace was answered by, as far as it says so."""

    def __init__(self, params: Traces.Params) -> None:
        self._params = params
        self._known: dict[str, str | None] = {}

    def of(self, info: Any) -> str | None:
        if self._params.version:
            said = info.tags.get(self._params.version) or info.trace_metadata.get(self._params.version)
            return said or None
        model = info.trace_metadata.get(_MODEL_ID)
        if not model:
            return None
        if model not in self._known:
            self._known[model] = self._registered(model)
        return self._known[model]

    def _registered(self, model: str) -> str | None:
        from mlflow.exceptions import MlflowException

        try:
            told = connect(self._params.tracking_uri).get_logged_model(model).tags.get(_VERSIONS)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"):
                return None
            raise
        found = {(each["name"], str(each["version"])) for each in json.loads(told or "[]")}
        fitting = [version for name, version in found if self._params.model in ("", name)]
        return fitting[0] if len(fitting) == 1 else None


def connect(uri: str) -> Any:
    """MLflow's client; raises SourceError where there is nothing to connect to."""
    if not uri:
        raise SourceError("no tracking server is named; valid: tracking_uri, the URI of an MLflow server or database")
    scheme, _, path = uri.partition(":///")
    if scheme == "sqlite" and not Path(path).is_file():
        # MLflow would make one.
        raise SourceError(f"there is no MLflow at {masked(uri)}; valid: the URI of a server or of a database it made")
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    import mlflow.store.db.utils
    from mlflow import MlflowClient

    # MLflow has no setting for this one, and tries a database that does not answer for minutes.
    mlflow.store.db.utils.MAX_RETRY_COUNT = 2
    return MlflowClient(uri, uri)


def _filter(window: Window) -> str:
    first, last = (window.start - _EPOCH) // _MILLISECOND, -((_EPOCH - window.end) // _MILLISECOND)
    return f"timestamp_ms >= {first} AND timestamp_ms < {last}"


def _root(trace: Any) -> Any:
    return next((span for span in trace.data.spans if span.parent_id is None), None)


def _moment(trace: Any) -> datetime:
    """When it began: to the microsecond where its root span began in the millisecond that MLflow searches by."""
    root, millisecond = _root(trace), int(trace.info.request_time)
    exact = root is not None and root.start_time_ns // 1_000_000 == millisecond
    return _EPOCH + (root.start_time_ns // 1_000 if exact else millisecond * 1_000) * _MICROSECOND


def _only(value: Any) -> Any:
    """The one item of a list of one: a request is one row."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _answer(outputs: Any) -> dict[str, Any]:
    said = _only(outputs)
    if isinstance(said, Mapping):
        return {f"prediction_{name}": value for name, value in said.items()}
    return {} if said is None else {"prediction": said}


def _column(name: str, values: list[Any]) -> pa.Array:
    if name in _TYPED:
        return pa.array(values, _TYPED[name])
    if not any(isinstance(value, dict | list) for value in values):
        try:
            return pa.array(values)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
            pass
    return as_text(values)
