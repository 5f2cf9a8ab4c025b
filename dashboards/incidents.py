"""Every incident, open ones first; the picked one as a timeline, with what a person can do about it."""

from __future__ import annotations

from datetime import UTC, datetime

import streamlit as st

from controlplane.dashboards import freezes, intents, pages, proof, queries, tables, words
from controlplane.dashboards.queries import Case, Place, Story
from controlplane.domain.incident import IncidentState
from controlplane.store.intents import STORED, IntentKind
from controlplane.store.tables import DeliveryRow


def pick(cases: list[Case], now: datetime) -> Case:
    """The list, and the incident chosen in it: by a click, else by the address, else the first."""
    wanted = str(st.query_params.get("incident", ""))
    found = [place for place, case in enumerate(cases) if wanted and case.incident.id.startswith(wanted)]
    if wanted and not found:
        st.warning(f"There is no incident {words.plain(wanted)} here; the list below shows those there are.")
    start = found[0] if found else 0
    picked = st.dataframe(
        tables.coloured(
            [
                {
                    "State": case.incident.state,
                    "Severity": case.incident.severity,
                    "Monitor": case.incident.monitor,
                    "Cause": case.incident.cause,
                    f"Opened ({words.zone_name()})": words.local(case.incident.opened_at),
                    "Lasted": words.span((case.incident.closed_at or now) - case.incident.opened_at),
                    "Version": case.incident.version or "-",
                    "Seen by": case.incident.acknowledged_by or "-",
                    "What": case.incident.title,
                }
                for case in cases
            ],
            "State",
            "Severity",
        ),
        hide_index=True,
        height=min(38 + 35 * len(cases), 250),
        on_select="rerun",
        selection_mode="single-row",
        selection_default={"selection": {"rows": [start]}},
        key="incident list",
        column_config={"What": st.column_config.TextColumn(width="large")},
    )
    rows = picked["selection"]["rows"]
    case = cases[rows[0] if rows and rows[0] < len(cases) else start]
    if wanted or rows:
        st.query_params["incident"] = case.incident.id
    return case


def show(where: Place, case: Case, now: datetime) -> None:
    """One incident, whole."""
    row = case.incident
    told = queries.story(where, row.id)
    st.subheader(f"{words.plain(row.monitor)}: {words.plain(row.cause)}")
    seen = f" · seen by {words.plain(row.acknowledged_by)}" if row.acknowledged_by else ""
    st.markdown(f"{words.badge(row.state)} {words.badge(row.severity)}{seen}")
    st.text(row.title)
    left, right = st.columns([3, 2], gap="large")
    with right:
        _do(where, case, told, now)
    with left:
        rollbacks = queries.rollbacks(where, row.id)
        for rollback in rollbacks:
            proof.show(where, rollback, now)
        st.markdown("**What happened**")
        timeline(told, now)
        with st.container(horizontal=True):
            pages.to_monitor(row.monitor, row.cause)
        st.caption(f"incident {row.id}")


def timeline(told: Story, now: datetime) -> None:
    """Each change with its text, and who was told of it or why not."""
    for change, deliveries in told.changes:
        with st.container(gap="xsmall", border=True):
            st.markdown(
                f"{words.badge(change.event)} {words.local(change.at)} · {words.ago(change.at, now)}",
                help=words.utc(change.at),
            )
            st.text(change.text)
            if not deliveries:
                st.caption("nobody is named as a receiver")
            for delivery in deliveries:
                st.caption(_delivery(delivery))


def _delivery(row: DeliveryRow) -> str:
    parts = [f"{words.badge(row.state)} {words.plain(row.receiver)}"]
    if row.sent_at is not None:
        parts.append(words.local(row.sent_at))
    if row.reason and not row.error:
        parts.append(words.plain(row.reason))
    if row.error:
        parts.append(words.plain(row.error))
        if row.state == "pending":
            parts.append(f"tried {row.attempt} times, next {words.local(row.due_at)}")
    return " · ".join(parts)


def _do(where: Place, case: Case, told: Story, now: datetime) -> None:
    row = case.incident
    proof.requests(told.asked, now)
    if case.muted:
        until = f"{words.local(case.muted.until)} {words.zone_name()}"
        st.info(f"Muted by {words.plain(case.muted.author)} until {until}: {words.plain(case.muted.why)}")
    if row.state == IncidentState.CLOSED:
        assert row.closed_at is not None
        st.success(f"Closed {words.ago(row.closed_at, now)}, by itself: nothing is left to do.")
        return
    waiting = {asked.kind for asked in told.asked if asked.state == STORED}
    if row.state == IncidentState.OPEN and IntentKind.ACKNOWLEDGE not in waiting:
        with st.container(border=True):
            st.markdown("**Take it**: say that you look at it, so that nobody else has to.")
            choices = {"Acknowledge": IntentKind.ACKNOWLEDGE}
            intents.form(where, f"acknowledge {row.id}", choices, row.id, needs_why=False)
    if not case.muted and IntentKind.SILENCE not in waiting:
        with st.expander("Silence it", icon=":material/notifications_off:"):
            st.caption("Its notifications are muted; the incident goes on, and its timeline says who muted them.")
            intents.form(where, f"silence {row.id}", {"Silence": IntentKind.SILENCE}, row.id, lasts=True)
    for one in queries.watched(where):
        if one.monitor.name == row.monitor:
            about = [f"model {one.monitor.model}", f"version {one.holder or '-'} holds it"]
            about += [f"owner {one.monitor.owner or 'nobody'}", f"risk {one.monitor.risk_tier}"]
            st.caption(words.plain(" · ".join(about)))
            if one.monitor.runbook.startswith(("https://", "http://")):
                st.link_button("Runbook", one.monitor.runbook, icon=":material/menu_book:")
            elif one.monitor.runbook:
                st.caption(f"Runbook: {words.plain(one.monitor.runbook)}")


st.title("Incidents")
intents.said()
here, moment = queries.place(), datetime.now(UTC)
freezes.banner(queries.frozen(here), moment)
known = queries.cases(here)
if known:
    show(here, pick(known, moment), moment)
else:
    st.info("No incident yet. A failing check opens one; see what is watched under Monitors.")
