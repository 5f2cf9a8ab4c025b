"""What is watched: each monitor as it was last loaded, its limits, and who held its alias when."""

from __future__ import annotations

from datetime import UTC, datetime

import streamlit as st

from controlplane.dashboards import pages, queries, words
from controlplane.dashboards.queries import Place, Watched
from controlplane.domain.monitor import CheckSpec, Limit

_OPEN_UNTIL = 4


def show(where: Place, one: Watched, now: datetime) -> None:
    """One monitor, as it is judged."""
    monitor = one.monitor
    facts = {
        "Model": str(monitor.model),
        "Version": one.holder or "not seen yet",
        "Owner": monitor.owner or "nobody",
        "Risk tier": monitor.risk_tier.value,
        "Reaction": monitor.reaction.value,
        "Receivers": words.listed(monitor.receivers),
        "Rows from": f"{monitor.source.kind} {monitor.source.options.get('path', '')}".strip(),
        "Reference": "-" if monitor.reference is None else monitor.reference.kind,
        "Window": f"{words.span(monitor.schedule.window)} at {monitor.schedule.cron} UTC",
        "Opens after": _windows(monitor.tolerance.fails, "failing"),
        "Blind after": _windows(monitor.tolerance.blind, "unseen"),
        "Closes after": _windows(monitor.tolerance.recover, "good"),
    }
    left, right = st.columns([1, 2], gap="large")
    with left:
        st.markdown("  \n".join(f":gray[{name}] {words.plain(value)}" for name, value in facts.items()))
        with st.container(horizontal=True, vertical_alignment="center"):
            pages.to_monitor(monitor.name)
            if monitor.runbook.startswith(("https://", "http://")):
                st.link_button("Runbook", monitor.runbook, icon=":material/menu_book:")
    with right:
        st.markdown("**Checks and their limits**")
        st.dataframe([row for check in monitor.checks for row in _check(check)], hide_index=True)
        st.markdown(f"**Who held {words.plain(str(monitor.model))}**")
        held = queries.holdings(where, monitor.name)
        if not held:
            st.caption(f"The registry was not asked yet: `controlplane run {words.plain(monitor.name)}`")
        else:
            st.dataframe(
                [
                    {
                        "Version": row.version,
                        f"Since ({words.zone_name()})": words.local(row.since),
                        "Ago": words.ago(row.since, now),
                        "By": "a rollback of ours" if row.action_id else "first seen" if not row.sequence else "others",
                        "UTC": words.utc(row.since),
                    }
                    for row in held
                ],
                hide_index=True,
            )
    st.caption(f"configuration {monitor.digest[:12]}")


def _windows(count: int, word: str) -> str:
    return f"{count} {word} window{'s' if count != 1 else ''} in a row"


def _check(check: CheckSpec) -> list[dict[str, object]]:
    params = ", ".join(f"{name} {_said(value)}" for name, value in check.params.items() if value not in (None, [], ()))
    return [
        {
            "Check": check.name + (" (dry run)" if check.dry_run else ""),
            "Measure": limit.measure if limit else "-",
            "Limit": _limit(limit) if limit else "none set: its own rules",
            "Warns at": words.number(limit.warn) if limit else "-",
            "Needs rows": check.min_rows,
            "Stops after": f"{check.timeout:g} s",
            "Parameters": params or "-",
        }
        for limit in check.limits or (None,)
    ]


def _said(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _limit(limit: Limit) -> str:
    return f"max {limit.max:g}" if limit.max is not None else f"min {limit.min:g}"


st.title("Monitors")
here, moment = queries.place(), datetime.now(UTC)
known = queries.watched(here)
if not known:
    st.info("No monitor is known here yet. Write a job file, then: `controlplane run MONITOR`")
wanted = st.query_params.get("monitor")
for one in known:
    name = one.monitor.name
    label = (
        f"**{words.plain(name)}** · {words.plain(str(one.monitor.model))} · version {words.plain(one.holder or '-')}"
    )
    with st.expander(label, expanded=name == wanted or (not wanted and len(known) <= _OPEN_UNTIL)):
        show(here, one, moment)
