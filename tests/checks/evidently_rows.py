"""Made rows, and what Evidently's metrics measure of them as a check."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa

from controlplane.checks.evidently import Evidently, EvidentlyParams
from controlplane.checks.evidently_table import METRICS
from controlplane.domain.monitor import Columns, Window
from controlplane.domain.verdict import Measure
from controlplane.ports import Sample
from controlplane.profiles import build_reference

START = datetime(2026, 1, 1, tzinfo=UTC)
WINDOW = Window(START, START + timedelta(days=1))
COLUMNS = Columns("at", row_id="id", prediction="said", probability="sure", label="truth")
NUMERIC, COUNTED = ["age", "visits", "said", "sure"], ["city", "smoker"]
OPTIONS: Mapping[str, Any] = {
    "column": "age",
    "column_name": "age",
    "columns": ["age", "visits"],
    "left": 20,
    "right": 40,
}


def rows_of(n: int, seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    age = rng.normal(40, 12, n)
    sure = 1 / (1 + np.exp(-(age - 45) / 6))
    return pa.table(
        {
            "id": [f"{seed}-{i}" for i in range(n)],
            "at": [START] * n,
            "age": pa.array(age, mask=rng.random(n) < 0.02),
            "visits": rng.poisson(3, n),
            "city": rng.choice(np.array(["oslo", "rome", "york"]), n, p=[0.5, 0.3, 0.2]),
            "smoker": rng.random(n) < 0.25,
            "said": (sure > 0.5).astype(int),
            "sure": sure,
            "truth": (age + rng.normal(0, 10, n) > 45).astype(float),
        }
    )


@cache
def before() -> pa.Table:
    return rows_of(500, 99)


def sample_of(rows: pa.Table, reference: pa.Table | None = None, columns: Columns = COLUMNS) -> Sample:
    built = build_reference((reference or before()).to_batches, columns, "1")
    return Sample(WINDOW, rows, columns, version="1", reference=built, seed=7)


def measured(sample: Sample, *entries: Mapping[str, Any], **options: Any) -> list[Measure]:
    return list(Evidently().measure(sample, EvidentlyParams(entries, **options)))


def only(found: list[Measure]) -> Measure:
    assert len(found) == 1, found
    return found[0]


def entry_of(name: str) -> dict[str, Any]:
    """An entry that the made rows can answer."""
    entry: dict[str, Any] = {
        "metric": name,
        **{option: OPTIONS[option] for option in METRICS[name].needs if option in OPTIONS},
    }
    if name in ("CategoryCount", "UniqueValueCount", "InListValueCount", "OutListValueCount"):
        entry["column"] = "city"
    if name == "CategoryCount":
        entry["category"] = "oslo"
    if "values" in METRICS[name].needs:
        entry["values"] = ["oslo", "york"]
    return entry


def replaced(rows: pa.Table, name: str, values: Any) -> pa.Table:
    return rows.set_column(rows.column_names.index(name), name, pa.array(values))
