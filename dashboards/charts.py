"""The pictures: a measure over windows, outcomes as a strip, the framework's statuses as bars."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import altair as alt

from controlplane.dashboards import words
from controlplane.dashboards.series import Seen
from controlplane.store.tables import FindingRow, RunRow

OUTCOMES = {
    "PASS": ("#2f9e63", "circle"),
    "WARN": ("#e0a100", "triangle-up"),
    "FAIL": ("#d64550", "cross"),
    "ERROR": ("#8b5cd6", "diamond"),
    "INCONCLUSIVE": ("#8a8f98", "square"),
    "no limit": ("#5b8db8", "circle"),
    "beside it": ("#a7adb5", "stroke"),
}
"""Colour and shape of each outcome, so that it is told without colour too; readable on light and on dark."""
STATUSES = {
    "supported": "#2f9e63",
    "partly": "#7fb893",
    "expired": "#e0a100",
    "gap": "#d64550",
    "not_assessed": "#a7adb5",
}
_BANDS = ["#4c78a8", "#b279a2", "#72b7b2", "#f58518", "#9d755d", "#54a24b"]
_HEIGHTS = {"PASS": 7, "WARN": 11, "FAIL": 18, "ERROR": 18, "INCONCLUSIVE": 14}


def strip(runs: Sequence[RunRow]) -> str:
    """The outcomes of some windows, oldest first, as an SVG image in a data URL: worse is taller, not only redder."""
    bars = ""
    for place, run in enumerate(runs):
        height = _HEIGHTS.get(run.outcome or "", 4)
        colour, _ = OUTCOMES.get(run.outcome or "", OUTCOMES["no limit"])
        bars += f'<rect x="{8 * place}" y="{19 - height}" width="6" height="{height}" rx="1.5" fill="{colour}"/>'
    width = max(8 * len(runs), 8)
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" viewBox="0 0 {width} 20">{bars}</svg>'
    return "data:image/svg+xml;base64," + b64encode(svg.encode()).decode()


def measure(seen: Sequence[Seen], points: Mapping[str, Sequence[FindingRow]], name: str) -> alt.LayerChart:
    """A measure over windows: the version that answered as a band behind, the limit as a dashed step, the 95 %
    interval as a ribbon, and every outcome marked. Times are wall-clock times of the viewer's zone.

    What was measured of another version on the same rows stands beside as grey strokes.
    """
    rows = [_point(one, row) for one in seen for row in points.get(one.run.id, ()) if row.estimate is not None]
    limits = [
        {"start": _wall(one.run.window_start), "end": _wall(one.run.window_end), "limit": row.limit}
        for one in seen
        for row in points.get(one.run.id, ())
        if row.limit is not None
    ]
    x = alt.X("at:T", title=f"window, {words.zone_name()}", axis=alt.Axis(format="%d %b %H:%M", labelAngle=0))
    own = alt.Chart(alt.Data(values=[row for row in rows if row["own"]]))
    beside = alt.Chart(alt.Data(values=[row for row in rows if not row["own"]]))
    tooltip = [alt.Tooltip(f"{field}:N", title=title) for field, title in _TOLD.items()]
    y = alt.Y("estimate:Q", title=name, scale=alt.Scale(zero=False, padding=12))
    marks = alt.Scale(domain=list(OUTCOMES), range=[colour for colour, _ in OUTCOMES.values()])
    shapes = alt.Scale(domain=list(OUTCOMES), range=[shape for _, shape in OUTCOMES.values()])
    layers = [
        *_bands(seen),
        own.mark_area(opacity=0.18, color="#5b8db8").encode(
            x, alt.Y("low:Q"), alt.Y2("high:Q"), alt.Detail("series:N")
        ),
        own.mark_rule(opacity=0.55, color="#5b8db8").encode(x, alt.Y("low:Q"), alt.Y2("high:Q")),
        own.mark_line(color="#5b8db8", strokeWidth=1.5).encode(x, y, alt.Detail("series:N")),
        alt.Chart(alt.Data(values=limits))
        .mark_rule(color="#d64550", strokeDash=[6, 4], strokeWidth=1.5)
        .encode(alt.X("start:T"), alt.Y("limit:Q"), alt.X2("end:T")),
        beside.mark_point(size=70, strokeWidth=2).encode(x, y, _colour(marks), _shape(shapes), tooltip=tooltip),
        own.mark_point(size=90, filled=True, opacity=1).encode(x, y, _colour(marks), _shape(shapes), tooltip=tooltip),
    ]
    return alt.layer(*layers).properties(height=340)


_TOLD = {
    "outcome": "outcome",
    "said": "estimate",
    "interval": "95 % interval",
    "n": "n",
    "bound": "limit",
    "version": "version",
    "window": "window",
    "utc": "window starts",
    "why": "why",
}


def _colour(scale: alt.Scale) -> alt.Color:
    return alt.Color("outcome:N", scale=scale, legend=alt.Legend(title=None, orient="bottom"))


def _shape(scale: alt.Scale) -> alt.Shape:
    return alt.Shape("outcome:N", scale=scale, legend=alt.Legend(title=None, orient="bottom"))


def _point(one: Seen, row: FindingRow) -> dict[str, Any]:
    own = row.version is None or row.version in dict(one.versions) or not one.versions
    return {
        "at": _wall(one.middle),
        "estimate": row.estimate,
        "low": row.low,
        "high": row.high,
        "own": own,
        "series": f"{row.version} {row.segment or ''}",
        "outcome": row.outcome or ("no limit" if own else "beside it"),
        "said": words.number(row.estimate),
        "interval": words.interval(row.low, row.high) or "none",
        "n": f"{row.n:,}",
        "bound": words.number(row.limit),
        "version": row.version or one.answered,
        "window": words.window(one.run.window_start, one.run.window_end),
        "utc": words.utc(one.run.window_start),
        "why": row.why,
    }


def _bands(seen: Sequence[Seen]) -> list[alt.Chart]:
    bands = []
    for answered, members in groupby(seen, lambda one: one.answered):
        held = list(members)
        bands.append(
            {
                "start": _wall(held[0].run.window_start),
                "end": _wall(held[-1].run.window_end),
                "label": f"version {answered}" if answered != "?" else "no rows",
                "answered": answered,
            }
        )
    base = alt.Chart(alt.Data(values=bands))
    colours = alt.Scale(domain=sorted({band["answered"] for band in bands}), range=_BANDS)
    x, x2 = alt.X("start:T"), alt.X2("end:T")
    return [
        base.mark_rect(opacity=0.13).encode(x, x2, alt.Color("answered:N", scale=colours, legend=None)),
        base.mark_text(align="left", baseline="top", dx=5, dy=5, fontSize=12, fontWeight=600, opacity=0.8).encode(
            x, text="label:N", y=alt.value(0), color=alt.Color("answered:N", scale=colours, legend=None)
        ),
    ]


def _wall(at: Any) -> str:
    return f"{at.astimezone(words.zone()):%Y-%m-%dT%H:%M:%S}"


def statuses(counts: Mapping[str, Mapping[str, int]]) -> alt.Chart:
    """How many subcategories of each function have each status, as one stacked bar a function; no total, no score."""
    rows = [
        {"function": function, "status": status.replace("_", " "), "rows": count, "order": list(STATUSES).index(status)}
        for function, found in counts.items()
        for status, count in found.items()
        if count
    ]
    names = [status.replace("_", " ") for status in STATUSES]
    return (
        alt.Chart(alt.Data(values=rows))
        .mark_bar(size=18)
        .encode(
            alt.X("rows:Q", title="subcategories", axis=alt.Axis(tickMinStep=5)),
            alt.Y("function:N", title=None, sort=list(counts)),
            alt.Color(
                "status:N",
                scale=alt.Scale(domain=names, range=list(STATUSES.values())),
                legend=alt.Legend(title=None, orient="top"),
            ),
            alt.Order("order:Q"),
            tooltip=[alt.Tooltip("function:N"), alt.Tooltip("status:N"), alt.Tooltip("rows:Q", title="subcategories")],
        )
        .properties(height=190)
    )
