"""The pictures: a measure over windows, outcomes as a strip, the framework's statuses as bars."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import altair as alt

from controlplane.dashboards import words
from controlplane.dashboards.series import Bin, Seen
from controlplane.rmf.status import Status
from controlplane.store.history import Tenure
from controlplane.store.tables import FindingRow, RunRow

OUTCOMES = {
    "PASS": ("#2f9e63", "circle"),
    "WARN": ("#e0a100", "triangle-up"),
    "FAIL": ("#d64550", "cross"),
    "ERROR": ("#8b5cd6", "diamond"),
    "INCONCLUSIVE": ("#8a8f98", "square"),
    "no limit": ("#5b8db8", "circle"),
    "beside it": ("#8a8f98", "triangle-left"),
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
_HEIGHTS = {"PASS": 9, "WARN": 15, "FAIL": 25, "ERROR": 25, "INCONCLUSIVE": 19}


def strip(runs: Sequence[RunRow], most: int) -> str:
    """The outcomes of at most `most` windows, the newest at the right, as an SVG image in a data URL.

    Worse is taller, so that it is told without colour too.
    """
    bars = ""
    for place, run in enumerate(runs, most - len(runs)):
        height = _HEIGHTS.get(run.outcome or "", 4)
        colour, _ = OUTCOMES.get(run.outcome or "", OUTCOMES["no limit"])
        bars += f'<rect x="{6 * place}" y="{27 - height}" width="4.5" height="{height}" rx="1" fill="{colour}"/>'
    box = f'width="{6 * most}" height="28" viewBox="0 0 {6 * most} 28"'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" {box}>{bars}</svg>'
    return "data:image/svg+xml;base64," + b64encode(svg.encode()).decode()


def measure(
    seen: Sequence[Seen], points: Mapping[str, Sequence[FindingRow]], name: str
) -> alt.LayerChart | alt.FacetChart:
    """A measure over windows: the version that answered as a band behind, the limit as a dashed step, the 95 %
    interval as a ribbon, and every outcome marked. Times are wall-clock times of the viewer's zone.

    What was measured of another version on the same rows stands beside as grey triangles.
    """
    rows = [
        _point(one, row, band)
        for band, (_, members) in enumerate(groupby(seen, lambda one: one.answered))
        for one in members
        for row in points.get(one.run.id, ())
        if row.estimate is not None
    ]
    limits = [
        {"start": _wall(one.run.window_start), "end": _wall(one.run.window_end), "limit": row.limit}
        for one in seen
        for row in points.get(one.run.id, ())
        if row.limit is not None
    ]
    x = alt.X(
        "at:T",
        title=f"window, {words.zone_name()}",
        axis=alt.Axis(format="%d %b %H:%M", labelAngle=0, labelOverlap=True),
    )
    own = alt.Chart(alt.InlineData(values=[row for row in rows if row["own"]]))
    tooltip = [alt.Tooltip(f"{field}:N", title=title) for field, title in _TOLD.items()]
    y = alt.Y("estimate:Q", title=name, scale=alt.Scale(zero=False, padding=12))
    there = {row["outcome"] for row in rows}
    kinds = {outcome: marks for outcome, marks in OUTCOMES.items() if outcome in there}
    legend = alt.Legend(title=None, orient="bottom", symbolOpacity=1)
    colour = alt.Color(
        "outcome:N", legend=legend, scale=alt.Scale(domain=list(kinds), range=[hue for hue, _ in kinds.values()])
    )
    shape = alt.Shape(
        "outcome:N", legend=legend, scale=alt.Scale(domain=list(kinds), range=[form for _, form in kinds.values()])
    )
    marks = alt.layer(
        own.mark_area(opacity=0.18, color="#5b8db8").encode(
            x, alt.Y("low:Q"), alt.Y2("high:Q"), alt.Detail("series:N")
        ),
        own.mark_rule(opacity=0.55, color="#5b8db8").encode(x, alt.Y("low:Q"), alt.Y2("high:Q")),
        own.mark_line(color="#5b8db8", strokeWidth=1.5).encode(x, y, alt.Detail("series:N")),
        alt.Chart(alt.InlineData(values=limits))
        .mark_rule(color="#d64550", strokeDash=[6, 4], strokeWidth=1.5)
        .encode(alt.X("start:T"), alt.Y("limit:Q"), alt.X2("end:T")),
        alt.Chart(alt.InlineData(values=rows))
        .mark_point(size=90, filled=True, opacity=1, strokeWidth=2)
        .encode(x, y, colour, shape, tooltip=tooltip),
    )
    both = alt.layer(_bands(seen), marks).resolve_scale(color="independent", shape="independent")
    picture: alt.LayerChart | alt.FacetChart = both.properties(height=380)
    return picture


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


def _point(one: Seen, row: FindingRow, band: int) -> dict[str, Any]:
    own = row.version is None or row.version in dict(one.versions) or not one.versions
    return {
        "at": _wall(one.middle),
        "estimate": row.estimate,
        "low": row.low,
        "high": row.high,
        "own": own,
        "series": f"{band} {row.version} {row.segment}",
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


def _bands(seen: Sequence[Seen]) -> alt.LayerChart | alt.FacetChart:
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
    base = alt.Chart(alt.InlineData(values=bands))
    colours = alt.Scale(domain=sorted({band["answered"] for band in bands}), range=_BANDS)
    x, x2 = alt.X("start:T"), alt.X2("end:T")
    return alt.layer(
        base.mark_rect(opacity=0.13).encode(x, x2, alt.Color("answered:N", scale=colours, legend=None)),
        base.mark_text(align="left", baseline="top", dx=5, dy=5, fontSize=12, fontWeight=600, opacity=0.8).encode(
            x, text="label:N", y=alt.value(0), color=alt.Color("answered:N", scale=colours, legend=None)
        ),
    )


def _wall(at: Any) -> str:
    return f"{at.astimezone(words.zone()):%Y-%m-%dT%H:%M:%S}"


def reliability(bins: Sequence[Bin]) -> alt.VConcatChart:
    """The share that came true in each bin of probabilities against their mean, with its 95 % interval, over the rows
    in each; dashed where probabilities come true. Both axes end a little past the last bin, so that rare ones show.
    """
    top = min(1.0, 1.08 * max(max(one.confidence, one.high) for one in bins))
    rows = [
        {
            "confidence": one.confidence,
            "observed": one.observed,
            "low": one.low,
            "high": one.high,
            "n": one.n,
            "version": f"version {one.version or '?'}",
            "bin": one.segment,
            "believed": words.number(one.confidence),
            "said": words.number(one.observed),
            "interval": words.interval(one.low, one.high),
            "rows": f"{one.n:,}",
        }
        for one in bins
    ]
    versions = sorted({str(row["version"]) for row in rows})
    colour = alt.Color(
        "version:N",
        scale=alt.Scale(domain=versions, range=_BANDS),
        legend=alt.Legend(title=None, orient="top-left", symbolOpacity=1) if len(versions) > 1 else None,
    )
    told = {
        "bin": "probabilities",
        "believed": "mean probability",
        "said": "came true",
        "interval": "95 % interval",
        "rows": "n",
        "version": "version",
    }
    tooltip = [alt.Tooltip(f"{field}:N", title=title) for field, title in told.items()]
    base = alt.Chart(alt.InlineData(values=rows))
    inside = alt.Scale(domain=[0, top], nice=False, padding=0)
    x = alt.X("confidence:Q", title=None, scale=inside, axis=alt.Axis(labels=False))
    y = alt.Y("observed:Q", title="share that came true", scale=inside)
    diagonal = alt.Chart(alt.InlineData(values=[{"at": 0.0}, {"at": top}]))
    curve = alt.layer(
        diagonal.mark_line(color="#8a8f98", strokeDash=[6, 4], strokeWidth=1.5).encode(
            alt.X("at:Q", scale=inside), alt.Y("at:Q", scale=inside)
        ),
        base.mark_rule(opacity=0.6, strokeWidth=2).encode(x, alt.Y("low:Q"), alt.Y2("high:Q"), colour),
        base.mark_line(strokeWidth=1.5).encode(x, y, colour),
        base.mark_point(size=80, filled=True, opacity=1).encode(x, y, colour, tooltip=tooltip),
    ).properties(width=460, height=360)
    below = alt.X("confidence:Q", title="mean probability", scale=inside)
    counts = base.mark_bar(size=14, opacity=0.6).encode(
        below, alt.Y("n:Q", title="rows", axis=alt.Axis(tickCount=2)), colour, tooltip=tooltip
    )
    picture: alt.VConcatChart = alt.vconcat(curve, counts.properties(width=460, height=60), spacing=8)
    return picture


def tenures(held: Sequence[Tenure]) -> alt.LayerChart:
    """Who held an alias when, a lane a version: by colour who gave it, thin where a move by others may lie."""
    rows = []
    for one, after in zip(held, [*held[1:], None], strict=True):
        end = one.holding.last_seen if after is None else after.unsure_since or after.holding.since
        told = {
            "version": f"version {one.holding.version}",
            "by": _MOVERS[0] if one.action else _MOVERS[1] if one.moved_by else _MOVERS[2],
            "who": one.moved_by or _MOVERS[2],
            "when": one.when,
            "why": one.why or "-",
        }
        rows.append(told | {"start": _wall(one.holding.since), "end": _wall(end), "sure": True})
        if one.action is None and one.unsure_since is not None:
            rows.append(told | {"start": _wall(one.unsure_since), "end": _wall(one.holding.since), "sure": False})
    lanes = sorted({str(row["version"]) for row in rows}, key=lambda name: (len(name), name))
    titles = {"version": "version", "when": "took it", "who": "moved by", "why": "why"}
    tooltip = [alt.Tooltip(f"{field}:N", title=title) for field, title in titles.items()]
    axis = alt.Axis(format="%d %b %H:%M", labelAngle=0, labelOverlap=True)
    x = alt.X("start:T", title=words.zone_name(), axis=axis)
    y = alt.Y("version:N", title=None, sort=lanes)
    there = [name for name in _MOVERS if any(row["by"] == name for row in rows)]
    scale = alt.Scale(domain=there, range=[_BY[name] for name in there])
    colour = alt.Color("by:N", scale=scale, legend=alt.Legend(title="moved by", orient="top", symbolOpacity=1))
    sure = alt.Chart(alt.InlineData(values=[row for row in rows if row["sure"]]))
    unsure = alt.Chart(alt.InlineData(values=[row for row in rows if not row["sure"]]))
    picture: alt.LayerChart = alt.layer(
        sure.mark_bar(size=16, cornerRadius=2).encode(x, alt.X2("end:T"), y, colour, tooltip=tooltip),
        # A tenure that ended within a pixel is seen by where it began.
        sure.mark_tick(thickness=3, size=24).encode(x, y, colour, tooltip=tooltip),
        unsure.mark_bar(size=5, opacity=0.55).encode(x, alt.X2("end:T"), y, colour, tooltip=tooltip),
    ).properties(height=130 + 40 * len(lanes))
    return picture


_BY = {"us": "#2f7fb5", "somebody else": "#e0a100", "first look": "#8a8f98"}
_MOVERS = list(_BY)


def statuses(counts: Mapping[str, Mapping[Status, int]]) -> alt.Chart:
    """How many subcategories of each function have each status, as one stacked bar a function; no total, no score."""
    rows = [
        {"function": function, "status": status.replace("_", " "), "rows": count, "order": list(STATUSES).index(status)}
        for function, found in counts.items()
        for status, count in found.items()
        if count
    ]
    names = [status.replace("_", " ") for status in STATUSES]
    bars: alt.Chart = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_bar(size=18)
        .encode(
            alt.X("rows:Q", title=None, axis=alt.Axis(tickMinStep=5)),
            alt.Y("function:N", title=None, sort=list(counts)),
            alt.Color(
                "status:N",
                scale=alt.Scale(domain=names, range=list(STATUSES.values())),
                legend=alt.Legend(title=None, orient="top"),
            ),
            alt.Order("order:Q"),
            tooltip=[alt.Tooltip("function:N"), alt.Tooltip("status:N"), alt.Tooltip("rows:Q", title="subcategories")],
        )
        .properties(height=260)
    )
    return bars
