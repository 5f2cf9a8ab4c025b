"""Freezes as rows: who threw them, for which monitor, and which are in force."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select
from store_samples import HOUR, T0

from controlplane.domain.guards import Freeze
from controlplane.store import Session, Store, freezes, intents
from controlplane.store.intents import IntentKind
from controlplane.store.tables_acts import FreezeRow


def thrown(session: Session, monitor: str | None, hours: int | None = None, workspace: str = "default") -> str:
    until = None if hours is None else T0 + hours * HOUR
    return freezes.store_freeze(session, workspace, Freeze(monitor, "ann", "audit", T0, until))


def in_force(session: Session, hours: float = 0) -> list[str | None]:
    return [freeze.monitor for freeze in freezes.in_force(session, "default", T0 + hours * HOUR)]


def test_a_freeze_is_in_force_until_it_is_over_or_lifted(store: Store) -> None:
    with store.begin() as session:
        thrown(session, "scorer")
        thrown(session, "churn", 1)
        thrown(session, None, 2)
        thrown(session, "elsewhere", workspace="another")
    with store.begin() as session:
        assert in_force(session) == [None, "churn", "scorer"]
        assert in_force(session, 1) == [None, "scorer"]
        assert in_force(session, 2) == ["scorer"]
        assert freezes.in_force(session, "default", T0)[1] == Freeze("churn", "ann", "audit", T0, T0 + HOUR)


def test_lifting_ends_that_freeze_alone_and_keeps_who_did_it(store: Store) -> None:
    with store.begin() as session:
        twice = [thrown(session, None, 2), thrown(session, None)]
        thrown(session, "scorer")
        over = thrown(session, "churn", 1)
    with store.begin() as session:
        assert freezes.lift(session, "default", None, "bob", T0 + HOUR) == twice
        assert in_force(session, 1) == ["scorer"]
        assert freezes.lift(session, "default", "churn", "bob", T0 + HOUR) == []
        assert freezes.lift(session, "default", "scorer", "bob", T0 + HOUR) != []
        assert in_force(session, 1) == []
    with store.begin() as session:
        rows = {row.id: row for row in session.scalars(select(FreezeRow))}
        assert {rows[each].lifted_by for each in twice} == {"bob"}
        assert {rows[each].lifted_at for each in twice} == {T0 + HOUR}
        assert rows[over].lifted_by is None


def test_what_was_in_force_at_a_past_moment_is_known_after_it_is_lifted(store: Store) -> None:
    with store.begin() as session:
        thrown(session, "scorer")
        thrown(session, "churn", 2)
        thrown(session, None, workspace="another")
        freezes.lift(session, "default", "scorer", "bob", T0 + 3 * HOUR)
    with store.begin() as session:
        then = [freezes.in_force_then(session, "default", T0 + hours * HOUR) for hours in (-1, 0, 2, 3)]
    assert [[freeze.monitor for freeze in found] for found in then] == [[], ["scorer", "churn"], ["scorer"], []]


def test_a_freeze_that_was_only_asked_for_is_known_until_it_is_applied(store: Store) -> None:
    with store.begin() as session:
        until = T0 + timedelta(hours=8)
        asked = intents.store_intent(session, "default", IntentKind.FREEZE, "*", "ann", "audit", T0, until)
        intents.store_intent(session, "default", IntentKind.FREEZE, "scorer", "bob", "mine", T0)
        intents.store_intent(session, "default", IntentKind.UNFREEZE, "scorer", "bob", "", T0)
        intents.store_intent(session, "another", IntentKind.FREEZE, "*", "eve", "elsewhere", T0)
    with store.begin() as session:
        assert freezes.asked_for(session, "default") == [
            Freeze(None, "ann", "audit", T0, until),
            Freeze("scorer", "bob", "mine", T0),
        ]
        row = intents.intent_of(session, asked)
        assert intents.end_intent(session, row, intents.APPLIED, "done", T0)
        assert [freeze.monitor for freeze in freezes.asked_for(session, "default")] == ["scorer"]
