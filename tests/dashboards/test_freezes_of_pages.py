"""The kill switch on the pages: it is seen wherever people look, and thrown and lifted by an intent."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import seed
import streamlit as st
from conftest import words_of
from streamlit.testing.v1 import AppTest
from test_intents_of_pages import asked, press

from controlplane.domain.guards import Freeze
from controlplane.store import Store
from controlplane.store.freezes import store_freeze

Show = Callable[..., AppTest]


def throw(folder: Path, monitor: str | None, hours: float | None = None) -> None:
    store, now = Store(seed.url_of(folder)), datetime.now(UTC)
    until = None if hours is None else now + timedelta(hours=hours, minutes=1)
    with store.begin() as session:
        store_freeze(session, "default", Freeze(monitor, "ann", seed.TRICKY, now - timedelta(hours=2), until))
    store.close()
    # What the pages read is kept for some seconds.
    st.cache_data.clear()


@pytest.mark.parametrize("page", ["", "incidents.py", "rollbacks.py"])
def test_a_freeze_in_force_is_told_with_its_author_reason_and_end(show: Show, folder: Path, page: str) -> None:
    assert "frozen**" not in words_of(show(page))
    throw(folder, None)
    throw(folder, "insurance", 3)
    throw(folder, "digits", -1)
    said = [warning.value.replace("\\", "") for warning in show(page).warning]
    assert said[0].startswith("**Every rollback is frozen** by ann, 2 h ago, until it is lifted: mean of *age*")
    assert said[1].startswith("**Rollbacks of insurance are frozen** by ann, 2 h ago, until ")
    assert "(in 3 h)" in said[1]
    assert "digits" not in "".join(said)


def test_what_others_wrote_is_no_markdown(show: Show, folder: Path) -> None:
    throw(folder, None)
    (warning,) = show("rollbacks.py").warning
    assert r"\<img" in warning.value and r"\[here\]" in warning.value and r"\*age\*" in warning.value


def test_freezing_stores_an_intent_and_is_seen_to_hold_at_once(show: Show, folder: Path) -> None:
    app = press(show("rollbacks.py"), "Freeze", "dana", "something is off")
    newest = asked(folder)[0]
    assert (newest.kind, newest.target, newest.author, newest.why) == ("freeze", "*", "dana", "something is off")
    assert (newest.state, newest.until) == ("stored", None)
    said = words_of(app)
    assert "**Every rollback is frozen** by dana" in said
    assert "It holds already; the scheduler takes it over at its next tick." in said
    assert "dana asked to freeze: something is off" in said


def test_one_monitor_is_frozen_for_so_many_hours(show: Show, folder: Path) -> None:
    app = show("rollbacks.py")
    app.selectbox(key="freeze what").select("digits").run()
    app.select_slider(key="freeze digits hours").set_value(4.0)
    press(app, "Freeze", "dana", "audit")
    newest = asked(folder)[0]
    assert newest.target == "digits" and newest.until is not None
    assert newest.until - newest.at == timedelta(hours=4)


def test_a_freeze_needs_a_reason_and_lifting_one_does_not(show: Show, folder: Path) -> None:
    before = len(asked(folder))
    app = press(show("rollbacks.py"), "Freeze", "dana")
    assert "Nothing was stored: it needs your name and a reason" in words_of(app)
    assert len(asked(folder)) == before
    throw(folder, "digits")
    app = press(show("rollbacks.py"), "Unfreeze digits", "dana")
    newest = asked(folder)[0]
    assert (newest.kind, newest.target, newest.state) == ("unfreeze", "digits", "stored")
    assert "Unfreeze digits" not in [button.label for button in app.button]


def test_there_is_no_button_to_lift_what_is_not_frozen(show: Show) -> None:
    labels = [button.label for button in show("rollbacks.py").button]
    assert "Freeze" in labels
    assert [label for label in labels if label.startswith("Unfreeze")] == []
