"""Rows that come late: their window is measured anew as a revision, which counts only where it is the first sight."""

from __future__ import annotations

import json
import logging
import signal
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kills import Nursery
from sqlalchemy import select
from test_late_labels import findings, recorded
from test_page_budget_runs import BUDGET, reference_of
from test_walk_of_kills import live
from world import HOUR, T0, World

from controlplane.cli.main import call
from controlplane.domain.monitor import RunKind, Window
from controlplane.engine import backtest, cycle, late_rows, register
from controlplane.engine.context import Context
from controlplane.engine.run import run_window
from controlplane.store.tables import DetectorRow, FindingRow, IncidentRow, RunRow, ScoreRow, TransitionRow
from controlplane.store.tables_acts import ActionRow

MakeWorld = Callable[..., World]
WHOLE = "100 rows in the window"


def look_late(world: World, span: str = "3h", old: str = "catch_up: 100000}") -> World:
    job = world.home / "jobs" / "scorer.yaml"
    job.write_text(job.read_text().replace(old, f"catch_up: 100000, late_rows: {span}}}"))
    return world


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    return look_late(make_world(checks=("quality",), reaction="observe"))


def publish(world: World, hour: int, now: int, n: int = 100, **how: Any) -> Callable[[], None]:
    """The first `now` of an hour's `n` rows; the rest lie in a file of their own once what is returned was called."""
    world.publish(hour, how.pop("version", "1"), n, **how)
    path = world.home / "data" / f"rows-{hour:03d}.parquet"
    table = pq.read_table(path)
    path.unlink()
    if now:
        pq.write_table(table.slice(0, now), path)
    return lambda: pq.write_table(table.slice(now), path.with_stem(f"rows-{hour:03d}-late"))


def tick(context: Context) -> list[tuple[int, str]]:
    """The hour and the outcome of each run of one tick."""
    return [((run.window.start - T0) // HOUR, run.verdict.outcome.value) for run in cycle.tick(context)]


def source_says(context: Context, run: RunRow) -> str:
    (one,) = findings(context, run, "source")
    return one.why


def rows_of(context: Context, table: Any) -> list[Any]:
    with context.store.begin() as session:
        return list(session.scalars(select(table)))


def fed(context: Context) -> tuple[list[tuple[Any, ...]], list[tuple[str, str]]]:
    """Everything that detectors were fed with, and their states."""
    scores = [(row.run_id, row.place, row.check, row.name, row.value) for row in rows_of(context, ScoreRow)]
    return sorted(scores), sorted((row.key, row.payload) for row in rows_of(context, DetectorRow))


def test_late_rows_make_a_revision_that_is_shown_and_feeds_nothing(make_world: MakeWorld, store_url: str) -> None:
    world = look_late(make_world(database=store_url, checks=("quality",), reaction="rollback"))
    with world.open() as context:
        register.register(context)
        arrive = publish(world, 0, 80)
        assert tick(context) == [(0, "PASS")]
        before = fed(context)
        arrive()
        publish(world, 1, 100)
        assert tick(context) == [(0, "PASS"), (1, "PASS")]
        first, second = recorded(context, 0)
        assert source_says(context, first) == "80 rows in the window"
        assert source_says(context, second) == f"{WHOLE}; 20 came late: 80 could be read before, 100 now"
        assert [(run.revision, run.n_rows, run.n_read) for run in (first, second)] == [(0, 80, 80), (1, 100, 100)]
        accuracy = [one for one in findings(context, second, "performance") if one.measure == "accuracy"]
        assert accuracy[0].n == 100, "the revision measures the whole window"
        assert findings(context, second, "quality") and not findings(context, second, "registry")
        scores, _ = fed(context)
        assert {run for run, *_ in scores} == {first.id, recorded(context, 1)[0].id}
        assert set(before[0]) < set(scores)
        publish(world, 2, 100)
        assert tick(context) == [(2, "PASS")], "never a second time for the same rows"


def test_a_failing_revision_opens_no_second_incident_and_no_second_action(
    make_world: MakeWorld, store_url: str
) -> None:
    world = look_late(make_world(database=store_url, reaction="propose"))
    with world.open() as context:
        register.register(context)
        well = publish(world, 0, 80)
        tick(context)
        world.release("2")
        harmed = publish(world, 1, 80, version="2")
        assert tick(context) == [(1, "FAIL")]
        state, told = fed(context), len(rows_of(context, TransitionRow))
        (action,), (incident,) = rows_of(context, ActionRow), rows_of(context, IncidentRow)
        well()
        harmed()
        publish(world, 2, 0)
        assert tick(context) == [(0, "PASS"), (1, "FAIL"), (2, "INCONCLUSIVE")]
        assert [row.id for row in rows_of(context, ActionRow)] == [action.id]
        assert [row.id for row in rows_of(context, IncidentRow)] == [incident.id]
        assert len(rows_of(context, TransitionRow)) == told
        assert [row.version for row in recorded(context, 0)] == ["1", "1"], "judged as of the version in charge then"
        last = recorded(context, 2)[0].id
        assert [score for score in fed(context)[0] if score[0] != last] == state[0]


def test_late_rows_that_fail_where_the_first_did_not_call_for_nothing(world: World) -> None:
    with world.open() as context:
        register.register(context)
        publish(world, 0, 100)
        tick(context)
        path = world.home / "data" / "rows-000.parquet"
        table = pq.read_table(path)
        late = table.set_column(table.column_names.index("label"), "label", pa.array([5] * 100))
        pq.write_table(late, path.with_stem("rows-000-late"))
        publish(world, 1, 100)
        assert tick(context) == [(0, "FAIL"), (1, "PASS")]
        assert rows_of(context, IncidentRow) == []


def test_hours_without_a_row_are_judged_as_they_never_were_once_their_rows_came(
    make_world: MakeWorld, store_url: str
) -> None:
    world = look_late(make_world(database=store_url, reaction="observe"))
    with world.open() as context:
        register.register(context)
        world.release("2")
        late = [publish(world, 0, 0, version="2", answered_like="1")]
        assert tick(context) == [(0, "ERROR")], "no file matches"
        late.append(publish(world, 1, 0, version="2"))
        assert tick(context) == [(1, "ERROR")]
        (blind,) = rows_of(context, IncidentRow)
        assert blind.cause == "blind"
        for arrive in late:
            arrive()
        publish(world, 2, 100, version="2")
        assert tick(context) == [(0, "PASS"), (1, "FAIL"), (2, "FAIL")]
        again = recorded(context, 1)[-1]
        assert source_says(context, again) == f"{WHOLE}; 100 came late: 0 could be read before, 100 now"
        opened = {row.cause: row for row in rows_of(context, IncidentRow)}
        assert (opened["performance"].opened_run, opened["performance"].state) == (again.id, "open")
        assert opened["blind"].state == "closed"
        counted = [row for row in rows_of(context, ScoreRow) if (row.check, row.name) == ("performance", "fail")]
        by_run = {row.run_id: row.value for row in counted}
        assert [by_run[recorded(context, hour)[-1].id] for hour in range(3)] == [0, 1, 1]
        assert len(counted) == 3, "each window once"


def test_an_hour_without_a_row_is_only_shown_once_a_later_one_was_judged(world: World) -> None:
    with world.open() as context:
        register.register(context)
        publish(world, 0, 100)
        tick(context)
        arrive = publish(world, 1, 0, answered_like="2")
        assert tick(context) == [(1, "INCONCLUSIVE")]
        publish(world, 2, 100)
        tick(context)
        state = fed(context)
        arrive()
        publish(world, 3, 0)
        assert tick(context) == [(1, "FAIL"), (3, "INCONCLUSIVE")]
        assert rows_of(context, IncidentRow) == []
        late = recorded(context, 1)[-1].id
        assert {run for run, *_ in fed(context)[0]} == {run for run, *_ in state[0]} | {recorded(context, 3)[0].id}
        assert late not in {run for run, *_ in fed(context)[0]}


def test_after_its_time_a_window_is_never_looked_at_again(world: World) -> None:
    with world.open() as context:
        register.register(context)
        late = []
        for hour in range(4):
            late.append(publish(world, hour, 80))
            tick(context)
        late[0]()
        late[1]()
        late[2]()
        publish(world, 4, 100)
        assert [hour for hour, _ in tick(context)] == [1, 2, 4], "the first was looked at three hours after its end"
        assert [len(recorded(context, hour)) for hour in range(4)] == [1, 2, 2, 1]
        publish(world, 5, 100)
        assert [hour for hour, _ in tick(context)] == [5]


def test_without_the_key_nothing_is_looked_for_again(make_world: MakeWorld) -> None:
    world = make_world(reaction="observe")
    with world.open() as context:
        register.register(context)
        arrive = publish(world, 0, 80)
        tick(context)
        arrive()
        publish(world, 1, 100)
        assert tick(context) == [(1, "PASS")]


def test_rows_that_went_are_no_news_and_rows_of_nobody_are_counted_once(world: World) -> None:
    with world.open() as context:
        register.register(context)
        publish(world, 0, 100)
        tick(context)
        path = world.home / "data" / "rows-000.parquet"
        table = pq.read_table(path)
        pq.write_table(table.slice(0, 50), path)
        publish(world, 1, 100)
        assert tick(context) == [(1, "PASS")]
        nobody = table.set_column(table.column_names.index("model_version"), "model_version", pa.nulls(100, "string"))
        pq.write_table(nobody, path.with_stem("rows-000-late"))
        publish(world, 2, 100)
        assert tick(context) == [(0, "PASS"), (2, "PASS")]
        again = recorded(context, 0)[-1]
        assert (again.n_rows, again.n_read) == (50, 150)
        assert source_says(context, again).endswith("; 50 came late: 100 could be read before, 150 now")
        publish(world, 3, 100)
        assert tick(context) == [(3, "PASS")], "rows that nobody answered are counted as well"


def test_late_rows_that_cannot_be_measured_are_logged_and_what_was_recorded_stands(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with world.open() as context:
        register.register(context)
        arrive = publish(world, 0, 80)
        tick(context)
        unreadable = world.home / "data" / "rows-999.parquet"
        unreadable.write_bytes(b"PAR1 not really")
        publish(world, 1, 100)
        assert tick(context) == [(1, "ERROR")]
        assert "late rows could not be looked for" in caplog.text and "rows-999.parquet" in caplog.text
        unreadable.unlink()
        arrive()
        extra = world.home / "data" / "rows-000-late.parquet"
        pq.write_table(pq.read_table(extra).drop_columns(["model_version"]), extra)
        (world.home / "data" / "rows-000.parquet").unlink()
        pq.write_table(pa.concat_tables([pq.read_table(extra)] * 9), extra)
        publish(world, 2, 100)
        assert tick(context) == [(1, "PASS"), (2, "PASS")], "one window that cannot be measured holds no other up"
        assert "180 rows by now that could not be measured: the rows have no column 'model_version'" in caplog.text
        assert [run.outcome for run in recorded(context, 0)] == ["PASS"]


def test_two_that_found_the_same_rows_measure_them_once(world: World) -> None:
    with world.open() as context:
        register.register(context)
        arrive = publish(world, 0, 80)
        tick(context)
        arrive()
        publish(world, 1, 100)
        monitor = context.monitors["scorer"]
        (mine,), (other,) = late_rows.found(context, monitor), late_rows.found(context, monitor)
        window = mine.before.window
        assert run_window(context, monitor, window, RunKind.SCHEDULED, mine) is not None
        assert run_window(context, monitor, window, RunKind.SCHEDULED, other) is None
        assert [run.revision for run in recorded(context, 0)] == [0, 1]


def test_a_process_killed_on_late_rows_is_made_good(world: World, nursery: Nursery) -> None:
    with world.open() as context:
        register.register(context)
        arrive = publish(world, 0, 80)
        tick(context)
        arrive()
        publish(world, 1, 100)
    for step in ("claimed again", "concluded", "recorded"):
        assert live(nursery, world, step) == -signal.SIGKILL, f"nothing was left to die at {step!r}"
    with world.open() as context:
        assert tick(context) == [(1, "PASS")]
        assert [(run.revision, run.n_rows) for run in recorded(context, 0)] == [(0, 80), (1, 100)]


def test_under_a_page_budget_late_rows_are_no_evidence_twice(make_world: MakeWorld) -> None:
    world = look_late(make_world(checks=("quality", "drift"), reaction="observe"))
    job = world.home / "jobs" / "scorer.yaml"
    text = job.read_text().replace("    limits: {drift: {max: 0.3}}\n", "")
    job.write_text(text.replace("    limits: {accuracy: {min: 0.8}}\n", "") + BUDGET)
    table = reference_of(72).drop_columns(["constant", "nothing", "who"])
    pq.write_table(table, world.home / "data" / "reference.parquet")
    with world.open() as context:
        register.register(context)
        arrive = publish(world, 0, 50, 60)
        tick(context)
        before = fed(context)
        arrive()
        world.clock += HOUR
        assert tick(context) == [(0, "PASS"), (1, "INCONCLUSIVE")]
        again = recorded(context, 0)[-1]
        with context.store.begin() as session:
            evidence = session.query(FindingRow).filter_by(run_id=again.id, check="drift", measure="evidence").one()
        assert "the window overlaps the last one counted, so it adds no evidence" in evidence.why
        assert set(before[0]) < set(fed(context)[0])
        assert again.id not in {run for run, *_ in fed(context)[0]}


def test_the_command_that_runs_what_is_due_looks_for_late_rows_as_the_scheduler_does(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in world.environment().items():
        monkeypatch.setenv(name, value)
    with world.open() as context:
        register.register(context)
        arrive = publish(world, 0, 80)
        tick(context)
    arrive()
    publish(world, 1, 100)
    assert call("run", "scorer", "--json") == 0
    assert json.loads(capsys.readouterr().out)["run"]["window"] == str(Window(T0 + HOUR, T0 + 2 * HOUR))
    with world.open() as context:
        assert [run.n_rows for run in recorded(context, 0)] == [80, 100]


def test_a_backtest_is_no_concern_of_late_rows(world: World) -> None:
    with world.open() as context:
        register.register(context)
        publish(world, 0, 80)()
        tick(context)
        monitor = context.monitors["scorer"]
        plain = replace(monitor, schedule=replace(monitor.schedule, late_rows=0 * HOUR))
        windows = [Window(T0, T0 + HOUR)]
        recorded_before = rows_of(context, RunRow)
        found = [backtest.replay(context, each, windows).windows for each in (monitor, plain)]
        assert found[0] == found[1] and found[0][0].n_rows == 100
        assert [row.id for row in rows_of(context, RunRow)] == [row.id for row in recorded_before]
