"""A model in a registry, and servers of it: ours and MLflow's own, as processes."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# MLflow converts each column by itself: with 20 of them one core answers a hundred requests a second.
FEATURES = [f"f{number}" for number in range(4)]
ROW = {name: 0.1 * place for place, name in enumerate(FEATURES)}
BODY = json.dumps({"dataframe_records": [ROW]}).encode()
MODEL = "toy"


def make_registry(folder: Path, versions: int = 2) -> str:
    """Train and register so many versions of one model, the first in charge; the registry's URI."""
    os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    warnings.simplefilter("ignore")
    import mlflow
    import mlflow.sklearn
    import numpy as np
    import pandas as pd
    from sklearn.linear_model import LogisticRegression

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    uri = f"sqlite:///{folder}/mlflow.db"
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    client = mlflow.MlflowClient(uri, uri)
    experiment = client.create_experiment("training", artifact_location=(folder / "artifacts").as_uri())
    for seed in range(versions):
        drawn = np.random.default_rng(seed).normal(size=(500, len(FEATURES)))
        rows = pd.DataFrame(drawn, columns=FEATURES)
        fitted = LogisticRegression().fit(rows, rows["f0"] + rows["f1"] > 0)
        with mlflow.start_run(experiment_id=experiment):
            mlflow.sklearn.log_model(
                fitted,
                name=MODEL,
                input_example=rows[:2],
                registered_model_name=MODEL,
                pip_requirements=["scikit-learn", "skops"],
            )
    client.set_registered_model_alias(MODEL, "champion", "1")
    return uri


def environment(uri: str, home: Path) -> dict[str, str]:
    """What both servers are started with."""
    ours = {"CONTROLPLANE_HOME": str(home), "CONTROLPLANE_TRACKING_URI": uri, "CONTROLPLANE_REGISTRY_URI": uri}
    theirs = {
        "MLFLOW_TRACKING_URI": uri,
        "MLFLOW_REGISTRY_URI": uri,
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
    }
    return os.environ | ours | theirs | {"MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONWARNINGS": "ignore"}


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextmanager
def ours(uri: str, home: Path, *options: str) -> Iterator[tuple[int, int]]:
    """`controlplane serve`, ready; its port and its process."""
    port = free_port()
    command = [sys.executable, "-m", "controlplane", "serve", f"{MODEL}@champion", "--port", str(port), *options]
    with _running(command, environment(uri, home), port, "/readyz") as process:
        yield port, process


@contextmanager
def mlflows(uri: str, home: Path) -> Iterator[tuple[int, int]]:
    """`mlflow models serve`, ready; its port and its process."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", f"models:/{MODEL}/1", "--env-manager", "local"]
    with _running([*command, "--port", str(port)], environment(uri, home), port, "/ping") as process:
        yield port, process


@contextmanager
def _running(command: list[str], env: dict[str, str], port: int, path: str) -> Iterator[int]:
    process = subprocess.Popen(
        command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        last = time.monotonic() + 120
        while not _answers(f"http://127.0.0.1:{port}{path}"):
            assert process.poll() is None and time.monotonic() < last, "the server did not come up"
            time.sleep(0.05)
        yield process.pid
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def told(port: int, path: str = "/version") -> Any:
    """What a server says of itself."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        return json.loads(answer.read())


def family(pid: int) -> list[int]:
    """A process and all that it started."""
    found, waiting = [], [pid]
    while waiting:
        each = waiting.pop()
        found.append(each)
        for children in Path(f"/proc/{each}/task").glob("*/children"):
            try:
                waiting += map(int, children.read_text().split())
            except OSError:
                continue
    return found


def memory_mb(pid: int) -> float:
    """What a process and all that it started take, pages that they share counted once, in MB (PSS)."""
    total = 0
    for each in family(pid):
        for line in Path(f"/proc/{each}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total / 1024
