"""One worker's web server, held against MLflow's own on the same version; and its limits."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from servers import BREAKS_OFF, Shelf
from starlette.testclient import TestClient

from controlplane.domain.monitor import ModelRef
from controlplane.registry import Registry
from controlplane.serving.answers import Loaded
from controlplane.serving.plan import Limits, Plan, Role, Share
from controlplane.serving.worker import Slots, Worker

FRAME = pd.DataFrame({"a": [1.0, -1.0, 2.0], "b": [-1.0, 1.0, 0.5]})


def parquet() -> bytes:
    held = BytesIO()
    FRAME.to_parquet(held)
    return held.getvalue()


class Kept:
    """An inference log that keeps what it is given."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def write(self, **row: Any) -> None:
        self.rows.append(row)


@pytest.fixture(scope="module", autouse=True)
def counted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path_factory.mktemp("counted")))
        yield


@pytest.fixture(scope="module")
def loaded(shelf: Shelf) -> dict[str, Loaded]:
    """Versions 1 and 2, and 4, which breaks off."""
    registry = Registry(shelf.uri)
    return {
        version: Loaded.load(version, registry.fetch_version("scorer", version, shelf.home / f"fetched-{version}"))
        for version in ("1", "2", "4")
    }


@pytest.fixture
def worker(loaded: dict[str, Loaded], tmp_path: Path) -> Worker:
    """A worker with version 1 in charge, a canary for a fifth of the requests, and small limits of size."""
    plan = Plan(
        ModelRef("scorer", "champion"),
        "127.0.0.1",
        0,
        tmp_path,
        canary=Share("challenger", 0.2),
        shadow=Share("next", 0.5),
        limits=Limits(body_bytes=10_000, at_a_time=3, threads=2),
    )
    made = Worker(plan, SimpleNamespace(send_bytes=lambda said: None), Kept())  # type: ignore[arg-type]
    made.slots = Slots({Role.LIVE: loaded["1"]})
    return made


def client(worker: Worker) -> TestClient:
    from controlplane.serving.app import make_app

    return TestClient(make_app(worker), raise_server_exceptions=False)


@pytest.fixture
def http(worker: Worker) -> TestClient:
    return client(worker)


BODIES = {
    "records": (json.dumps({"dataframe_records": FRAME.to_dict("records")}), "application/json"),
    "split": (json.dumps({"dataframe_split": FRAME.to_dict("split")}), "application/json; charset=utf-8"),
    "inputs": (json.dumps({"inputs": FRAME.to_dict("list")}), "application/json"),
    "instances": (json.dumps({"instances": FRAME.to_dict("records")}), "application/json"),
    "csv": (FRAME.to_csv(index=False), "text/csv"),
    "parquet": (parquet(), "application/vnd.apache.parquet"),
    "a column too few": (json.dumps({"dataframe_records": [{"a": 1.0}]}), "application/json"),
    "text for a number": (json.dumps({"dataframe_records": [{"a": "x", "b": 1.0}]}), "application/json"),
    "not JSON": ("{", "application/json"),
    "a list": ("[1]", "application/json"),
    "no known field": ('{"rows": []}', "application/json"),
    "another charset": ("{}", "application/json; charset=latin-1"),
    "another type": ("a=1", "application/x-www-form-urlencoded"),
    "not UTF-8": (b"\xff\xfe", "application/json"),
    "a broken file": (b"PAR1", "application/vnd.apache.parquet"),
}


@pytest.fixture(scope="module")
def mlflows(shelf: Shelf) -> TestClient:
    """MLflow's own server on version 1."""
    from mlflow.pyfunc import load_model, scoring_server

    folder = Registry(shelf.uri).fetch_version("scorer", "1", shelf.home / "mlflows")
    return TestClient(scoring_server.init(load_model(str(folder))))


@pytest.mark.parametrize("name", BODIES)
def test_an_answer_is_the_one_that_mlflow_gives(name: str, http: TestClient, mlflows: TestClient) -> None:
    body, content_type = BODIES[name]
    ours, theirs = (
        each.post("/invocations", content=body, headers={"Content-Type": content_type}) for each in (http, mlflows)
    )
    assert (ours.status_code, ours.headers["content-type"]) == (theirs.status_code, theirs.headers["content-type"])
    said, meant = (
        {key: value for key, value in got.json().items() if key != "stack_trace"} if got.text[:1] == "{" else got.text
        for got in (ours, theirs)
    )
    assert said == meant
    assert "stack_trace" not in ours.text


def test_what_was_asked_and_answered_reaches_the_log(http: TestClient, worker: Worker) -> None:
    body, content_type = BODIES["records"]
    got = http.post("/invocations", content=body, headers={"Content-Type": content_type, "X-Request-Id": "r-7"})
    assert (got.headers["x-request-id"], got.headers["x-model-version"]) == ("r-7", "1")
    (row,) = worker.log.rows  # type: ignore[union-attr]
    assert (row["version"], row["request_id"], row["role"], row["status"], row["error"]) == (
        "1",
        "r-7",
        "live",
        200,
        "",
    )
    assert row["inputs"].equals(FRAME) and list(row["outputs"]) == [1, 0, 1]
    http.post("/invocations", content="{", headers={"Content-Type": "application/json"})
    failed = worker.log.rows[1]  # type: ignore[union-attr]
    assert (failed["status"], failed["inputs"]) == (400, None) and "valid JSON" in failed["error"]


@pytest.mark.parametrize("given", ["", "x" * 129, "two\u00e9"])
def test_an_id_that_cannot_be_one_is_replaced(http: TestClient, given: str) -> None:
    got = http.post("/invocations", content="{", headers={"X-Request-Id": given.encode()})
    assert len(got.headers["x-request-id"]) == 32


def test_a_request_without_a_content_type_is_told_the_valid_ones(http: TestClient) -> None:
    got = http.post("/invocations", content=b"{}")
    assert got.status_code == 415
    assert "valid: text/csv, application/json" in got.json()["message"]


def test_a_body_that_is_too_long_is_refused_whether_it_says_so_or_not(http: TestClient) -> None:
    def drip() -> Iterator[bytes]:
        yield from (b"x" * 4_000 for _ in range(4))

    for content in (b"x" * 10_001, drip()):
        got = http.post("/invocations", content=content, headers={"Content-Type": "application/json"})
        assert (got.status_code, got.json()["error_code"]) == (413, "BAD_REQUEST")
        assert "10000" in got.json()["message"]


def test_a_version_that_breaks_off_is_an_answer_in_mlflows_form(
    http: TestClient, worker: Worker, loaded: dict[str, Loaded]
) -> None:
    assert "the first row is too much" in BREAKS_OFF
    worker.slots = Slots({Role.LIVE: loaded["4"]})
    body, content_type = BODIES["records"]
    got = http.post("/invocations", content=body, headers={"Content-Type": content_type})
    assert got.status_code == 400
    assert "error_code" in got.json() and "Traceback" not in got.text


def test_before_a_version_is_loaded_requests_are_told_so(http: TestClient, worker: Worker) -> None:
    worker.slots = Slots()
    got = http.post("/invocations", content="{}", headers={"Content-Type": "application/json"})
    assert (got.status_code, got.json()["message"]) == (503, "no version is loaded yet")
    assert (http.get("/readyz").status_code, http.get("/healthz").status_code) == (503, 200)


def test_a_canary_answers_its_share_of_the_ids_and_always_the_same_ones(
    http: TestClient, worker: Worker, loaded: dict[str, Loaded]
) -> None:
    worker.slots = Slots({Role.LIVE: loaded["1"], Role.CANARY: loaded["2"]})
    roles = [worker.plan.role_of(f"request-{n}") for n in range(10_000)]
    assert 0.19 < sum(role is Role.CANARY for role in roles) / len(roles) < 0.21
    body, content_type = BODIES["records"]
    for n in range(20):
        for _ in range(2):
            headers = {"Content-Type": content_type, "X-Request-Id": f"request-{n}"}
            got = http.post("/invocations", content=body, headers=headers)
            canary = roles[n] is Role.CANARY
            assert got.headers["x-model-version"] == ("2" if canary else "1")
            assert got.headers["x-model-alias"] == ("challenger" if canary else "champion")
            assert got.json()["predictions"] == ([0, 1, 1] if canary else [1, 0, 1])


def test_a_shadow_is_asked_its_share_and_heard_by_the_log_alone(
    http: TestClient, worker: Worker, loaded: dict[str, Loaded]
) -> None:
    worker.slots = Slots({Role.LIVE: loaded["1"], Role.SHADOW: loaded["4"]})
    body, content_type = BODIES["records"]
    asked = [f"request-{n}" for n in range(40)]
    for request_id in asked:
        got = http.post(
            "/invocations", content=body, headers={"Content-Type": content_type, "X-Request-Id": request_id}
        )
        assert (got.status_code, got.headers["x-model-version"]) == (200, "1")
    worker.shadows.shutdown(wait=True)
    rows = [row for row in worker.log.rows if row["role"] == "shadow"]  # type: ignore[union-attr]
    assert [row["request_id"] for row in rows] == [each for each in asked if worker.plan.shadows(each)]
    assert {(row["version"], row["status"]) for row in rows} == {("4", 400)}


def test_a_version_that_takes_too_long_is_a_504(worker: Worker) -> None:
    slow = SimpleNamespace(version="1", answer=lambda request: time.sleep(0.8))
    worker.slots = Slots({Role.LIVE: slow})  # type: ignore[dict-item]
    worker.plan = replace(worker.plan, limits=Limits(answer_seconds=0.2))
    got = client(worker).post("/invocations", content="{}", headers={"Content-Type": "application/json"})
    assert (got.status_code, got.json()["error_code"]) == (504, "DEADLINE_EXCEEDED")


@pytest.mark.parametrize(("path", "method", "status"), [("/nowhere", "GET", 404), ("/invocations", "GET", 405)])
def test_what_is_not_served_says_what_is(http: TestClient, path: str, method: str, status: int) -> None:
    got = http.request(method, path)
    assert got.status_code == status
    assert "valid: POST /invocations" in got.json()["message"]


def test_reloads_are_not_taken_where_no_secret_is_set(http: TestClient) -> None:
    got = http.post("/reload")
    assert got.status_code == 403
    assert "CONTROLPLANE_SERVING_SECRET" in got.json()["message"]
