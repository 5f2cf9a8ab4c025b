"""Runs in the peers' own environment (nannyml, river): `python peers_child.py adwin|nannyml IN OUT`.

Talks in files only, so that neither side has to have the other's libraries.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"

import numpy as np

STEPS = 12


def alarms(series: Any, delta: float) -> Any:
    """Whether ADWIN saw a change at each step of each row of `series`; it starts afresh after each, by itself."""
    from river.drift import ADWIN

    seen = np.zeros(series.shape, bool)
    for row in np.flatnonzero(np.ptp(series, axis=1)):
        detector = ADWIN(delta=delta, clock=1)
        for step, value in enumerate(series[row].tolist()):
            detector.update(value)
            if detector.drift_detected:
                seen[row, step] = True
    return seen


def adwin(given: Path, out: Path) -> None:
    """Pages of ADWIN at its default delta and at the largest delta that pages no more often than `target`.

    `calm` holds drawings x columns x days of which the first `start` are the reference; `shifted` the rows to run again
    with a planted shift, all of equal length. Each day is one value, so the clock is 1: with river's 32 it would look
    once in 32 days.
    """
    with np.load(given) as data:
        calm, start, target = data["calm"], int(data["start"]), float(data["target"])
        shifted, horizon = data["shifted"], data["shifted"].shape[1] if data["shifted"].ndim == 2 else 0
    flat = calm.reshape(-1, calm.shape[-1])

    def pages(delta: float) -> Any:
        return alarms(flat, delta).reshape(calm.shape)[:, :, start:]

    default = pages(0.002)
    low, high = -40.0, 0.0
    tuned, delta = pages(10.0**low), 10.0**low
    for _ in range(STEPS):
        middle = (low + high) / 2
        tried = pages(10.0**middle)
        if tried.any(axis=1).sum() <= target:
            low, tuned, delta = middle, tried, 10.0**middle
        else:
            high = middle
    again = {
        "shifted_default": alarms(shifted, 0.002) if horizon else np.zeros((0, 0), bool),
        "shifted_tuned": alarms(shifted, delta) if horizon else np.zeros((0, 0), bool),
    }
    np.savez(out, default=default, tuned=tuned, delta=delta, **again)


def nannyml(given: Path, out: Path) -> None:
    """NannyML's own alerts on days: the reference in `reference.parquet`, the windows in `windows.parquet`."""
    import nannyml as nml
    import pandas as pd

    reference, windows = (pd.read_parquet(given / f"{name}.parquet") for name in ("reference", "windows"))
    columns = [name for name in reference.columns if name != "at"]
    methods = {
        "continuous_methods": ["jensen_shannon", "kolmogorov_smirnov", "wasserstein"],
        "categorical_methods": ["jensen_shannon"],
    }
    told = {}
    for name, calculator in (
        ("drift", nml.UnivariateDriftCalculator(columns, timestamp_column_name="at", chunk_period="D", **methods)),
        ("missing", nml.MissingValuesCalculator(columns, timestamp_column_name="at", chunk_period="D")),
    ):
        found = calculator.fit(reference).calculate(windows).filter(period="analysis").to_df()
        kept = [column for column in found.columns if column[-1] in ("value", "alert", "upper_threshold")]
        told[name] = {"/".join(column): found[column].astype(float).tolist() for column in kept}
    out.write_text(json.dumps(told))


if __name__ == "__main__":
    {"adwin": adwin, "nannyml": nannyml}[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
