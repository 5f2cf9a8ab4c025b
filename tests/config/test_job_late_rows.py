"""Late rows in a job file: what is read, and what cannot be."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from controlplane.domain.monitor import Monitor
from controlplane.errors import ConfigError

JOB = """\
schema: 1
model: {name: churn, alias: champion}
source: {kind: files, path: rows.parquet}
reference: {kind: files, path: reference.parquet}
columns: {event_time: at}
schedule: {every: 1h, delay: 10m, late_rows: 1d}
checks: [{check: quality}]
"""

pytestmark = pytest.mark.usefixtures("built_in_checks")


def test_how_long_late_rows_are_looked_for_is_read_and_off_by_itself(load: Callable[[str], Monitor]) -> None:
    assert load(JOB).schedule.late_rows == timedelta(days=1)
    assert load(JOB.replace(", late_rows: 1d", "")).schedule.late_rows == timedelta(0)
    assert load(JOB.replace("1d}", "0s}")).schedule.late_rows == timedelta(0)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("soon", "schedule.late_rows: 'soon' is not a duration"),
        ("-1h", "schedule.late_rows: '-1h' is not a duration"),
        ("10m", "late_rows 10m is over by the first look, which waits 10m; give more than 'delay', or leave it out"),
        ("90s", "late_rows 90s is over by the first look, which waits 10m"),
        ("9999d", "schedule.late_rows: 9999d is too long"),
    ],
)
def test_what_cannot_be_is_one_sentence(load: Callable[[str], Monitor], given: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(JOB.replace("1d}", f"{given}}}"))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "churn.yaml:6" in str(caught.value)
