"""Labels that come late: windows wait for them, are judged again as new revisions, and count once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_page_budget_runs import BUDGET, reference_of
from world import HOUR, T0, World

from controlplane.engine import cycle, register
from controlplane.engine.context import Context
from controlplane.engine.freeze import read_table
from controlplane.engine.run import Run
from controlplane.store.tables import FindingRow, IncidentRow, PartRow, RunRow, ScoreRow, TransitionRow

MakeWorld = Callable[..., World]
N = 100


class Late:
    """A world whose labels lie in a file of their own, each with the moment it became known."""

    def __init__(self, world: World, extra: str = "") -> None:
        self.world = world
        job = world.home / "jobs" / "scorer.yaml"
        job.write_text(
            job.read_text()
            + "labels: {kind: files, path: ../data/labels.parquet}\n"
            + f"late_labels: {{wait: 5h, known_at: known{extra}}}\n"
        )
        self.labels = pa.table({"id": pa.array([], pa.string()), "label": [], "known": []})
        self.labels = self.labels.cast(
            pa.schema([("id", pa.string()), ("label", pa.int64()), ("known", pa.timestamp("us", "UTC"))])
        )
        self._write()

    def publish(self, hour: int, wrong: float = 0.0, version: str = "1", n: int = N) -> None:
        """One hour of rows without their labels; `wrong` is the share of their labels that are the opposite."""
        self.world.publish(hour, version, n)
        path = self.world.home / "data" / f"rows-{hour:03d}.parquet"
        table = pq.read_table(path)
        labels = table["label"].to_numpy().copy()
        flipped = np.random.default_rng(hour).random(n) < wrong
        labels[flipped] = 1 - labels[flipped]
        self.truth = dict(zip(table["id"].to_pylist(), labels.tolist(), strict=True))
        pq.write_table(table.drop_columns(["label"]), path)

    def label(self, known: datetime, share: float = 1.0, flip: bool = False) -> None:
        """The labels of the hour published last, or of its first rows, as they become known."""
        rows = list(self.truth.items())[: round(share * len(self.truth))]
        more = {
            "id": [name for name, _ in rows],
            "label": [1 - value if flip else value for _, value in rows],
            "known": pa.array([known] * len(rows), pa.timestamp("us", "UTC")),
        }
        self.labels = pa.concat_tables([self.labels, pa.table(more).cast(self.labels.schema)])
        self._write()

    def _write(self) -> None:
        pq.write_table(self.labels, self.world.home / "data" / "labels.parquet")


@pytest.fixture
def late(make_world: MakeWorld) -> Late:
    return Late(make_world(checks=("quality",), reaction="observe"))


def recorded(context: Context, hour: int) -> list[RunRow]:
    """Every revision of one hour's window, oldest first."""
    with context.store.begin() as session:
        query = session.query(RunRow).filter(RunRow.window_end == T0 + HOUR * (hour + 1), RunRow.state == "recorded")
        return list(query.order_by(RunRow.revision))


def findings(context: Context, run: RunRow | Run, check: str) -> list[FindingRow]:
    with context.store.begin() as session:
        return session.query(FindingRow).filter_by(run_id=run.id, check=check).order_by(FindingRow.id).all()


def test_a_window_waits_for_its_labels_and_is_judged_once_they_came(late: Late) -> None:
    with late.world.open() as context:
        register.register(context)
        late.publish(0, wrong=0.5)
        late.label(T0 + 3 * HOUR)
        (run,) = cycle.tick(context)
        assert run.verdict.outcome == "PASS" and "performance" not in {one.check for one in run.verdict.checks}
        (first, *_) = findings(context, run, "performance")
        assert first.outcome is None and first.why.startswith("waits for labels: 0 of 100 rows have one so far")
        assert recorded(context, 0)[0].awaits_labels
        for hour in (1, 2):
            late.publish(hour)
            cycle.tick(context)
        before, after = recorded(context, 0)
        assert (after.revision, after.awaits_labels, after.outcome) == (1, False, "FAIL")
        (coverage,) = findings(context, after, "labels")
        assert (coverage.estimate, coverage.n) == (1.0, 100) and "0.0833 days after the window" in coverage.why
        assert findings(context, after, "quality"), "the newest revision tells the whole window"
        assert before.outcome == "PASS", "nothing recorded is edited"
        with context.store.begin() as session:
            (incident,) = session.query(IncidentRow).all()
            assert (incident.cause, incident.opened_run) == ("performance", after.id)


def test_labels_that_come_in_parts_open_one_incident_and_never_judge_early(late: Late) -> None:
    with late.world.open() as context:
        register.register(context)
        late.publish(0, wrong=0.5)
        for hour, share in ((1, 0.4), (2, 0.6), (3, 1.0)):
            late.label(T0 + hour * HOUR + HOUR / 2, share)
        cycle.tick(context)
        for hour in range(1, 7):
            late.publish(hour)
            late.label(late.world.clock)
            cycle.tick(context)
        revisions = recorded(context, 0)
        assert [row.awaits_labels for row in revisions] == [True, True, True, False]
        early = findings(context, revisions[1], "performance")
        assert "40 of 100 rows have one so far" in early[0].why and "biased" in early[0].why
        assert any(row.why.startswith("early: accuracy") and "below min" in row.why for row in early)
        assert {row.outcome for row in early} == {None}
        with context.store.begin() as session:
            assert session.query(IncidentRow).count() == 1
            events = [row.event for row in session.query(TransitionRow).order_by(TransitionRow.id)]
            assert events == ["opened", "closed"]
            assert session.query(ScoreRow).filter_by(check="performance", name="fail").count() == 7


def test_windows_count_in_their_order_even_where_their_labels_do_not_come_so(late: Late) -> None:
    with late.world.open() as context:
        register.register(context)
        late.publish(0)
        late.label(T0 + 4 * HOUR)
        cycle.tick(context)
        late.publish(1)
        late.label(T0 + 2 * HOUR)
        cycle.tick(context)
        late.publish(2)
        late.label(T0 + 3 * HOUR)
        cycle.tick(context)
        assert recorded(context, 1)[-1].awaits_labels
        assert (
            "a window before it still waits for labels"
            in findings(context, recorded(context, 1)[-1], "performance")[0].why
        )
        late.publish(3)
        cycle.tick(context)
        done = [recorded(context, hour)[-1] for hour in range(3)]
        assert not any(row.awaits_labels for row in done)
        assert [row.id for row in done] == sorted(row.id for row in done)


def test_a_window_whose_labels_never_come_is_blind_after_the_wait(late: Late) -> None:
    with late.world.open() as context:
        register.register(context)
        for hour in range(8):
            late.publish(hour)
            cycle.tick(context)
        given_up = recorded(context, 0)[-1]
        assert (given_up.awaits_labels, given_up.outcome) == (False, "INCONCLUSIVE")
        with context.store.begin() as session:
            (incident,) = session.query(IncidentRow).all()
            assert incident.cause == "blind" and "0 of 100 rows have a label" in incident.title
            assert incident.state == "open", "windows that only wait do not say that the check can see again"


def test_the_first_label_of_a_row_is_kept_and_changes_are_told(late: Late) -> None:
    with late.world.open() as context:
        register.register(context)
        late.publish(0)
        late.label(T0 + HOUR / 2, 0.5)
        cycle.tick(context)
        late.label(T0 + 2 * HOUR, 0.2, flip=True)
        late.label(T0 + 2 * HOUR)
        late.publish(1)
        cycle.tick(context)
        (coverage,) = findings(context, recorded(context, 0)[-1], "labels")
        assert "20 labels changed after they were first known, and the first is kept" in coverage.why
        with context.store.begin() as session:
            part = session.query(PartRow).filter_by(run_id=recorded(context, 0)[-1].id).one()
        first: dict[str, int] = {}
        for name, value in zip(late.labels["id"].to_pylist(), late.labels["label"].to_pylist(), strict=True):
            first.setdefault(name, value)
        held = read_table(context.sample_path(part.sample_digest))
        assert held.num_rows == 100
        assert dict(zip(held["id"].to_pylist(), held["label"].to_pylist(), strict=True)) == first


def test_late_labels_of_a_version_that_is_gone_call_for_nothing(late: Late) -> None:
    with late.world.open() as context:
        register.register(context)
        late.publish(0, wrong=0.5)
        late.label(T0 + 2 * HOUR)
        cycle.tick(context)
        late.world.release("2")
        late.publish(1, version="2")
        cycle.tick(context)
        done = recorded(context, 0)[-1]
        assert (done.revision, done.outcome) == (1, "FAIL")
        with context.store.begin() as session:
            assert session.query(IncidentRow).count() == 0


def test_under_a_page_budget_each_window_is_evidence_once(make_world: MakeWorld) -> None:
    world = make_world(checks=("quality", "drift"), reaction="observe")
    job = world.home / "jobs" / "scorer.yaml"
    text = job.read_text().replace("    limits: {drift: {max: 0.3}}\n", "")
    job.write_text(text.replace("    limits: {accuracy: {min: 0.8}}\n", "") + BUDGET)
    late = Late(world)
    table = reference_of(72).drop_columns(["constant", "nothing", "who"])
    pq.write_table(table, world.home / "data" / "reference.parquet")
    with world.open() as context:
        register.register(context)
        for hour in range(9):
            late.publish(hour, wrong=0.5 if hour in (2, 3, 4) else 0.0, n=60)
            late.label(world.clock + 2 * HOUR)
            late.label(world.clock, 0.5)
            cycle.tick(context)
        with context.store.begin() as session:
            counted = (
                session.query(RunRow.window_end)
                .join(ScoreRow, ScoreRow.run_id == RunRow.id)
                .filter(ScoreRow.check == "performance", ScoreRow.side != 0, ScoreRow.name == "accuracy")
            )
            ends = [end for (end,) in counted]
            assert len(ends) == len(set(ends)) == 7
            (incident,) = session.query(IncidentRow).filter_by(cause="performance").all()
            assert incident.opened_at >= T0 + timedelta(hours=5)
            assert "accuracy" in incident.title


def test_a_process_that_dies_between_claim_and_record_is_made_good(late: Late) -> None:
    with late.world.open() as context:
        register.register(context)
        late.publish(0, wrong=0.5)
        late.label(T0 + 2 * HOUR)
        cycle.tick(context)

    class Killed(BaseException):
        pass

    seen: list[str] = []
    with late.world.open() as context:
        late.publish(1)

        def observe(step: str) -> None:
            seen.append(step)
            if step == "recorded" and "claimed again" in seen:
                raise Killed
            if step == "measured" and "claimed again" in seen:
                raise Killed

        object.__setattr__(context, "observe", observe)
        with pytest.raises(Killed):
            cycle.tick(context)
    with late.world.open() as context:
        late.publish(2)
        cycle.tick(context)
        assert [row.revision for row in recorded(context, 0)] == [0, 1]
        with context.store.begin() as session:
            assert session.query(IncidentRow).count() == 1


def test_labels_that_cannot_be_read_are_one_sentence_and_nothing_is_lost(late: Late) -> None:
    path = late.world.home / "data" / "labels.parquet"
    with late.world.open() as context:
        register.register(context)
        late.publish(0)
        late.label(T0 + 2 * HOUR)
        cycle.tick(context)
        kept = path.read_bytes()
        path.unlink()
        late.publish(1)
        (run,) = cycle.tick(context)
        assert "no file matches" in run.verdict.why
        pq.write_table(late.labels.drop_columns(["known"]), path)
        late.publish(2)
        (run,) = cycle.tick(context)
        assert "the labels have no column 'known'; they have id, label" in run.verdict.why
        path.write_bytes(kept)
        late.publish(3)
        again = cycle.tick(context)[-1]
        assert (again.window.end, again.verdict.outcome) == (T0 + HOUR, "PASS")
