"""One window judged with a page budget: what fails, what is said, and what is left alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from controlplane.domain.monitor import (
    Budget,
    CheckSpec,
    Columns,
    Limit,
    ModelRef,
    Monitor,
    Schedule,
    SourceSpec,
    Window,
)
from controlplane.domain.verdict import CheckResult, DetectorState, Finding, Measure, Outcome, Score
from controlplane.engine.judgement import Judged, decide
from controlplane.profiles.detector import EDetector, accumulate
from controlplane.profiles.promise import Promise

DAY = timedelta(days=1)
T0 = datetime(2026, 3, 1, tzinfo=UTC)
MONITOR = Monitor(
    "scorer",
    ModelRef("scorer", "champion"),
    SourceSpec("files"),
    Columns("at"),
    Schedule("0 0 * * *", DAY),
    (CheckSpec("drift", "drift"), CheckSpec("performance", "performance")),
    budget=Budget(1, 90 * DAY),
)
PROMISE = Promise(90.0, 0.05, 90.0, 120)
MEASURES = (
    Measure("drift", 0.30, 500, 0.25, 0.35, "age", None, "1", "mean 31 -> 43"),
    Measure("drift", 0.40, 500, 0.35, 0.45, "zip", None, "1", "share of 'A' 10.0% -> 50.0%"),
)


def day(index: int) -> Window:
    return Window(T0 + index * DAY, T0 + (index + 1) * DAY)


def drifted(value: float, importance: dict[str, float] | None = None, version: str = "1") -> CheckResult:
    scores = tuple(Score("drift", "location", value, column, 1, "drift", 0.0) for column in ("age", "zip"))
    return CheckResult("drift", version, MEASURES, scored=True, scores=scores, importance=importance or {})


def performed(value: float) -> CheckResult:
    measure = Measure("accuracy", 0.71, 500, 0.67, 0.75, version="1")
    scores = (Score("performance", "accuracy", value, None, -1, "accuracy", 0.83),)
    return CheckResult("performance", "1", (measure,), scored=True, scores=scores)


def days(*results: list[CheckResult], monitor: Monitor = MONITOR, promise: Promise | None = PROMISE) -> list[Judged]:
    state, judged = DetectorState(), []
    for index, found in enumerate(results):
        judged.append(decide(monitor, day(index), found, "1", promise, state))
        state = judged[-1].state
    return judged


def outcomes(judged: Judged) -> dict[str, Outcome]:
    return {check.check: check.outcome for check in judged.verdict.checks}


def failing(judged: Judged) -> Finding:
    (finding,) = [each for each in judged.findings if each.outcome is Outcome.FAIL]
    return finding


def test_the_evidence_of_every_window_is_a_measure_held_against_the_threshold() -> None:
    judged = days([drifted(-0.5)], [drifted(2.0)], *[[drifted(6.0)]] * 3)
    rows = [next(each for each in one.findings if each.measure == "evidence") for one in judged]
    assert [row.limit for row in rows] == [90.0] * 5 and [row.n for row in rows] == [500] * 5
    levels = [row.estimate for row in rows if row.estimate is not None]
    assert levels == sorted(levels) and levels[0] < 1 and levels[-1] == 900
    assert [row.outcome for row in rows][:2] == [Outcome.PASS] * 2 and rows[-1].outcome is None


def test_quiet_windows_pass_and_say_how_much_evidence_there_is() -> None:
    judged = days(*[[drifted(-0.5), performed(-0.5)]] * 3)[-1]
    assert outcomes(judged) == {"drift": Outcome.PASS, "performance": Outcome.PASS}
    for finding in judged.findings[-2:]:
        assert finding.why.startswith("nothing moved beyond chance (evidence 0.")
        assert finding.why.endswith("of 90, n=500)")


def test_what_moved_is_said_largest_shift_first() -> None:
    judged = days(*[[drifted(4.0), performed(-0.5)]] * 3)[-1]
    assert outcomes(judged) == {"drift": Outcome.FAIL, "performance": Outcome.PASS}
    finding = failing(judged)
    assert finding.why.startswith(
        "zip: share of 'A' 10.0% -> 50.0% (drift of zip 0.4 (0.35 to 0.45, n=500)); age: mean"
    )
    assert finding.why.endswith("Evidence past 90, the threshold for 1 false page in 90 days")
    assert (finding.column, finding.estimate, finding.low, finding.high, finding.n) == ("zip", 0.40, 0.35, 0.45, 500)


def test_a_column_the_model_hardly_looks_at_comes_last() -> None:
    judged = days(*[[drifted(4.0, {"age": 1.0, "zip": 0.1})]] * 3)[-1]
    assert failing(judged).why.startswith("age: mean 31 -> 43")


def test_a_measure_of_the_whole_window_is_told_with_what_is_usual() -> None:
    judged = days(*[[performed(5.0)]] * 3)[-1]
    finding = failing(judged)
    assert finding.why.startswith("accuracy 0.71 (0.67 to 0.75, n=500), usually 0.83.")
    assert (finding.measure, finding.column) == ("accuracy", None)


def test_a_measure_of_a_segment_is_found_by_its_name_and_the_farthest_from_usual_leads() -> None:
    measures = tuple(
        Measure("accuracy", level, 500, level - 0.04, level + 0.04, segment=segment)
        for level, segment in ((0.85, None), (0.80, "country=ESP"), (0.60, "country=PRT"))
    )
    usual = {"accuracy in country=ESP": 0.86, "accuracy in country=PRT": 0.84}
    scores = tuple(Score("slices", name, 5.0, None, -1, "accuracy", level) for name, level in usual.items())
    scores += (Score("slices", "slice_gap in age < 30", 5.0, None, 1, "slice_gap", 0.01),)
    monitor = replace(MONITOR, checks=(CheckSpec("slices", "slices"),))
    seen = CheckResult("slices", "1", measures, scored=True, scores=scores)
    finding = failing(days(*[[seen]] * 3, monitor=monitor)[-1])
    assert (finding.measure, finding.segment, finding.estimate) == ("accuracy", "country=PRT", 0.6)
    first, second, third = finding.why.split("; ")[:3]
    assert first == "accuracy in country=PRT 0.6 (0.56 to 0.64, n=500), usually 0.84"
    assert second.startswith("accuracy in country=ESP 0.8 ")
    assert third.startswith("slice_gap in age < 30 up, usually 0.01")


def test_a_page_of_one_check_hides_no_other_and_ends_by_itself() -> None:
    judged = days(
        *[[drifted(4.0), performed(-0.5)]] * 3,
        *[[drifted(4.0), performed(5.0)]] * 3,
        *[[drifted(-0.5), performed(5.0)]] * 4,
    )
    failing = [{check for check, outcome in outcomes(each).items() if outcome is Outcome.FAIL} for each in judged]
    assert failing[2] == {"drift"} and failing[5] == {"drift", "performance"} and failing[-1] == {"performance"}


def test_another_versions_rows_do_not_feed_the_detector() -> None:
    judged = days(*[[drifted(9.0, version="2"), drifted(-0.5)]] * 3)[-1]
    assert outcomes(judged) == {"drift": Outcome.PASS}


def test_a_dry_run_check_is_not_heard() -> None:
    checks = (replace(MONITOR.checks[0], dry_run=True), MONITOR.checks[1])
    judged = days(*[[drifted(9.0), performed(-0.5)]] * 3, monitor=replace(MONITOR, checks=checks))[-1]
    assert outcomes(judged) == {"performance": Outcome.PASS}


def test_overlapping_windows_are_counted_once() -> None:
    first = decide(MONITOR, day(0), [drifted(2.0)], "1", PROMISE, DetectorState())
    half = Window(T0 + DAY / 2, T0 + 3 * DAY / 2)
    again = decide(MONITOR, half, [drifted(2.0)], "1", PROMISE, first.state)
    assert again.state.evidence == first.state.evidence
    assert "overlaps the last one counted" in again.findings[-1].why
    same = decide(MONITOR, day(0), [drifted(2.0)], "1", PROMISE, first.state)
    assert same.state.evidence == first.state.evidence


@pytest.mark.parametrize(
    ("promise", "result", "said"),
    [
        (None, drifted(0.0), "the reference has no blocks to learn from"),
        (PROMISE, replace(drifted(0.0), scores=(), unscored="its reference holds 3 windows"), "holds 3 windows"),
    ],
)
def test_without_anything_to_learn_from_a_window_is_never_healthy(
    promise: Promise | None, result: CheckResult, said: str
) -> None:
    judged = days([result], promise=promise)[0]
    assert outcomes(judged) == {"drift": Outcome.INCONCLUSIVE}
    assert said in judged.findings[-1].why


def test_a_short_reference_is_named_in_every_finding() -> None:
    short = Promise(90.0, 0.05, 90.0, 20)
    assert "40 fewer than the 60" in days([drifted(0.0)], promise=short)[0].findings[-1].why
    assert "40 fewer than the 60" in failing(days(*[[drifted(5.0)]] * 3, promise=short)[-1]).why


def test_an_explicit_limit_still_fails_by_itself() -> None:
    checks = (replace(MONITOR.checks[0], limits=(Limit("drift", max=0.34),)),)
    judged = days([drifted(-0.5)], monitor=replace(MONITOR, checks=checks))[0]
    assert outcomes(judged) == {"drift": Outcome.FAIL}
    assert {finding.column for finding in judged.findings if finding.outcome is Outcome.FAIL} == {"zip"}


def test_the_state_can_be_folded_again_from_the_scores_of_each_window() -> None:
    judged = days(*[[drifted(1.0), performed(0.5)]] * 4, *[[drifted(4.0), performed(-0.5)]] * 3)
    evidence = EDetector()
    for each in judged:
        told = {(score.check, score.name, score.column, score.side): score.value for score in each.scores if score.side}
        evidence = accumulate(evidence, told, PROMISE.threshold)
    assert evidence.dump() == judged[-1].state.evidence
