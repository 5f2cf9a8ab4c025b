"""Backtests: what runs would have paged, from the same rows through the same judgement, and nothing kept of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bell import Bell
from sqlalchemy import select
from world import HOUR, JOB, T0, World, _rows

from controlplane.cli.main import call
from controlplane.domain.monitor import Limit, Monitor, Window
from controlplane.engine import cycle
from controlplane.engine.backtest import MOST_WINDOWS, replay, windows_of
from controlplane.engine.context import Context
from controlplane.engine.pages import Backtest, By
from controlplane.errors import ConfigError
from controlplane.store import incidents
from controlplane.store.rows import Row

Controlplane = Callable[..., tuple[int, str, str]]
HOURS = 10
END = T0 + HOURS * HOUR


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, registry_template: Path) -> Iterator[World]:
    """Ten hours, each run by the scheduler as it ended: two went wrong, one has no rows, and for two the worse
    version 2 held the alias."""
    made = World(tmp_path_factory.mktemp("backtest") / "world", registry_template, reaction="observe")
    bell = Bell()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BELL_URL", bell.url)
        for name, value in made.environment().items():
            patch.setenv(name, value)
        with made.open() as context:
            for hour in range(HOURS):
                holder = "2" if hour in (7, 8) else "1"
                if holder != made.champion():
                    made.release(holder)
                if hour != 5:
                    made.publish(hour, holder, answered_like="2" if hour in (3, 4) else "")
                made.clock = T0 + (hour + 1) * HOUR
                cycle.tick(context)
        yield made
    bell.close()


@pytest.fixture(scope="module")
def context(world: World) -> Iterator[Context]:
    """The wired engine, once for all tests."""
    with world.open() as opened:
        yield opened


@pytest.fixture(scope="module")
def monitor(context: Context) -> Monitor:
    return context.monitors["scorer"]


@pytest.fixture(scope="module")
def found(context: Context, monitor: Monitor, kept: dict[str, list[str]]) -> Backtest:
    """The backtest of what the scheduler did, made after `kept` was noted."""
    assert kept
    return replay(context, monitor, windows_of(context, monitor, 1))


@pytest.fixture(scope="module")
def kept(context: Context) -> dict[str, list[str]]:
    """Every row of every table before the first backtest."""
    return contents(context)


@pytest.fixture
def controlplane(world: World, capsys: pytest.CaptureFixture[str]) -> Controlplane:
    """Runs one command line: exit code, standard output, standard error."""

    def run(*argv: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = call(*argv)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def contents(context: Context) -> dict[str, list[str]]:
    with context.store.begin() as session:
        return {table.name: sorted(map(repr, session.execute(select(table)))) for table in Row.metadata.sorted_tables}


def changed(world: World, name: str, *edits: tuple[str, str]) -> Path:
    """A job file like the world's, but for some edits, outside the job folder."""
    text = JOB.format(reaction="observe", more="")
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    path = world.home / f"{name}.yaml"
    path.write_text(text)
    return path


def test_a_backtest_of_what_the_scheduler_did_says_the_same_pages(context: Context, found: Backtest) -> None:
    with context.store.begin() as session:
        rows = incidents.find_incident(session, context.workspace, "")
        recorded = sorted((row.opened_at, row.closed_at, row.cause, row.title, row.version) for row in rows)
    assert [(page.at, page.closed_at, page.cause, page.text, page.version) for page in found.pages] == recorded
    assert [(page.at - T0) / HOUR for page in found.pages] == [4, 8]
    assert {page.by for page in found.pages} == {(By.LIMIT,)}
    assert [past.version for past in found.windows] == [*"1111111", *"22", "1"]
    assert [(past.window.start - T0) / HOUR for past in found.windows if past.outcome == "FAIL"] == [3, 4, 7, 8]
    assert [(past.window.start - T0) / HOUR for past in found.windows if not past.saw] == [5]
    assert found.blind() == 1


def test_it_stores_nothing_and_moves_nothing(
    world: World, context: Context, kept: dict[str, list[str]], found: Backtest
) -> None:
    assert found.built == ()
    assert contents(context) == kept
    assert world.champion() == "1"
    assert list(world.settings.home.glob("backtest-*")) == []


def test_a_changed_limit_changes_the_pages(context: Context, monitor: Monitor, found: Backtest) -> None:
    (performance,) = monitor.checks
    loose = replace(monitor, checks=(replace(performance, limits=(Limit("accuracy", min=0.2),)),))
    again = replay(context, loose, windows_of(context, loose, 1))
    assert (len(found.pages), again.pages) == (2, ())
    assert [past.saw for past in again.windows] == [past.saw for past in found.windows]


def test_a_stretch_vouched_for_gives_the_rate_of_false_pages_with_its_exact_interval(
    context: Context, monitor: Monitor, found: Backtest
) -> None:
    assert found.rates.false_limit is None
    told = replay(context, monitor, windows_of(context, monitor, 1), [Window(T0, T0 + 6 * HOUR)])
    assert [page.false for page in told.pages] == [True, False]
    false = told.rates.false_limit
    assert false is not None
    # Five of the six hours could be seen; Garwood's table says 0.0253 to 5.5716 for one event.
    assert (false.pages, false.windows) == (1, 5)
    hours = timedelta(days=90) / HOUR
    assert (false.estimate, false.low, false.high) == pytest.approx(
        (hours / 5, 0.0253178 * hours / 5, 5.5716434 * hours / 5), rel=1e-6
    )
    assert (told.rates.limit.pages, told.rates.limit.windows) == (2, 9)
    assert told.rates.budget.estimate is None


def test_a_reference_of_another_recipe_is_built_kept_and_told_of(context: Context, monitor: Monitor) -> None:
    other, before, said = replace(monitor, sample_rows=500), contents(context), []
    again = replay(context, other, windows_of(context, other, 1), told=said.append)
    assert again.built == ("1", "2")
    assert said == [f"building the reference of version {one}, which has none of this recipe" for one in "12"]
    after = contents(context)
    assert {name for name in after if after[name] != before[name]} == {"cp_references"}


def test_hours_before_the_first_row_are_left_out(context: Context, monitor: Monitor) -> None:
    early = replace(monitor, schedule=replace(monitor.schedule, starts=None))
    windows = [Window(T0 - n * HOUR, T0 - (n - 1) * HOUR) for n in (6, 5, 4, 3, 2, 1)]
    again = replay(context, early, [*windows, Window(T0, T0 + HOUR)])
    assert (again.before_rows, len(again.windows), again.pages) == (6, 1, ())


def test_a_budget_in_another_job_file_is_replayed_and_printed_whole(world: World, controlplane: Controlplane) -> None:
    steady = pa.concat_tables([_rows(-hour, 100) for hour in range(70, 0, -1)])
    pq.write_table(steady, world.home / "data" / "steady.parquet")
    job = changed(
        world,
        "budgeted",
        ("    limits: {accuracy: {min: 0.8}}\n", ""),
        ("data/reference", "data/steady"),
        ("reaction:", "budget: {false_pages: 1, per: 7d}\nreaction:"),
    )
    asked = ["backtest", "scorer", "--job", str(job), "--until", END.isoformat(), "--days", "3"]
    code, out, err = controlplane(*asked, "--healthy", f"{T0.isoformat()}/{(T0 + 3 * HOUR).isoformat()}", "--json")
    assert (code, err) == (0, "")
    told: dict[str, Any] = json.loads(out)
    assert (told["monitor"], told["budget"]) == ("scorer", {"false_pages": 1, "per": 604800, "min_effect": 0.05})
    test = told["backtest"]
    assert set(test) == {"pages", "windows", "rates", "before_rows", "built", "notes", "policy"}
    assert test["built"] == ["1", "2"]
    assert [window["window"]["start"] for window in test["windows"]][:2] == [
        "2026-03-01T00:00:00Z",
        "2026-03-01T01:00:00Z",
    ]
    first = test["pages"][0]
    assert (first["number"], first["cause"], first["by"], first["version"]) == (1, "performance", ["budget"], "1")
    assert first["window"]["start"] == "2026-03-01T03:00:00Z"
    assert "accuracy" in first["text"] and "1 false page in 7 days" in first["text"]
    assert test["windows"][3]["opened"] == [1]
    assert test["rates"]["false_budget"]["pages"] == 0
    assert test["rates"]["false_budget"]["high"] == pytest.approx(3.688879 * 168 / 3, rel=1e-6)

    code, out, err = controlplane(*asked)
    assert (code, err) == (0, "")
    text = " ".join(out.split())
    assert "scorer: 10 windows from 2026-03-01 00:00 to 2026-03-01 10:00" in text
    strip = next(line for line in out.splitlines() if len(line) == 10)
    assert (strip[3], strip[5]) == ("!", "?")
    assert "of the page budget, 0 of limits, 0 of blindness; blind in 1 of 10 windows" in text
    assert "in 9 windows); 1 false page in 7 days was asked for" in text
    assert "a page is false only if nothing was wrong" in text


UNTIL = ("--until", "2026-03-01T10:00Z")


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (("scorr",), 2, "unknown monitor 'scorr'; did you mean 'scorer'?"),
        (("scorer", "--days", "0"), 2, "Invalid value for '--days'"),
        (("scorer", "--days", "-3"), 2, "Invalid value for '--days'"),
        (("scorer", "--days", "99999999"), 2, "Invalid value for '--days'"),
        (("scorer", "--until", "2026-02-01"), 2, "its schedule starts at 2026-03-01T00:00:00Z"),
        (("scorer", "--until", "2999-01-01"), 2, "2999-01-01T00:00:00Z has not come yet; a backtest looks back"),
        (("scorer", "--until", "soon"), 2, "--until is a day or an ISO 8601 moment with a zone"),
        (("scorer", "--until", "2026-03-01T10:00"), 2, "--until is a day or an ISO 8601 moment with a zone"),
        (("scorer", "--healthy", "yesterday"), 2, "--healthy 'yesterday': a window is written START/END"),
        (("scorer", "--healthy", "2026-03-02/2026-03-01"), 2, "must end after it starts"),
        (
            (*("scorer", "--healthy", "2025-03-01/2025-03-02"), *UNTIL),
            2,
            "no whole window of scorer lies in the health",
        ),
        (("scorer", "--days", "1", "--until", "2026-05-01"), 3, "no window could be read, the newest because: no rows"),
        (("scorer", "--job", "/nowhere/job.yaml"), 2, "/nowhere/job.yaml:1: the file cannot be read"),
    ],
)
def test_bad_usage_is_one_sentence(controlplane: Controlplane, argv: tuple[str, ...], code: int, said: str) -> None:
    left, out, err = controlplane("backtest", *argv)
    assert (left, out) == (code, "")
    assert said in " ".join(err.split())
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("edits", "code", "said"),
    [
        (
            [("every: 1h, starts: 2026-03-01T00:00:00Z", "every: 1m")],
            2,
            f"hold more than {MOST_WINDOWS} windows of scorer; ask for 13 or fewer",
        ),
        ([("name: scorer, alias", "name: other, alias")], 2, "watches other@champion, and scorer watches scorer@champ"),
        ([("data/rows-*", "nowhere/rows-*")], 3, "the first 3 windows could not be read: no file matches"),
        ([("data/reference", "data/nothing")], 3, "scorer cannot be replayed without a reference: no file matches"),
        ([("min_rows: 30", "min_rows: 30\n    dry_run: true")], 2, "every check of scorer is a dry run, so none can"),
        ([("label: label", "label: truth")], 3, "no check could see in any window, in the newest because: performance"),
    ],
)
def test_a_job_file_that_cannot_be_replayed_says_why(
    world: World, controlplane: Controlplane, edits: list[tuple[str, str]], code: int, said: str
) -> None:
    job = changed(world, "candidate", *edits)
    left, out, err = controlplane("backtest", "scorer", "--job", str(job), *UNTIL)
    assert (left, out) == (code, "")
    assert said in " ".join(err.split())


def test_every_mistake_of_another_job_file_is_named(world: World, controlplane: Controlplane) -> None:
    job = changed(world, "candidate", ("owner:", "ownr:"), ("reaction: observe", "reaction: hope"))
    code, out, err = controlplane("backtest", "scorer", "--job", str(job))
    assert (code, out) == (2, "")
    assert [line.startswith(f"error: {job}:") for line in err.splitlines()] == [True, True]


def test_a_registry_that_is_away_is_one_sentence(controlplane: Controlplane, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TRACKING", "REGISTRY"):
        monkeypatch.setenv(f"CONTROLPLANE_{name}_URI", "http://127.0.0.1:9")
    code, out, err = controlplane("backtest", "scorer", *UNTIL)
    assert (code, out, len(err.splitlines())) == (3, "", 1)
    assert "127.0.0.1:9" in err


def test_more_than_can_be_counted_back_is_refused(context: Context, monitor: Monitor) -> None:
    with pytest.raises(ConfigError, match="no calendar reaches back"):
        windows_of(context, monitor, 1e9)
