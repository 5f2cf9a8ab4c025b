"""Recorded windows that are looked at again: which ones, who may, and what came before them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import select
from store_samples import HOUR, LEASE, T0, claim, monitor, nobody_gone, sure, window

from controlplane.domain.monitor import RunKind
from controlplane.domain.verdict import Outcome, Verdict
from controlplane.store import Store, revisions, runs
from controlplane.store.runs import Part
from controlplane.store.tables import RunRow

Look = Callable[..., str]
PLAIN = monitor()
SCORER = replace(PLAIN, schedule=replace(PLAIN.schedule, late_rows=2 * HOUR))


@pytest.fixture
def look(store: Store) -> Look:
    """Records a scheduled run of one hour, read at that hour's end unless told otherwise; gives its id."""

    def record(
        hour: int, n: int | None = 400, waits: bool = False, again: str | None = None, at: float = 1, job: str = ""
    ) -> str:
        watched = replace(SCORER, owner=job)
        now = T0 + (hour + at) * HOUR
        with store.begin() as session:
            asked = runs.claim_run(
                session, watched, window(hour), RunKind.SCHEDULED, "me", now, LEASE, nobody_gone, again
            )
            given = sure(asked)
            parts = [Part("1", n, "a" * 64, 1.0, None)] if n else []
            runs.record_run(session, given, Verdict(Outcome.PASS, "said"), (), parts, "1", now, 0.1, waits, n)
        return given.run_id

    return record


def test_a_window_that_waits_for_labels_is_found_by_its_newest_revision_alone(store: Store, look: Look) -> None:
    def waiting() -> list[str]:
        with store.begin() as session:
            return [one.run_id for one in revisions.waiting_for_labels(session, SCORER)]

    second, first, settled = look(1, waits=True), look(0, waits=True), look(2)
    assert waiting() == [first, second]
    later = look(1, waits=True, again=second)
    assert waiting() == [first, later]
    final = look(0, again=first)
    assert waiting() == [later]
    with store.begin() as session:
        shown = set(session.scalars(select(RunRow.id).where(runs.newest(RunKind.SCHEDULED))))
        assert claim(session, SCORER, 1) is None, "only who looks again gets a recorded window"
    assert shown == {later, final, settled}


def test_who_found_a_revision_that_is_no_more_the_newest_gets_nothing(store: Store, look: Look) -> None:
    first = look(0)
    look(0, 410, again=first)
    with store.begin() as session:
        late = runs.claim_run(session, SCORER, window(0), RunKind.SCHEDULED, "me", T0, LEASE, nobody_gone, again=first)
        assert late is None


def open_to_rows(store: Store) -> list[int]:
    with store.begin() as session:
        return [(one.window.end - T0) // HOUR - 1 for one in revisions.open_to_rows(session, SCORER)]


def test_a_window_is_open_to_late_rows_until_its_time_was_over_at_the_last_look(store: Store, look: Look) -> None:
    assert open_to_rows(store) == []
    for hour in range(4):
        look(hour)
    assert open_to_rows(store) == [2, 3], "the second hour was looked at two hours after its end, the last time"
    look(4, at=50)
    assert open_to_rows(store) == [], "after an outage the last windows are looked at before those that were missed"


def test_a_window_is_open_to_late_rows_by_its_newest_revision(store: Store, look: Look) -> None:
    first = look(0, 400)
    look(0, 410, again=first, at=20)
    with store.begin() as session:
        (one,) = revisions.open_to_rows(session, SCORER)
    assert (one.n_read, one.version, [part.n_rows for part in one.parts]) == (410, "1", [410])


def test_what_was_never_asked_or_asked_by_another_job_is_not_open_to_late_rows(store: Store, look: Look) -> None:
    look(0, 0)
    look(1, None)
    assert open_to_rows(store) == [0]
    look(2, job="another")
    assert open_to_rows(store) == []


def test_whether_later_rows_were_judged_is_asked_of_windows_with_rows(store: Store, look: Look) -> None:
    def judged(by_labels: bool = False) -> bool:
        with store.begin() as session:
            return revisions.rows_judged_after(session, SCORER, window(0), by_labels)

    look(0, 0)
    look(1, 0)
    look(2, None)
    assert not judged()
    waiting = look(3, waits=True)
    assert judged()
    assert not judged(by_labels=True)
    look(3, again=waiting)
    assert judged(by_labels=True)
