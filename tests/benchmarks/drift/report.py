"""False-page rates with their intervals, delays, and how both are shown."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import chi2, poisson

RESAMPLES = 2000


@dataclass(frozen=True)
class Rate:
    """Pages per budget horizon on windows without drift.

    `poisson` is the exact 95 % interval if pages came independently, `clustered` the bootstrap over references, which
    does not assume so. `kept` is the share of references with no more pages than the budget allows for their windows;
    a detector whose pages come independently and exactly at the budget would have `kept_at_budget`.
    """

    pages: int
    windows: int
    rate: float
    poisson: tuple[float, float]
    clustered: tuple[float, float]
    kept: float
    kept_at_budget: float


def rate(pages: np.ndarray, budget_windows: float) -> Rate:
    """The rate of `pages`, a row for each reference."""
    each, size = pages.sum(axis=1), pages.shape[1]
    total, unit = int(each.sum()), budget_windows / pages.size
    low = chi2.ppf(0.025, 2 * total) / 2 if total else 0.0
    high = chi2.ppf(0.975, 2 * total + 2) / 2
    drawn = np.random.default_rng(0).integers(len(each), size=(RESAMPLES, len(each)))
    clustered = np.quantile(each[drawn].sum(axis=1), [0.025, 0.975]) * unit
    allowed = size / budget_windows
    return Rate(
        total,
        int(pages.size),
        total * unit,
        (float(low * unit), float(high * unit)),
        (float(clustered[0]), float(clustered[1])),
        float(np.mean(each <= allowed)),
        float(poisson.cdf(np.floor(allowed), allowed)),
    )


@dataclass(frozen=True)
class Delay:
    """Windows until the first page, counted from the first shifted one; a miss counts as the horizon in `mean`."""

    median: float
    mean: float
    missed: float
    episodes: int


def delay(found: list[int], horizon: int) -> Delay:
    """Of the delays of several episodes, 0 for a miss."""
    delays = np.array(found, float)
    missed = delays == 0
    delays[missed] = horizon
    return Delay(float(np.median(delays)), float(delays.mean()), float(missed.mean()), len(found))


def show_rates(rates: dict[str, dict[str, Rate]], ours: str, budget_windows: float, console: Console) -> None:
    """One row a stream: ours with its intervals, then every peer at its defaults."""
    first = next(iter(rates.values()))
    table = Table(title=f"False pages in {budget_windows:g} windows without drift (budget: 1)")
    for name in ("stream", "windows", ours, "Poisson 95 %", "by reference 95 %", "references within it"):
        table.add_column(name, justify="left" if name == "stream" else "right")
    for name in first:
        if name != ours:
            table.add_column(name, justify="right")
    for stream, by_detector in rates.items():
        mine = by_detector[ours]
        table.add_row(
            stream,
            f"{mine.windows:,}",
            f"{mine.rate:.2f}",
            f"{mine.poisson[0]:.2f}-{mine.poisson[1]:.2f}",
            f"{mine.clustered[0]:.2f}-{mine.clustered[1]:.2f}",
            f"{mine.kept:.0%} ({mine.kept_at_budget:.0%})",
            *(f"{found.rate:.2f}" for name, found in by_detector.items() if name != ours),
        )
    console.print(table)
    console.print(
        "In parentheses: references within the budget if pages came independently and exactly at it. "
        "Peers are at their own defaults."
    )


def show_delays(title: str, rows: dict[str, dict[str, Delay]], console: Console) -> None:
    """One row a shift: median and mean delay and misses of each detector; the shortest mean is marked."""
    table = Table(title=title)
    table.add_column("shift")
    for name in next(iter(rows.values())):
        table.add_column(name, justify="right")
    for row, by_detector in rows.items():
        least = min(found.mean for found in by_detector.values())
        cells = [
            f"{'[bold]' if found.mean == least else ''}{found.median:g} · {found.mean:.1f} · {found.missed:.0%}"
            for found in by_detector.values()
        ]
        table.add_row(row, *cells)
    console.print(table)


def standing(rows: dict[str, dict[str, Delay]], ours: str) -> tuple[int, list[str]]:
    """On how many rows no other detector has a shorter mean delay, and one line for each row where one has."""
    behind = []
    for row, by_detector in rows.items():
        best = min(by_detector, key=lambda name: by_detector[name].mean)
        if by_detector[best].mean < by_detector[ours].mean:
            mine = by_detector[ours].mean
            behind.append(f"{row}: {best} {by_detector[best].mean:.1f} windows, {ours} {mine:.1f}")
    return len(rows) - len(behind), behind


def plain(nested: dict[str, dict[str, Rate]] | dict[str, dict[str, Delay]]) -> dict[str, dict[str, object]]:
    """The same as dicts that `json` can write."""
    return {outer: {name: asdict(value) for name, value in inner.items()} for outer, inner in nested.items()}
