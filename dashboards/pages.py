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


def to_monitor(name: str, check: str = "") -> None:
    """A link to one monitor's measures, to those of one check where it is named."""
    asked = {"monitor": name} | ({"check": check} if check else {})
    st.page_link(_HERE / "monitor.py", label="See its measures", icon=":material/monitoring:", query_params=asked)


def open_monitor(name: str) -> None:
    """Go to one monitor's measures at once."""
    st.switch_page(_HERE / "monitor.py", query_params={"monitor": name})
