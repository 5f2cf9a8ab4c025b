"""What files say of moves: a job of its own alias, `system.yaml` of all; where that cannot be read, nothing moves."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from controlplane.config import load_valid
from controlplane.config.forms import BlastRadiusForm, RollbackForm
from controlplane.domain.monitor import Fleet, FreezeWindow, RiskTier

Write = Callable[..., Path]


def read(folder: Path) -> tuple[Fleet, list[str]]:
    jobs, problems = load_valid(folder)
    assert len(jobs.monitors) == 1
    return jobs.fleet, [str(problem).removeprefix("jobs/system.yaml:") for problem in problems]


def test_without_a_word_the_guards_are_those_of_the_domain(write: Write, job: str) -> None:
    assert read(write(a=job)) == (Fleet(), [])
    assert read(write(a=job, system="schema: 1\n")) == (Fleet(), [])
    assert {tier.value for tier in RiskTier} == set(BlastRadiusForm.model_fields)
    assert set(RollbackForm.model_fields) | {"unknown"} == set(Fleet.__slots__)


def test_what_is_said_is_taken_and_the_rest_stays(write: Write, job: str) -> None:
    window = "{cron: '0 0 20 12 *', for: 14d, why: year-end}"
    rollback = f"{{most_per_hour: 0, blast_radius: {{high: 0}}, freeze_windows: [{window}]}}"
    fleet, problems = read(write(a=job, system=f"schema: 1\nrollback: {rollback}\n"))
    assert problems == []
    assert fleet.most_per_hour == 0
    assert fleet.blast_radius == {RiskTier.LOW: 5, RiskTier.MEDIUM: 3, RiskTier.HIGH: 0}
    assert fleet.freeze_windows == (FreezeWindow("0 0 20 12 *", timedelta(days=14), "year-end"),)


MISTAKES = [
    ("rollback: {most_per_hour: -1}", "2: rollback.most_per_hour is -1; it must be at least 0"),
    ("rollback: {most_per_hour: three}", "2: rollback.most_per_hour is 'three'; it must be a whole number"),
    ("rollback: {blast_radius: {hihg: 1}}", "2: unknown key 'hihg'; did you mean 'high'?"),
    ("rollback: {blast_radius: {high: 0.5}}", "2: rollback.blast_radius.high is 0.5; it must be a whole number"),
    ("rollback: {freeze_windows: {}}", "2: rollback.freeze_windows is a mapping; it must be a list"),
    ("rollback: 3", "2: rollback is 3; it must be a mapping of keys to values"),
    ("rollback:", "2: 'rollback' has no value; give one, or leave it out"),
    ("rolback: {most_per_hour: 1}", "2: unknown key 'rolback'; did you mean 'rollback'?"),
    ("rollback: {", "3: not YAML"),
]


@pytest.mark.parametrize(("line", "said"), MISTAKES)
def test_a_mistake_is_named_and_nothing_moves_until_it_is_corrected(
    write: Write, job: str, line: str, said: str
) -> None:
    fleet, problems = read(write(a=job, system=f"schema: 1\n{line}\n"))
    assert problems[0].startswith(said)
    assert fleet.unknown == "system.yaml has mistakes"


def test_a_mistake_elsewhere_leaves_the_guards_as_they_were_said(write: Write, job: str) -> None:
    fleet, problems = read(write(a=job, system="schema: 1\norganization: 3\nrollback: {most_per_hour: 1}\n"))
    assert len(problems) == 1
    assert (fleet.most_per_hour, fleet.unknown) == (1, "")


def test_of_two_system_files_neither_is_believed(write: Write, job: str) -> None:
    folder = write(a=job, system="schema: 1\n")
    (folder / "system.yml").write_text("schema: 1\nrollback: {most_per_hour: 0}\n")
    fleet, problems = read(folder)
    assert len(problems) == 1
    assert fleet.unknown


JOB_MISTAKES = [
    (
        "guards: {most_moves: 0}",
        "3: guards.most_moves is 0; it must be at least 1",
    ),
    (
        "guards: {most_moves_per: 0h}",
        "3: guards.most_moves_per: 0 is too short; at least 1s",
    ),
    (
        "guards: {on_failure: panic}",
        "3: guards.on_failure is 'panic'; valid: escalate, undo",
    ),
    (
        "guards: {most_move: 2}",
        "3: unknown key 'most_move'; did you mean 'most_moves'?",
    ),
    (
        "guards: {freeze_windows: [{cron: '0 18 * * 5', for: 60h}]}",
        "3: missing key 'why' in item 1 of guards.freeze_windows; why nothing is moved then; a refused move says it",
    ),
    (
        "guards: {freeze_windows: [{cron: '0 0 31 2 *', for: 1h, why: x}]}",
        "3: cron: cron '0 0 31 2 *' never fires; no such day exists",
    ),
    (
        "guards: {freeze_windows: [{cron: '0 18 * * 5', for: soon, why: x}]}",
        "3: for: 'soon' is not a duration; write a number and s, m, h, d or w, such as 5m",
    ),
    (
        "guards: {freeze_windows: [{cron: '0 18 * * 5', lasts: 60h, why: x}]}",
        "3: unknown key 'lasts'; valid: cron, for, why",
    ),
    (
        "serving: {within: 5s}",
        "3: missing key 'url' in serving; where it answers with its version",
    ),
    (
        "serving: {url: serving/version}",
        "3: serving.url: 'serving/version' is not an address; write http://HOST/PATH or https://HOST/PATH",
    ),
    (
        "serving: {url: 'ftp://serving/version'}",
        "3: serving.url: 'ftp://serving/version' is not an address; write http://HOST/PATH or https://HOST/PATH",
    ),
    (
        "serving: {url: 'http://serving:port/'}",
        "3: serving.url: 'http://serving:port/' is not an address; write http://HOST/PATH or https://HOST/PATH",
    ),
    (
        "serving: {url: 'http://ann@serving/'}",
        "3: serving.url: a user or password stands in the URL; it must answer without one",
    ),
    (
        "serving: {url: 'http://ann:hunter2@serving/'}",
        "3: a password stands in the URL; write it as ${VAR} and set VAR in the environment",
    ),
]


@pytest.mark.parametrize(("line", "said"), JOB_MISTAKES)
def test_a_mistake_in_a_jobs_own_guards_is_named(write: Write, job: str, line: str, said: str) -> None:
    _, problems = load_valid(write(a=job.replace("owner: risk-team@example.org", line)))
    assert f"jobs/a.yaml:{said}" in [str(problem) for problem in problems]
