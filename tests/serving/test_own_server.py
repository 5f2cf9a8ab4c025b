"""The server that the README shows follows the contract: it says its version, reloads when asked rightly, and logs."""

from __future__ import annotations

import re
import time
from pathlib import Path

import httpx
import pyarrow.dataset as ds
import pytest
from servers import Shelf
from starlette.testclient import TestClient

from controlplane import probe
from controlplane.errors import ProbeError
from controlplane.signing import sign

README = Path(__file__).parents[2] / "README.md"


def test_the_readmes_own_server_says_its_version_reloads_and_logs(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTROLPLANE_SERVING_SECRET", "s3cret")
    import mlflow

    # As if MLFLOW_TRACKING_URI had said so before MLflow was first asked in this process.
    monkeypatch.setattr(mlflow.tracking._tracking_service.utils, "_tracking_uri", shelf.uri)
    monkeypatch.setattr(mlflow.tracking._model_registry.utils, "_registry_uri", shelf.uri)
    (code,) = re.findall(r"```python\n(import os, time, uuid\n.*?)```", README.read_text(), re.DOTALL)
    shown = {"__name__": "readme"}
    shelf.release("1")
    exec(code.replace("answers/churn", str(tmp_path / "log")).replace("churn", "scorer"), shown)
    with TestClient(shown["app"]) as http:  # type: ignore[arg-type]
        assert str(http.get("/version").json()["version"]) == "1"
        assert http.post("/score", json=[{"a": 1.0, "b": -1.0}]).json() == [1]
        shelf.release("2")
        assert http.post("/reload", content=b"{}").status_code == 401
        body = b'{"version": "2"}'
        assert http.post("/reload", content=body, headers=sign("s3cret", body, time.time())).status_code == 202
        assert str(http.get("/version").json()["version"]) == "2"
        assert http.post("/score", json=[{"a": 1.0, "b": -1.0}]).json() == [0]
    shown["log"].close()  # type: ignore[attr-defined]
    rows = ds.dataset(tmp_path / "log", partitioning=None).to_table().sort_by("model_version")
    assert rows.select(["model_version", "a", "prediction"]).to_pylist() == [
        {"model_version": "1", "a": 1.0, "prediction": 1},
        {"model_version": "2", "a": 1.0, "prediction": 0},
    ]


def test_a_reload_that_is_not_taken_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(url: str, **_: object) -> httpx.Response:
        return httpx.Response(401, request=httpx.Request("POST", url))

    monkeypatch.setattr(httpx, "post", refuse)
    with pytest.raises(ProbeError, match="http://scorer:8080/reload answered a reload with status 401"):
        probe.ask_to_reload("http://scorer:8080/reload", "s3cret", {"version": "2"})
    with pytest.raises(ProbeError, match="did not answer"):
        monkeypatch.undo()
        probe.ask_to_reload("http://127.0.0.1:9/reload", "s3cret", {})
