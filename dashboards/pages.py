"""Ways from one page to another, with what is to be opened there."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

_HERE = Path(__file__).parent


def to_incident(incident_id: str, label: str = "Open incident") -> None:
    """A link to one incident."""
    st.page_link(
        _HERE / "incidents.py", label=label, icon=":material/arrow_forward:", query_params={"incident": incident_id}
    )


def to_monitor(name: str, label: str = "See its measures") -> None:
    """A link to one monitor's measures."""
    st.page_link(_HERE / "monitor.py", label=label, icon=":material/monitoring:", query_params={"monitor": name})


def open_monitor(name: str) -> None:
    """Go to one monitor's measures at once."""
    st.switch_page(_HERE / "monitor.py", query_params={"monitor": name})
