"""The source `traces`, on traces that MLflow made."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "contracts"))

from tracing import client, tracking_store, write_traces  # beside the contract of sources

from controlplane.app import open_app
from controlplane.config import Settings
from controlplane.domain.monitor import Columns, Window
from controlplane.errors import SourceError
from controlplane.sources.traces import Traces

DAY = Window.parse("2026-03-29T00:00Z/2026-03-30T00:00Z")


def serve(uri: str) -> None:
    """What a server of somebody's own does: it traces twelve requests, six of each of two registered models."""
    import mlflow

    mlflow.set_tracking_uri(uri)
    live = mlflow.set_experiment("live").experiment_id

    @mlflow.trace
    def predict(age: int, country: str, status: str, history: list[dict[str, int]]) -> dict[str, Any]:
        if age < 0:
            raise ValueError("no such age")
        return {"label": int(age > 40), "why": ["age"]}

    for number in range(2):
        model = mlflow.create_external_model("churn", experiment_id=live)
        mlflow.register_model(f"models:/{model.model_id}", "churn")
        with mlflow.set_active_model(model_id=model.model_id):
            for place in range(6 * number, 6 * number + 6):
                with suppress(ValueError):
                    age = -1 if place == 3 else 30 + 2 * place
                    predict(age, country="it", status="new", history=[{"claims": place}])
    mlflow.flush_trace_async_logging(terminate=True)


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A tracking store with what `serve` traced."""
    uri = tracking_store(tmp_path_factory.mktemp("traced"))
    before = dict(os.environ)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        serve(uri)
    yield uri
    import mlflow

    mlflow.set_tracking_uri(None)
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def empty(tmp_path: Path) -> str:
    """A tracking store without traces."""
    return tracking_store(tmp_path)


def source(uri: str, **options: Any) -> Traces:
    return Traces(Traces.Params(**{"experiment": "live", "tracking_uri": uri, **options}), Columns("event_time"))


def rows(made: Traces, window: Window | None = None) -> list[dict[str, Any]]:
    batches = [pa.Table.from_batches([batch]) for batch in made.fetch(window)]
    return pa.concat_tables(batches, promote_options="default").to_pylist() if batches else []


def at(second: int) -> datetime:
    return DAY.start + timedelta(seconds=second)


def test_what_was_asked_and_answered_are_columns_and_the_version_is_the_registered_one(traced: str) -> None:
    found = rows(source(traced))
    assert [row["model_version"] for row in found] == ["1"] * 6 + ["2"] * 6
    assert len({row["row_id"] for row in found}) == 12
    (last,) = [row for row in found if row["age"] == 52]
    assert {name: last[name] for name in ("age", "country", "input_status", "status")} == {
        "age": 52,
        "country": "it",
        "input_status": "new",
        "status": 200,
    }
    assert json.loads(last["history"]) == [{"claims": 11}]
    assert (last["prediction_label"], json.loads(last["prediction_why"])) == (1, ["age"])
    assert 0 < last["latency_ms"] < 60_000
    assert abs(last["event_time"] - datetime.now(UTC)) < timedelta(hours=1)
    times = [row["event_time"].replace(microsecond=row["event_time"].microsecond // 1000) for row in found]
    assert times == sorted(times)


def test_a_request_that_failed_says_why_and_keeps_its_inputs_apart(traced: str) -> None:
    (failed,) = [row for row in rows(source(traced)) if row["status"] != 200]
    assert (failed["status"], failed["model_version"], failed["age"]) == (500, "1", None)
    assert "no such age" in failed["error"]
    assert json.loads(failed["failed_inputs"])["age"] == -1


def test_pages_of_any_size_give_the_same_rows(traced: str) -> None:
    assert rows(source(traced, page=5)) == rows(source(traced, page=1)) == rows(source(traced))


def test_a_column_has_the_one_type_that_fits_its_values_on_all_pages(empty: str) -> None:
    asked = [{"a": 1, "b": 1, "c": None}, {"a": 2.5, "b": "x", "c": None}, {"a": 3, "b": True, "c": [1]}]
    write_traces(empty, [(at(i), each) for i, each in enumerate(asked)])
    for page in (1, 2, 3):
        found = rows(source(empty, page=page), DAY)
        assert [row["a"] for row in found] == [1.0, 2.5, 3.0]
        assert [row["b"] for row in found][1:2] == ["x"]
        assert [row["c"] for row in found] == [None, None, "[1]"]


@pytest.mark.parametrize(
    ("answer", "columns"),
    [
        (0.5, {"prediction": 0.5}),
        ([0.5], {"prediction": 0.5}),
        ([{"p": 1, "q": [2]}], {"prediction_p": 1, "prediction_q": "[2]"}),
        ([1, 2], {"prediction": "[1, 2]"}),
        (None, {}),
    ],
)
def test_an_answer_is_one_prediction_or_one_for_each_of_its_fields(
    empty: str, answer: Any, columns: dict[str, Any]
) -> None:
    write_traces(empty, [(at(0), {"a": 1})], answer)
    (row,) = rows(source(empty))
    assert {name: value for name, value in row.items() if name.startswith("prediction")} == columns


@pytest.mark.parametrize("given", [{"a": 1, "b": "x"}, [{"a": 1, "b": "x"}]])
def test_one_field_of_a_request_can_hold_all_inputs(empty: str, given: Any) -> None:
    write_traces(empty, [(at(0), {"model_input": given, "params": {"n": 1}})])
    (row,) = rows(source(empty, inputs="model_input"))
    assert (row["a"], row["b"], "model_input" in row) == (1, "x", False)
    assert json.loads(rows(source(empty))[0]["model_input"]) == given


def test_a_trace_without_spans_has_no_inputs_and_one_under_way_is_no_row(empty: str) -> None:
    from mlflow.entities import TraceInfo, TraceLocation, TraceState

    writer = client(empty)
    place = TraceLocation.from_experiment_id(writer.get_experiment_by_name("live").experiment_id)
    moment = int(at(1).timestamp() * 1000)
    for name, state in (("bare", TraceState.OK), ("under-way", TraceState.IN_PROGRESS)):
        info = TraceInfo(f"tr-{name}", place, moment, state, "{}", execution_duration=7)
        writer._tracking_client.store.start_trace(info)
    write_traces(empty, [(at(2), {"a": 1})])
    found = rows(source(empty), DAY)
    assert [(row["event_time"], row["status"], row["a"]) for row in found] == [(at(1), 200, None), (at(2), 200, 1)]
    assert (found[0]["row_id"], found[0]["latency_ms"]) == ("tr-bare", 7.0)
    assert source(empty).count([DAY]) == [2]


def test_windows_that_cut_a_millisecond_are_counted_as_they_are_fetched(empty: str) -> None:
    cut = Window(at(0) + timedelta(microseconds=300), at(0) + timedelta(microseconds=700))
    write_traces(empty, [(at(0) + timedelta(microseconds=100 * i), {"a": i}) for i in range(10)])
    assert [row["a"] for row in rows(source(empty, page=3), cut)] == [3, 4, 5, 6]
    assert source(empty).count([cut, DAY]) == [4, 10]


def test_a_version_is_told_by_a_tag_or_by_a_model_that_is_registered_once(traced: str, empty: str) -> None:
    (trace,) = write_traces(empty, [(at(0), {"a": 1})])
    assert rows(source(empty))[0]["model_version"] is None
    writer = client(empty)
    writer.set_trace_tag(trace, "release", "7")
    assert rows(source(empty, version="release"))[0]["model_version"] == "7"
    assert rows(source(empty, version="other"))[0]["model_version"] is None
    assert {row["model_version"] for row in rows(source(traced, model="churn"))} == {"1", "2"}
    # The same model as a version of another name: which one answered is not to be told.
    shelf = client(traced)
    first = shelf.get_trace(rows(source(traced))[0]["row_id"]).info.trace_metadata["mlflow.modelId"]
    both = [{"name": name, "version": "1"} for name in ("churn", "copy")]
    shelf.set_logged_model_tags(first, {"mlflow.modelVersions": json.dumps(both)})
    assert [row["model_version"] for row in rows(source(traced))] == [None] * 6 + ["2"] * 6
    assert {row["model_version"] for row in rows(source(traced, model="churn"))} == {"1", "2"}


def test_an_experiment_that_is_not_there_is_told_with_those_that_are(empty: str) -> None:
    for read_it in (
        lambda: rows(source(empty, experiment="life")),
        lambda: source(empty, experiment="life").count([DAY]),
    ):
        with pytest.raises(SourceError) as caught:
            read_it()
        assert str(caught.value) == "there is no experiment 'life'; MLflow has: live, Default"


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("", "no tracking server is named; valid: tracking_uri, the URI of an MLflow server or database"),
        ("http://ann:hunter2@127.0.0.1:9", "the traces of experiment 'live' cannot be read: "),
        ("sqlite:////nowhere/mlflow.db", "there is no MLflow at sqlite:////nowhere/mlflow.db; "),
    ],
)
def test_without_a_server_there_is_one_sentence_without_secrets(uri: str, said: str) -> None:
    for read_it in (lambda: rows(source(uri)), lambda: source(uri).count([DAY])):
        with pytest.raises(SourceError) as caught:
            read_it()
        assert str(caught.value).startswith(said)
        assert "\n" not in str(caught.value) and "hunter2" not in str(caught.value)


@pytest.mark.parametrize("wrong", [{"experiment": ""}, {"page": 0}, {"page": 10_001}])
def test_params_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must"):
        Traces.Params(**{"experiment": "live", **wrong})


def test_a_job_reads_the_installations_own_server_and_names_no_columns(traced: str, tmp_path: Path) -> None:
    (tmp_path / "churn.yaml").write_text(
        "schema: 1\nmodel: {name: churn, alias: champion}\nsource: {kind: traces, experiment: live}\n"
        "schedule: {every: 1h}\nreference: {kind: files, path: reference.parquet}\n"
        "checks: [{check: serving, limits: {error_rate: {max: 0.1}}}]\n"
    )
    settings = Settings(home=tmp_path / "home", jobs=tmp_path, tracking_uri=traced)
    with open_app(settings) as (context, problems):
        assert problems == ()
        monitor = context.monitors["churn"]
        assert monitor.columns.features_of(["row_id", "age", "prediction", "failed_inputs"]) == ("age",)
        (count,) = context.open_source(monitor, monitor.source).count([Window(DAY.start, datetime.now(UTC))])
    assert count == 12
