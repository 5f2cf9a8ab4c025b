"""From measures to a verdict."""

from __future__ import annotations

import math
import random
from datetime import timedelta

import pytest

from controlplane.domain.monitor import CheckSpec, Columns, Limit, ModelRef, Monitor, Schedule, SourceSpec
from controlplane.domain.verdict import (
    BLIND,
    CheckResult,
    DetectorState,
    Finding,
    Measure,
    Outcome,
    Score,
    Streak,
    accumulate,
    by_check,
    conclude,
    fold,
    judge,
    scores_of,
)


def watch(*limits: Limit, dry_run: bool = False) -> Monitor:
    check = CheckSpec("check", "performance", limits=limits, dry_run=dry_run)
    return Monitor(
        "m", ModelRef("m", "a"), SourceSpec("files"), Columns("at"), Schedule("0 * * * *", timedelta(hours=1)), (check,)
    )


def judged(measure: Measure, *limits: Limit) -> list[Finding]:
    return judge([CheckResult("check", measure.version, (measure,))], watch(*limits))


@pytest.mark.parametrize(
    ("estimate", "low", "high", "limit", "outcome"),
    [
        (0.30, 0.25, 0.35, Limit("x", max=0.2), Outcome.FAIL),
        (0.30, 0.15, 0.45, Limit("x", max=0.2), Outcome.WARN),
        (0.15, 0.05, 0.25, Limit("x", max=0.2), Outcome.PASS),
        (0.15, 0.14, 0.16, Limit("x", max=0.2, warn=0.1), Outcome.WARN),
        (0.20, 0.20, 0.20, Limit("x", max=0.2), Outcome.PASS),
        (0.30, None, None, Limit("x", max=0.2), Outcome.FAIL),
        (0.70, 0.65, 0.75, Limit("x", min=0.8), Outcome.FAIL),
        (0.70, 0.55, 0.85, Limit("x", min=0.8), Outcome.WARN),
        (0.90, 0.75, 0.95, Limit("x", min=0.8), Outcome.PASS),
        (0.83, 0.82, 0.84, Limit("x", min=0.8, warn=0.85), Outcome.WARN),
        (0.70, None, None, Limit("x", min=0.8), Outcome.FAIL),
    ],
)
def test_a_measure_fails_only_when_its_whole_interval_is_past_the_limit(
    estimate: float, low: float | None, high: float | None, limit: Limit, outcome: Outcome
) -> None:
    (finding,) = judged(Measure("x", estimate, 100, low, high), limit)
    assert finding.outcome is outcome
    assert f"{estimate:.3g}" in finding.why
    assert "n=100" in finding.why


@pytest.mark.parametrize("estimate", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("limits", [(), (Limit("x", max=1.0),), (Limit("x", min=1.0, warn=2.0),)])
def test_a_number_that_is_none_is_an_error_and_never_stored(estimate: float, limits: tuple[Limit, ...]) -> None:
    (finding,) = judged(Measure("x", estimate, 100), *limits)
    assert (finding.outcome, finding.estimate) == (Outcome.ERROR, None)
    assert finding.why == "x of the window is not a finite number"


@pytest.mark.parametrize(("low", "high"), [(math.nan, math.nan), (math.nan, 0.4), (0.2, math.nan)])
def test_an_interval_that_is_no_number_is_an_error_and_never_a_mere_warning(low: float, high: float) -> None:
    (finding,) = judged(Measure("x", 0.3, 100, low, high, "age"), Limit("x", max=0.1))
    assert finding.outcome is Outcome.ERROR
    assert finding.why == "the interval of x of age is not made of numbers"
    assert not any(side is not None and math.isnan(side) for side in (finding.low, finding.high))


@pytest.mark.parametrize(
    ("measure", "limit", "why"),
    [
        (Measure("x", 0.3, 9, 0.25, 0.35), Limit("x", max=0.2), "x 0.3 (0.25 to 0.35, n=9) is above max 0.2"),
        (
            Measure("x", 0.3, 9, 0.1, 0.5),
            Limit("x", max=0.2),
            "x 0.3 (0.1 to 0.5, n=9) is above max 0.2, but its interval still holds the limit",
        ),
        (
            Measure("x", 0.83, 9),
            Limit("x", min=0.8, warn=0.85),
            "x 0.83 (n=9) is past the warning 0.85 (below min 0.8 would fail)",
        ),
        (Measure("x", 0.9, 9, detail="moved"), Limit("x", min=0.8), "x 0.9 (n=9) is within min 0.8"),
        (Measure("x", 0.7, 9, detail="moved"), Limit("x", min=0.8), "x 0.7 (n=9) is below min 0.8: moved"),
    ],
)
def test_a_sentence_quotes_the_number_its_interval_and_its_limit(measure: Measure, limit: Limit, why: str) -> None:
    (finding,) = judged(measure, limit)
    assert finding.why == why
    assert conclude([finding], DetectorState()).why in (f"check: {why}", "1 checks within their limits")


def test_a_limit_that_nothing_was_measured_for_is_an_error() -> None:
    findings = judged(Measure("x", 0.1, 100), Limit("y", max=1.0))
    assert [(finding.measure, finding.outcome) for finding in findings] == [("x", None), ("y", Outcome.ERROR)]


def test_a_comparison_without_an_earlier_version_has_no_outcome() -> None:
    limit = Limit("x_vs_previous", min=-0.1)
    alone = CheckResult("check", "1", (Measure("x", 0.9, 100, version="1"),))
    beside = CheckResult("check", "1", (Measure("x", 0.9, 100, version="1"),), compared="0")
    assert [finding.outcome for finding in judge([alone], watch(limit))] == [None, None]
    assert [finding.outcome for finding in judge([beside], watch(limit))] == [None, Outcome.ERROR]


def test_a_limit_holds_for_the_judged_version_and_not_for_the_one_it_is_compared_with() -> None:
    measures = (Measure("x", 0.9, 100, version="2"), Measure("x", 0.1, 100, version="1"))
    findings = judge([CheckResult("check", "2", measures, compared="1")], watch(Limit("x", min=0.5)))
    assert [(finding.version, finding.outcome) for finding in findings] == [("2", Outcome.PASS), ("1", None)]


def test_what_was_measured_of_another_version_alone_does_not_satisfy_a_limit() -> None:
    other = CheckResult("check", "2", (Measure("x", 0.9, 100, version="1"),), compared="1")
    findings = judge([other], watch(Limit("x", min=0.5)))
    assert [(finding.version, finding.outcome) for finding in findings] == [("1", None), ("2", Outcome.ERROR)]


def test_a_dry_run_finding_is_kept_and_never_folded() -> None:
    monitor = watch(Limit("x", max=0.1), dry_run=True)
    findings = judge([CheckResult("check", "1", (Measure("x", 0.9, 100),))], monitor)
    assert [(finding.outcome, finding.dry_run) for finding in findings] == [(Outcome.FAIL, True)]
    assert by_check(findings) == {}
    assert conclude(findings, DetectorState()).outcome is Outcome.INCONCLUSIVE


def test_errors_and_blindness_keep_their_sentence() -> None:
    results = [
        CheckResult("a", "1", error="it broke"),
        CheckResult("b", "1", blind="5 rows"),
        CheckResult("registry", "1", seen="holds version 1"),
    ]
    found = by_check(judge(results, watch()))
    assert found == {
        "a": (Outcome.ERROR, "it broke"),
        "b": (Outcome.INCONCLUSIVE, "5 rows"),
        "registry": (Outcome.PASS, "holds version 1"),
    }


def test_a_version_with_too_few_rows_does_not_blind_a_check_that_saw_another() -> None:
    results = [
        CheckResult("check", "1", (Measure("x", 0.9, 100, version="1"),)),
        CheckResult("check", "2", blind="3 rows of version 2"),
    ]
    assert by_check(judge(results, watch(Limit("x", min=0.5))))["check"][0] is Outcome.PASS


def test_the_farthest_past_its_limit_leads_a_failure_and_the_rest_are_counted() -> None:
    measures = tuple(Measure("x", estimate, 100, column=name) for name, estimate in (("a", 0.3), ("b", 0.9), ("c", 0)))
    verdict = conclude(judge([CheckResult("check", "1", measures)], watch(Limit("x", max=0.2))), DetectorState())
    assert verdict.outcome is Outcome.FAIL
    assert verdict.why == "check: x of b 0.9 (n=100) is above max 0.2 (and 1 more)"


def test_outcomes_fold_to_the_worst() -> None:
    order = [Outcome.PASS, Outcome.WARN, Outcome.INCONCLUSIVE, Outcome.ERROR, Outcome.FAIL]
    for place, worst in enumerate(order):
        assert fold(order[: place + 1]) is worst
    assert fold([]) is Outcome.INCONCLUSIVE


def test_a_run_is_as_bad_as_its_worst_check_and_says_which() -> None:
    findings = [Finding("a", Outcome.PASS, "fine"), Finding("b", Outcome.ERROR, "broke"), Finding("c", None, "shown")]
    findings.append(Finding("d", Outcome.ERROR, "broke too"))
    verdict = conclude(findings, DetectorState({"b": Streak(blind=3)}))
    assert (verdict.outcome, verdict.why) == (Outcome.ERROR, "b: broke; d: broke too")
    assert [(check.check, check.streak.blind) for check in verdict.checks] == [("a", 0), ("b", 3), ("d", 0)]


def test_an_error_of_one_version_is_not_hidden_by_another_that_passed() -> None:
    results = [
        CheckResult("check", "1", (Measure("x", 0.9, 100, version="1"),)),
        CheckResult("check", "2", error="version 2 cannot be opened"),
        CheckResult("check", "3", blind="3 rows of version 3"),
    ]
    assert by_check(judge(results, watch(Limit("x", min=0.5)))) == {
        "check": (Outcome.ERROR, "version 2 cannot be opened")
    }


def test_a_check_that_is_only_blind_is_blind() -> None:
    results = [CheckResult("check", version, blind=f"3 rows of version {version}") for version in "12"]
    assert by_check(judge(results, watch())) == {"check": (Outcome.INCONCLUSIVE, "3 rows of version 1 (and 1 more)")}


def test_a_check_that_was_not_judged_keeps_its_streak() -> None:
    state = DetectorState({"check": Streak(fail=2)})
    assert accumulate(state, scores_of([Finding("check", None, "shown"), Finding("other", Outcome.PASS, "")])) == (
        DetectorState({"check": Streak(fail=2), "other": Streak(well=1)})
    )


def test_a_blind_window_neither_lengthens_nor_ends_a_run_of_failures() -> None:
    state = DetectorState()
    for fail, blind in ((1, 0), (0, 1), (0, 1), (1, 0)):
        state = accumulate(state, [Score("c", "fail", fail), Score("c", "blind", blind)])
    assert state.streaks["c"] == Streak(fail=2)
    state = accumulate(state, [Score("c", "fail", 0), Score("c", "blind", 0)])
    assert state.streaks["c"] == Streak(well=1)


@pytest.mark.parametrize("seed", range(20))
def test_a_state_can_be_folded_again_from_its_scores_and_survives_storage(seed: int) -> None:
    generator = random.Random(seed)
    windows = []
    state = DetectorState()
    for _ in range(50):
        findings = [Finding(name, generator.choice(list(Outcome)), "") for name in "abc" if generator.random() < 0.8]
        windows.append(scores_of(findings))
        state = DetectorState.load(accumulate(state, windows[-1]).dump())
    again = DetectorState()
    for scores in windows:
        again = accumulate(again, scores)
    assert again == state


def test_blind_outcomes_are_those_without_a_view() -> None:
    assert frozenset({Outcome.INCONCLUSIVE, Outcome.ERROR}) == BLIND
