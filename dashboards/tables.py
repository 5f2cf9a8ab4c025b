"""Tables with outcomes and states in colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from controlplane.dashboards import words

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler

_TEXT = {
    "green": "#2f9e63",
    "orange": "#c98500",
    "red": "#d64550",
    "violet": "#8b5cd6",
    "blue": "#3d85c6",
    "gray": "#8a8f98",
}
"""The colours of badges as text that reads on light and on dark."""


def coloured(rows: Sequence[Mapping[str, Any]], *columns: str) -> Styler:
    """Rows as a table whose outcomes and states, in these columns, are told by colour as well as by word."""
    import pandas as pd

    return pd.DataFrame(list(rows)).style.map(_colour, subset=list(columns))


def _colour(word: object) -> str:
    name = words.COLOURS.get(str(word).split(" (")[0].replace(" ", "_"), "")
    return f"color: {_TEXT[name]}; font-weight: 600" if name else ""
