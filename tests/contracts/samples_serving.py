"""What `serving` brings to the contract suite: rows with the requests they came with, some of which fail."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import cache

import numpy as np
import pyarrow as pa
import samples_models
from fixture import Fixture

from controlplane.checks.serving import ServingParams
from controlplane.domain.monitor import Columns
from controlplane.errors import SourceError
from controlplane.ports import Sample
from controlplane.profiles import Reference, build_reference
from controlplane.profiles.requests import RequestBuilder, Requests, answered

COLUMNS = Columns("at", row_id="id", status="status", latency="ms", request="call")


def _rows(n: int, seed: int, failing: float = 0.01) -> pa.Table:
    """`n` requests of two rows each over a day."""
    rng = np.random.default_rng(seed)
    took, luck = rng.lognormal(3, 0.6, n), rng.random(n)
    at = [samples_models.START + timedelta(seconds=int(second)) for second in np.sort(rng.integers(0, 86_400, n))]
    rows = pa.table(
        {
            "at": pa.array(at, pa.timestamp("us", "UTC")),
            "call": [f"{seed}-{i}" for i in range(n)],
            "status": np.where(luck < failing, 503, 200),
            "ms": took,
            "x": rng.normal(size=n),
        }
    ).take(pa.array(np.repeat(np.arange(n), 2)))
    return rows.append_column("id", pa.array([f"{seed}-{i}" for i in range(2 * n)]))


def _requests(rows: pa.Table) -> Requests:
    builder = RequestBuilder(COLUMNS, 100_000)
    for batch in rows.to_batches():
        builder.add(batch)
    return builder.build()


@cache
def _before() -> Reference:
    rows = _rows(2000, seed=10_000)
    return replace(build_reference(answered(rows, COLUMNS).to_batches, COLUMNS, "1"), requests=_requests(rows))


def _rebuild(sample: Sample, rows: pa.Table) -> Sample:
    """Rows whose requests a source could not read never come to a check."""
    try:
        return replace(sample, rows=rows, requests=_requests(rows))
    except SourceError:
        return replace(sample, rows=rows, requests=None)


def _asked(n: int, seed: int, failing: float = 0.01) -> Sample:
    empty = Sample(samples_models.WINDOW, pa.table({}), COLUMNS, version="1", reference=_before(), seed=seed)
    return _rebuild(empty, _rows(n, seed, failing))


FIXTURES = {
    "serving": Fixture(
        measure="error_rate",
        quiet=lambda seed: _asked(800, seed),
        harm=lambda size, seed: _asked(800, seed, 0.01 + 0.4 * size),
        few=lambda seed: _asked(0, seed),
        min_rows=1,
        params=ServingParams(),
        hostile=("status", "ms", "call"),
        rebuild=_rebuild,
        apart=True,
    ),
}
