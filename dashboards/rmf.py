"""The evidence behind each subcategory of the AI RMF; it says fresh, stale or missing, and never compliant."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import streamlit as st

from controlplane.dashboards import charts, queries, tables, words
from controlplane.dashboards.queries import Place
from controlplane.domain.monitor import Window
from controlplane.rmf.catalogue import produced
from controlplane.rmf.report import NATURE, Context, Report, build, to_html, to_json
from controlplane.rmf.status import Row, Status
from controlplane.rmf.words import kind_list, kind_words

_PERIOD = timedelta(days=90)


@st.cache_data(ttl=queries.FRESH, show_spinner=False)
def report_of(where: Place, to_the_minute: datetime) -> Report:
    """The report as of a minute, so that looking again within it costs nothing."""
    evidence, incidents = queries.evidence(where)
    monitors = tuple(one.monitor for one in queries.watched(where))
    context = Context(
        system=", ".join(str(monitor.model) for monitor in monitors) or f"workspace {where.workspace}",
        organisation=os.environ.get("CONTROLPLANE_ORGANIZATION") or "not stated",
        period=Window(to_the_minute - _PERIOD, to_the_minute),
        monitors=monitors,
    )
    return build(context, evidence, incidents, produced(), to_the_minute)


def line(row: Row) -> dict[str, object]:
    """One subcategory in one row."""
    newest = max(row.evidence, key=lambda record: record.collected, default=None)
    return {
        "Id": row.subcategory.id,
        "Status": row.status.replace("_", " "),
        "Asks for": row.subcategory.title,
        "Newest evidence": "-" if newest is None else f"{kind_words(newest.kind)}, {newest.subject}: {newest.outcome}",
        "n": words.count(None if newest is None else newest.n),
        "Age": "-" if row.age is None else words.span(row.age),
        "Missing": kind_list(row.missing) or "-",
        "Why": row.why,
    }


st.title("AI RMF")
here = queries.place()
minute = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
report = report_of(here, minute)
st.markdown(
    f"{report.catalogue.framework}: {len(report.rows)} subcategories, and the live evidence behind each. "
    f"{NATURE} Nothing is counted that a person would have to attest."
)
left, right = st.columns([3, 1], vertical_alignment="center", gap="large")
left.altair_chart(charts.statuses(report.counts()))
name = f"ai-rmf-{minute:%Y%m%d-%H%M}"
right.download_button("Report as HTML", to_html(report), f"{name}.html", "text/html", icon=":material/download:")
right.download_button("Report as JSON", to_json(report), f"{name}.json", "application/json", icon=":material/download:")
if not report.evidence:
    st.info("No evidence yet. Every run leaves some: `controlplane run MONITOR`")
only = st.pills(
    "Show only", list(Status), selection_mode="multi", format_func=lambda status: str(status).replace("_", " ")
)
for function, meaning in report.catalogue.functions.items():
    rows = [row for row in report.rows if row.subcategory.function == function and (not only or row.status in only)]
    st.subheader(f"{function} ({len(rows)})")
    st.caption(f"{meaning}.")
    if rows:
        st.dataframe(
            tables.coloured([line(row) for row in rows], "Status"),
            hide_index=True,
            height="content",
            column_config={
                name: st.column_config.Column(width=width)
                for name, width in {
                    "Id": 100,
                    "Status": 95,
                    "Asks for": 250,
                    "Newest evidence": 240,
                    "n": 55,
                    "Age": 85,
                    "Missing": 250,
                    "Why": 700,
                }.items()
            },
        )
