"""A job that reads an inference log need not say which column plays which part."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import yaml
from jsonschema import Draft202012Validator

from controlplane.config import json_schema
from controlplane.domain.monitor import Columns, Monitor
from controlplane.errors import ConfigError

JOB = """\
schema: 1
model: {name: churn, alias: champion}
source: {kind: log, path: rows, roles: [champion]}
schedule: {every: 1h}
checks: [{check: ood, limits: {ood_share: {max: 0.1}}}]
reference: {kind: files, path: reference.parquet}
"""

pytestmark = pytest.mark.usefixtures("built_in_checks")


def test_the_columns_of_a_log_are_known(load: Callable[[str], Monitor]) -> None:
    columns = load(JOB).columns
    assert columns == Columns(
        "event_time",
        row_id="row_id",
        model_version="model_version",
        prediction="prediction",
        status="status",
        latency="latency_ms",
        request="request_id",
        ignored=("role", "error", "request_rows", "failed_inputs"),
    )
    names = ["row_id", "event_time", "latency_ms", "status", "age", "prediction"]
    assert columns.features_of(names) == ("age",)


def test_what_a_job_says_itself_counts(load: Callable[[str], Monitor]) -> None:
    columns = load(JOB + "columns: {label: left, prediction: prediction_score, ignored: [age]}\n").columns
    assert (columns.label, columns.prediction, columns.event_time) == ("left", "prediction_score", "event_time")
    assert columns.ignored == ("role", "error", "request_rows", "failed_inputs", "age")
    assert load(JOB + "columns: {features: [age, role]}\n").columns.features == ("age", "role")
    with pytest.raises(ConfigError, match=r"churn\.yaml:7: column 'age' is ignored, and also named as label"):
        load(JOB + "columns: {label: age, ignored: [age]}\n")


def test_other_sources_still_have_to_say(load: Callable[[str], Monitor]) -> None:
    files = JOB.replace("kind: log", "kind: files").replace(", roles: [champion]", "")
    with pytest.raises(ConfigError, match="missing key 'columns'"):
        load(files)
    with pytest.raises(ConfigError, match="missing key 'event_time' in columns"):
        load(files + "columns: {row_id: id}\n")


def test_mistakes_in_the_columns_are_still_found(load: Callable[[str], Monitor]) -> None:
    with pytest.raises(ConfigError, match=r"churn\.yaml:7: unknown key 'lable'; did you mean 'label'"):
        load(JOB + "columns: {lable: left}\n")


def test_the_schema_asks_for_columns_where_the_source_does_not_know_them() -> None:
    schema = Draft202012Validator(json_schema())
    files = JOB.replace("kind: log", "kind: files").replace(", roles: [champion]", "")
    for text, valid in ((JOB, True), (files, False), (files + "columns: {row_id: id}\n", False)):
        assert schema.is_valid(yaml.safe_load(text)) is valid
    assert schema.is_valid(yaml.safe_load(files + "columns: {event_time: at}\n"))
