"""Columns that tell of requests in a job file: what is read, and what they cannot be."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from controlplane.domain.monitor import Columns, Limit, Monitor
from controlplane.errors import ConfigError

JOB = """\
schema: 1
model: {name: churn, alias: champion}
source: {kind: files, path: rows.parquet}
columns: {event_time: at, status: code, latency: ms, request: call, ignored: [role]}
schedule: {every: 1d}
checks: [{check: serving}]
"""

pytestmark = pytest.mark.usefixtures("built_in_checks")


def test_the_columns_of_requests_are_read_and_are_no_inputs(load: Callable[[str], Monitor]) -> None:
    monitor = load(JOB)
    assert monitor.columns == Columns("at", status="code", latency="ms", request="call", ignored=("role",))
    assert monitor.columns.features_of(["at", "code", "ms", "call", "role", "x"]) == ("x",)
    assert monitor.checks[0].limits == (Limit("error_rate", max=0.05),)
    assert '"ignored":["role"]' in monitor.canonical() and '"status":"code"' in monitor.canonical()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("status: code, ", "", "serving needs requests; name the column of their 'status' under 'columns'"),
        ("status: code", "status: 5", "columns.status"),
        ("ignored: [role]", "ignored: role", "columns.ignored"),
        ("ignored: [role]", "ignored: [ms]", "column 'ms' is ignored, and also named as latency; name it once"),
        ("ignored: [role]", "ignored: [x], features: [x]", "column 'x' is ignored, and also named as features"),
        ("{check: serving}", "{check: serving, params: {errors_from: 200}}", "errors_from must lie between 400 and"),
    ],
)
def test_what_cannot_be_is_one_sentence(load: Callable[[str], Monitor], old: str, new: str, said: str) -> None:
    assert JOB.count(old) == 1
    with pytest.raises(ConfigError) as caught:
        load(JOB.replace(old, new))
    assert said in str(caught.value)
