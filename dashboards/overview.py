"""What needs a person right now, then every monitor in one row."""

from __future__ import annotations

from datetime import UTC, datetime

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from controlplane.dashboards import charts, freezes, pages, queries, tables, words
from controlplane.dashboards.queries import Case, Place, Rollback, Watched
from controlplane.domain.incident import BLIND_CAUSE
from controlplane.domain.verdict import BLIND
from controlplane.errors import StoreError

_NEWS = 220


@st.fragment(run_every="30s")
def overview() -> None:
    """The page; it looks again by itself, so that it can stay open on a wall."""
    try:
        _look(queries.place(), datetime.now(UTC))
    except StoreError as error:
        st.error(words.sentence(str(error)), icon=":material/database_off:")


def _look(where: Place, now: datetime) -> None:
    freezes.banner(queries.frozen(where), now)
    monitors = queries.watched(where)
    if not monitors:
        st.info("No monitor is known here yet. Write a job file, then: `controlplane run MONITOR`")
        return
    unclosed = [case for case in queries.cases(where) if case.open]
    new = [case for case in unclosed if case.incident.state == "open"]
    seen = [case for case in unclosed if case.incident.state != "open"]
    waiting = [rollback for rollback in queries.rollbacks(where) if rollback.waits]
    told = {case.incident.monitor for case in unclosed if case.incident.cause == BLIND_CAUSE}
    blind = [one for one in monitors if one.last and one.last.outcome in BLIND and one.monitor.name not in told]
    late = [one for one in monitors if one.late(now)]
    _headline(len(waiting), len(new), len(blind), len(late), len(monitors))
    for rollback in waiting:
        _proposal(rollback, now)
    for case in new:
        _case(case, now)
    for one in blind:
        _blind(one)
    if late:
        _late(late, now)
    if seen:
        st.subheader(f"Being looked at ({len(seen)})")
        for case in seen:
            _case(case, now)
    st.subheader(f"Monitors ({len(monitors)})")
    _table(monitors, unclosed, now)


def _headline(waiting: int, new: int, blind: int, late: int, monitors: int) -> None:
    parts = [
        (waiting, "rollback waits for approval", "rollbacks wait for approval"),
        (new, "incident is open and nobody has it", "incidents are open and nobody has them"),
        (blind, "monitor cannot see", "monitors cannot see"),
        (late, "monitor is late", "monitors are late"),
    ]
    said = [f"**{count}** {one if count == 1 else many}" for count, one, many in parts if count]
    if said:
        st.markdown(":red[:material/error:] " + " · ".join(said))
    else:
        st.markdown(
            f":green[:material/check_circle:] Nothing needs a person. {monitors} "
            f"monitor{'s' if monitors != 1 else ''} measured their last window, none is late."
        )


def _proposal(rollback: Rollback, now: datetime) -> None:
    action = rollback.action
    since = action.proposed_at or action.planned_at
    with st.container(border=True, gap="xsmall"):
        with _heading():
            st.markdown(
                f"{words.badge('proposed', 'waits for approval')} **{words.plain(action.monitor)}** · move "
                f"{words.plain(f'{action.model}@{action.alias}')} from version {words.plain(str(action.from_version))} "
                f"back to version {words.plain(str(action.to_version))} · :gray[{words.ago(since, now)}]",
                help=words.utc(since),
                width="stretch",
            )
            pages.to_incident(action.incident_id, "Approve or reject")
        st.text(action.why)


def _case(case: Case, now: datetime) -> None:
    row = case.incident
    said = [f"{words.badge(row.severity)} **{words.plain(row.monitor)}** · {words.plain(row.cause)}"]
    if row.version:
        said.append(f"version {words.plain(row.version)}")
    if row.acknowledged_by:
        said.append(f"seen by {words.plain(row.acknowledged_by)}")
    said.append(f":gray[opened {words.ago(row.opened_at, now)}]")
    if case.muted:
        said.append(words.badge("muted", f"muted by {case.muted.author}"))
    if case.unheard:
        said.append(words.badge("undeliverable", "a receiver was not reached"))
    with st.container(border=True, gap="xsmall"):
        with _heading():
            st.markdown(" · ".join(said), help=words.utc(row.opened_at), width="stretch")
            pages.to_incident(row.id)
        st.text(row.title)
        if case.newest is not None and case.newest.event != "opened":
            st.caption(f"{words.badge(case.newest.event)} {words.plain(case.newest.text[:_NEWS])}")


def _heading() -> DeltaGenerator:
    return st.container(horizontal=True, vertical_alignment="center", gap="small")


def _blind(one: Watched) -> None:
    assert one.last is not None
    with st.container(border=True, gap="xsmall"):
        st.markdown(f"{words.badge(str(one.last.outcome))} **{words.plain(one.monitor.name)}** cannot see")
        st.text(one.last.why)
        pages.to_monitor(one.monitor.name)


def _late(late: list[Watched], now: datetime) -> None:
    oldest = max(late, key=lambda one: now - one.last.window_end if one.last else now - now)
    assert oldest.last is not None and oldest.last.recorded_at is not None
    names = words.plain(", ".join(one.monitor.name for one in late))
    st.warning(
        f"**No new window** of {names}: the newest of {words.plain(oldest.monitor.name)} was recorded "
        f"{words.ago(oldest.last.recorded_at, now)}. Nothing is measured until `controlplane up` runs again.",
        icon=":material/hourglass_disabled:",
    )


def _table(monitors: list[Watched], unclosed: list[Case], now: datetime) -> None:
    open_by = {one.monitor.name: [c for c in unclosed if c.incident.monitor == one.monitor.name] for one in monitors}
    rows = [
        {
            "Monitor": one.monitor.name,
            "Open": len(open_by[one.monitor.name]),
            "Last": one.last.outcome if one.last else "no run yet",
            "Windows": charts.strip(one.runs, queries.STRIP),
            "Model": str(one.monitor.model),
            "Version": one.holder or "-",
            "Last window": words.window(one.last.window_start, one.last.window_end) if one.last else "-",
            "n": words.count(one.last.n_rows if one.last else None),
            "Risk": one.monitor.risk_tier.value,
            "Reaction": one.monitor.reaction.value,
            "Owner": one.monitor.owner or "nobody",
        }
        for one in sorted(monitors, key=lambda one: (-len(open_by[one.monitor.name]), one.monitor.name))
    ]
    picked = st.dataframe(
        tables.coloured(rows, "Last"),
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        key="monitors",
        column_config={
            "Windows": st.column_config.ImageColumn(
                f"Last {queries.STRIP} windows", width=165, help="oldest to newest; taller is worse"
            ),
            "Monitor": st.column_config.TextColumn(width="small"),
            "Open": st.column_config.NumberColumn(width=50, help="incidents not closed"),
            "Last": st.column_config.TextColumn(width=80),
            "Version": st.column_config.TextColumn(width=60),
        },
    )
    st.caption(f"Pick a row to see its measures. Times are {words.zone_name()}.")
    chosen = picked["selection"]["rows"]
    if chosen:
        pages.open_monitor(str(rows[chosen[0]]["Monitor"]))
    idle = [one.monitor.name for one in monitors if one.last is None]
    if idle:
        st.info(f"No run yet: `controlplane run {idle[0]}`", icon=":material/play_arrow:")


st.title("Overview")
overview()
