"""A failure says whose fault it is in the run that found it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from controlplane.domain.monitor import CheckSpec, Columns, Limit, ModelRef, Monitor, Schedule, SourceSpec, Window
from controlplane.domain.verdict import CheckResult, DetectorState, Measure, Outcome
from controlplane.engine.judgement import Judged, decide

DAY = timedelta(days=1)
T0 = datetime(2026, 3, 1, tzinfo=UTC)
LIMITS = (Limit("accuracy_vs_baseline", min=-0.05), Limit("brier", max=0.2))
MONITOR = Monitor(
    "scorer",
    ModelRef("scorer", "champion"),
    SourceSpec("files"),
    Columns("at"),
    Schedule("0 0 * * *", DAY),
    (CheckSpec("labels", "performance", limits=LIMITS),),
)
LEVELS = (
    Measure("accuracy", 0.7, 900, 0.67, 0.73, version="2"),
    Measure("accuracy", 0.8, 900, 0.77, 0.83, version="1"),
    Measure("accuracy_vs_baseline", -0.1, 900, -0.13, -0.07, version="2"),
    Measure("accuracy_vs_baseline", 0.0, 900, -0.03, 0.03, version="1"),
    Measure("brier", 0.1, 900, 0.09, 0.11, version="2"),
)
PAIRED = Measure("accuracy_vs_previous", -0.1, 900, -0.13, -0.07, version="2")


def judged(*measures: Measure, compared: str | None = "1") -> Judged:
    result = CheckResult("labels", "2", measures, compared=compared)
    return decide(MONITOR, Window(T0, T0 + DAY), [result], "2", None, DetectorState())


def test_a_failure_names_the_version_with_the_numbers_and_so_does_the_verdict() -> None:
    found = judged(*LEVELS, PAIRED)
    (failed,) = [finding for finding in found.findings if finding.outcome is Outcome.FAIL]
    assert failed.why.endswith(
        ". version regressed: on the same 900 rows accuracy is 0.7 with version 2 and 0.8 with version 1 "
        "(difference -0.1, -0.13 to -0.07); against the reference version 2 -0.1 (-0.13 to -0.07, n=900), "
        "version 1 +0 (-0.03 to 0.03, n=900)"
    )
    assert "version regressed" in found.verdict.why


def test_what_did_not_fail_or_was_not_compared_says_nothing_of_fault() -> None:
    assert not any(
        "regressed" in one.why for one in judged(*LEVELS, PAIRED).findings if one.outcome is not Outcome.FAIL
    )
    assert not any("cannot tell" in one.why or "regressed" in one.why for one in judged(*LEVELS).findings)
    assert not any("regressed" in one.why for one in judged(*LEVELS, PAIRED, compared=None).findings)
