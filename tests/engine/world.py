"""A small world around the engine: a real registry with two versions of one model, and rows that they answered."""

from __future__ import annotations

import logging
import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from controlplane.app import open_app
from controlplane.config import Settings
from controlplane.engine.context import Context
from controlplane.store import Store

T0 = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)

JOB = """
schema: 1
name: scorer
model: {{name: scorer, alias: champion}}
owner: team@example.org
source: {{kind: files, path: ../data/rows-*.parquet}}
columns: {{event_time: at, row_id: id, model_version: model_version, prediction: prediction, label: label}}
reference: {{kind: files, path: ../data/reference.parquet}}
schedule: {{every: 1h, starts: 2026-03-01T00:00:00Z, catch_up: 100000}}
checks:
  - check: performance
    params: {{task: classification, metrics: [accuracy]}}
    limits: {{accuracy: {{min: 0.8}}}}
    min_rows: 30
    timeout: 60s
{more}
reaction: {reaction}
receivers: [log, bell]
"""

MORE = {
    "quality": "  - check: quality\n",
    "drift": "  - check: drift\n    limits: {drift: {max: 0.3}}\n",
}

SYSTEM = """
schema: 1
organization: Example
receivers:
  bell: {kind: webhook, url: "${BELL_URL}"}
"""


def signal_rows(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features (n, 2) and a label that the first feature tells, with one in twenty wrong."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(n, 2))
    wrong = random.random(n) < 0.05
    return x, ((x[:, 0] > 0) ^ wrong).astype(np.int64)


# Logged from code, so that a worker that opens it needs MLflow and nothing else.
MODEL = """
import mlflow


class Scorer(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return (model_input["{column}"] > 0).astype(int).to_numpy()


mlflow.models.set_model(Scorer())
"""


def build_registry(home: Path) -> Path:
    """Fill a folder with MLflow's database: model `scorer`, version 1 good, version 2 looks at the wrong feature.

    Beside it lies a database of ours, with our tables and no rows.
    """
    home.mkdir(parents=True, exist_ok=True)
    store = Store(f"sqlite:///{home}/controlplane.db")
    store.migrate()
    store.close()
    before = {name: os.environ.get(name) for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow
        from mlflow.models import ModelSignature
        from mlflow.types import ColSpec, Schema

        logging.getLogger("mlflow").setLevel(logging.ERROR)
        uri = f"sqlite:///{home}/mlflow.db"
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        client = mlflow.MlflowClient(uri, uri)
        experiment = client.create_experiment("training", artifact_location=(home / "artifacts").as_uri())
        takes = Schema([ColSpec("double", "a"), ColSpec("double", "b")])
        for column in "ab":
            code = home / f"scorer_{column}.py"
            code.write_text(MODEL.format(column=column))
            with mlflow.start_run(experiment_id=experiment):
                mlflow.pyfunc.log_model(
                    python_model=str(code),
                    name="scorer",
                    signature=ModelSignature(takes, Schema([ColSpec("long")])),
                    registered_model_name="scorer",
                    pip_requirements=["mlflow"],
                )
        client.set_registered_model_alias("scorer", "champion", "1")
    # MLflow keeps its URIs in the environment, where processes that tests start would find them.
    for name, value in before.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value
    return home


class World:
    """One installation in a folder of its own, and a clock that is told what time it is.

    `on` holds what happens outside at the moment a step ends.
    """

    def __init__(
        self, home: Path, template: Path, database: str = "", reaction: str = "rollback", checks: tuple[str, ...] = ()
    ) -> None:
        self.home = home
        self.clock = T0
        self.marks: list[tuple[str, float]] = []
        self.on: dict[str, Callable[[], object]] = {}
        for name in ("jobs", "data", "home"):
            (home / name).mkdir(parents=True)
        shutil.copyfile(template / "mlflow.db", home / "mlflow.db")
        if not database:
            shutil.copyfile(template / "controlplane.db", home / "home" / "controlplane.db")
        (home / "jobs" / "scorer.yaml").write_text(
            JOB.format(reaction=reaction, more="".join(MORE[check] for check in checks))
        )
        (home / "jobs" / "system.yaml").write_text(SYSTEM)
        uri = f"sqlite:///{home}/mlflow.db"
        chosen: dict[str, Any] = {"database_url": database} if database else {}
        self.settings = Settings(home=home / "home", jobs=home / "jobs", tracking_uri=uri, registry_uri=uri, **chosen)

        pq.write_table(_rows(-24, 1_000), home / "data" / "reference.parquet")

    def publish(
        self,
        hour: int,
        version: str,
        n: int = 400,
        shift: float = 0.0,
        prediction: bool = True,
        answered_like: str = "",
    ) -> None:
        """Rows of one hour, answered by a version: version 1 looks at `a`, version 2 at `b`."""
        table = _rows(hour, n)
        a, b = (table.column(name).to_numpy() for name in "ab")
        seen = a if (answered_like or version) == "1" else b
        table = table.append_column("model_version", pa.array([version] * n))
        if prediction:
            table = table.append_column("prediction", pa.array((seen > 0).astype(np.int64)))
        table = table.set_column(table.column_names.index("b"), "b", pa.array(b + shift))
        pq.write_table(table, self.home / "data" / f"rows-{hour:03d}.parquet")
        self.clock = T0 + (hour + 1) * HOUR

    def environment(self) -> dict[str, str]:
        """The environment of a command that works on this world."""
        return {
            "CONTROLPLANE_HOME": str(self.settings.home),
            "CONTROLPLANE_JOBS": str(self.settings.jobs),
            "CONTROLPLANE_DATABASE_URL": self.settings.database,
            "CONTROLPLANE_TRACKING_URI": self.settings.tracking_uri,
            "CONTROLPLANE_REGISTRY_URI": self.settings.registry_uri,
        }

    def client(self) -> Any:
        """MLflow's own client on this world's registry."""
        import mlflow

        return mlflow.MlflowClient(self.settings.tracking_uri, self.settings.registry_uri)

    def champion(self) -> str:
        """Who holds the alias, asked of MLflow itself."""
        return str(self.client().get_model_version_by_alias("scorer", "champion").version)

    def release(self, version: str) -> None:
        """Somebody sets the alias, past us."""
        self.client().set_registered_model_alias("scorer", "champion", version)

    def copy(self, version: str) -> tuple[str, Path]:
        """Register a copy of a version whose artefacts lie in this world alone; returns its number and their folder."""
        from mlflow.artifacts import download_artifacts

        client = self.client()
        address = client.get_model_version_download_uri("scorer", version)
        into = self.home / f"copy-{len(list(self.home.glob('copy-*')))}"
        into.mkdir()
        uris = {"tracking_uri": self.settings.tracking_uri, "registry_uri": self.settings.registry_uri}
        folder = Path(download_artifacts(artifact_uri=address, dst_path=str(into), **uris))
        return str(client.create_model_version("scorer", source=folder.as_uri()).version), folder

    @contextmanager
    def open(self) -> Iterator[Context]:
        """The wired engine, on the world's clock."""

        def observe(step: str) -> None:
            self.marks.append((step, time.perf_counter()))
            self.on.get(step, lambda: None)()

        with open_app(self.settings, observe, now=lambda: self.clock) as (context, problems):
            assert not problems, problems
            yield context


def _rows(hour: int, n: int) -> pa.Table:
    x, y = signal_rows(n, 100 + hour)
    start, step = T0 + hour * HOUR, HOUR / n
    return pa.table(
        {
            "id": [f"{hour}-{i}" for i in range(n)],
            "at": pa.array([start + i * step for i in range(n)], pa.timestamp("us", "UTC")),
            "a": x[:, 0],
            "b": x[:, 1],
            "label": y,
        }
    )
