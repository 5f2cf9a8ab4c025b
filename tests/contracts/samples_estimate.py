"""What `estimated_performance` brings to the contract suite: windows without labels that get harder to answer."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import samples_models
from fixture import Fixture

from controlplane.checks.estimate import EstimateParams
from controlplane.ports import Sample


def _unlabelled(seed: int, n: int = 600, harder: float = 0.0) -> Sample:
    """Rows of the reference's own world, drawn `harder` towards where the model is in doubt: at 1 they all are."""
    sample = samples_models.performance(seed, n)
    model, rows = sample.model, sample.rows.drop_columns(["said", "sure", "truth"])
    assert model is not None
    for name in ("a", "b"):
        near = rows[name].to_numpy() * (1 - 0.9 * harder)
        rows = rows.set_column(rows.column_names.index(name), name, pa.array(near))
    sure = model.probabilities(rows)
    assert sure is not None
    rows = rows.append_column("said", pa.array(model.predict(rows))).append_column("sure", pa.array(sure[:, 1]))
    return replace(sample, rows=rows)


FIXTURES = {
    "estimated_performance": Fixture(
        measure="estimated_accuracy_vs_baseline",
        quiet=_unlabelled,
        harm=lambda size, seed: _unlabelled(seed, harder=size),
        few=lambda seed: _unlabelled(seed, n=20),
        min_rows=30,
        params=EstimateParams(),
        hostile=("a", "said", "sure"),
        sizes=(0.3, 0.5, 0.7),
    ),
}
