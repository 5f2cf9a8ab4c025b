"""Requests in the engine: failed ones are seen by `serving` alone, which fails a window and never moves an alias."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import select
from test_late_labels import Late, findings, recorded
from test_page_budget_runs import BUDGET, reference_of
from world import HOUR, T0, World

from controlplane.domain.monitor import Monitor
from controlplane.domain.verdict import Outcome
from controlplane.engine import backtest, cycle, references, register
from controlplane.engine.context import Context
from controlplane.engine.freeze import read_table
from controlplane.engine.run import Run
from controlplane.profiles.requests import Requests
from controlplane.store.tables import IncidentRow, PartRow, RunRow, ScoreRow
from controlplane.store.tables_acts import ActionRow, ReplayRow

MakeWorld = Callable[..., World]
N = 200


def serve(world: World, old: str = "", new: str = "") -> World:
    """The job tells which columns are of requests, and has the check."""
    job = world.home / "jobs" / "scorer.yaml"
    text = job.read_text().replace("label: label}", "label: label, status: status, latency: ms, request: call}")
    job.write_text(text.replace("reaction:", "  - check: serving\nreaction:").replace(old, new))
    return world


def with_requests(table: pa.Table, failing: float = 0.0, seed: int = 0, slow: float = 1.0) -> pa.Table:
    """Two rows a request; what a failed one was asked is far from anything seen, and it has no answer."""
    rng = np.random.default_rng(seed)
    n = table.num_rows
    calls = np.arange(n) // 2
    bad = (rng.random(n // 2 + 1) < failing)[calls]
    for name in {"a", "prediction", "label"} & set(table.column_names):
        values = table[name].to_numpy().astype(float)
        odd = pa.array(np.where(bad, 1e9, values)) if name == "a" else pa.array(values.astype(int), mask=bad)
        table = table.set_column(table.column_names.index(name), name, odd)
    took = slow * rng.lognormal(3, 0.5, n // 2 + 1)[calls]
    made = {"status": np.where(bad, 503, 200), "ms": took, "call": [f"{seed}-{call}" for call in calls]}
    for name, values in made.items():
        table = table.append_column(name, pa.array(values))
    return table


def publish(world: World, hour: int, failing: float = 0.0, version: str = "1", slow: float = 1.0, n: int = N) -> None:
    world.publish(hour, version, n)
    path = world.home / "data" / f"rows-{hour:03d}.parquet"
    pq.write_table(with_requests(pq.read_table(path), failing, hour + 1, slow), path)


def tick(context: Context) -> Run:
    (run,) = cycle.tick(context)
    return run


def said(run: Run) -> dict[str, tuple[str, str]]:
    return {each.check: (each.outcome.value, each.why) for each in run.verdict.checks}


def stored(context: Context, table: type) -> list:
    with context.store.begin() as session:
        return list(session.scalars(select(table)))


def parts(context: Context, run: RunRow) -> list[PartRow]:
    with context.store.begin() as session:
        return list(session.scalars(select(PartRow).where(PartRow.run_id == run.id)))


def test_failed_requests_are_rows_for_no_other_check(make_world: MakeWorld) -> None:
    world = serve(make_world(checks=("quality", "drift"), reaction="observe"))
    with world.open() as context:
        register.register(context)
        publish(world, 0, failing=0.3)
        run = tick(context)
        outcomes = said(run)
        assert {name: outcome for name, (outcome, _) in outcomes.items() if outcome != "PASS"} == {"serving": "FAIL"}
        row = recorded(context, 0)[0]
        failed = N - row.n_rows
        assert 0.2 * N < failed < 0.4 * N and row.n_read == N
        assert outcomes["source"][1] == f"{row.n_rows} rows in the window; {failed} more of requests that failed"
        assert {one.n for one in run.findings if one.measure in ("accuracy", "drift")} == {row.n_rows}
        rate = next(one for one in run.findings if one.measure == "error_rate")
        assert (rate.n, rate.estimate) == (N / 2, failed / N)
        (part,) = parts(context, row)
        assert read_table(context.sample_path(part.sample_digest)).num_rows == row.n_rows
        assert part.requests_digest is not None
        kept = Requests.from_table(read_table(context.sample_path(part.requests_digest)))
        assert (len(kept), kept.rate, set(kept.table["rows"].to_pylist())) == (N // 2, 1.0, {2})


def test_failing_requests_move_no_alias_and_take_no_part_in_the_proof_of_one_that_does(make_world: MakeWorld) -> None:
    world = serve(make_world(checks=("quality",), reaction="rollback"))
    with world.open() as context:
        register.register(context)
        publish(world, 0)
        assert tick(context).verdict.outcome is Outcome.PASS
        world.release("2")
        publish(world, 1, failing=1.0, version="2")
        run = tick(context)
        outcomes = said(run)
        assert outcomes["serving"][0] == "FAIL" and outcomes["serving"][1].startswith("error_rate 1 (")
        assert {outcomes[name][0] for name in ("quality", "performance")} == {"INCONCLUSIVE"}
        assert outcomes["quality"][1] == "0 rows of version 2; quality needs 30"
        assert outcomes["source"] == ("PASS", f"0 rows in the window; {N} more of requests that failed")
        (incident,) = stored(context, IncidentRow)
        (action,) = stored(context, ActionRow)
        assert (incident.cause, incident.state) == ("serving", "open")
        assert (action.state, action.code) == ("refused", "world_changed")
        assert "only serving failed, and no replay can prove that another version would undo it" in action.why
        assert stored(context, ReplayRow) == [] and world.champion() == "2"
        publish(world, 2, failing=0.3, version="2", n=600)
        assert {name for name, (outcome, _) in said(tick(context)).items() if outcome == "FAIL"} == {
            "performance",
            "serving",
        }
        assert {row.check for row in stored(context, ActionRow)} == {"", "performance"}
        assert {row.measure for row in stored(context, ReplayRow)} == {"accuracy"} and world.champion() == "1"
        publish(world, 3)
        assert tick(context).verdict.outcome is Outcome.PASS
        assert {one.state for one in stored(context, IncidentRow)} == {"closed"}


def test_failures_that_came_late_are_late_rows_and_windows_of_them_were_judged(make_world: MakeWorld) -> None:
    world = serve(make_world(reaction="observe"), "catch_up: 100000}", "catch_up: 100000, late_rows: 5h}")
    with world.open() as context:
        register.register(context)
        publish(world, 1, failing=1.0)
        path = world.home / "data" / "rows-001.parquet"
        table = pq.read_table(path)
        pq.write_table(table.slice(0, 100), path)
        assert [run.verdict.outcome.value for run in cycle.tick(context)] == ["INCONCLUSIVE", "FAIL"]
        publish(world, 0, failing=1.0)
        pq.write_table(table.slice(100), path.with_stem("rows-001-late"))
        publish(world, 2)
        assert [run.verdict.outcome.value for run in cycle.tick(context)] == ["FAIL", "FAIL", "PASS"]
        first, second = recorded(context, 1)
        assert [(one.n_rows, one.n_read) for one in (first, second)] == [(0, 100), (0, N)]
        (source,) = findings(context, second, "source")
        assert source.why == (
            "0 rows in the window; 200 more of requests that failed; 100 came late: 100 could be read before, 200 now"
        )
        counted = {one.run_id for one in stored(context, ScoreRow) if one.check == "serving"}
        assert first.id in counted and second.id not in counted
        assert recorded(context, 0)[-1].id not in counted, "the hour after it was judged by its failures"


def test_labels_are_waited_for_on_answered_rows_alone(make_world: MakeWorld) -> None:
    late = Late(serve(make_world(reaction="observe")))
    with late.world.open() as context:
        register.register(context)
        for hour, failing in ((0, 0.4), (1, 1.0)):
            late.publish(hour, n=N)
            path = late.world.home / "data" / f"rows-{hour:03d}.parquet"
            pq.write_table(with_requests(pq.read_table(path), failing, hour), path)
            cycle.tick(context)
            if not hour:
                late.label(late.world.clock)
        late.world.clock = T0 + 3 * HOUR
        cycle.tick(context)
        runs = recorded(context, 0)
        coverage = [one for one in findings(context, runs[-1], "labels") if one.measure == "coverage"]
        assert coverage[0].estimate == 1.0 and coverage[0].n == runs[-1].n_rows < N
        assert len(runs) > 1 and not runs[-1].awaits_labels
        assert len({part.requests_digest for run in runs for part in parts(context, run)}) == 1
        of_failures = recorded(context, 1)[-1]
        assert not of_failures.awaits_labels
        assert [one.outcome for one in findings(context, of_failures, "performance")] == ["INCONCLUSIVE"]


def budgeted(world: World, reference: pa.Table) -> World:
    job = world.home / "jobs" / "scorer.yaml"
    job.write_text(job.read_text().replace("    limits: {accuracy: {min: 0.8}}\n", "") + BUDGET)
    pq.write_table(reference, world.home / "data" / "reference.parquet")
    return world


@pytest.fixture
def monitor() -> Callable[[Context], Monitor]:
    return lambda context: context.monitors["scorer"]


def test_slower_answers_use_up_the_page_budget(make_world: MakeWorld, monitor: Callable[[Context], Monitor]) -> None:
    reference = with_requests(reference_of(72, 60), failing=0.02, seed=99)
    world = budgeted(serve(make_world(reaction="observe")), reference)
    with world.open() as context:
        register.register(context)
        outcomes = []
        for hour, slow in enumerate([1.0, 1.0, 3.0, 3.0, 3.0]):
            publish(world, hour, failing=0.02, slow=slow, n=60)
            outcomes.append(said(tick(context))["serving"])
        assert [outcome for outcome, _ in outcomes[:2]] == ["PASS"] * 2 and outcomes[-1][0] == "FAIL"
        assert outcomes[-1][1].startswith("slower_than_p95 0.6") and "usually 0.0499" in outcomes[-1][1]
        built = references.find(context, monitor(context), "1")
        assert built is not None and built.n_rows < 72 * 60
        held = references.load(context, built)
        assert held.requests is not None and len(held.requests) == 72 * 30
        assert held.blocks is not None and "serving" in {key.check for key in held.blocks.keys}
        names = {one.name for one in stored(context, ScoreRow) if one.check == "serving" and one.side}
        assert names == {"error_rate", "slower_than_p95", "slower_than_p99", "log_latency"}


def test_a_plain_reference_leaves_the_error_rate_and_says_why_there_are_no_scores(make_world: MakeWorld) -> None:
    world = budgeted(serve(make_world(reaction="observe")), reference_of(72, 60))
    with world.open() as context:
        register.register(context)
        publish(world, 0)
        run = tick(context)
        assert said(run)["serving"][0] == "PASS"
        told = [one.why for one in run.findings if one.check == "serving" and one.outcome is Outcome.INCONCLUSIVE]
        assert told == ["no page budget can be kept: its reference bears no requests (no column 'status')"]
        assert not [one for one in run.findings if one.check == "serving" and one.outcome is Outcome.ERROR]


def test_a_backtest_judges_requests_as_runs_do(make_world: MakeWorld, monitor: Callable[[Context], Monitor]) -> None:
    world = serve(make_world(reaction="rollback"))
    with world.open() as context:
        register.register(context)
        for hour, failing in enumerate([0.0, 1.0, 0.0]):
            publish(world, hour, failing)
        kept = sorted(path.name for path in context.home.rglob("*.arrow"))
        found = backtest.replay(context, monitor(context), backtest.windows_of(context, monitor(context), 3 / 24))
        assert [(one.outcome.value, one.n_rows) for one in found.windows] == [("PASS", N), ("FAIL", 0), ("PASS", N)]
        assert [page.cause for page in found.pages] == ["serving"]
        assert found.policy is not None and [one.would.value for one in found.policy.responses] == ["refuse"]
        assert sorted(path.name for path in context.home.rglob("*.arrow")) == kept
