"""Incidents and their outbox: one open incident a cause, one delivery a receiver, each told by one process."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from store_samples import HOUR, LEASE, T0, monitor, opened, recorded

from controlplane.domain.incident import Event, IncidentState, Severity, Transition
from controlplane.store import Session, Store, incidents, intents
from controlplane.store.incidents import MUTED, PENDING, SENT, UNDELIVERABLE
from controlplane.store.intents import IntentKind
from controlplane.store.tables import DeliveryRow, IncidentRow, SilenceRow, TransitionRow

SCORER = monitor()


def close(session: Session, incident: str, run_id: str, cause: str = "drift", severity: str = "warning") -> None:
    transition = Transition(cause, Event.CLOSED, "well again", Severity(severity), incident)
    incidents.store_transition(session, SCORER, transition, T0 + HOUR, run_id)


def due(session: Session, now: Any = T0, **more: Any) -> list[DeliveryRow]:
    return [delivery for delivery, _, _ in incidents.claim_deliveries(session, "default", now, LEASE, **more)]


def test_an_opened_incident_is_open_under_its_cause(store: Store) -> None:
    with store.begin() as session:
        run = recorded(session, SCORER)
        incident = opened(session, SCORER, run.run_id, version="2")
    with store.begin() as session:
        found = incidents.open_incidents(session, "default", "scorer")
        assert list(found) == ["drift"]
        assert found["drift"].id == incident
        assert (found["drift"].state, found["drift"].severity) == (IncidentState.OPEN, Severity.WARNING)
        assert (found["drift"].version, found["drift"].opened_at) == ("2", T0)


def test_the_database_itself_refuses_a_second_open_incident_of_one_cause(store: Store) -> None:
    with store.begin() as session:
        runs = [recorded(session, SCORER, hour).run_id for hour in range(3)]
        first = opened(session, SCORER, runs[0])
        opened(session, SCORER, runs[0], "performance")
        opened(session, monitor("other"), runs[0])
    with pytest.raises(IntegrityError), store.begin() as session:
        opened(session, SCORER, runs[1])
    with store.begin() as session:
        assert incidents.acknowledge(session, session.get_one(IncidentRow, first), "ada", T0)
    with pytest.raises(IntegrityError), store.begin() as session:
        opened(session, SCORER, runs[1])
    with store.begin() as session:
        close(session, first, runs[1])
        second = opened(session, SCORER, runs[2])
        assert incidents.open_incidents(session, "default", "scorer")["drift"].id == second


def test_a_closed_incident_says_when_and_by_which_run(store: Store) -> None:
    with store.begin() as session:
        first, last = (recorded(session, SCORER, hour).run_id for hour in range(2))
        incident = opened(session, SCORER, first)
        close(session, incident, last)
    with store.begin() as session:
        row = session.get_one(IncidentRow, incident)
        assert (row.state, row.opened_run, row.closed_run, row.closed_at) == ("closed", first, last, T0 + HOUR)
        assert incidents.open_incidents(session, "default", "scorer") == {}
        assert [change.event for change, _ in incidents.story(session, incident)] == ["opened", "closed"]


def test_severity_only_rises(store: Store) -> None:
    with store.begin() as session:
        run = recorded(session, SCORER).run_id
        incident = opened(session, SCORER, run)
        for event, severity in ((Event.ROLLBACK_REFUSED, Severity.CRITICAL), (Event.ROLLBACK_MADE, Severity.WARNING)):
            told = Transition("drift", event, "said", severity, incident)
            incidents.store_transition(session, SCORER, told, T0, run)
    with store.begin() as session:
        assert session.get_one(IncidentRow, incident).severity == "critical"


def test_an_incident_is_acknowledged_once_and_never_after_its_end(store: Store) -> None:
    with store.begin() as session:
        run = recorded(session, SCORER).run_id
        incident = opened(session, SCORER, run)
    with store.begin() as session:
        row = session.get_one(IncidentRow, incident)
        assert incidents.acknowledge(session, row, "ada", T0)
        assert not incidents.acknowledge(session, row, "bob", T0)
    with store.begin() as session:
        assert session.get_one(IncidentRow, incident).acknowledged_by == "ada"
        close(session, incident, run)
    with store.begin() as session:
        assert not incidents.acknowledge(session, session.get_one(IncidentRow, incident), "ada", T0)
        assert session.get_one(IncidentRow, incident).state == "closed"


def test_one_change_is_stored_once_and_a_repeat_undoes_its_whole_transaction(store: Store) -> None:
    with store.begin() as session:
        run = recorded(session, SCORER).run_id
        incident = opened(session, SCORER, run)
        told = Transition("drift", Event.ROLLBACK_REFUSED, "no", Severity.CRITICAL, incident)
        incidents.store_transition(session, SCORER, told, T0, run)
    with pytest.raises(IntegrityError), store.begin() as session:
        close(session, incident, run)
        incidents.store_transition(session, SCORER, told, T0 + HOUR, run)
    with store.begin() as session:
        assert len(session.scalars(select(TransitionRow.id)).all()) == 2
        assert len(session.scalars(select(DeliveryRow.id)).all()) == 4
        assert session.get_one(IncidentRow, incident).state == "open"


def test_each_receiver_gets_one_delivery_of_a_change(store: Store) -> None:
    with store.begin() as session:
        run = recorded(session, SCORER).run_id
        opened(session, SCORER, run)
        opened(session, monitor("quiet", receivers=()), run)
    with store.begin() as session:
        rows = session.scalars(select(DeliveryRow).order_by(DeliveryRow.id)).all()
        assert [(row.receiver, row.state, row.due_at) for row in rows] == [("log", PENDING, T0), ("bell", PENDING, T0)]
        transition = rows[0].transition_id
    with pytest.raises(IntegrityError), store.begin() as session:
        session.add(
            DeliveryRow(workspace="default", transition_id=transition, receiver="log", state=PENDING, due_at=T0)
        )


def test_a_change_and_its_deliveries_are_stored_with_their_run_or_not_at_all(store: Store) -> None:
    with pytest.raises(RuntimeError), store.begin() as session:
        opened(session, SCORER, recorded(session, SCORER).run_id)
        raise RuntimeError("the process ends here")
    with store.begin() as session:
        for row in (IncidentRow, TransitionRow, DeliveryRow):
            assert session.scalars(select(row)).all() == []


def test_two_processes_that_deliver_at_once_share_the_deliveries_without_a_double(
    store: Store, store_url: str, race: Callable[[str, str], list[Any]]
) -> None:
    for hour in range(6):
        with store.begin() as session:
            run = recorded(session, SCORER, hour).run_id
            for number in range(10):
                opened(session, SCORER, run, f"cause-{hour}-{number}")
        first, second = race("claim_deliveries", store_url)
        assert len(first) + len(second) == len({*first, *second}) == 20
        with store.begin() as session:
            for row in session.scalars(select(DeliveryRow)):
                incidents.end_delivery(session, row, SENT, T0)


def test_deliveries_come_oldest_change_first_and_no_more_than_asked_for(store: Store) -> None:
    with store.begin() as session:
        run = recorded(session, SCORER).run_id
        for number in range(20):
            opened(session, SCORER, run, f"cause-{number}")
    with store.begin() as session:
        taken = incidents.claim_deliveries(session, "default", T0, LEASE, most=7)
        assert [incident.cause for _, _, incident in taken] == [f"cause-{number // 2}" for number in range(7)]
    with store.begin() as session:
        taken = incidents.claim_deliveries(session, "default", T0, LEASE)
        assert [incident.cause for _, _, incident in taken] == [f"cause-{number // 2}" for number in range(7, 40)]


def test_a_delivery_of_a_dead_process_is_due_again_when_its_lease_is_out(store: Store) -> None:
    with store.begin() as session:
        opened(session, SCORER, recorded(session, SCORER).run_id)
        assert [row.attempt for row in due(session)] == [1, 1]
    with store.begin() as session:
        assert due(session, T0 + LEASE - timedelta(microseconds=1)) == []
        assert [row.attempt for row in due(session, T0 + LEASE)] == [2, 2]


def test_a_postponed_delivery_waits_and_keeps_nobody_else_waiting(store: Store) -> None:
    with store.begin() as session:
        run = recorded(session, SCORER).run_id
        opened(session, SCORER, run)
        log, bell = due(session)
    with store.begin() as session:
        incidents.postpone_delivery(session, log, T0 + HOUR, "it answered 500")
        incidents.end_delivery(session, bell, SENT, T0, "the incident changed")
        opened(session, SCORER, run, "performance")
        later = due(session, T0 + HOUR - timedelta(seconds=1))
        assert log.id not in [row.id for row in later] and len(later) == 2
    with store.begin() as session:
        [again, *_] = due(session, T0 + HOUR)
        assert (again.id, again.attempt, again.error) == (log.id, 2, "it answered 500")


@pytest.mark.parametrize("end", [SENT, MUTED, UNDELIVERABLE])
def test_a_delivery_that_ended_stays_ended(store: Store, end: str) -> None:
    with store.begin() as session:
        opened(session, monitor(receivers=["log"]), recorded(session, SCORER).run_id)
        [slow] = due(session)
    with store.begin() as session:
        [quick] = due(session, T0 + LEASE)
        incidents.end_delivery(session, quick, end, T0 + LEASE, "why", "error")
    with store.begin() as session:
        incidents.postpone_delivery(session, slow, T0, "it answered 500")
        incidents.end_delivery(session, slow, UNDELIVERABLE if end == SENT else SENT, T0)
    with store.begin() as session:
        row = session.get_one(DeliveryRow, slow.id)
        assert (row.state, row.reason, row.error) == (end, "why", "error")
        assert row.sent_at == (T0 + LEASE if end == SENT else None)
        assert due(session, T0 + 9 * HOUR) == []


def test_a_slow_sender_does_not_postpone_what_another_has_in_hand(store: Store) -> None:
    with store.begin() as session:
        opened(session, monitor(receivers=["log"]), recorded(session, SCORER).run_id)
        [slow] = due(session)
    with store.begin() as session:
        due(session, T0 + LEASE)
        incidents.postpone_delivery(session, slow, T0, "it answered 500")
        assert due(session, T0 + LEASE) == []


def test_a_silence_is_in_force_until_its_end(store: Store) -> None:
    with store.begin() as session:
        row = SilenceRow(workspace="default", monitor="scorer", author="ada", why="known", since=T0, until=T0 + HOUR)
        session.add(row)
    with store.begin() as session:
        [silence] = incidents.silences(session, "default", T0 + HOUR - timedelta(microseconds=1))
        assert (silence.monitor, silence.cause, silence.author, silence.until) == ("scorer", None, "ada", T0 + HOUR)
        assert incidents.silences(session, "default", T0 + HOUR) == []


def test_an_incident_is_found_by_the_beginning_of_its_id_taken_literally(store: Store) -> None:
    with store.begin() as session:
        run = recorded(session, SCORER).run_id
        made = [opened(session, SCORER, run, cause) for cause in ("drift", "performance")]
        assert [row.id for row in incidents.find_incident(session, "default", "")] == made[::-1]
        assert [row.id for row in incidents.find_incident(session, "default", made[0])] == made[:1]
        for pattern in ("%", "_" * 26, "0_"):
            assert incidents.find_incident(session, "default", pattern) == []


def test_what_a_person_asked_for_is_applied_once(store: Store) -> None:
    with store.begin() as session:
        made = [
            intents.store_intent(session, "default", IntentKind.ACKNOWLEDGE, "01J", author, "seen", T0)
            for author in ("ada", "bob")
        ]
    with store.begin() as session:
        first, second = intents.waiting(session, "default")
        assert [first.id, second.id] == made
        assert intents.end_intent(session, first, intents.APPLIED, "done", T0)
        assert not intents.end_intent(session, first, intents.REFUSED, "late", T0)
    with store.begin() as session:
        assert [row.id for row in intents.waiting(session, "default")] == made[1:]
        row = intents.intent_of(session, made[0])
        assert (row.state, row.result, row.applied_at) == (intents.APPLIED, "done", T0)
