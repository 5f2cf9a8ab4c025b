"""A page budget in a job file: what it takes the place of, and what it cannot do without."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from controlplane.domain.monitor import Budget, Monitor
from controlplane.errors import ConfigError

JOB = """\
schema: 1
model: {name: churn, alias: champion}
source: {kind: files, path: rows.parquet}
reference: {kind: files, path: reference.parquet}
columns: {event_time: at, prediction: score, label: left}
schedule: {every: 1d}
budget: {false_pages: 2, per: 30d}
checks: [{check: quality}, {check: drift}, {check: performance}]
"""


pytestmark = pytest.mark.usefixtures("built_in_checks")


def test_a_budget_is_read_and_says_in_how_many_windows_a_false_page_may_come(load: Callable[[str], Monitor]) -> None:
    budget = load(JOB).budget
    assert budget == Budget(2.0, timedelta(days=30), 0.05)
    assert budget.horizon(timedelta(days=1)) == 15 and str(budget) == "2 false pages in 30 days"


def test_it_takes_the_place_of_default_limits_but_for_what_fails_for_certain(load: Callable[[str], Monitor]) -> None:
    limits = {check.name: [limit.measure for limit in check.limits] for check in load(JOB).checks}
    assert limits == {"quality": ["infinite_rate", "missing_columns", "type_changes"], "drift": [], "performance": []}


def test_explicit_limits_stay(load: Callable[[str], Monitor]) -> None:
    text = JOB.replace("{check: drift}", "{check: drift, limits: {drift: {max: 0.5}}}")
    assert [limit.max for limit in load(text).checks[1].limits] == [0.5]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("reference: {kind: files, path: reference.parquet}\n", "", "a page budget needs a reference; say where"),
        (
            "checks: [{check: quality}, {check: drift}, {check: performance}]",
            "checks: [{check: quality}]",
            "quality give no evidence to a page budget; add one of: calibration, drift",
        ),
        ("per: 30d", "per: soon", "budget.per: 'soon' is not a duration"),
        ("per: 30d", "per: 0d", "budget.per"),
        ("budget: {false_pages: 2, per: 30d}", "budget: 1", "budget is 1"),
    ],
)
def test_a_budget_that_cannot_be_kept_is_refused(load: Callable[[str], Monitor], old: str, new: str, said: str) -> None:
    assert old in JOB
    with pytest.raises(ConfigError) as caught:
        load(JOB.replace(old, new))
    assert said in str(caught.value)
