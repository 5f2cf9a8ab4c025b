"""Who may run a window: one process at a time, and never one that was taken over."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from store_samples import HOUR, LEASE, T0, claim, monitor, nobody_gone, record, recorded, sure, window

from controlplane.domain.evidence import Evidence
from controlplane.domain.monitor import RunKind
from controlplane.domain.verdict import Finding, Outcome
from controlplane.errors import LeaseLost
from controlplane.store import Store, records, runs
from controlplane.store.tables import EvidenceRow, FindingRow, PartRow, RunRow

SCORER = monitor()


def count(store: Store, row: type) -> int:
    with store.begin() as session:
        return session.scalar(select(func.count()).select_from(row)) or 0


def test_of_two_processes_that_want_one_window_exactly_one_gets_it(
    store: Store, store_url: str, race: Callable[[str, str], list[Any]]
) -> None:
    for _ in range(10):
        assert sorted(race("claim_run", store_url), key=str) == [1, None]
        with store.begin() as session:
            session.query(RunRow).delete()


def test_of_two_processes_that_take_over_one_window_exactly_one_gets_it(
    store: Store, store_url: str, race: Callable[[str, str], list[Any]]
) -> None:
    for fence in range(2, 8):
        with store.begin() as session:
            session.query(RunRow).delete()
            claim(session, SCORER)
            session.execute(update(RunRow).values(fence=fence - 1))
        assert sorted(race("claim_expired_run", store_url), key=str) == [fence, None]


def test_a_window_that_somebody_holds_is_nobody_elses(store: Store) -> None:
    with store.begin() as session:
        first = sure(claim(session, SCORER, owner="first"))
    with store.begin() as session:
        assert claim(session, SCORER, owner="second", now=T0 + LEASE - timedelta(microseconds=1)) is None
    assert (first.fence, first.attempt, first.revision, first.window) == (1, 1, 0, window(0))


def test_a_monitor_has_one_run_in_flight_whatever_its_window_or_kind(store: Store) -> None:
    with store.begin() as session:
        sure(claim(session, SCORER))
        assert claim(session, SCORER, hour=1) is None
        assert claim(session, SCORER, hour=1, kind=RunKind.MANUAL) is None
        assert claim(session, SCORER, kind=RunKind.MANUAL) is None
        assert claim(session, monitor("other")) is not None


def test_the_database_itself_refuses_a_second_run_in_flight(store: Store) -> None:
    with store.begin() as session:
        first = session.get_one(RunRow, sure(claim(session, SCORER)).run_id)
        values = {column.key: getattr(first, column.key) for column in RunRow.__table__.columns}
    with pytest.raises(IntegrityError), store.begin() as session:
        session.add(RunRow(**values | {"id": "another", "revision": 1}))


@pytest.mark.parametrize("how", ["the lease ran out", "the owner is gone"])
def test_a_claim_of_the_dead_is_taken_over_with_a_higher_fence(store: Store, how: str) -> None:
    now = T0 + LEASE if how == "the lease ran out" else T0
    gone = nobody_gone if how == "the lease ran out" else "first".__eq__
    with store.begin() as session:
        first = sure(claim(session, SCORER, owner="first"))
    with store.begin() as session:
        second = sure(claim(session, SCORER, owner="second", now=now, is_gone=gone))
    assert second.run_id == first.run_id
    assert (second.fence, second.attempt, second.seed) == (2, 2, first.seed)


def test_a_slow_owner_that_was_taken_over_stores_nothing(store: Store) -> None:
    with store.begin() as session:
        slow = sure(claim(session, SCORER, owner="slow"))
    with store.begin() as session:
        quick = sure(claim(session, SCORER, owner="quick", now=T0 + LEASE))
    finding = Finding("drift", Outcome.FAIL, "shifted", "drift", version="1")
    seen = Evidence("drift", "scorer", f"run:{slow.run_id}", "FAIL", "shifted", T0, T0 + HOUR)
    with pytest.raises(LeaseLost, match="was taken over"), store.begin() as session:
        records.store_evidence(session, "default", [seen])
        record(session, slow, [finding])
    assert [count(store, row) for row in (FindingRow, EvidenceRow, PartRow)] == [0, 0, 0]
    with store.begin() as session:
        assert session.get_one(RunRow, slow.run_id).state == runs.CLAIMED
        record(session, quick, [finding])
    assert [count(store, row) for row in (FindingRow, PartRow)] == [1, 1]


def test_a_run_is_recorded_once(store: Store) -> None:
    with store.begin() as session:
        claimed = recorded(session, SCORER)
    with pytest.raises(LeaseLost), store.begin() as session:
        record(session, claimed)


def test_a_recorded_window_is_not_claimed_again(store: Store) -> None:
    with store.begin() as session:
        recorded(session, SCORER)
        assert claim(session, SCORER, now=T0 + 10 * LEASE) is None
        assert runs.last_window_end(session, "default", "scorer") == window(0).end


def test_a_released_claim_is_free_at_once_and_its_old_owner_is_out(store: Store) -> None:
    with store.begin() as session:
        first = sure(claim(session, SCORER, owner="first"))
        runs.release_run(session, first, T0)
    with store.begin() as session:
        assert sure(claim(session, SCORER, owner="second")).fence == 2
    with pytest.raises(LeaseLost), store.begin() as session:
        record(session, first)


def test_releasing_what_was_taken_over_changes_nothing(store: Store) -> None:
    with store.begin() as session:
        slow = sure(claim(session, SCORER, owner="slow"))
        claim(session, SCORER, owner="quick", now=T0 + LEASE)
        runs.release_run(session, slow, T0 + LEASE)
    with store.begin() as session:
        row = session.get_one(RunRow, slow.run_id)
        assert (row.owner, row.lease_expires) == ("quick", T0 + 2 * LEASE)


def test_a_manual_run_of_a_recorded_window_is_a_new_revision_and_edits_nothing(store: Store) -> None:
    finding = Finding("drift", Outcome.PASS, "still", "drift", version="1", n=400, estimate=0.1)
    with store.begin() as session:
        scheduled = recorded(session, SCORER, findings=[finding])
    with store.begin() as session:
        before = _all_of(session.get_one(RunRow, scheduled.run_id))
        manual = [recorded(session, SCORER, kind=RunKind.MANUAL, now=T0 + HOUR) for _ in range(2)]
    assert [run.revision for run in manual] == [0, 1]
    with store.begin() as session:
        assert _all_of(session.get_one(RunRow, scheduled.run_id)) == before
        assert runs.last_window_end(session, "default", "scorer") == window(0).end
    assert (count(store, RunRow), count(store, FindingRow)) == (3, 1)


def test_only_scheduled_runs_say_how_far_a_monitor_came(store: Store) -> None:
    with store.begin() as session:
        assert runs.last_window_end(session, "default", "scorer") is None
        recorded(session, SCORER, 0)
        recorded(session, SCORER, 5, kind=RunKind.MANUAL)
        claim(session, SCORER, 6)
        assert runs.last_window_end(session, "default", "scorer") == window(0).end


@pytest.mark.parametrize("kind", [RunKind.MANUAL, RunKind.SCHEDULED])
def test_a_dead_claim_of_a_window_that_nobody_asks_for_again_blocks_nothing(store: Store, kind: RunKind) -> None:
    """A manual window is asked for once; a scheduled one is not due any more when more slots were missed than kept."""
    with store.begin() as session:
        dead = sure(claim(session, SCORER, 0, owner="dead", kind=kind))
        assert claim(session, SCORER, 30, now=T0) is None
    with store.begin() as session:
        taken = sure(claim(session, SCORER, 30, now=T0, is_gone="dead".__eq__))
    assert taken.run_id != dead.run_id
    with pytest.raises(LeaseLost), store.begin() as session:
        record(session, dead)
    with store.begin() as session:
        record(session, taken)


def test_a_window_whose_dead_claim_made_room_can_still_be_run(store: Store) -> None:
    with store.begin() as session:
        claim(session, SCORER, 0, owner="dead")
        recorded(session, SCORER, 0, kind=RunKind.MANUAL, now=T0 + LEASE)
        recorded(session, SCORER, 0, now=T0 + LEASE)
        assert runs.last_window_end(session, "default", "scorer") == window(0).end


def test_the_seed_of_a_run_belongs_to_its_window(store: Store) -> None:
    with store.begin() as session:
        seeds = [recorded(session, SCORER, hour, kind=RunKind.MANUAL).seed for hour in (*range(30), 0)]
    assert seeds[0] == seeds[-1]
    assert len(set(seeds)) == 30
    assert max(seeds) > 2**31  # more than a database's plain integer holds


def _all_of(row: RunRow) -> dict[str, object]:
    return {column.key: getattr(row, column.key) for column in RunRow.__table__.columns}
