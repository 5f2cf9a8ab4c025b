"""Each drill on a real engine, a real registry and real workers: what is expected of it, and what happens."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from controlplane.drills.drill import KINDS, drill, faults
from controlplane.drills.report import Report
from controlplane.drills.stock import Stock
from controlplane.errors import ConfigError

FITTING = ["drift", "regression", "late_labels", "registry_conflict", "dead_worker", "unsafe_target"]
Stocks = Callable[..., Stock]
Reports = Callable[..., Report]


def run(stock: Stock, kind: str, folder: Path, size: float | None = None) -> Report:
    (fault,) = faults(kind, size)
    return drill(stock, fault, folder / "sandbox", healthy=2)


@pytest.fixture(scope="module")
def report_of(stock_of: Stocks, tmp_path_factory: pytest.TempPathFactory) -> Reports:
    """The report of a drill, by its kind and, where they matter, monitor, reaction and size; each is made once."""
    made: dict[tuple[object, ...], Report] = {}

    def report(kind: str, name: str = "scorer", reaction: str | None = None, size: float | None = None) -> Report:
        key = (kind, name, reaction, size)
        if key not in made:
            made[key] = run(stock_of(name, reaction), kind, tmp_path_factory.mktemp("drill"), size)
        return made[key]

    return report


def happened(report: Report) -> dict[str, str]:
    return {one.what: one.happened for one in report.expectations}


@pytest.mark.parametrize("kind", FITTING)
def test_a_sound_monitor_passes_each_drill(kind: str, report_of: Reports) -> None:
    report = report_of(kind)
    assert (report.unmet, report.false_actions, report.outcome) == ((), (), "PASS")
    assert [one.outcome for one in report.seen[:2]] == ["PASS", "PASS"]
    assert report.recovered == 1


def test_a_regression_is_noticed_in_its_first_window_and_moved_back_at_once(report_of: Reports) -> None:
    report = report_of("regression")
    bad, after = report.seen[2], report.seen[3]
    assert (bad.version, bad.holder, after.version) == ("3", "1", "1")
    assert report.detection is not None and report.moved_seconds is not None
    assert (report.detection.windows, report.detection.causes) == (1, ("performance",))
    assert 0 < report.detection.seconds < report.moved_seconds
    assert happened(report)["rollback"] == "verified"


def test_what_is_proposed_is_approved_as_a_person_would(report_of: Reports) -> None:
    report = report_of("regression", reaction="propose")
    assert (report.unmet, report.seen[2].holder) == ((), "1")


def test_a_monitor_that_only_watches_says_it_and_moves_nothing(report_of: Reports) -> None:
    report = report_of("regression", reaction="observe")
    assert (report.unmet, report.moved_seconds, report.seen[2].holder) == ((), None, "3")
    assert report.evidence(report.seen[0].window.end).kind == "monitor_effectiveness"


@pytest.mark.parametrize("kind", ["registry_conflict", "unsafe_target"])
def test_what_needs_a_move_does_not_fit_a_monitor_that_only_watches(
    kind: str, stock_of: Stocks, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"its reaction is observe.*--reaction propose or rollback"):
        run(stock_of(reaction="observe"), kind, tmp_path)


def test_drift_opens_an_incident_and_moves_nothing(report_of: Reports) -> None:
    report = report_of("drift")
    assert report.fault == "a shifted by +1 standard deviations"
    assert report.detection is not None and "drift" in report.detection.causes
    assert {one.holder for one in report.seen} == {"1"}


def test_a_drift_too_small_to_matter_is_not_noticed_and_the_drill_says_so(report_of: Reports) -> None:
    report = report_of("drift", size=0.01)
    assert (report.outcome, report.detection) == ("FAIL", None)
    assert [(one.what, one.happened) for one in report.unmet] == [("incident", "none")]


def test_the_move_of_somebody_else_is_kept(report_of: Reports) -> None:
    report = report_of("registry_conflict")
    assert [one.holder for one in report.seen[2:]] == ["4", "4"]
    assert happened(report)["rollback"] == "superseded"


def test_a_target_with_one_byte_more_is_refused_by_name(stock_of: Stocks, tmp_path: Path) -> None:
    before = digests(stock_of().folder / "versions")
    report = run(stock_of(), "unsafe_target", tmp_path)
    (refused,) = report.seen[2].acts
    assert (refused.state, refused.code, report.seen[2].holder) == ("refused", "artefact_changed", "3")
    assert digests(stock_of().folder / "versions") == before


def test_a_killed_worker_costs_its_own_check_alone(report_of: Reports) -> None:
    report = report_of("dead_worker")
    assert [one.outcomes["performance"] for one in report.seen] == ["PASS", "PASS", "ERROR", "ERROR", "PASS"]
    assert {one.outcomes["quality"] for one in report.seen} == {"PASS"}
    assert "killed by SIGKILL" in report.seen[2].why
    assert report.seen[3].opened == ("blind",)


def test_missing_labels_are_called_blind_where_the_job_waits_for_none(report_of: Reports) -> None:
    report = report_of("late_labels")
    assert [one.outcomes["performance"] for one in report.seen[2:]] == ["INCONCLUSIVE", "INCONCLUSIVE", "PASS"]
    assert report.detection is not None and report.detection.causes == ("blind",)


def test_early_labels_page_nobody_and_each_window_is_judged_once_where_the_job_waits(report_of: Reports) -> None:
    report = report_of("late_labels", "late")
    assert report.fault == "labels of 3 windows come late, 20% of them at once, wrong answers first"
    assert (report.unmet, report.detection) == ((), None)
    assert happened(report)["judged by its labels"] == "PASS; PASS; PASS"
    assert [one.opened for one in report.seen] == [()] * len(report.seen)


def test_a_monitor_that_would_sleep_through_a_regression_fails(report_of: Reports) -> None:
    report = report_of("regression", "blunt")
    assert (report.outcome, report.detection, report.moved_seconds) == ("FAIL", None, None)
    assert {one.what for one in report.unmet} == {"incident", "alias", "rollback"}
    evidence = report.evidence(report.seen[0].window.end)
    assert (evidence.kind, evidence.outcome, evidence.subject) == ("rollback_drill", "FAIL", "blunt")
    assert "Not as expected: incident: expected of performance, happened: none" in evidence.summary


def test_a_page_in_a_healthy_window_is_a_false_action(report_of: Reports) -> None:
    report = report_of("dead_worker", "strict")
    assert report.false_actions[0] == "window 1 (healthy): incident performance"
    assert report.outcome == "FAIL"


def test_the_same_seed_gives_the_same_story(report_of: Reports, stock_of: Stocks, tmp_path: Path) -> None:
    first, second = report_of("regression"), run(stock_of(), "regression", tmp_path)
    assert [one.why for one in first.seen] == [one.why for one in second.seen]


def test_nothing_attacks_a_monitor_without_an_evasion_check(stock_of: Stocks, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="none of its checks attacks a version; evasion does"):
        run(stock_of(), "attackable_version", tmp_path)


def test_every_kind_is_tried_here() -> None:
    assert {*FITTING, "attackable_version"} == set(KINDS)


def digests(folder: Path) -> dict[Path, str]:
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}
