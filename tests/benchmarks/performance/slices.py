"""How often the search finds a planted weak slice, how often it reports one where there is none, and how long it takes.

    python slices.py [--quick] [--json PATH]

20,000 rows of 12 numeric and 8 categorical columns; answers are right in 90 % of the rows, and in 75 % of those in the
planted slice, which is a range or a category of one column, or of two at once. Found means that a confirmed slice and
the planted one share at least half of the rows that lie in either (Jaccard index). Where there is none, answers are
right in 90 % everywhere (even), or in 88 to 92 % depending on six columns (uneven), which is below what matters.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from controlplane.checks.slice_report import explored
from controlplane.checks.slice_search import search
from controlplane.checks.slices import Slices, SlicesParams
from controlplane.domain.monitor import Columns, Window
from controlplane.ports import Sample

RIGHT, FALL = 0.90, 0.15
NUMERIC, CATEGORICAL = 12, 8
START = datetime(2026, 1, 1, tzinfo=UTC)
COLUMNS = Columns("at", row_id="id", prediction="said", label="truth")
FOUND, FALSE, SLOWER = 0.90, 0.05, 4.0


def features(rng: np.random.Generator, rows: int) -> dict[str, np.ndarray]:
    """Numbers of several shapes, some of them counts, and categories of 2 to 16 values, some common and some rare."""
    shapes: list[Callable[[], np.ndarray]] = [
        lambda: rng.normal(size=rows),
        lambda: rng.lognormal(sigma=1.0, size=rows),
        lambda: rng.uniform(18, 90, rows).round(),
        lambda: rng.poisson(6, rows).astype(float),
    ]
    found = {f"x{i}": shapes[i % len(shapes)]() for i in range(NUMERIC)}
    for i in range(CATEGORICAL):
        levels = 2 + 2 * i
        shares = rng.dirichlet(np.full(levels, 3.0))
        found[f"c{i}"] = np.array([f"v{j}" for j in range(levels)])[rng.choice(levels, rows, p=shares)]
    return found


def part(rng: np.random.Generator, values: np.ndarray, share: float) -> np.ndarray:
    """A range of a number, or values of a category in turn, that holds about this share of the rows."""
    if values.dtype.kind == "U":
        names, counts = np.unique(values, return_counts=True)
        return np.asarray(values == names[np.argmin(np.abs(counts / len(values) - share))])
    low = rng.uniform(0, 1 - share)
    start, end = np.quantile(values, [low, low + share])
    return np.asarray((values >= start) & (values <= end))


def planted(rng: np.random.Generator, columns: dict[str, np.ndarray], support: float, width: int) -> np.ndarray:
    """The rows of a slice over `width` columns that holds the support to a fifth; drawn until one does."""
    while True:
        names = rng.choice(list(columns), width, replace=False)
        first = part(rng, columns[names[0]], support ** (1 / width))
        if width == 1:
            slice_ = first
        else:
            left = min(support / max(first.mean(), support), 1.0)
            slice_ = first & part(rng, columns[names[1]], left)
            if left > 0.8 or first.mean() < support / 0.8:
                continue
        if 0.8 <= slice_.mean() / support <= 1.2:
            return slice_


def table(columns: dict[str, np.ndarray], right: np.ndarray, rng: np.random.Generator) -> pa.Table:
    """Logged rows whose answers are right where they should be."""
    truth = rng.integers(0, 2, len(right))
    answers = {"id": np.arange(len(right)), "said": np.where(right, truth, 1 - truth), "truth": truth}
    return pa.table({**columns, **answers})


def sample_of(rows: pa.Table, seed: int) -> Sample:
    """A window of these rows, without a reference."""
    stamped = rows.append_column("at", pa.array([START] * rows.num_rows))
    return Sample(Window(START, START + timedelta(days=1)), stamped, COLUMNS, version="1", seed=seed)


def overlap(rows: pa.Table, seed: int, slice_: np.ndarray) -> float:
    """The largest Jaccard index of a confirmed slice and the planted one."""
    names = [name for name in rows.column_names if name not in ("id", "said", "truth")]
    lost = (rows["said"].to_numpy() != rows["truth"].to_numpy()).astype(float)
    params = SlicesParams()
    found = search(rows.select(names), lost, explored(rows, sample_of(rows, seed)), params.min_support, params.matters)
    members = [one.slice.of(rows) for one in found]
    return max((float((own & slice_).sum() / (own | slice_).sum()) for own in members), default=0.0)


def power(support: float, width: int, seeds: int, rows: int = 20_000) -> list[float]:
    """The overlap with the planted slice, one a seed."""
    found = []
    for seed in range(seeds):
        rng = np.random.default_rng([seed, width, round(support * 100)])
        columns = features(rng, rows)
        slice_ = planted(rng, columns, support, width)
        right = rng.random(rows) < np.where(slice_, RIGHT - FALL, RIGHT)
        found.append(overlap(table(columns, right, rng), seed, slice_))
    return found


def false(seeds: int, uneven: bool, rows: int = 20_000) -> int:
    """How many data sets without a weak slice report any."""
    reported = 0
    for seed in range(seeds):
        rng = np.random.default_rng([seed, 99, int(uneven)])
        columns = features(rng, rows)
        right = np.full(rows, RIGHT)
        if uneven:
            ranks = [np.unique(columns[f"x{i}"], return_inverse=True)[1] for i in range(6)]
            right += 0.02 * np.mean([2 * rank / rank.max() - 1 for rank in ranks], axis=0)
        rows_ = table(columns, rng.random(rows) < right, rng)
        (count, *_) = [
            measure
            for measure in Slices().measure(sample_of(rows_, seed), SlicesParams())
            if measure.name == "weak_slices"
        ]
        reported += count.estimate > 0
    return reported


def speed(rows: int, repeats: int = 3) -> dict[str, float]:
    """Seconds of the whole check and of scikit-learn's ROC AUC on as many rows, the best of each in turn."""
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    sample = sample_of(table(features(rng, rows), rng.random(rows) < RIGHT, rng), 0)
    truth, sure = rng.integers(0, 2, rows), rng.random(rows)
    params = SlicesParams(segments=("c0", "x0", "c1 x c2"), groups=("c0",))
    times: dict[str, list[float]] = {"slices": [], "roc_auc_score": []}
    for _ in range(repeats):
        for name, work in (
            ("slices", lambda: Slices().measure(sample, params)),
            ("roc_auc_score", lambda: roc_auc_score(truth, sure)),
        ):
            begun = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - begun)
    return {name: min(taken) for name, taken in times.items()}


def main() -> None:
    """Measure, print and, where asked, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the seeds, a tenth of the rows to time")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    given = parser.parse_args()
    part_ = 10 if given.quick else 1
    shown = Table(title="Weak slices: 20,000 rows x 20 columns, accuracy 0.90, in the planted slice 0.75")
    for heading in ("", "measured", "promised"):
        shown.add_column(heading, justify="right" if heading else "left")
    figures: dict[str, Any] = {}
    for width in (1, 2):
        for support in (0.03, 0.10):
            overlaps = power(support, width, 100 // part_)
            share = sum(one >= 0.5 for one in overlaps) / len(overlaps)
            said = f"found, {support:.0%} of the rows, {width} column{'s' if width > 1 else ''}"
            figures[said] = {"share": share, "overlaps": overlaps}
            shown.add_row(said, f"{share:.0%} of {len(overlaps)}", f"at least {FOUND:.0%}")
    for name, uneven in (("even", False), ("uneven", True)):
        seeds = 300 // part_
        reported = false(seeds, uneven)
        figures[f"none, {name}"] = {"reported": reported, "of": seeds}
        shown.add_row(f"any reported where there is none, {name}", f"{reported} of {seeds}", f"at most {FALSE:.0%}")
    rows = 1_000_000 // part_
    times = speed(rows)
    figures["speed"] = {"rows": rows, **times}
    ratio = times["slices"] / times["roc_auc_score"]
    shown.add_row(
        f"whole check, {rows:,} rows, over roc_auc_score", f"{ratio:.1f} ({times['slices']:.2f} s)", f"{SLOWER:g}"
    )
    Console(width=110).print(shown)
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
