"""What a run found comes back as it was stored, the same from both databases."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import StatementError
from store_samples import T0, claim, monitor, record, recorded, sure

from controlplane.domain.verdict import DetectorState, Finding, Outcome, Score, accumulate
from controlplane.store import Store, records, runs
from controlplane.store.rows import new_id
from controlplane.store.runs import DetectorKey
from controlplane.store.tables import PartRow, RunRow, ScoreRow

SCORER = monitor()
NAN, INF = float("nan"), float("inf")


def test_findings_come_back_as_they_were(store: Store) -> None:
    findings = [
        Finding("drift", Outcome.FAIL, "shifted", "drift", "income", None, "1", 400, 0.1 + 0.2, 0.1, 1e-300, 0.3),
        Finding("drift", Outcome.PASS, "still", "drift", "Größe 🙂 '\"; --", "age < 30", "1", 2**40, -0.0, None, None),
        Finding("quality", None, "shown", "missing", version=None, estimate=1.7976931348623157e308),
        Finding("quality", Outcome.ERROR, "it broke\nin two lines", dry_run=True),
    ]
    with store.begin() as session:
        run = recorded(session, SCORER, findings=findings)
    with store.begin() as session:
        assert runs.findings_of(session, run.run_id) == findings


def test_what_is_not_a_finite_number_is_stored_as_nothing(store: Store) -> None:
    finding = Finding("drift", Outcome.ERROR, "no number", "drift", estimate=NAN, low=-INF, high=INF, limit=NAN)
    with store.begin() as session:
        run = recorded(session, SCORER, findings=[finding])
    with store.begin() as session:
        [back] = runs.findings_of(session, run.run_id)
        assert (back.estimate, back.low, back.high, back.limit) == (None, None, None, None)
        nothing = text("SELECT count(*) FROM cp_findings WHERE estimate IS NULL AND low IS NULL AND high IS NULL")
        assert session.scalar(nothing) == 1


def test_odd_text_out_of_the_data_costs_no_run(store: Store) -> None:
    """PostgreSQL refuses NUL, both refuse half a surrogate pair, and a column's name may be a whole question."""
    finding = Finding("quality", Outcome.FAIL, "unseen category 'a\0b\ud800'", "unseen", "How satisfied? " * 40)
    with store.begin() as session:
        run = recorded(session, SCORER, findings=[finding])
    with store.begin() as session:
        [back] = runs.findings_of(session, run.run_id)
        assert back.why == "unseen category 'a\ufffdb?'"
        assert back.column == finding.column


def test_a_recorded_run_tells_its_outcome_its_rows_and_its_parts(store: Store) -> None:
    with store.begin() as session:
        claimed = sure(claim(session, SCORER))
        record(session, claimed, version="7", now=T0 + timedelta(seconds=3), outcome=Outcome.WARN)
    with store.begin() as session:
        row = session.get_one(RunRow, claimed.run_id)
        assert (row.state, row.outcome, row.why, row.version, row.n_rows) == ("recorded", "WARN", "said", "7", 400)
        assert (row.recorded_at, row.config_digest) == (T0 + timedelta(seconds=3), SCORER.digest)
        part = session.get_one(PartRow, (claimed.run_id, "7"))
        assert (part.n_rows, part.sample_digest, part.sample_rate, part.reference_digest) == (400, "a" * 64, 1.0, None)


@pytest.mark.parametrize("offset", [0, 5.75, -11])
def test_moments_come_back_aware_in_utc_to_the_microsecond(store: Store, offset: float) -> None:
    moment = datetime(2026, 10, 25, 1, 30, 59, 123456, timezone(timedelta(hours=offset)))
    with store.begin() as session:
        claimed = sure(claim(session, SCORER))
        record(session, claimed, now=moment)
    with store.begin() as session:
        back = session.get_one(RunRow, claimed.run_id).recorded_at
        newest = session.scalar(select(func.max(RunRow.recorded_at)))
    assert back == newest == moment
    assert back is not None and back.tzinfo is UTC


def test_a_naive_moment_is_refused(store: Store) -> None:
    with pytest.raises(StatementError, match="the store keeps moments with a zone"), store.begin() as session:
        records.store_monitor(session, SCORER, datetime(2026, 3, 1))
        session.flush()


def test_ids_sort_in_the_order_they_were_made() -> None:
    made = [new_id() for _ in range(5_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


KEY = DetectorKey("default", "scorer", "1", 0, "r" * 64, "c" * 64)


def test_a_detector_that_never_saw_anything_is_fresh(store: Store) -> None:
    with store.begin() as session:
        assert runs.load_state(session, KEY) == DetectorState()
        assert runs.scores_of_key(session, KEY) == []


@pytest.mark.parametrize("seed", range(6))
def test_the_stored_scores_fold_again_to_the_stored_state(store: Store, seed: int) -> None:
    chance = random.Random(seed)
    checks = [f"check-{number}" for number in range(chance.randint(1, 5))]
    for hour in range(25):
        outcomes = {check: chance.choice(["fail", "blind", "well", "absent"]) for check in checks}
        scores = [
            Score(check, name, float(outcome == name))
            for check, outcome in outcomes.items()
            if outcome != "absent"
            for name in ("fail", "blind")
        ]
        chance.shuffle(scores)
        with store.begin() as session:
            run = recorded(session, SCORER, hour)
            runs.save_state(session, run, KEY, scores, accumulate(runs.load_state(session, KEY), scores))
    with store.begin() as session:
        state = DetectorState()
        for scores in runs.scores_of_key(session, KEY):
            state = accumulate(state, scores)
        assert state == runs.load_state(session, KEY)
        assert state != DetectorState()


@pytest.mark.parametrize(
    "part", ["workspace", "monitor", "version", "tenure", "reference_digest", "config_digest", "detector_version"]
)
def test_a_change_of_any_part_of_its_identity_starts_a_detector_afresh(part: str) -> None:
    assert replace(KEY, **{part: 1 if part == "tenure" else "other"}).digest != KEY.digest


def test_state_and_scores_are_stored_with_their_run_or_not_at_all(store: Store) -> None:
    with pytest.raises(RuntimeError), store.begin() as session:
        run = recorded(session, SCORER)
        scores = [Score("drift", "fail", 1.0), Score("drift", "blind", 0.0)]
        runs.save_state(session, run, KEY, scores, accumulate(DetectorState(), scores))
        raise RuntimeError("the process ends here")
    with store.begin() as session:
        assert runs.load_state(session, KEY) == DetectorState()
        assert session.scalars(select(ScoreRow.name)).all() == []
        assert session.scalars(select(RunRow.id)).all() == []
