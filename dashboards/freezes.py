"""The kill switch on the pages: what is frozen now, and the forms that freeze and let go."""

from __future__ import annotations

from datetime import datetime

import streamlit as st

from controlplane.dashboards import intents, proof, queries, words
from controlplane.dashboards.queries import Frozen, Place
from controlplane.store.freezes import ALL
from controlplane.store.intents import STORED, IntentKind

_EVERYTHING = "all monitors"


def banner(frozen: list[Frozen], now: datetime) -> None:
    """Say of each freeze what it stops, who threw it, why, and until when; nothing where there is none."""
    for one in frozen:
        freeze = one.freeze
        what = "Every rollback is frozen" if freeze.monitor is None else f"Rollbacks of {freeze.monitor} are frozen"
        until = "until it is lifted"
        if freeze.until is not None:
            until = f"until {words.local(freeze.until)} {words.zone_name()} ({words.ago(freeze.until, now)})"
        by = f"by {freeze.author}, {words.ago(freeze.since, now)}, {until}: {freeze.why}"
        stored = " It holds already; the scheduler takes it over at its next tick." if one.asked else ""
        st.warning(f"**{words.plain(what)}** {words.plain(by)}{stored}", icon=":material/ac_unit:")


def switch(where: Place, frozen: list[Frozen], now: datetime) -> None:
    """The forms: one to freeze, and one for each freeze to lift it; beside them what was asked for last."""
    asked = queries.freezes_asked(where)
    with st.expander("Freeze or unfreeze", icon=":material/ac_unit:"):
        proof.requests(asked[:3], now)
        lifting = {row.target for row in asked if row.state == STORED and row.kind == IntentKind.UNFREEZE}
        for one in dict.fromkeys(one.freeze.monitor for one in frozen if not one.asked):
            if (one or ALL) in lifting:
                continue
            with st.container(border=True):
                st.markdown(f"**Unfreeze {words.plain(one or _EVERYTHING)}**: rollbacks may be made again.")
                choices = {f"Unfreeze {one or _EVERYTHING}": IntentKind.UNFREEZE}
                intents.form(where, f"unfreeze {one or ALL}", choices, one or ALL, needs_why=False)
        with st.container(border=True):
            st.markdown("**Freeze**: no alias is moved by us, nor moved back, whoever approves; measuring goes on.")
            names = [ALL, *(watched.monitor.name for watched in queries.watched(where))]
            target = st.selectbox(
                "What", names, format_func=lambda name: _EVERYTHING if name == ALL else name, key="freeze what"
            )
            intents.form(where, f"freeze {target}", {"Freeze": IntentKind.FREEZE}, target, lasts=True, endless=True)
