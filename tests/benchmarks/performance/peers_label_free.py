"""Runs in the peers' own environment: `python peers_label_free.py REFERENCE WINDOWS TIMES LABEL`, two Parquet files.

Estimates each chunk of the windows (column `chunk`) by NannyML's CBPE, fitted once on the reference, and answers with
one line of JSON: by metric and chunk its value and its confidence boundaries, and the seconds it all took.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"

import pandas as pd
from nannyml import CBPE


def main() -> None:
    """Answer for both metrics."""
    answers, sys.stdout = sys.stdout, sys.stderr
    reference, windows = (pd.read_parquet(path) for path in sys.argv[1:3])
    started = time.perf_counter()
    estimator = CBPE(
        y_pred_proba="y_pred_proba",
        y_pred="y_pred",
        y_true=sys.argv[4],
        timestamp_column_name=sys.argv[3],
        problem_type="classification_binary",
        metrics=["accuracy", "roc_auc"],
        chunk_number=1,
    ).fit(reference)
    found: dict[str, dict[str, list[float]]] = {"accuracy": {}, "roc_auc": {}}
    for chunk, rows in windows.groupby("chunk", sort=False):
        table: Any = estimator.estimate(rows.reset_index(drop=True)).filter(period="analysis").to_df()
        for metric, by_chunk in found.items():
            columns = ("value", "lower_confidence_boundary", "upper_confidence_boundary")
            by_chunk[str(chunk)] = [float(table[metric][column].iloc[0]) for column in columns]
    answers.write(json.dumps({"seconds": time.perf_counter() - started, **found}) + "\n")


if __name__ == "__main__":
    main()
