"""The dashboard: pages under the framework's four functions. Started by `controlplane dashboard`; runs no checks."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from controlplane.dashboards import queries, words
from controlplane.errors import StoreError

HERE = Path(__file__).parent
# A drawing of our own: Streamlit would fetch a named icon for the browser's tab from an outside host.
ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32" fill="none" stroke="#2f9e63" stroke-width="3">'
    '<circle cx="16" cy="16" r="13"/><path d="M5 17h6l3-8 5 14 3-6h5"/></svg>'
)

st.set_page_config(page_title="Control Plane", page_icon=ICON, layout="wide", initial_sidebar_state=230)
st.html(
    "<style>"
    ".stMainBlockContainer {padding: 2.4rem 2.4rem 2rem; max-width: 1400px}"
    ".stMainBlockContainer h1 {font-size: 1.65rem; padding: 0 0 .5rem}"
    ".stMainBlockContainer h3 {font-size: 1.08rem; padding: .35rem 0 .3rem}"
    "@media (max-width: 640px) {.stMainBlockContainer {padding: 3.75rem .9rem 2rem}}"
    "</style>"
)


def page(file: str, title: str, icon: str, path: str | None = None) -> st.Page:
    """One page, by its file beside this one."""
    return st.Page(HERE / file, title=title, icon=f":material/{icon}:", url_path=path, default=path is None)


overview = page("overview.py", "Overview", "notifications_active")
incidents = page("incidents.py", "Incidents", "crisis_alert", "incidents")
history = page("history.py", "Alias history", "history", "history")
chosen = st.navigation(
    {
        "Govern": [overview, page("rmf.py", "AI RMF", "checklist", "rmf")],
        "Map": [page("monitors.py", "Monitors", "radar", "monitors")],
        "Measure": [page("monitor.py", "Monitor detail", "monitoring", "monitor")],
        "Manage": [incidents, page("rollbacks.py", "Rollbacks", "undo", "rollbacks"), history],
    }
)

try:
    where = queries.place()
    wrong = queries.trouble(where)
except StoreError as error:
    wrong = str(error)
if wrong:
    st.title("Nothing to show yet")
    st.error(words.sentence(wrong), icon=":material/database_off:")
    st.stop()

if chosen is overview and "incident" in st.query_params:
    st.switch_page(incidents, query_params={"incident": st.query_params["incident"]})
try:
    chosen.run()
except StoreError as error:
    st.error(words.sentence(str(error)), icon=":material/database_off:")
