"""Late rows where labels come late as well: they join the rows that wait, and are judged by labels once."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow.parquet as pq
import pytest
from test_late_labels import Late, findings, recorded
from test_late_rows import look_late, rows_of, tick
from world import HOUR, T0, World

from controlplane.engine import cycle, late_rows, register
from controlplane.engine.freeze import read_table
from controlplane.store.tables import IncidentRow, PartRow, ScoreRow

MakeWorld = Callable[..., World]


def test_late_rows_join_the_rows_whose_labels_are_waited_for(make_world: MakeWorld, store_url: str) -> None:
    late = Late(make_world(database=store_url, checks=("quality",), reaction="observe"))
    world = look_late(late.world)
    with world.open() as context:
        register.register(context)
        late.publish(0, wrong=0.5)
        path = world.home / "data" / "rows-000.parquet"
        table = pq.read_table(path)
        pq.write_table(table.slice(0, 80), path)
        late.label(T0 + HOUR / 2, 0.5)
        tick(context)
        held = late.labels
        late.labels = held.slice(0, 0)
        late.label(T0 + HOUR / 2, 0.5, flip=True)
        late.label(T0 + 2 * HOUR)
        pq.write_table(table.slice(80), path.with_stem("rows-000-late"))
        truth = late.truth
        late.publish(1)
        late.truth, mine = truth, late.truth
        cycle.tick(context)
        first, second, third = recorded(context, 0)
        assert [run.awaits_labels for run in (first, second, third)] == [True, True, False]
        assert [run.n_rows for run in (first, second, third)] == [80, 100, 100]
        (waits,) = [one for one in findings(context, second, "performance") if one.why.startswith("waits")]
        assert waits.why.endswith(late_rows.MATURE)
        assert {one.outcome for one in findings(context, second, "performance")} == {None}
        assert (third.outcome, third.n_read) == ("FAIL", 100)
        assert "50 labels changed" in findings(context, third, "labels")[0].why
        with context.store.begin() as session:
            part = session.query(PartRow).filter_by(run_id=third.id).one()
            (incident,) = session.query(IncidentRow).all()
            assert incident.opened_run == third.id
        kept = read_table(context.sample_path(part.sample_digest))
        assert dict(zip(kept["id"].to_pylist(), kept["label"].to_pylist(), strict=True)) == truth
        late.truth = mine
        (counted,) = {row.run_id for row in rows_of(context, ScoreRow) if row.check == "performance"}
        assert counted == third.id


def test_rows_that_came_after_their_labels_were_judged_are_shown_beside_them(make_world: MakeWorld) -> None:
    late = Late(make_world(checks=("quality",), reaction="observe"))
    world = look_late(late.world)
    with world.open() as context:
        register.register(context)
        late.publish(0)
        path = world.home / "data" / "rows-000.parquet"
        table = pq.read_table(path)
        pq.write_table(table.slice(0, 60), path)
        late.label(T0 + HOUR / 2, 0.6)
        tick(context)
        assert not recorded(context, 0)[0].awaits_labels
        pq.write_table(table.slice(60), path.with_stem("rows-000-late"))
        late.publish(1)
        cycle.tick(context)
        again = recorded(context, 0)[-1]
        assert (again.revision, again.n_rows, again.awaits_labels) == (1, 100, False)
        (coverage,) = findings(context, again, "labels")
        assert coverage.estimate == 0.6
        assert not [row for row in rows_of(context, ScoreRow) if row.run_id == again.id]


@pytest.mark.parametrize("overtaken", [False, True])
def test_the_rows_of_an_empty_hour_wait_for_labels_and_count_unless_later_ones_were_judged(
    make_world: MakeWorld, overtaken: bool
) -> None:
    late = Late(make_world(checks=("quality",), reaction="observe"))
    world = look_late(late.world)
    path = world.home / "data" / "rows-001.parquet"
    with world.open() as context:
        register.register(context)
        late.publish(0)
        late.label(T0 + HOUR / 2)
        tick(context)
        late.publish(1, wrong=0.5)
        mine, rows = late.truth, path.read_bytes()
        path.unlink()
        assert tick(context) == [(1, "INCONCLUSIVE")]
        late.publish(2)
        if overtaken:
            late.label(T0 + 2.5 * HOUR)
        tick(context)
        assert recorded(context, 2)[-1].awaits_labels is not overtaken
        path.write_bytes(rows)
        late.truth = mine
        late.label(T0 + 3.5 * HOUR)
        late.publish(3)
        cycle.tick(context)
        revisions = recorded(context, 1)
        assert [run.awaits_labels for run in revisions] == [False, True, False]
        assert [run.n_rows for run in revisions] == [0, 100, 100]
        assert revisions[-1].outcome == "FAIL", "shown either way"
        counted = {row.run_id for row in rows_of(context, ScoreRow) if row.check == "performance"}
        assert (revisions[-1].id in counted) is not overtaken
        opened = [row.opened_run for row in rows_of(context, IncidentRow)]
        assert opened == ([] if overtaken else [revisions[-1].id])
