"""Metrics that another distribution brings: found by name, measured like the built-in ones, and their faults told."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from controlplane.checks import metrics_custom
from controlplane.checks.performance import Performance, PerformanceParams
from controlplane.domain.monitor import Columns, Window
from controlplane.domain.verdict import Measure
from controlplane.errors import CheckError
from controlplane.ports import Sample
from controlplane.profiles import build_reference

METRICS = """
import numpy as np

from controlplane.ports import MeasureSpec


def missed(labels, predictions, probabilities):
    return 500.0 * ((labels == 1) & (predictions == 0))


missed.spec = MeasureSpec("EUR", higher_is_worse=True, meaning="what missed cases cost a row")


def margin(labels, predictions, probabilities):
    return abs(probabilities[:, 1] - probabilities[:, 0])


margin.spec = MeasureSpec("share", False, "how sure the answers are")


def broken(labels, predictions, probabilities):
    raise RuntimeError("no price\\nlist at https://ann:s3cret@example.com/list")


def greedy(labels, predictions, probabilities):
    labels[:] = 0


def total(labels, predictions, probabilities):
    return (labels == predictions).mean()


def unknown(labels, predictions, probabilities):
    return np.full(len(labels), np.nan)


broken.spec = greedy.spec = total.spec = unknown.spec = margin.spec


def bare(labels, predictions, probabilities):
    return labels
"""
NAMES = ("missed", "margin", "broken", "greedy", "total", "unknown", "bare", "gone")
COLUMNS = Columns("at", prediction="said", probability="sure", label="truth")
START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path with a distribution in it that declares the metrics."""
    folder = tmp_path / "pricing-1.dist-info"
    folder.mkdir()
    (tmp_path / "pricing.py").write_text(METRICS)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: pricing\nVersion: 1\n")
    lines = [f"{name} = pricing:{name}" for name in NAMES]
    (folder / "entry_points.txt").write_text("\n".join(["[controlplane.metrics]", *lines, ""]))
    monkeypatch.syspath_prepend(tmp_path)
    metrics_custom._points.cache_clear()
    yield tmp_path
    sys.modules.pop("pricing", None)
    metrics_custom._points.cache_clear()


def rows(seed: int, n: int = 400) -> pa.Table:
    rng = np.random.default_rng(seed)
    sure = rng.random(n)
    said, truth = (sure > 0.5).astype(int), (rng.random(n) < sure).astype(int)
    return pa.table({"said": said, "sure": sure, "truth": truth, "at": [START] * n})


def measured(*metrics: str) -> dict[str, Measure]:
    reference = build_reference(rows(1).to_batches, COLUMNS)
    sample = Sample(Window(START, START + timedelta(days=1)), rows(0), COLUMNS, version="2", reference=reference)
    return {measure.name: measure for measure in Performance().measure(sample, PerformanceParams(metrics=metrics))}


def test_an_installed_metric_is_measured_with_its_interval_and_its_difference_to_the_reference() -> None:
    found = measured("accuracy", "missed")
    table = rows(0)
    cost = 500.0 * ((table["truth"].to_numpy() == 1) & (table["said"].to_numpy() == 0))
    assert found["missed"].estimate == pytest.approx(cost.mean())
    assert found["missed"].high - found["missed"].estimate == pytest.approx(1.966 * cost.std(ddof=1) / 20, rel=1e-3)
    assert set(found) == {"accuracy", "accuracy_vs_baseline", "missed", "missed_vs_baseline"}


def test_it_sees_the_probabilities_with_the_positive_class_last() -> None:
    sure = rows(0)["sure"].to_numpy()
    assert measured("margin")["margin"].estimate == pytest.approx(np.abs(2 * sure - 1).mean())


def test_it_is_declared_with_its_unit_and_side_and_so_are_its_differences() -> None:
    declared = Performance.measures
    assert declared["missed"].unit == "EUR" and declared["missed"].higher_is_worse
    assert declared["missed_vs_baseline"].meaning == "missed minus missed of the reference rows"
    assert {"missed", "missed_vs_previous", "margin"} <= set(declared)
    assert len(dict(declared)) == len(declared)


def test_it_is_measured_only_where_it_is_named_and_then_feeds_the_page_budget() -> None:
    assert "missed" not in measured()
    sample = Sample(Window(START, START + timedelta(days=1)), rows(0), COLUMNS, version="2")
    params = PerformanceParams(metrics=("missed",))
    found = Performance().statistics(sample, params, Performance().measure(sample, params))
    assert [(one.name, one.side) for one in found] == [("missed", 1)]


def test_an_unknown_name_is_told_with_the_installed_ones() -> None:
    with pytest.raises(ValueError, match=r"classification has no metric mised; valid: accuracy, .*bare, .*missed"):
        PerformanceParams(metrics=("mised",))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("broken", r"metric 'broken' failed: RuntimeError: no price list at https://\*\*\*@example.com/list"),
        ("greedy", "metric 'greedy' failed: ValueError: assignment destination is read-only"),
        ("total", r"metric 'total' must give one number a row, shape \(400,\); it gave \(\)"),
        ("unknown", "metric 'unknown' gave 400 of 400 values that are not finite numbers"),
        ("bare", "metric 'bare' must be a function that bears a controlplane.ports.MeasureSpec as its 'spec'"),
        ("gone", "metric 'gone' cannot be loaded from 'pricing:gone': AttributeError"),
    ],
)
def test_what_is_wrong_with_it_is_one_sentence_that_names_it(name: str, sentence: str) -> None:
    with pytest.raises(CheckError, match=sentence) as caught:
        measured(name)
    assert "\n" not in str(caught.value)


def test_one_that_cannot_be_used_stands_in_no_others_way() -> None:
    assert "bears a controlplane.ports.MeasureSpec" in Performance.measures["bare"].meaning
    assert measured("missed")


def test_a_job_may_limit_it(installed: Path) -> None:
    script = (
        "from controlplane.config.kinds import find, make_params\n"
        "params = make_params('checks', 'performance', {'metrics': ['missed']})\n"
        "print(params.metrics, 'missed_vs_previous' in find('checks', 'performance').measures)"
    )
    environment = os.environ | {"PYTHONPATH": str(installed)}
    said = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert said.stdout == "('missed',) True\n"
