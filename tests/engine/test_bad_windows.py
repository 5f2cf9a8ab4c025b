"""Whatever is wrong with a window's rows, its registry or its receivers: one sentence, the right outcome, no more."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bell import Bell
from world import HOUR, T0, World

from controlplane.domain.monitor import RunKind
from controlplane.engine import cycle, register
from controlplane.engine.context import Context
from controlplane.engine.run import Run, run_window
from controlplane.store import incidents

MakeWorld = Callable[..., World]


def outcomes(run: Run) -> dict[str, str]:
    """Each check's outcome in a run."""
    return {check.check: check.outcome.value for check in run.verdict.checks}


def why(run: Run, check: str) -> str:
    return next(each.why for each in run.verdict.checks if each.check == check)


def tick(context: Context) -> Run:
    """The one run of one tick."""
    (run,) = cycle.tick(context)
    return run


def rewrite(world: World, hour: int, change: Callable[[pa.Table], pa.Table]) -> None:
    path = world.home / "data" / f"rows-{hour:03d}.parquet"
    pq.write_table(change(pq.read_table(path)), path)


def replaced(name: str, values: Any) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        array = values(table) if callable(values) else values
        return table.set_column(table.column_names.index(name), name, array)

    return change


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """A world whose first window was in order."""
    return make_world(checks=("quality", "drift"), reaction="rollback")


def test_an_empty_window_is_inconclusive_and_twice_in_a_row_blind(world: World) -> None:
    with world.open() as context:
        register.register(context)
        world.publish(0, "1")
        tick(context)
        for _ in range(2):
            world.clock += HOUR
            run = tick(context)
            assert outcomes(run) == {"registry": "PASS", "source": "INCONCLUSIVE"}
            assert "no rows from 2026-03-01T" in run.verdict.why
        with context.store.begin() as session:
            assert list(incidents.open_incidents(session, "default", "scorer")) == ["blind"]
        world.publish(3, "1")
        tick(context)
        with context.store.begin() as session:
            assert incidents.open_incidents(session, "default", "scorer") == {}


def test_missing_and_unreadable_files_are_errors_of_the_source(world: World) -> None:
    with world.open() as context:
        register.register(context)
        world.clock = T0 + HOUR
        run = tick(context)
        assert outcomes(run)["source"] == "ERROR"
        assert "rows-*.parquet" in why(run, "source")

        (world.home / "data" / "rows-001.parquet").write_bytes(b"PAR1 not really")
        world.clock += HOUR
        run = tick(context)
        assert outcomes(run)["source"] == "ERROR"
        assert "rows-001.parquet" in why(run, "source")
        assert "\n" not in why(run, "source")


@pytest.mark.parametrize(
    ("change", "check", "outcome", "said"),
    [
        (lambda table: table.drop_columns(["a"]), "quality", "FAIL", "missing_columns 1 (n=400) is above max 0: a"),
        (replaced("a", pa.array(["x"] * 400)), "quality", "FAIL", "type_changes 1 (n=400) is above max 0: a is string"),
        (replaced("b", pa.nulls(400, pa.float64())), "quality", "FAIL", "missing_increase of b"),
        (replaced("b", pa.array([np.nan] * 400)), "quality", "FAIL", "missing_increase of b"),
        (replaced("b", pa.array([np.inf] * 400)), "quality", "FAIL", "infinite_rate of b"),
        (replaced("prediction", pa.nulls(400, pa.int64())), "performance", "PASS", "accuracy"),
        (replaced("label", pa.nulls(400, pa.int64())), "performance", "INCONCLUSIVE", "label"),
        (lambda table: table.drop_columns(["label"]), "performance", "ERROR", "no label column 'label'"),
        (replaced("label", pa.array(["yes"] * 400)), "performance", "ERROR", "label"),
        (lambda table: table.drop_columns(["model_version"]), "source", "ERROR", "no column 'model_version'"),
        (lambda table: table.drop_columns(["at"]), "source", "ERROR", "at"),
        (replaced("at", pa.array(range(400))), "source", "ERROR", "at"),
        (lambda table: table.slice(0, 5), "performance", "INCONCLUSIVE", "5 rows of version 1"),
    ],
)
def test_a_harmed_window_ends_as_what_it_is(
    world: World, change: Callable[[pa.Table], pa.Table], check: str, outcome: str, said: str
) -> None:
    with world.open() as context:
        register.register(context)
        world.publish(0, "1")
        rewrite(world, 0, change)
        run = tick(context)
    assert outcomes(run)[check] == outcome, run.verdict
    assert said in why(run, check)
    assert "\n" not in run.verdict.why


def test_rows_in_no_order_of_time_are_measured_as_those_in_order(world: World) -> None:
    def shuffled(table: pa.Table) -> pa.Table:
        return table.take(np.random.default_rng(3).permutation(table.num_rows))

    with world.open() as context:
        register.register(context)
        world.publish(0, "1")
        rewrite(world, 0, shuffled)
        run = tick(context)
        assert set(outcomes(run).values()) == {"PASS"}
        rewrite(world, 0, lambda table: table.sort_by("at"))
        ordered = run_window(context, context.monitors["scorer"], run.window, RunKind.MANUAL)
    assert ordered is not None
    numbers = [
        [(one.check, one.measure, one.column, one.n, one.estimate, one.low, one.high) for one in each.findings]
        for each in (run, ordered)
    ]
    assert numbers[0] == numbers[1]


def test_windows_that_overlap_are_each_measured_whole_and_a_window_is_recorded_once(world: World) -> None:
    job = world.home / "jobs" / "scorer.yaml"
    job.write_text(job.read_text().replace("every: 1h", 'cron: "0 * * * *", window: 2h'))
    with world.open() as context:
        register.register(context)
        world.publish(0, "1")
        world.publish(1, "1", n=100)
        first = tick(context)
        world.publish(2, "1", n=10)
        second = tick(context)
        monitor = context.monitors["scorer"]
        assert run_window(context, monitor, second.window, RunKind.SCHEDULED) is None
        assert cycle.tick(context) == []
    assert first.window.end > second.window.start
    assert [finding.why for run in (first, second) for finding in run.findings if finding.check == "source"] == [
        "500 rows in the window",
        "110 rows in the window",
    ]


def test_a_registry_that_is_not_there_is_an_error_and_the_next_window_sees_again(world: World) -> None:
    there = world.settings
    world.publish(0, "1")
    world.settings = there.model_copy(update={"registry_uri": "http://127.0.0.1:9"})
    with world.open() as context:
        register.register(context)
        run = tick(context)
        assert outcomes(run) == {"registry": "ERROR"}
        assert "127.0.0.1" in run.verdict.why
    world.settings = there
    with world.open() as context:
        world.publish(1, "1")
        assert outcomes(tick(context))["registry"] == "PASS"


def test_an_alias_that_does_not_exist_is_an_error_that_names_those_that_do(world: World) -> None:
    client = world.client()
    client.delete_registered_model_alias("scorer", "champion")
    client.set_registered_model_alias("scorer", "shadow", "1")
    with world.open() as context:
        register.register(context)
        world.publish(0, "1")
        run = tick(context)
    assert outcomes(run) == {"registry": "ERROR"}
    assert "shadow" in run.verdict.why


@pytest.mark.parametrize("status", [500, 404])
def test_a_receiver_that_refuses_keeps_nobody_else_waiting(make_world: MakeWorld, bell: Bell, status: int) -> None:
    world = make_world(reaction="observe")
    bell.status = status
    with world.open() as context:
        register.register(context)
        world.release("2")
        world.publish(0, "2")
        tick(context)
        states = deliveries(context)
        assert states["log"] == ("sent", "")
        assert states["bell"][0] == ("pending" if status == 500 else "undeliverable")
        assert str(status) in states["bell"][1]
        bell.status = 200
        world.clock += timedelta(minutes=5)
        cycle.tick(context)
        assert deliveries(context)["bell"][0] == ("sent" if status == 500 else "undeliverable")


def deliveries(context: Context) -> dict[str, tuple[str, str]]:
    with context.store.begin() as session:
        (incident,) = incidents.find_incident(session, "default", "")
        ((_, sent),) = incidents.story(session, incident.id)
        return {row.receiver: (row.state, row.error) for row in sent}


def test_one_broken_monitor_stops_no_other(make_world: MakeWorld) -> None:
    world = make_world(reaction="observe")
    job = (world.home / "jobs" / "scorer.yaml").read_text()
    other = job.replace("name: scorer\n", "name: lost\n", 1).replace("rows-*.parquet", "nowhere-*.parquet")
    (world.home / "jobs" / "lost.yaml").write_text(other)
    with world.open() as context:
        register.register(context)
        world.publish(0, "1")
        runs = {run.monitor: run.verdict.outcome.value for run in cycle.tick(context)}
    assert runs == {"lost": "ERROR", "scorer": "PASS"}


def test_two_schedulers_at_once_run_each_window_once(make_world: MakeWorld) -> None:
    world = make_world(reaction="observe")
    world.publish(0, "1")
    world.publish(1, "1")
    with world.open() as one, world.open() as two:
        register.register(one)
        done: list[Run] = []
        threads = [threading.Thread(target=lambda each=each: done.extend(cycle.tick(each))) for each in (one, two)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        cycle.tick(one)
    assert len({run.id for run in done}) == len(done)
    assert Path(world.home / "home" / "controlplane.db").exists()


def test_a_surprise_in_one_monitor_stops_no_other_and_its_window_is_tried_again(make_world: MakeWorld) -> None:
    world = make_world(reaction="observe")
    job = (world.home / "jobs" / "scorer.yaml").read_text()
    (world.home / "jobs" / "another.yaml").write_text(job.replace("name: scorer\n", "name: another\n", 1))
    world.publish(0, "1")
    with world.open() as context:
        register.register(context)

        def surprising(monitor: Any, spec: Any) -> Any:
            if monitor.name == "another" and spec == monitor.source:
                raise RuntimeError("nobody thought of this")
            return context.open_source(monitor, spec)

        surprised = replace(context, open_source=surprising)
        assert [run.monitor for run in cycle.tick(surprised)] == ["scorer"]
        assert [run.monitor for run in cycle.tick(context)] == ["another"]


def test_a_receiver_that_surprises_is_told_later_and_keeps_nobody_waiting(make_world: MakeWorld, bell: Bell) -> None:
    world = make_world(reaction="observe")
    world.release("2")
    world.publish(0, "2")
    with world.open() as context:
        register.register(context)

        def surprising(name: str) -> Any:
            if name == "log":
                raise RuntimeError("nobody thought of this")
            return context.open_notifier(name)

        cycle.tick(replace(context, open_notifier=surprising))
        assert deliveries(context) == {"log": ("pending", "nobody thought of this"), "bell": ("sent", "")}
        world.clock += timedelta(minutes=5)
        cycle.begin(context)
        assert deliveries(context)["log"][0] == "sent"


def test_a_source_that_comes_and_goes_is_not_blind_twice_in_a_row(make_world: MakeWorld) -> None:
    world = make_world(reaction="observe")
    with world.open() as context:
        register.register(context)
        for hour in range(5):
            world.publish(hour, "1")
            if hour % 2:
                (world.home / "data" / f"rows-{hour:03d}.parquet").write_bytes(b"not a file of rows")
            run = tick(context)
            assert outcomes(run)["source"] == ("ERROR" if hour % 2 else "PASS")
            (world.home / "data" / f"rows-{hour:03d}.parquet").unlink()
        with context.store.begin() as session:
            assert incidents.find_incident(session, "default", "") == []
