"""What a person asks for on a page becomes an intent, and nothing else is ever written."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import seed
from conftest import words_of
from sqlalchemy import select
from streamlit.testing.v1 import AppTest

from controlplane.dashboards import queries
from controlplane.errors import StoreError
from controlplane.store import Store
from controlplane.store.intents import IntentKind, store_intent
from controlplane.store.tables import MonitorRow
from controlplane.store.tables_acts import IntentRow

Show = Callable[..., AppTest]


def asked(folder: Path) -> list[IntentRow]:
    """The intents of the story's copy, newest first."""
    store = Store(seed.url_of(folder))
    with store.begin() as session:
        found = list(session.scalars(select(IntentRow).order_by(IntentRow.id.desc())))
    store.close()
    return found


def contents(folder: Path) -> dict[str, list[tuple[object, ...]]]:
    """Every table but the intents and the links of the chain over them."""
    with sqlite3.connect(folder / "controlplane.db") as connection:
        names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        rows = {name: list(connection.execute(f"SELECT * FROM {name}")) for name in names - {"cp_intents"}}
    del rows["cp_chain_heads"]
    rows["cp_chain"] = [link for link in rows["cp_chain"] if "cp_intents" not in link]
    return rows


def press(app: AppTest, label: str, author: str = "", why: str = "") -> AppTest:
    """Fill in the form that this button belongs to, and press it."""
    button = next(button for button in app.button if button.label == label)
    assert button.key is not None
    form = button.key.rsplit(" ", 1)[0]
    app.text_input(key=f"{form} author").input(author)
    app.text_input(key=f"{form} why").input(why)
    button.click().run()
    assert [error.value for error in app.exception] == []
    return app


@pytest.mark.parametrize("page", ["incidents.py", "rollbacks.py"])
@pytest.mark.parametrize(("label", "kind"), [("Approve the rollback", "approve"), ("Reject it", "reject")])
def test_deciding_a_proposal_stores_an_intent_with_its_author_and_reason(
    show: Show, folder: Path, told: seed.Told, page: str, label: str, kind: str
) -> None:
    before = contents(folder)
    app = press(show(page, incident=told.evasion), label, "dana", "version 1 was fine")
    newest = asked(folder)[0]
    assert (newest.kind, newest.target, newest.author) == (kind, told.proposal, "dana")
    assert (newest.why, newest.state) == ("version 1 was fine", "stored")
    assert "The scheduler applies it at its next tick" in words_of(app)
    assert label not in [button.label for button in app.button]
    assert contents(folder) == before


def test_taking_an_incident_needs_a_name_only(show: Show, folder: Path, told: seed.Told) -> None:
    app = press(show("incidents.py", incident=told.drift), "Acknowledge", "dana")
    assert next((row.kind, row.target, row.why) for row in asked(folder)) == ("acknowledge", told.drift, "")
    assert "dana asked to acknowledge" in words_of(app)


def test_silencing_stores_its_end(show: Show, folder: Path, told: seed.Told) -> None:
    press(show("incidents.py", incident=told.drift), "Silence", "dana", "known until noon")
    newest = asked(folder)[0]
    assert newest.kind == "silence" and newest.until is not None
    assert (newest.until - newest.at).total_seconds() == 3600


def test_what_was_asked_long_ago_and_not_applied_asks_for_the_scheduler(
    show: Show, folder: Path, told: seed.Told
) -> None:
    store = Store(seed.url_of(folder))
    with store.begin() as session:
        at = datetime.now(UTC) - timedelta(minutes=10)
        store_intent(session, "default", IntentKind.ACKNOWLEDGE, told.drift, "dana", "", at)
    store.close()
    app = show("incidents.py", incident=told.drift)
    assert "still not applied: is `controlplane up` running?" in words_of(app)
    assert "Acknowledge" not in [button.label for button in app.button]


def test_without_a_name_or_a_reason_nothing_is_stored(show: Show, folder: Path, told: seed.Told) -> None:
    before = len(asked(folder))
    app = press(show("incidents.py", incident=told.evasion), "Approve the rollback", "dana")
    assert "Nothing was stored: it needs your name and a reason" in words_of(app)
    assert len(asked(folder)) == before


def test_a_closed_incident_asks_for_nothing(show: Show, told: seed.Told) -> None:
    app = show("incidents.py", incident=told.performance)
    assert app.button.values == [] and "nothing is left to do" in words_of(app)


def test_what_pages_read_with_cannot_write(folder: Path) -> None:
    with (
        pytest.raises(StoreError, match="readonly"),
        queries.reading(queries.Place(seed.url_of(folder), "default")) as session,
    ):
        session.delete(session.get_one(MonitorRow, ("default", "digits")))
        session.flush()
