"""Two workspaces in one database do not see each other, whatever their monitors are called."""

from __future__ import annotations

from store_samples import HOUR, KEY, LEASE, PLAN, T0, claim, led, monitor, nobody_gone, opened, planned, recorded

from controlplane.domain.action import ActionState
from controlplane.domain.evidence import Evidence
from controlplane.domain.verdict import DetectorState, Score, accumulate
from controlplane.store import Store, actions, incidents, intents, new_id, records, runs
from controlplane.store.history import history_of
from controlplane.store.intents import IntentKind
from controlplane.store.runs import DetectorKey
from controlplane.store.tables import ReferenceRow, SilenceRow

MINE, THEIRS = monitor(workspace="mine"), monitor(workspace="theirs")


def test_the_same_window_is_run_in_each_workspace(store: Store) -> None:
    with store.begin() as session:
        assert claim(session, MINE) is not None
        assert claim(session, THEIRS) is not None


def test_nothing_of_one_workspace_is_seen_from_another(store: Store) -> None:
    with store.begin() as session:
        action = planned(session, MINE)
        led(session, action, ActionState.MOVED, moved_at=T0)
        records.store_monitor(session, MINE, T0)
        seen = Evidence("drift", "scorer", f"run:{action.run_id}", "PASS", "still", T0, T0 + HOUR)
        records.store_evidence(session, "mine", [seen])
        records.see_holder(session, "mine", KEY, "2", T0)
        records.see_holder(session, "mine", KEY, "1", T0, action.id)
        records.store_followup(session, "mine", "evidently_report", action.run_id, "drift", "2")
        intents.store_intent(session, "mine", IntentKind.ACKNOWLEDGE, action.incident_id, "ada", "seen", T0)
        actions.take_alias_lease(session, "mine", KEY, action.id, T0, LEASE)
        session.add(SilenceRow(workspace="mine", monitor="scorer", author="ada", why="", since=T0, until=T0 + HOUR))
        digests = {"digest": "d", "recipe_digest": "r", "uri": "", "n_rows": 1, "promise": "", "built_at": T0}
        session.add(ReferenceRow(id=new_id(), workspace="mine", monitor="scorer", version="2", **digests))
    with store.begin() as session:
        assert runs.last_window_end(session, "theirs", "scorer") is None
        assert incidents.open_incidents(session, "theirs", "scorer") == {}
        assert incidents.find_incident(session, "theirs", "") == []
        assert incidents.claim_deliveries(session, "theirs", T0, LEASE) == []
        assert incidents.silences(session, "theirs", T0) == []
        assert actions.find_action(session, "theirs", "") == []
        assert actions.claim_actions(session, "theirs", "first", T0, LEASE, nobody_gone) == []
        past = actions.past_of(session, THEIRS, KEY, ["performance"])
        assert (past.rolled_back_from, past.failing) == (set(), set())
        assert actions.wants_plan(session, THEIRS, "none", PLAN)
        assert actions.take_alias_lease(session, "theirs", KEY, "other", T0, LEASE)
        assert records.evidence_of(session, "theirs") == []
        assert records.holdings(session, "theirs", KEY) == []
        assert history_of(session, "theirs", "scorer") == []
        assert records.see_holder(session, "theirs", KEY, "2", T0) == 0
        assert records.claim_followup(session, "theirs", T0, LEASE) is None
        assert records.reference_of(session, THEIRS, "2", "r") is None
        assert records.reference_with(session, "theirs", "d") is None
        assert records.store_monitor(session, THEIRS, T0)
        assert intents.waiting(session, "theirs") == []
    with store.begin() as session:
        assert len(incidents.claim_deliveries(session, "mine", T0, LEASE)) == 2
        assert [holding.version for holding in records.holdings(session, "mine", KEY)] == ["2", "1"]


def test_the_same_cause_is_open_in_each_workspace(store: Store) -> None:
    with store.begin() as session:
        for watched in (MINE, THEIRS):
            opened(session, watched, recorded(session, watched).run_id)
        mine, theirs = (incidents.open_incidents(session, name, "scorer") for name in ("mine", "theirs"))
        assert mine["drift"].id != theirs["drift"].id


def test_a_detector_of_one_workspace_is_fresh_in_another(store: Store) -> None:
    keys = [DetectorKey(name, "scorer", "1", 0, "", "") for name in ("mine", "theirs")]
    scores = [Score("drift", "fail", 1.0), Score("drift", "blind", 0.0)]
    with store.begin() as session:
        run = recorded(session, MINE)
        runs.save_state(session, run, keys[0], scores, accumulate(DetectorState(), scores))
    with store.begin() as session:
        assert runs.load_state(session, keys[0]) != DetectorState()
        assert runs.load_state(session, keys[1]) == DetectorState()
