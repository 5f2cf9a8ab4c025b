"""What opens and closes incidents, and who is told."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from controlplane.domain.incident import (
    BLIND_CAUSE,
    Event,
    Incident,
    IncidentState,
    Reason,
    Severity,
    Silence,
    advance,
    why_notify,
)
from controlplane.domain.monitor import Tolerance
from controlplane.domain.verdict import (
    BLIND,
    CheckVerdict,
    DetectorState,
    Finding,
    Outcome,
    Streak,
    Verdict,
    accumulate,
    conclude,
    scores_of,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def verdict(outcome: Outcome, streak: Streak, check: str = "drift") -> Verdict:
    return Verdict(outcome, "", (CheckVerdict(check, outcome, "the numbers", streak),))


def incident(cause: str, state: IncidentState = IncidentState.OPEN) -> Incident:
    return Incident("i1", "m", cause, state, Severity.CRITICAL, "t", NOW)


@pytest.mark.parametrize("fails", [1, 2, 3])
def test_an_incident_opens_when_failures_in_a_row_reach_the_tolerance(fails: int) -> None:
    tolerance = Tolerance(fails=fails)
    for streak in range(1, 5):
        opened = advance({}, verdict(Outcome.FAIL, Streak(fail=streak)), tolerance)
        assert [each.event for each in opened] == ([Event.OPENED] if streak >= fails else [])


@pytest.mark.parametrize("state", [IncidentState.OPEN, IncidentState.ACKNOWLEDGED])
def test_an_incident_closes_after_enough_good_windows_acknowledged_or_not(state: IncidentState) -> None:
    known = {"drift": incident("drift", state)}
    tolerance = Tolerance(recover=2)
    assert advance(known, verdict(Outcome.PASS, Streak(well=1)), tolerance) == []
    (closed,) = advance(known, verdict(Outcome.WARN, Streak(well=2)), tolerance)
    assert (closed.event, closed.incident, closed.severity) == (Event.CLOSED, "i1", Severity.CRITICAL)


def test_a_failure_while_an_incident_is_open_opens_no_second_one() -> None:
    assert advance({"drift": incident("drift")}, verdict(Outcome.FAIL, Streak(fail=5)), Tolerance()) == []


def test_checks_that_cannot_see_share_one_blind_incident() -> None:
    checks = tuple(CheckVerdict(name, Outcome.ERROR, "broke", Streak(blind=2)) for name in ("a", "b"))
    (opened,) = advance({}, Verdict(Outcome.ERROR, "", checks), Tolerance(blind=2))
    assert (opened.cause, opened.event) == (BLIND_CAUSE, Event.OPENED)
    assert "a: broke" in opened.text and "b: broke" in opened.text
    known = {BLIND_CAUSE: incident(BLIND_CAUSE)}
    one_sees = (CheckVerdict("a", Outcome.PASS, "", Streak(well=1)), checks[1])
    assert advance(known, Verdict(Outcome.ERROR, "", one_sees), Tolerance()) == []
    both = tuple(CheckVerdict(name, Outcome.PASS, "", Streak(well=1)) for name in ("a", "b"))
    assert [each.event for each in advance(known, Verdict(Outcome.PASS, "", both), Tolerance())] == [Event.CLOSED]


@pytest.mark.parametrize("outcome", sorted(BLIND))
def test_a_window_that_cannot_be_seen_neither_opens_nor_closes_a_failure(outcome: Outcome) -> None:
    blind = verdict(outcome, Streak(fail=3, blind=1))
    assert advance({}, blind, Tolerance()) == []
    assert advance({"drift": incident("drift")}, blind, Tolerance()) == []


def test_a_blind_incident_says_who_cannot_see_for_how_long_and_opens_only_once() -> None:
    blind = verdict(Outcome.INCONCLUSIVE, Streak(blind=3), "source")
    (opened,) = advance({}, blind, Tolerance(blind=3))
    assert opened.text == "cannot see for 3 windows in a row: source: the numbers"
    assert advance({}, blind, Tolerance(blind=4)) == []
    assert advance({BLIND_CAUSE: incident(BLIND_CAUSE)}, blind, Tolerance(blind=3)) == []


@pytest.mark.parametrize("seed", range(40))
def test_no_sequence_of_outcomes_opens_twice_or_closes_what_is_not_open(seed: int) -> None:
    generator = random.Random(seed)
    tolerance = Tolerance(generator.randint(1, 3), generator.randint(1, 3), generator.randint(1, 3))
    state, known = DetectorState(), {}
    failures, good = dict.fromkeys("ab", 0), dict.fromkeys("ab", 0)
    for window in range(200):
        findings = [Finding(name, generator.choice(list(Outcome)), "why") for name in "ab" if generator.random() < 0.9]
        for finding in findings:
            if finding.outcome not in BLIND:
                failures[finding.check] = failures[finding.check] + 1 if finding.outcome is Outcome.FAIL else 0
            well = finding.outcome in (Outcome.PASS, Outcome.WARN)
            good[finding.check] = good[finding.check] + 1 if well else 0
        state = accumulate(state, scores_of(findings))
        for each in advance(known, conclude(findings, state), tolerance):
            if each.event is Event.OPENED:
                assert each.cause not in known
                assert each.cause == BLIND_CAUSE or failures[each.cause] >= tolerance.fails
                known[each.cause] = Incident(
                    str(window), "m", each.cause, IncidentState.OPEN, each.severity, each.text, NOW
                )
            else:
                assert each.event is Event.CLOSED
                assert each.incident == known.pop(each.cause).id
                if each.cause == BLIND_CAUSE:
                    assert not any(finding.outcome in BLIND for finding in findings)
                else:
                    assert failures[each.cause] == 0
                    assert good[each.cause] >= tolerance.recover
        for finding in findings:
            if finding.outcome is Outcome.FAIL and failures[finding.check] >= tolerance.fails:
                assert finding.check in known
            if good[finding.check] >= tolerance.recover:
                assert finding.check not in known


def test_a_silence_mutes_its_monitor_and_cause_until_its_end() -> None:
    silence = Silence("s1", "m", "ann", "planned", NOW + timedelta(hours=1), "drift")
    assert why_notify("m", "drift", [silence], NOW)[0] is Reason.SILENCED
    assert "ann: planned" in why_notify("m", "drift", [silence], NOW)[1]
    assert why_notify("m", "quality", [silence], NOW)[0] is Reason.NEWS
    assert why_notify("other", "drift", [silence], NOW)[0] is Reason.NEWS
    assert why_notify("m", "drift", [silence], NOW + timedelta(hours=1))[0] is Reason.NEWS
    everything = Silence("s2", "m", "ann", "planned", NOW + timedelta(hours=1))
    assert why_notify("m", "quality", [everything], NOW)[0] is Reason.SILENCED
