"""A page budget in the engine: references that cannot keep it, windows that break, pages that open and close."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from world import HOUR, T0, World, signal_rows

from controlplane.domain.monitor import Monitor
from controlplane.engine import cycle, references, register
from controlplane.engine.context import Context
from controlplane.engine.run import Run
from controlplane.profiles.detector import EDetector, accumulate
from controlplane.store import records, runs
from controlplane.store.tables import DetectorRow, ScoreRow

MakeWorld = Callable[..., World]
BUDGET = "budget: {false_pages: 1, per: 90h}\n"


def reference_of(hours: int, n: int = 60, times: bool = True) -> pa.Table:
    """So many hours of answers of version 1, none of them drifted."""
    x, y = signal_rows(hours * n, 7)
    at = [T0 - HOUR * hours + i * HOUR / n for i in range(hours * n)]
    return pa.table(
        {
            "id": [f"r{i}" for i in range(hours * n)],
            "at" if times else "noted": pa.array(at, pa.timestamp("us", "UTC")),
            "a": x[:, 0],
            "b": x[:, 1],
            "label": y,
            "prediction": (x[:, 0] > 0).astype(np.int64),
            "constant": np.ones(hours * n),
            "nothing": pa.nulls(hours * n, pa.float64()),
            "who": [f"u{i:06}" for i in range(hours * n)],
        }
    )


@pytest.fixture
def budgeted(make_world: MakeWorld) -> Callable[[pa.Table], World]:
    """Makes a world whose monitor has nothing but a budget, on this reference."""

    def make(reference: pa.Table) -> World:
        world = make_world(checks=("quality", "drift"), reaction="observe")
        job = world.home / "jobs" / "scorer.yaml"
        text = job.read_text().replace("    limits: {drift: {max: 0.3}}\n", "")
        job.write_text(text.replace("    limits: {accuracy: {min: 0.8}}\n", "") + BUDGET)
        pq.write_table(reference, world.home / "data" / "reference.parquet")
        return world

    return make


def publish(world: World, hour: int, shift: float = 0.0, n: int = 60) -> None:
    """One hour of rows like those of the reference, `a` moved by `shift`."""
    world.publish(hour, "1", n)
    path = world.home / "data" / f"rows-{hour:03d}.parquet"
    table = pq.read_table(path)
    moved = pa.array(table["a"].to_numpy() + shift)
    table = table.set_column(table.column_names.index("a"), "a", moved)
    table = table.append_column("constant", pa.array(np.ones(n))).append_column("nothing", pa.nulls(n, pa.float64()))
    pq.write_table(table.append_column("who", pa.array([f"{hour:03}{i:04}" for i in range(n)])), path)


def tick(context: Context) -> Run:
    (run,) = cycle.tick(context)
    return run


def said(run: Run, check: str) -> tuple[str, str]:
    return next((each.outcome.value, each.why) for each in run.verdict.checks if each.check == check)


def monitor_of(context: Context) -> Monitor:
    return context.monitors["scorer"]


def test_a_shift_opens_one_incident_and_its_end_closes_it(budgeted: Callable[[pa.Table], World]) -> None:
    world = budgeted(reference_of(72))
    with world.open() as context:
        register.register(context)
        outcomes = []
        for hour, shift in enumerate([0.0] * 3 + [1.5] * 3 + [0.0] * 4):
            publish(world, hour, shift)
            outcomes.append(said(tick(context), "drift"))
        assert [outcome for outcome, _ in outcomes[:3]] == ["PASS"] * 3
        assert "FAIL" in [outcome for outcome, _ in outcomes[3:5]] and outcomes[-1][0] == "PASS"
        told = next(why for outcome, why in outcomes if outcome == "FAIL")
        assert told.startswith("a: mean") and "1 false page in 3.75 days" in told
        assert "holds 72 windows" not in told


def test_the_stored_state_can_be_folded_again_from_the_stored_scores(budgeted: Callable[[pa.Table], World]) -> None:
    world = budgeted(reference_of(72))
    with world.open() as context:
        register.register(context)
        for hour, shift in enumerate([0.0, 0.4, 1.5, 1.5]):
            publish(world, hour, shift)
            tick(context)
        with context.store.begin() as session:
            row = session.query(DetectorRow).one()
            held = session.query(ScoreRow).filter(ScoreRow.side != 0).count()
            key = runs.DetectorKey("default", "scorer", "1", row.tenure, row.reference_digest, row.config_digest)
            windows = runs.scores_of_key(session, key)
            state = runs.load_state(session, key)
            made = references.promise_of(records.newest_reference(session, monitor_of(context)))
        assert made is not None and held > 4 * 20
        again = EDetector()
        for scores in windows:
            told = {(one.check, one.name, one.column, one.side): one.value for one in scores if one.side}
            again = accumulate(again, told, made.threshold)
        assert again.dump() == state.evidence


@pytest.mark.parametrize(
    ("hours", "times", "outcome", "words"),
    [
        (30, True, "PASS", "the reference holds 30 windows, 30 fewer than the 60 the page budget needs"),
        (4, True, "INCONCLUSIVE", "its reference holds 4 windows, and fewer than 8 could be measured by drift"),
        (72, False, "INCONCLUSIVE", "no page budget can be kept: "),
    ],
)
def test_a_reference_too_short_to_keep_the_promise_says_so(
    budgeted: Callable[[pa.Table], World], hours: int, times: bool, outcome: str, words: str
) -> None:
    world = budgeted(reference_of(hours, times=times))
    with world.open() as context:
        register.register(context)
        publish(world, 0)
        found, why = said(tick(context), "drift")
        assert (found, words in why) == (outcome, True), why
        with context.store.begin() as session:
            told = references.tell(records.newest_reference(session, monitor_of(context)))
    assert ("Too short: " in told) == times and ("cannot be kept" in told) == (not times)


def test_a_reference_of_thirty_rows_is_not_enough_and_nothing_breaks(budgeted: Callable[[pa.Table], World]) -> None:
    world = budgeted(reference_of(1, 30))
    with world.open() as context:
        register.register(context)
        publish(world, 0)
        run = tick(context)
        assert said(run, "quality")[0] == "PASS" and said(run, "drift")[0] == "INCONCLUSIVE"


def test_windows_of_few_rows_or_none_add_no_evidence_and_are_not_healthy(
    budgeted: Callable[[pa.Table], World],
) -> None:
    world = budgeted(reference_of(72))
    with world.open() as context:
        register.register(context)
        publish(world, 0)
        tick(context)
        publish(world, 1, 9.0, n=1)
        assert said(tick(context), "drift")[0] == "INCONCLUSIVE"
        world.clock += HOUR
        assert said(tick(context), "source")[0] == "INCONCLUSIVE"


def test_columns_that_go_or_turn_into_something_else_are_named(
    budgeted: Callable[[pa.Table], World],
) -> None:
    world = budgeted(reference_of(72))
    with world.open() as context:
        register.register(context)
        for hour in range(4):
            publish(world, hour, 1.5)
            path = world.home / "data" / f"rows-{hour:03d}.parquet"
            table = pq.read_table(path).drop_columns(["constant"])
            odd = pa.array([{"x": i} for i in range(table.num_rows)])
            table = table.set_column(table.column_names.index("who"), "who", odd)
            pq.write_table(table, path)
            run = tick(context)
        assert said(run, "quality")[0] == "FAIL"
        outcome, why = said(run, "drift")
        assert outcome == "FAIL" and "constant: " in why and "who: " in why


def test_a_changed_budget_is_another_reference_recipe(budgeted: Callable[[pa.Table], World]) -> None:
    world = budgeted(reference_of(72))
    with world.open() as context:
        one = monitor_of(context)
        assert one.budget is not None
        two = replace(one, budget=replace(one.budget, per=timedelta(days=365)))
        assert references.recipe_of(one) != references.recipe_of(two)
        assert references.recipe_of(one) != references.recipe_of(replace(one, budget=None))


def test_validate_and_reference_build_say_what_can_be_promised(
    budgeted: Callable[[pa.Table], World], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from controlplane.cli.main import call

    world = budgeted(reference_of(20))
    for name, value in world.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("COLUMNS", "400")
    assert call("validate") == 0
    assert "no reference is built yet" in capsys.readouterr().out
    for command in (["reference", "build", "scorer"], ["validate"]):
        assert call(*command) == 0
        out = " ".join(capsys.readouterr().out.split())
        assert "for 1 page in 90 windows" in out and "Too short: the reference holds 20 windows, 40 fewer" in out
