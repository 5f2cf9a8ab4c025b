"""How long the labelled checks take on a window of scored rows, beside scikit-learn's ROC AUC of the same rows.

    python speed.py [--quick] [--rows N] [--repeats N] [--json PATH]

`performance` measures every metric with its interval and its difference to a reference of 20,000 labelled rows;
`slices` searches all columns for weak slices. Each is timed in one process, in turn with `roc_auc_score` on the same
labels and probabilities; every figure is a median.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.table import Table
from sklearn.metrics import roc_auc_score

from controlplane import ports
from controlplane.domain.monitor import Columns, Window
from controlplane.errors import ConfigError
from controlplane.ports import Sample
from controlplane.profiles import build_reference

NUMERIC, CATEGORICAL = 12, 8
REFERENCE = 20_000
START = datetime(2026, 1, 1, tzinfo=UTC)
WINDOW = Window(START, START + timedelta(days=1))
COLUMNS = Columns("at", row_id="id", prediction="said", probability="sure", label="truth")
PROMISED = {"performance": 3.0, "both": 10.0}


def scored(rows: int, seed: int) -> pa.Table:
    """Numbers and categories, labels that follow two of each, and the answers of a model that knows half of that."""
    rng = np.random.default_rng(seed)
    numbers = {f"x{index}": rng.normal(size=rows) for index in range(NUMERIC)}
    codes = [rng.integers(0, 2 + 2 * index, rows) for index in range(CATEGORICAL)]
    known = numbers["x0"] + (codes[0] == 0)
    sure = 1 / (1 + np.exp(0.5 - known))
    truth = (known + numbers["x1"] + (codes[1] == 0) - 0.75 + rng.logistic(size=rows) > 0).astype(int)
    names = pa.array([f"v{index}" for index in range(2 * CATEGORICAL)])
    return pa.table(
        {
            **numbers,
            **{f"c{index}": names.take(pa.array(code)) for index, code in enumerate(codes)},
            "id": np.arange(rows) + seed * 10**9,
            "at": pa.array([START]).take(pa.array(np.zeros(rows, dtype=np.int64))),
            "said": (sure > 0.5).astype(int),
            "sure": sure,
            "truth": truth,
        }
    )


def works(rows: int) -> dict[str, Callable[[], object]]:
    """What is timed, by name; a check that is not there is left out."""
    window = scored(rows, 1)
    reference = build_reference(scored(REFERENCE, 0).to_batches, COLUMNS, "1", REFERENCE)
    sample = Sample(WINDOW, window, COLUMNS, version="1", reference=reference)
    labels, sure = window["truth"].to_numpy(), window["sure"].to_numpy()
    found: dict[str, Callable[[], object]] = {"roc_auc_score": lambda: roc_auc_score(labels, sure)}
    for name in ("performance", "slices"):
        try:
            check = ports.load("checks", name)()
        except ConfigError:
            continue
        found[name] = lambda check=check: check.measure(sample, check.Params())
    return found


def in_turn(given: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Wall seconds of each, once a round, after one round that does not count."""
    times: dict[str, list[float]] = {name: [] for name in given}
    for counted in [False] + [True] * repeats:
        for name, work in given.items():
            started = time.perf_counter()
            work()
            if counted:
                times[name].append(time.perf_counter() - started)
    return times


def main() -> None:
    """Measure, print and, where asked, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows, three rounds")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=Path, help="also write every time here")
    given = parser.parse_args()
    rows, repeats = (given.rows // 10, 3) if given.quick else (given.rows, given.repeats)
    times = in_turn(works(rows), repeats)
    middle = {name: median(taken) for name, taken in times.items()}
    if "slices" in middle:
        times["both"] = [sum(pair) for pair in zip(times["performance"], times["slices"], strict=True)]
        middle["both"] = median(times["both"])
    shown = Table(title=f"{rows:,} labelled rows x {NUMERIC + CATEGORICAL} columns, median of {repeats}")
    for heading in ("", "seconds", "min - max", "measured", "promised"):
        shown.add_column(heading, justify="right" if heading else "left")
    for name, taken in times.items():
        ratio = "" if name == "roc_auc_score" else f"{middle[name] / middle['roc_auc_score']:.2f} x roc_auc_score"
        promised = f"at most {PROMISED[name]:g}" if name in PROMISED else ""
        shown.add_row(name, f"{middle[name]:.3f}", f"{min(taken):.3f} - {max(taken):.3f}", ratio, promised)
    Console(width=110).print(shown)
    if given.json:
        figures: dict[str, Any] = {"rows": rows, "seconds": times, "median": middle}
        figures |= {"cores": os.cpu_count(), "machine": platform.machine()}
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
