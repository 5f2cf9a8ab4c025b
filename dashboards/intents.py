"""The only thing the pages write: what a person asks for, with a name and a reason. The scheduler applies it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import inf

import streamlit as st

from controlplane.dashboards.queries import Place
from controlplane.errors import StoreError
from controlplane.store import Store
from controlplane.store.intents import IntentKind, store_intent

_SAID = "intent said"
_HOURS = [1.0, 2.0, 4.0, 8.0, 24.0, 72.0, 168.0]


@st.cache_resource(show_spinner=False)
def _writable(place: Place) -> Store:
    store = Store(place.url, place.workspace)
    store.require_current()
    return store


def ask(
    place: Place, kind: IntentKind, target: str, author: str, why: str, lasts: timedelta | None = None, bound: str = ""
) -> str:
    """Store an intent; returns its id. Raises StoreError where the database cannot be written."""
    now = datetime.now(UTC)
    store = _writable(place)
    with store.begin() as session:
        return store_intent(
            session,
            place.workspace,
            kind,
            target,
            author,
            why,
            now,
            None if lasts is None else now + lasts,
            bound,
        )


def form(
    place: Place,
    key: str,
    choices: dict[str, IntentKind],
    target: str,
    lasts: bool = False,
    needs_why: bool = True,
    bound: str = "",
    endless: bool = False,
) -> None:
    """A form that asks for a name and a reason, with one button for each choice; `lasts` asks for hours too.

    `endless` offers no end besides, and suggests it.
    `bound` is the digest of the proof that is on the screen: an approval counts for that one alone.
    """
    with st.form(key, border=False):
        who, reason = st.columns([1, 2])
        author = who.text_input("Your name", key=f"{key} author", value=st.session_state.get("author", ""))
        why = reason.text_input("Why", key=f"{key} why", placeholder="one sentence" if needs_why else "if you like")
        hours = inf
        if lasts:
            offered = [*_HOURS, inf] if endless else _HOURS
            hours = st.select_slider(
                "For how many hours",
                offered,
                value=offered[-1] if endless else offered[0],
                format_func=lambda each: "until it is lifted" if each == inf else f"{each:g}",
                key=f"{key} hours",
            )
        with st.container(horizontal=True):
            pressed = [kind for label, kind in choices.items() if st.form_submit_button(label, key=f"{key} {kind}")]
    if not pressed:
        return
    if not author.strip() or (needs_why and not why.strip()):
        st.warning(f"Nothing was stored: it needs your name{' and a reason' if needs_why else ''}.")
        return
    st.session_state["author"] = author.strip()
    try:
        end = None if hours == inf else timedelta(hours=hours)
        ask(place, pressed[0], target, author.strip(), why.strip(), end, bound)
    except StoreError as error:
        st.error(f"Nothing was stored: {error}")
        return
    st.session_state[_SAID] = f"Stored: {pressed[0]} by {author.strip()}. The scheduler applies it at its next tick."
    st.cache_data.clear()
    st.rerun()


def said() -> None:
    """Say what was just asked for, once."""
    if _SAID in st.session_state:
        st.toast(st.session_state[_SAID], icon=":material/check:")
        st.success(st.session_state.pop(_SAID), icon=":material/check:")
