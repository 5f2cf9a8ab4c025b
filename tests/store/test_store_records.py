"""What is only ever added: who held an alias, what was measured, by which configuration and reference; and jobs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from store_samples import HOUR, KEY, LEASE, T0, monitor, planned, recorded

from controlplane.domain.alias import Holding, spans
from controlplane.domain.evidence import Evidence
from controlplane.domain.monitor import Window
from controlplane.domain.verdict import Finding, Outcome
from controlplane.store import Session, Store, new_id, records
from controlplane.store.history import history_of
from controlplane.store.tables import ConfigRow, EvidenceRow, FollowupRow, MonitorRow, ReferenceRow
from controlplane.store.tables_acts import HoldingRow

SCORER = monitor()


def at(minutes: int) -> Any:
    return T0 + timedelta(minutes=minutes)


def see(session: Session, version: str, minutes: int, action_id: str | None = None) -> int:
    return records.see_holder(session, "default", KEY, version, at(minutes), action_id)


def test_the_first_look_at_an_alias_is_its_first_tenure(store: Store) -> None:
    with store.begin() as session:
        assert see(session, "1", 0) == 0
        assert see(session, "1", 5) == 0
        assert records.holdings(session, "default", KEY) == [Holding("1", at(0))]
        assert session.scalars(select(HoldingRow.last_seen)).all() == [at(5)]


def test_a_move_by_somebody_else_lies_between_the_last_look_and_this_one(store: Store) -> None:
    with store.begin() as session:
        see(session, "1", 0)
        see(session, "1", 20)
        assert see(session, "2", 30) == 1
        held = records.holdings(session, "default", KEY)
        assert held == [Holding("1", at(0)), Holding("2", at(30), unseen_since=at(20))]
        found = [(span.start, span.version) for span in spans(held, Window(T0, T0 + HOUR))]
        assert found == [(at(0), "1"), (at(20), None), (at(30), "2")]


def test_our_own_move_is_exact_and_says_why(store: Store) -> None:
    with store.begin() as session:
        action = planned(session, SCORER)
        see(session, "2", 0)
        assert see(session, "1", 30, action.id) == 1
        assert records.holdings(session, "default", KEY)[-1] == Holding("1", at(30))
        [told] = history_of(session, "default", "scorer")
        assert [(one.holding.version, one.why) for one in told] == [("2", ""), ("1", "version 2 failed")]


def test_a_version_that_comes_back_begins_a_new_tenure(store: Store) -> None:
    with store.begin() as session:
        tenures = [see(session, version, minute) for minute, version in enumerate("1221")]
        assert tenures == [0, 1, 1, 2]
        assert [holding.version for holding in records.holdings(session, "default", KEY)] == ["1", "2", "1"]


def test_a_look_at_an_earlier_moment_changes_nothing(store: Store) -> None:
    with store.begin() as session:
        see(session, "1", 10)
        see(session, "1", 5)
        assert session.scalars(select(HoldingRow.last_seen)).all() == [at(10)]


def test_what_was_seen_is_never_edited_but_for_when_it_was_seen_last(store: Store) -> None:
    with store.begin() as session:
        see(session, "1", 0)
        see(session, "2", 1)
    with store.begin() as session:
        before = records.holdings(session, "default", KEY)
        for minute, version in enumerate("2132", start=2):
            see(session, version, minute)
        assert records.holdings(session, "default", KEY)[:2] == before


def test_two_processes_that_see_one_move_at_once_note_it_once(
    store: Store, store_url: str, race: Callable[[str, str], list[Any]]
) -> None:
    for _ in range(10):
        with store.begin() as session:
            session.query(HoldingRow).delete()
            see(session, "1", 0)
        assert race("see_holder", store_url) == [1, 1]
        with store.begin() as session:
            assert [holding.version for holding in records.holdings(session, "default", KEY)] == ["1", "2"]


def test_an_unknown_action_is_refused_and_not_tried_for_ever(store: Store) -> None:
    with pytest.raises(IntegrityError), store.begin() as session:
        see(session, "1", 0, "nobody")


def test_the_holdings_of_a_model_or_of_one_alias_are_those_and_no_others(store: Store) -> None:
    keys = ["uri scorer@champion", "uri scorer@challenger", "uri scorer_2@champion", "uri xscorer@champion"]
    with store.begin() as session:
        for key in keys:
            records.see_holder(session, "default", key, "1", T0)

        def of(model: str) -> list[str]:
            return [one.holding.registry_key for [one] in history_of(session, "default", model)]

        assert of("scorer") == [keys[1], keys[0]]
        assert of("scorer@champion") == [keys[0]]
        assert of("scorer_2") == [keys[2]]
        assert of("s%") == []


def evidence(**changes: Any) -> Evidence:
    seen = Evidence("drift", "scorer", "run:1", "PASS", "still", T0, T0 + HOUR, "1", 400)
    return replace(seen, **changes)


def test_evidence_comes_back_as_it_was_oldest_first(store: Store) -> None:
    items = [evidence(), evidence(outcome="FAIL", version=None, n=None), evidence(summary="Größe: 'x'; 7 %")]
    with store.begin() as session:
        records.store_evidence(session, "default", items)
    with store.begin() as session:
        assert records.evidence_of(session, "default") == items


def test_the_same_evidence_is_stored_once(store: Store) -> None:
    with store.begin() as session:
        records.store_evidence(session, "default", [evidence(), evidence()])
        records.store_evidence(session, "default", [])
    with store.begin() as session:
        first = session.scalars(select(EvidenceRow.id)).all()
        records.store_evidence(session, "default", [evidence(), evidence(n=401)])
    with store.begin() as session:
        assert records.evidence_of(session, "default") == [evidence(), evidence(n=401)]
        assert session.scalars(select(EvidenceRow.id).order_by(EvidenceRow.id)).all()[:1] == first


def test_a_monitor_is_new_once_for_each_of_its_forms(store: Store) -> None:
    changed = replace(SCORER, owner="ada")
    with store.begin() as session:
        assert records.store_monitor(session, SCORER, T0)
        assert not records.store_monitor(session, SCORER, T0 + HOUR)
    with store.begin() as session:
        assert records.store_monitor(session, changed, T0 + HOUR)
    with store.begin() as session:
        assert records.store_monitor(session, SCORER, T0 + 2 * HOUR)  # back to a form that was there before
    with store.begin() as session:
        kept = session.get_one(ConfigRow, ("default", SCORER.digest))
        assert (kept.canonical, kept.stored_at) == (SCORER.canonical(), T0)
        assert session.get_one(ConfigRow, ("default", changed.digest)).canonical == changed.canonical()
        row = session.get_one(MonitorRow, ("default", "scorer"))
        assert (row.config_digest, row.owner, row.updated_at) == (SCORER.digest, "", T0 + 2 * HOUR)


def reference(version: str, recipe: str, digest: str, name: str = "scorer") -> ReferenceRow:
    return ReferenceRow(
        id=new_id(),
        workspace="default",
        monitor=name,
        version=version,
        digest=digest,
        recipe_digest=recipe,
        uri=f"runs:/{digest}",
        n_rows=1_000,
        promise="",
        built_at=T0,
    )


def test_the_reference_in_force_is_the_newest_of_that_version_and_recipe(store: Store) -> None:
    with store.begin() as session:
        for row in (
            reference("1", "recipe", "first"),
            reference("1", "recipe", "second"),
            reference("1", "another recipe", "third"),
            reference("2", "recipe", "fourth"),
            reference("1", "recipe", "fifth", "other"),
        ):
            session.add(row)
            session.flush()
    with store.begin() as session:
        found = records.reference_of(session, SCORER, "1", "recipe")
        assert found is not None and found.digest == "second"
        assert records.reference_of(session, SCORER, "3", "recipe") is None
        assert records.reference_of(session, SCORER, "1", "no recipe") is None
        by_digest = records.reference_with(session, "default", "fourth")
        assert by_digest is not None and by_digest.version == "2"
        assert records.reference_with(session, "default", None) is None


def leave_jobs(session: Session, number: int, hour: int = 0) -> list[str]:
    run = recorded(session, SCORER, hour).run_id
    for check in range(number):
        records.store_followup(session, "default", "evidently_report", run, f"drift-{check}", "1")
    return list(session.scalars(select(FollowupRow.id).where(FollowupRow.run_id == run).order_by(FollowupRow.id)))


def test_jobs_are_taken_oldest_first_each_once(store: Store) -> None:
    with store.begin() as session:
        made = leave_jobs(session, 3)
        taken = [records.claim_followup(session, "default", T0, LEASE) for _ in range(4)]
        assert [row.id if row else None for row in taken] == [*made, None]


def test_two_processes_never_take_the_same_job(
    store: Store, store_url: str, race: Callable[[str, str], list[Any]]
) -> None:
    for hour in range(8):
        with store.begin() as session:
            [made] = leave_jobs(session, 1, hour)
        assert sorted(race("claim_followup", store_url), key=str) == sorted([made, None], key=str)


def test_a_run_leaves_one_job_of_a_kind_for_a_check_and_version(store: Store) -> None:
    with store.begin() as session:
        leave_jobs(session, 1)
        run = session.scalars(select(FollowupRow.run_id)).one()
    with pytest.raises(IntegrityError), store.begin() as session:
        records.store_followup(session, "default", "evidently_report", run, "drift-0", "1")


def test_a_job_of_a_dead_process_is_taken_up_and_its_slow_owner_changes_nothing_any_more(store: Store) -> None:
    with store.begin() as session:
        leave_jobs(session, 1)
        slow = records.claim_followup(session, "default", T0, LEASE)
    with store.begin() as session:
        assert records.claim_followup(session, "default", T0 + LEASE - timedelta(microseconds=1), LEASE) is None
        quick = records.claim_followup(session, "default", T0 + LEASE, LEASE)
    assert slow is not None and quick is not None
    assert (slow.attempt, quick.attempt) == (1, 2)
    with store.begin() as session:
        records.end_followup(session, slow, "failed", "too slow")
        assert session.get_one(FollowupRow, slow.id).state == "pending"
        records.end_followup(session, quick, "done")
    with store.begin() as session:
        records.end_followup(session, quick, "pending", "again")
        row = session.get_one(FollowupRow, slow.id)
        assert (row.state, row.error) == ("done", "")


def test_the_failed_columns_of_a_job_come_largest_shift_first(store: Store) -> None:
    def finding(column: str | None, estimate: float | None, **changes: Any) -> Finding:
        shifted = Finding("drift-0", Outcome.FAIL, "shifted", "drift", column, version="1", estimate=estimate)
        return replace(shifted, **changes)

    findings = [
        finding("small", 0.4),
        finding("large", 0.9),
        finding("twice", 0.5),
        finding("twice", 0.8),
        finding("unknown", None),
        finding("well", 0.99, outcome=Outcome.PASS),
        finding("of another check", 0.99, check="quality"),
        finding("of another version", 0.99, version="2"),
        finding(None, 0.99),
    ]
    with store.begin() as session:
        run = recorded(session, SCORER, findings=findings).run_id
        records.store_followup(session, "default", "evidently_report", run, "drift-0", "1")
        job = records.claim_followup(session, "default", T0, LEASE)
        assert job is not None
        assert records.failed_columns(session, job) == ["large", "twice", "small", "unknown"]
