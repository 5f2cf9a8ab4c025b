"""Every rollback that was planned: made, proposed, refused, with the proof and the reason."""

from __future__ import annotations

from datetime import UTC, datetime

import streamlit as st

from controlplane.dashboards import freezes, intents, pages, proof, queries, tables, words

st.title("Rollbacks")
intents.said()
here, now = queries.place(), datetime.now(UTC)
frozen = queries.frozen(here)
freezes.banner(frozen, now)
freezes.switch(here, frozen, now)
known = queries.rollbacks(here)
if not known:
    st.info("No rollback was planned yet. A failing check plans one where a monitor's reaction is propose or rollback.")
    st.stop()
known.sort(key=lambda rollback: not rollback.waits)
rows = [
    {
        "State": one.action.state,
        "Monitor": one.action.monitor,
        "Alias": f"{one.action.model}@{one.action.alias}",
        "From": one.action.from_version or "-",
        "To": one.action.to_version or "-",
        f"Planned ({words.zone_name()})": words.local(one.action.planned_at),
        "Difference": words.number(one.replays[0].difference) if one.replays else "-",
        "95 % interval": words.interval(one.replays[0].low, one.replays[0].high) if one.replays else "-",
        "n": words.count(one.replays[0].n if one.replays else None),
        "Gap (ms)": words.number(None if one.action.gap_seconds is None else one.action.gap_seconds * 1000),
        "Why": one.action.why,
    }
    for one in known
]
picked = st.dataframe(
    tables.coloured(rows, "State"),
    hide_index=True,
    height=min(38 + 35 * len(rows), 300),
    on_select="rerun",
    selection_mode="single-row",
    selection_default={"selection": {"rows": [0]}},
    key="rollback list",
    column_config={"Why": st.column_config.TextColumn(width="large")},
)
chosen = picked["selection"]["rows"]
one = known[chosen[0] if chosen and chosen[0] < len(known) else 0]
st.caption(
    "Difference: the version that held the alias minus the candidate, paired on the same rows. "
    "Gap: the time between reading the alias and writing it, in which a move by somebody else would be lost."
)
proof.show(here, one, now)
with st.container(horizontal=True):
    pages.to_incident(one.action.incident_id)
    pages.to_monitor(one.action.monitor, one.action.check)
