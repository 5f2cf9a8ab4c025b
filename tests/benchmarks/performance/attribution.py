"""Is it the version or the world: how often the wrong one is blamed, and how often the right one is named.

    python attribution.py [--quick] [--json PATH] [--seed N]

Every case is one window: rows with labels, what the watched version logged, and a version before that is asked again.
The measures are those of the `performance` check itself, and `attribute` decides on them as it does in a run. Labels
and answers are drawn: how easy a row is for a version is a normal number, correlated between the two.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.table import Table
from scipy.stats import beta, rankdata

from controlplane.checks.performance import Performance, PerformanceParams
from controlplane.domain.attribution import AGAINST_VERSION, SMALL, WINDOWS, Attribution, attribute, compare
from controlplane.domain.monitor import Columns, Window
from controlplane.domain.verdict import Measure
from controlplane.ports import Sample
from controlplane.profiles.reference import Reference, build_reference

COLUMNS = Columns("at", prediction="said", probability="chance", label="truth", features=("x",))
NUMBERS = replace(COLUMNS, probability=None)
DAY = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC) + timedelta(days=1))
METRICS = ("accuracy", "log_loss", "roc_auc", "mae")
REFERENCE = 10_000
# Skill is how far the mean row is on the easy side: 85 % of the answers are right, 77 % of them 0.3 further down.
SKILL, FALL = 1.036, 0.298
SCALE = 1.25
MOST_BLAMED, LEAST_RIGHT = 12 / 2000, 0.95


@dataclass(frozen=True)
class Kind:
    """One kind of case: what fell, how alike the versions err, how many rows, and how the window was picked."""

    name: str
    truth: Attribution | None
    version: float = 0.0
    world: float | None = 0.0
    alike: float = 0.5
    rows: tuple[int, ...] = (2000,)
    picked: str = ""


FEW = (200, 500, 1000, 2000)
CALM = (
    Kind("noise", None, rows=FEW),
    Kind("world changed, 1 to 16 points", None, world=None, rows=FEW),
    Kind("equal skill, unrelated errors", None, alike=0.0, rows=FEW),
    Kind(f"worst of {WINDOWS} by the metric", None, alike=0.2, rows=FEW, picked="metric"),
)
HARDER = (
    Kind(f"worst of {WINDOWS} by the difference", None, alike=0.2, rows=FEW, picked="difference"),
    Kind(f"worst of {WINDOWS} by the metric, world changed", None, world=None, rows=FEW, picked="metric"),
)
TRUE = (
    Kind("version fell 8 points", Attribution.VERSION_REGRESSED, version=1.0),
    Kind("world fell 8 points", Attribution.WORLD_CHANGED, world=1.0),
    Kind("both fell 8 points", Attribution.BOTH, version=1.0, world=1.0),
    Kind("nothing fell", Attribution.NEITHER),
)


SMALLER = (
    Kind("version fell 4 points", Attribution.VERSION_REGRESSED, version=0.5),
    Kind("version fell 4 points", Attribution.VERSION_REGRESSED, version=0.5, rows=(5000,)),
    Kind("world fell 4 points", Attribution.WORLD_CHANGED, world=0.5),
)


@dataclass(frozen=True)
class Answers:
    """A version that says again what it would have said: its answers are the columns that start with `prefix`."""

    version: str = "1"
    prefix: str = "their_"
    classes: None = None

    def predict(self, rows: pa.Table) -> np.ndarray:
        return np.asarray(rows[f"{self.prefix}said"])

    def probabilities(self, rows: pa.Table) -> np.ndarray | None:
        if f"{self.prefix}chance" not in rows.column_names:
            return None
        chance = np.asarray(rows[f"{self.prefix}chance"])
        return np.column_stack([1 - chance, chance])


def easy(rng: np.random.Generator, shape: tuple[int, ...], alike: float, versions: int = 2) -> np.ndarray:
    """How easy each row is for each version, shape (versions, ...): normal, with correlation `alike`."""
    common, own = rng.normal(size=shape), rng.normal(size=(versions, *shape))
    return np.sqrt(alike) * common + np.sqrt(1 - alike) * own


def metric_of(metric: str, drawn: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The metric of windows, shape (windows,), as harm: only to pick one of them."""
    if metric == "mae":
        return np.abs(drawn).mean(axis=-1)
    margin = drawn + SKILL
    if metric == "accuracy":
        return -(margin > 0).mean(axis=-1)
    if metric == "log_loss":
        return np.logaddexp(0, -2 * margin).mean(axis=-1)
    ranks = rankdata(margin * np.where(truth, 1, -1), axis=-1)
    positive = truth.sum(axis=-1)
    above = (ranks * truth).sum(axis=-1) - positive * (positive + 1) / 2
    return -above / (positive * (truth.shape[-1] - positive))


def rows_of(
    metric: str,
    drawn: np.ndarray,
    truth: np.ndarray,
    falls: Sequence[float],
    prefixes: Sequence[str] = ("", "their_"),
) -> pa.Table:
    """Rows whose answers are as good as `drawn` says, after each version fell by so many effects.

    A version's answers are columns that start with its prefix.
    """
    n = drawn.shape[-1]
    columns: dict[str, Any] = {"x": np.zeros(n)}
    if metric == "mae":
        columns["truth"] = np.zeros(n)
        for prefix, one, fall in zip(prefixes, drawn, falls, strict=True):
            columns[f"{prefix}said"] = one * SCALE**fall
        return pa.table(columns)
    columns["truth"] = truth.astype(np.int64)
    for prefix, one, fall in zip(prefixes, drawn, falls, strict=True):
        margin = one + SKILL - FALL * fall
        chance = 1 / (1 + np.exp(-2 * margin * np.where(truth, 1, -1)))
        columns[f"{prefix}said"], columns[f"{prefix}chance"] = (chance > 0.5).astype(np.int64), chance
    return pa.table(columns)


def case(kind: Kind, metric: str, n: int, seed: tuple[int, ...], frame: Reference) -> Attribution:
    """One case: a reference, a window, the check's measures, and whose fault they say it is."""
    rng = np.random.default_rng(seed)
    world = float(rng.uniform(0.125, 2.0)) if kind.world is None else kind.world
    windows = WINDOWS if kind.picked else 1
    drawn, truth = easy(rng, (windows, n), kind.alike), rng.random((windows, n)) < 0.4
    harm = metric_of(metric, drawn, truth)
    if kind.picked == "difference":
        harm = harm[0] - harm[1]
    place = int(np.argmax(harm if harm.ndim == 1 else harm[0]))
    before = rows_of(metric, easy(rng, (REFERENCE,), kind.alike), rng.random(REFERENCE) < 0.4, (0.0, 0.0))
    table = rows_of(metric, drawn[:, place], truth[place], (world + kind.version, world))
    columns = NUMBERS if metric == "mae" else COLUMNS
    sample = Sample(
        DAY, table, columns, "2", reference=replace(frame, rows=before, columns=columns), previous=Answers()
    )
    params = PerformanceParams(task="regression" if metric == "mae" else "classification", metrics=(metric,))
    return decided(Performance().measure(sample, params), metric)


def decided(measures: Any, metric: str) -> Attribution:
    """What a run would say of these measures."""
    found: list[Measure] = list(measures)
    [replay] = compare(found, [metric], "2", {metric: Performance.measures[metric].higher_is_worse})
    assert replay.own is not None and replay.theirs is not None
    return attribute(replay, "2", "1").attribution


def cases(kind: Kind, number: int, seed: int, place: int, frame: Reference) -> Iterator[tuple[str, Attribution]]:
    """So many cases of one kind, over all metrics and sizes in turn."""
    for turn in range(number):
        metric = METRICS[turn % len(METRICS)]
        n = kind.rows[turn // len(METRICS) % len(kind.rows)]
        yield f"{metric}, {n:,} rows", case(kind, metric, n, (seed, place, turn), frame)


def interval(hits: int, n: int) -> tuple[float, float]:
    """Clopper and Pearson's 95 % interval of a share."""
    low = beta.ppf(0.025, hits, n - hits + 1) if hits else 0.0
    high = beta.ppf(0.975, hits + 1, n - hits) if hits < n else 1.0
    return float(low), float(high)


def main() -> None:
    """Print the table and what was promised beside it, and write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the cases")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    number, started = (50 if given.quick else 500), time.perf_counter()
    frame = build_reference(lambda: iter([pa.record_batch({"x": np.arange(100.0)})]), Columns("at", features=("x",)))
    told: dict[str, dict[str, Any]] = {}
    table = Table(title=f"Attribution of {number} windows of each kind, by {', '.join(METRICS)} in turn")
    for head in ("what was drawn", "rows", *Attribution, "promised", "measured"):
        table.add_column(head, justify="left" if head == "what was drawn" else "right")
    blamed = Counter[str]()
    for place, kind in enumerate((*CALM, *HARDER, *TRUE, *SMALLER)):
        found = list(cases(kind, number, given.seed, place, frame))
        counts = Counter(attribution for _, attribution in found)
        against = sum(counts[attribution] for attribution in AGAINST_VERSION)
        if kind.truth is None:
            blamed["calm" if kind in CALM else "harder"] += against
            promised, measured = "blames the version in no more than 0.6 %", f"{against} of {number}"
        else:
            low, high = interval(counts[kind.truth], number)
            promised = f"right in {LEAST_RIGHT:.0%}" if kind in TRUE else "nothing"
            measured = f"{counts[kind.truth] / number:.1%} ({low:.1%}-{high:.1%})"
        wrong = Counter(
            where for where, one in found if (one in AGAINST_VERSION if kind.truth is None else one is not kind.truth)
        )
        rows = f"{min(kind.rows):,}-{max(kind.rows):,}" if len(kind.rows) > 1 else f"{kind.rows[0]:,}"
        table.add_row(kind.name, rows, *(str(counts[one]) for one in Attribution), promised, measured)
        told[f"{kind.name}, {rows} rows"] = {
            "truth": kind.truth,
            "cases": number,
            "rows": kind.rows,
            "called": {one.value: counts[one] for one in Attribution},
            "wrong": dict(wrong),
        }
    say, seconds = Console(width=200), time.perf_counter() - started
    say.print(table)
    calm = number * len(CALM)
    low, high = interval(blamed["calm"], calm)
    say.print(
        f"No regression: the version was blamed in {blamed['calm']} of {calm:,} cases ({low:.2%}-{high:.2%}; "
        f"promised: at most {MOST_BLAMED * calm:g}), in {blamed['harder']} of {number * len(HARDER):,} harder ones."
    )
    say.print(
        "8 points: accuracy from 85 % to 77 %, as much less skill for log_loss and roc_auc, "
        f"{SCALE - 1:.0%} more error for mae; 4 points: half of it. {REFERENCE:,} rows of reference. "
        f"Falls below {SMALL:g} standard deviations of a row do not matter. {seconds:.0f} s."
    )
    if given.json:
        summary = {"blamed": dict(blamed), "calm": calm, "seconds": seconds, "seed": given.seed, "kinds": told}
        given.json.write_text(json.dumps(summary, indent=2) + "\n")


if __name__ == "__main__":
    main()
