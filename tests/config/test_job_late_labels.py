"""Late labels in a job file: what is read, and what they cannot do without."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from controlplane.domain.monitor import LateLabels, Monitor
from controlplane.errors import ConfigError

JOB = """\
schema: 1
model: {name: churn, alias: champion}
source: {kind: files, path: rows.parquet}
labels: {kind: files, path: labels.parquet}
late_labels: {wait: 45d, coverage: 0.8, known_at: arrived}
reference: {kind: files, path: reference.parquet}
columns: {event_time: at, row_id: id, prediction: score, label: left}
schedule: {every: 1d}
checks: [{check: quality}, {check: performance}]
"""

pytestmark = pytest.mark.usefixtures("built_in_checks")


def test_how_long_labels_are_waited_for_is_read(load: Callable[[str], Monitor]) -> None:
    assert load(JOB).late_labels == LateLabels(timedelta(days=45), 0.8, "arrived")
    assert load(JOB.replace(", coverage: 0.8, known_at: arrived", "")).late_labels == LateLabels(timedelta(days=45))
    assert load(JOB.replace("late_labels: {wait: 45d, coverage: 0.8, known_at: arrived}\n", "")).late_labels is None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("labels: {kind: files, path: labels.parquet}\n", "", "labels that come late need a source of their own"),
        ("row_id: id, ", "", "labels of their own are joined by row_id"),
        ("wait: 45d", "wait: soon", "late_labels.wait: 'soon' is not a duration"),
        ("wait: 45d, ", "", "wait"),
        ("coverage: 0.8", "coverage: 80", "late_labels.coverage"),
        ("coverage: 0.8", "coverage: 0", "late_labels.coverage"),
        ("coverage: 0.8", "share: 0.8", "share"),
        ("checks: [", "checks: [{check: drift, name: labels}, ", "the name 'labels' is taken by the product"),
    ],
)
def test_what_cannot_be_is_one_sentence(load: Callable[[str], Monitor], old: str, new: str, said: str) -> None:
    assert JOB.count(old) >= 1
    with pytest.raises(ConfigError) as caught:
        load(JOB.replace(old, new, 1))
    assert said in str(caught.value)
