"""The picture of a run under load: four measures over one time axis, and the page that holds it with its figures."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from typing import Any

import numpy as np

from controlplane.demo.figures import Bins

# Okabe and Ito's colours, which colour-blind people can tell apart.
BLUE, VERMILION, GREEN, PURPLE, INK, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#222222", "#767676"
_COLOURS = (BLUE, VERMILION, PURPLE, GREEN)
_SIZE, _DPI = (11.0, 8.4), 100
_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.hashsalt": "controlplane",
}
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff; max-width: 72rem; margin: 2rem auto;
       padding: 0 1rem; }}
h1 {{ font-size: 1.4rem; }} h2 {{ font-size: 1.1rem; margin-top: 2rem; }}
svg {{ width: 100%; height: auto; }}
table {{ border-collapse: collapse; }} td, th {{ text-align: left; padding: .25rem 1.2rem .25rem 0; vertical-align: top;
       border-bottom: 1px solid #ddd; }}
td.n {{ font-variant-numeric: tabular-nums; white-space: nowrap; }}
</style>
</head>
<body>
<h1>{title}</h1>
<figure style="margin:0" role="img" aria-label="{label}">{svg}</figure>
<h2>Measured</h2>
<table>
{figures}
</table>
<h2>What happened</h2>
<table>
<tr><th scope="col">second</th><th scope="col">what</th><th scope="col">why</th></tr>
{story}
</table>
</body>
</html>
"""


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened, at a second of the time axis; `until` makes it a stretch, `height` lifts its name."""

    at: float
    text: str
    until: float | None = None
    height: int = 0


def draw(
    title: str, bins: Bins, metric: Bins, marks: Sequence[Mark], limit: float, requests: tuple[int, int]
) -> tuple[bytes, str]:
    """The picture as PNG and as SVG: rate, share and errors of `bins`, accuracy of the wider bins `metric`.

    `limit` is the accuracy that the job asks for; `requests` says how many failed, and of how many.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        figure = Figure(figsize=_SIZE, layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(4, 1, sharex=True, height_ratios=(1.0, 1.0, 0.55, 1.7))
        figure.suptitle(title, x=0.008, ha="left", fontsize=12.5, fontweight="bold", color=INK)
        _rate(panels[0], bins)
        _share(panels[1], bins)
        _errors(panels[2], bins, *requests)
        _accuracy(panels[3], metric, limit)
        panels[3].set_xlabel("seconds since the first request")
        panels[3].set_xlim(0.0, max(_edges(bins)[-1], _edges(metric)[-1]))
        for panel in panels:
            for mark in marks:
                _mark(panel, mark)
        for mark in marks:
            _name(panels[0], mark)
        png, svg = io.BytesIO(), io.StringIO()
        figure.savefig(png, format="png", dpi=_DPI, metadata={"Software": None})
        figure.savefig(svg, format="svg", metadata={"Date": None})
    return png.getvalue(), svg.getvalue()[svg.getvalue().index("<svg") :]


def page(title: str, svg: str, figures: Sequence[tuple[str, str, str]], story: Sequence[tuple[float, str, str]]) -> str:
    """One HTML page that needs nothing else: the picture, what was measured with its n, and what happened when."""
    measured = "\n".join(
        f'<tr><td>{escape(what)}</td><td class="n">{escape(value)}</td><td>{escape(n)}</td></tr>'
        for what, value, n in figures
    )
    happened = "\n".join(
        f'<tr><td class="n">{second:.1f}</td><td>{escape(what)}</td><td>{escape(why)}</td></tr>'
        for second, what, why in story
    )
    label = "Requests a second, share of versions, error rate and accuracy over time; the table below has the figures"
    return _PAGE.format(title=escape(title), label=label, svg=svg, figures=measured, story=happened)


def _rate(axes: Any, bins: Bins) -> None:
    axes.stairs(bins.rate, _edges(bins), baseline=None, color=INK, linewidth=1.4)
    axes.set_ylim(0, 1.3 * max(1.0, float(bins.rate.max())))
    _title(axes, "answers a second")


def _share(axes: Any, bins: Bins) -> None:
    below = np.zeros(len(bins.seconds))
    edges = _edges(bins)
    for colour, share in zip(_COLOURS, bins.share, strict=False):
        part = 100 * np.nan_to_num(share)
        axes.stairs(below + part, edges, baseline=below, fill=True, color=colour)
        below = below + part
    for version, start, end in _tenures(bins):
        if end - start > 0.08 * edges[-1]:
            text = f"version {version}"
            axes.text((start + end) / 2, 50, text, color="white", ha="center", va="center", fontweight="bold")
    axes.set_ylim(0, 100)
    axes.set_yticks([0, 50, 100])
    _title(axes, "share of answers by version, %")


def _errors(axes: Any, bins: Bins, failed: int, asked: int) -> None:
    axes.stairs(100 * np.nan_to_num(bins.errors), _edges(bins), color=INK, linewidth=1.6)
    most = 100 * float(np.nan_to_num(bins.errors).max())
    axes.set_ylim(-0.05 * max(1.0, most), max(1.0, 1.2 * most))
    text = f"{failed or 'none'} of {asked:,}"
    axes.text(0.01, 0.6, text, transform=axes.transAxes, color=INK, va="center")
    _title(axes, "failed requests, %")


def _accuracy(axes: Any, bins: Bins, limit: float) -> None:
    axes.axhline(limit, color=GREY, linewidth=1, linestyle=(0, (5, 3)))
    axes.text(
        1.005, limit, f"limit\n{limit:g}", transform=axes.get_yaxis_transform(), ha="left", va="center", color=INK
    )
    for colour, accuracy in zip(_COLOURS, bins.accuracy, strict=False):
        share, low, high = accuracy.T
        spread = np.vstack([share - low, high - share])
        axes.errorbar(bins.seconds, share, spread, fmt="o", color=colour, markersize=4, elinewidth=1.3, capsize=2)
    found = bins.accuracy[np.isfinite(bins.accuracy)]
    if len(found):
        axes.set_ylim(min(found.min(), limit) - 0.03, max(found.max(), limit) + 0.03)
    _title(axes, f"accuracy of each version in each {bins.width:g} s, with its 95 % interval")


def _tenures(bins: Bins) -> Iterator[tuple[str, float, float]]:
    """Each stretch in which one version answered most: the version, its first and its last second."""
    edges = _edges(bins)
    for version, places in groupby(range(len(bins.seconds)), key=lambda place: bins.led()[place]):
        held = list(places)
        if version:
            yield version, float(edges[held[0]]), float(edges[held[-1] + 1])


def _edges(bins: Bins) -> np.ndarray:
    return np.append(bins.seconds - bins.width / 2, bins.seconds[-1] + bins.width / 2)


def _mark(axes: Any, mark: Mark) -> None:
    if mark.until is not None:
        axes.axvspan(mark.at, mark.until, color=INK, alpha=0.14, linewidth=0)
    axes.axvline(mark.at, color=INK, linewidth=1, linestyle=(0, (2, 2)))


def _name(axes: Any, mark: Mark) -> None:
    """The mark's name above the uppermost panel, to the left of its line where there is no room to the right."""
    right = mark.at > 0.62 * axes.get_xlim()[1]
    axes.annotate(
        mark.text,
        xy=(mark.at, 1.0),
        xycoords=axes.get_xaxis_transform(),
        xytext=(-4 if right else 4, 18 + 14 * mark.height),
        textcoords="offset points",
        ha="right" if right else "left",
        va="center",
        fontsize=9.5,
        color=INK,
    )
    axes.annotate(
        "",
        xy=(mark.at, 1.0),
        xycoords=axes.get_xaxis_transform(),
        xytext=(0, 22 + 14 * mark.height),
        textcoords="offset points",
        arrowprops={
            "arrowstyle": "-",
            "color": INK,
            "linewidth": 1,
            "linestyle": (0, (2, 2)),
            "shrinkA": 0,
            "shrinkB": 0,
        },
    )


def _title(axes: Any, text: str) -> None:
    axes.set_title(text, loc="left", fontsize=10, color=INK, pad=4)
