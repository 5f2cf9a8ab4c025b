"""What `quality` and `drift` bring to the contract suite, and every check's fixture by name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import pyarrow as pa
import samples_estimate
import samples_models
import samples_outside
import samples_serving
from fixture import Fixture

from controlplane.checks.drift import DriftParams
from controlplane.checks.evidently import EvidentlyParams
from controlplane.checks.quality import QualityParams
from controlplane.domain.monitor import Columns, Limit, Window
from controlplane.ports import Sample
from controlplane.profiles import ProfileBuilder, Reference, build_reference

START = datetime(2026, 1, 1, tzinfo=UTC)
WINDOW = Window(START, START + timedelta(days=1))
COLUMNS = Columns("at", row_id="id", prediction="said")


def rows_of(n: int, seed: int) -> pa.Table:
    """Rows of a made model: numbers, a count, categories, a flag, vectors, and its answers."""
    rng = np.random.default_rng(seed)
    age = rng.normal(40, 12, n)
    return pa.table(
        {
            "id": [f"{seed}-{i}" for i in range(n)],
            "at": [START] * n,
            "age": pa.array(age, mask=rng.random(n) < 0.02),
            "visits": rng.poisson(3, n),
            "city": rng.choice(np.array(["oslo", "rome", "york"]), n, p=[0.5, 0.3, 0.2]),
            "smoker": rng.random(n) < 0.25,
            "scan": pa.array(list(rng.normal(size=(n, 4))), pa.list_(pa.float64(), 4)),
            "said": (age + rng.normal(0, 5, n) > 45).astype(int),
        }
    )


@cache
def _reference() -> Reference:
    return build_reference(rows_of(3000, seed=10_000).to_batches, COLUMNS, "1", cap=500)


def sample_of(rows: pa.Table, reference: Reference | None = None, seed: int = 0) -> Sample:
    """The sample a check is handed for these rows."""
    reference = reference or _reference()
    builder = ProfileBuilder(reference.profile.bins)
    for batch in rows.to_batches():
        builder.add(batch)
    return Sample(WINDOW, rows, COLUMNS, version="1", profile=builder.build(), reference=reference, seed=seed)


def _quiet(seed: int) -> Sample:
    return sample_of(rows_of(600, seed), seed=seed)


def _few(n: int, seed: int) -> Sample:
    return sample_of(rows_of(n, seed), seed=seed)


def _rebuild(sample: Sample, rows: pa.Table) -> Sample:
    return sample_of(rows, sample.reference, sample.seed)


def _replaced(rows: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return rows.set_column(rows.column_names.index(name), name, values)


def _older(size: float, seed: int) -> Sample:
    """Everybody is up to two standard deviations older."""
    rows = rows_of(600, seed)
    age = rows["age"].combine_chunks().to_numpy(zero_copy_only=False) + 24 * size
    return sample_of(_replaced(rows, "age", pa.array(age, from_pandas=True)), seed=seed)


def _forgotten(size: float, seed: int) -> Sample:
    """Up to every age is lost; the rows of a smaller size are among those of a larger."""
    rows = rows_of(600, seed)
    lost = np.random.default_rng(seed).random(600) < size
    age = rows["age"].combine_chunks().to_numpy(zero_copy_only=False)
    return sample_of(_replaced(rows, "age", pa.array(np.where(lost, np.nan, age), from_pandas=True)), seed=seed)


_WATCHED = ("age", "visits", "city", "smoker", "scan", "said")
FIXTURES = {
    "quality": Fixture(
        measure="missing_increase",
        quiet=_quiet,
        harm=_forgotten,
        few=lambda seed: _few(0, seed),
        min_rows=1,
        params=QualityParams(),
        hostile=_WATCHED,
        rebuild=_rebuild,
    ),
    "drift": Fixture(
        measure="drift",
        quiet=_quiet,
        harm=_older,
        few=lambda seed: _few(29, seed),
        min_rows=30,
        params=DriftParams(),
        hostile=_WATCHED,
        rebuild=_rebuild,
    ),
    "evidently": Fixture(
        measure="ValueDrift",
        quiet=_quiet,
        harm=_older,
        few=lambda seed: _few(0, seed),
        min_rows=1,
        params=EvidentlyParams(
            (
                {"metric": "ValueDrift", "column": "age", "method": "wasserstein"},
                {"metric": "ValueStats", "column": "city"},
                {"metric": "MeanValue", "column": "visits", "by": "smoker"},
                {"metric": "CorrelationMatrix", "kind": "pearson"},
                {"metric": "DriftedColumnsCount"},
            )
        ),
        hostile=_WATCHED,
        rebuild=_rebuild,
        limits=(Limit("ValueDrift", max=0.3),),
        apart=True,
    ),
    **samples_models.FIXTURES,
    **samples_estimate.FIXTURES,
    **samples_outside.FIXTURES,
    **samples_serving.FIXTURES,
}
