"""One monitor's measures over its windows, and everything that was found in one of them."""

from __future__ import annotations

from datetime import UTC, datetime

import streamlit as st

from controlplane.dashboards import charts, queries, series, tables, words
from controlplane.dashboards.queries import Place, Watched
from controlplane.dashboards.series import Bin, Choice, Seen
from controlplane.store.tables import FindingRow

_MOST = {"24 windows": 24, "72": 72, "240": 240}


def pick_monitor(known: list[Watched]) -> str:
    """The monitor of the address, or the first."""
    names = [one.monitor.name for one in known]
    wanted = st.query_params.get("monitor")
    if wanted and wanted not in names:
        st.warning(f"There is no monitor {words.plain(wanted)} here.")
    name = str(st.selectbox("Monitor", names, index=names.index(wanted) if wanted in names else 0))
    st.query_params["monitor"] = name
    return name


def telling(seen: list[Seen], found: list[Choice]) -> str:
    """The check to begin with: the one of the address, else the newest that failed, else the first with a limit."""
    checks = [choice.check for choice in found]
    wanted = st.query_params.get("check", "")
    if wanted in checks:
        return wanted
    failed = [one.run.why.partition(":")[0] for one in reversed(seen) if one.run.outcome == "FAIL"]
    limited = [choice.check for choice in found if choice.limited]
    return next(name for name in [*failed, *limited, *checks] if name in checks)


def pick_measure(found: list[Choice], first: str) -> tuple[Choice, str | None]:
    """A check, one of its measures, and a column where the measure has several."""
    check_box, measure_box, column_box = st.columns(3)
    checks = list(dict.fromkeys(choice.check for choice in found))
    check = check_box.selectbox("Check", checks, index=checks.index(first))
    of_check = [choice for choice in found if choice.check == check]
    measure = measure_box.selectbox(
        "Measure",
        [choice.measure for choice in of_check],
        format_func=lambda name: (
            name + ("" if next(choice.limited for choice in of_check if choice.measure == name) else " (no limit)")
        ),
    )
    choice = next(choice for choice in of_check if choice.measure == measure)
    column = column_box.selectbox(
        "Column, farthest moved first",
        choice.columns,
        format_func=lambda name: name or "the whole window",
        disabled=choice.columns == (None,),
    )
    return choice, column


def draw(where: Place, seen: list[Seen]) -> None:
    """The picture of one measure."""
    ids = tuple(one.run.id for one in seen)
    found = series.choices(where, ids)
    if not found:
        st.info("None of these windows has a measure; the findings below say why.")
        return
    choice, column = pick_measure(found, telling(seen, found))
    curve = series.bins(where, seen, choice.check)
    if curve is not None and choice.measure in ("reliability", "confidence"):
        draw_curve(*curve)
        return
    points = series.points(where, ids, choice.check, choice.measure, column)
    name = choice.measure + (f" of {column}" if column else "")
    st.altair_chart(charts.measure(seen, points, name))
    st.caption(
        "Band: the version that answered. Ribbon and bars: 95 % interval, where the measure has one. Dashed: the "
        "limit. Grey triangle: another version measured on the same rows. Point at a mark for n, numbers and UTC."
    )
    if curve is not None:
        draw_curve(*curve)


def draw_curve(one: Seen, found: list[Bin]) -> None:
    """The reliability curve of one window."""
    st.altair_chart(charts.reliability(found), width="content")
    window = words.window(one.run.window_start, one.run.window_end)
    st.caption(
        f"How often what was believed came true, window {window}. Bars: 95 % interval. Dashed: where probabilities "
        "come true; below it they are too high. Point at a mark for n and numbers."
    )


def findings(where: Place, name: str, seen: list[Seen]) -> None:
    """One window: its verdict, every finding with its sentence, and what was attached."""
    newest = seen[::-1]
    wanted = st.query_params.get("run")
    start = next((place for place, one in enumerate(newest) if one.run.id == wanted), 0)
    st.subheader("What was found in a window")
    one = st.selectbox(
        "Window",
        newest,
        index=start,
        format_func=lambda one: f"{words.window(one.run.window_start, one.run.window_end)} · {one.run.outcome}",
        key=f"window of {name}",
    )
    run = one.run
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(str(run.outcome), color=words.colour(str(run.outcome)))
        st.text(run.why, width="stretch")
    rows = " · ".join(f"version {version} answered {count:,} rows" for version, count in one.versions) or "no rows"
    st.caption(
        f"{words.plain(rows)} · measured in {run.seconds:.1f} s · {run.kind}",
        help=f"window {words.utc(run.window_start)} to {words.utc(run.window_end)}; run {run.id}",
    )
    found = series.detail(where, run.id)
    if found.findings:
        st.dataframe(
            tables.coloured([_line(row) for row in found.findings], "Outcome"),
            hide_index=True,
            height=min(38 + 35 * len(found.findings), 420),
            column_config={"Why": st.column_config.TextColumn(width="large")},
        )
    for attachment in found.attachments:
        kind = words.plain(attachment.kind.replace("_", " "))
        about = f":material/attach_file: **{kind}** of {words.plain(attachment.check)}"
        if attachment.uri.startswith(("https://", "http://")):
            st.link_button(f"{kind} of {words.plain(attachment.check)}", attachment.uri, icon=":material/attach_file:")
        else:
            st.markdown(about)
            st.code(attachment.uri, language=None, wrap_lines=True)
        st.caption(f"attached {words.local(attachment.at)} · sha256 {attachment.digest[:12]}", help=attachment.digest)
    for job in found.followups:
        if job.state != "done":
            said = f": {job.error}" if job.error else ""
            st.caption(words.plain(f"{job.kind.replace('_', ' ')} of {job.check} is {job.state}{said}"))


def _line(row: FindingRow) -> dict[str, object]:
    return {
        "Outcome": (row.outcome or "no limit") + (" (dry run)" if row.dry_run else ""),
        "Check": row.check,
        "Measure": row.measure or "-",
        "Column or segment": ", ".join(filter(None, [row.column, row.segment])) or "-",
        "Version": row.version or "-",
        "Estimate": words.number(row.estimate),
        "95 % interval": words.interval(row.low, row.high) or "-",
        "n": words.count(row.n or None),
        "Limit": words.number(row.limit),
        "Why": row.why,
    }


st.title("Monitor detail")
here, now = queries.place(), datetime.now(UTC)
known = queries.watched(here)
if not known:
    st.info("No monitor is known here yet. Write a job file, then: `controlplane run MONITOR`")
    st.stop()
name_box, most_box = st.columns([2, 1], vertical_alignment="bottom")
with name_box:
    chosen = pick_monitor(known)
most = _MOST[str(most_box.segmented_control("Show the last", list(_MOST), default="24 windows", required=True))]
shown = series.windows(here, chosen, most)
if shown:
    draw(here, shown)
    findings(here, chosen, shown)
else:
    st.info(f"No run yet: `controlplane run {chosen}`")
