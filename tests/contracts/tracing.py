"""An MLflow tracking store in a folder, and traces in it as MLflow's server takes them from outside."""

from __future__ import annotations

import base64
import json
import logging
import shutil
import warnings
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBERS = count(1)


@cache
def template() -> TemporaryDirectory[str]:
    """A folder with MLflow's database, in which there is the experiment `live`; it costs seconds."""
    folder = TemporaryDirectory(prefix="controlplane-tracking-")
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    client(f"sqlite:///{folder.name}/mlflow.db").create_experiment("live", f"{folder.name}/artifacts")
    return folder


def client(uri: str) -> Any:
    """MLflow's own client."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow import MlflowClient

        return MlflowClient(uri, uri)


def tracking_store(folder: Path) -> str:
    """The URI of a store of its own, also where there was another in the same place."""
    shutil.copyfile(Path(template().name) / "mlflow.db", folder / "mlflow.db")
    uri = f"sqlite:///{folder}/mlflow.db"
    # MLflow keeps its connections, which would go on in a file that is gone.
    client(uri)._tracking_client.store._dispose_engine()
    return uri


def write_traces(
    uri: str, asked: Iterable[tuple[datetime, Mapping[str, Any]]], answer: Any = 1, status: str = "OK", took: int = 5
) -> list[str]:
    """A trace for each moment and what was asked then, of one span that ended `took` milliseconds later; their ids."""
    from mlflow.entities import Span

    spans, ids = [], []
    for moment, inputs in asked:
        began = (moment - EPOCH) // timedelta(microseconds=1) * 1_000
        # MLflow gives those of one millisecond in the order of their ids.
        trace = next(_NUMBERS).to_bytes(16)
        ids.append(f"tr-{trace.hex()}")
        said = {"mlflow.traceRequestId": ids[-1], "mlflow.spanInputs": inputs, "mlflow.spanOutputs": answer}
        spans.append(
            Span.from_dict(
                {
                    "trace_id": base64.b64encode(trace).decode(),
                    "span_id": base64.b64encode(trace[-8:]).decode(),
                    "parent_span_id": None,
                    "name": "predict",
                    "start_time_unix_nano": began,
                    "end_time_unix_nano": began + took * 1_000_000,
                    "events": [],
                    "links": [],
                    "status": {"code": f"STATUS_CODE_{status}", "message": "" if status == "OK" else "it broke"},
                    "attributes": {name: json.dumps(value) for name, value in said.items()},
                }
            )
        )
    writer = client(uri)
    experiment = writer.get_experiment_by_name("live").experiment_id
    writer._tracking_client.store.log_spans(experiment, spans)
    return ids
