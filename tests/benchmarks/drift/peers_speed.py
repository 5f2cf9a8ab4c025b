"""Runs in the peers' own environment: `python peers_speed.py REFERENCE CURRENT`, two Parquet files.

Reads names of peers from standard input, one a line, and answers each with one line of JSON: the seconds that comparing
took, and the most memory (MB) this process has held so far. What can be prepared from the reference alone is not timed.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"

import pandas as pd


def evidently(reference: Any, current: Any) -> Callable[[], object]:
    """DataDriftPreset with its defaults."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    names = list(reference.select_dtypes("number").columns)
    definition = DataDefinition(
        numerical_columns=names, categorical_columns=[name for name in reference.columns if name not in names]
    )
    before, after = (Dataset.from_pandas(rows, data_definition=definition) for rows in (reference, current))
    return lambda: Report([DataDriftPreset()]).run(after, before)


def nannyml(reference: Any, current: Any) -> Callable[[], object]:
    """`calculate` of its univariate drift, the window as one chunk."""
    from nannyml import UnivariateDriftCalculator

    calculator = UnivariateDriftCalculator(
        column_names=list(reference.columns),
        continuous_methods=["kolmogorov_smirnov", "wasserstein", "jensen_shannon"],
        categorical_methods=["jensen_shannon"],
        chunk_number=1,
    ).fit(reference)
    return lambda: calculator.calculate(current)


def main() -> None:
    """Answer one peer after another."""
    answers, sys.stdout = sys.stdout, sys.stderr
    reference, current = (pd.read_parquet(path) for path in sys.argv[1:])
    known = {"evidently": evidently, "nannyml": nannyml}
    ready: dict[str, Callable[[], object]] = {}
    for line in sys.stdin:
        name = line.strip()
        if name not in ready:
            ready[name] = known[name](reference, current)
        started = time.perf_counter()
        ready[name]()
        took = time.perf_counter() - started
        held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        answers.write(json.dumps({"seconds": took, "peak_mb": held}) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
