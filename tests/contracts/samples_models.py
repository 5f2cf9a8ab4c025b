"""What `performance` and `evasion` bring to the contract suite: known models, known answers, harm by the row."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
from fixture import Fixture

from controlplane.checks.attack import EvasionParams
from controlplane.checks.performance import PerformanceParams
from controlplane.checks.slices import SlicesParams
from controlplane.domain.monitor import Columns, Window
from controlplane.models.inputs import Inputs
from controlplane.models.tabular import Tabular
from controlplane.models.torch import Torch
from controlplane.ports import Sample
from controlplane.profiles import Reference, build_reference

START = datetime(2026, 1, 1, tzinfo=UTC)
WINDOW = Window(START, START + timedelta(days=1))
ANSWERED = Columns("at", row_id="id", prediction="said", probability="sure", label="truth", features=("a", "b"))
SEEN = Columns("at", row_id="id", label="digit", features=("pixels",))


@cache
def _classifier() -> Tabular:
    """A logistic regression fitted on the rule that `_answered` draws its labels from."""
    from sklearn.linear_model import LogisticRegression

    rows = _answered(2000, seed=99, estimator=None)
    features = rows.select(["a", "b"]).to_pandas()
    estimator = LogisticRegression().fit(features, rows["truth"].to_numpy())
    return Tabular("1", estimator, Inputs("1", columns=("a", "b")))


def _answered(n: int, seed: int, estimator: Tabular | None) -> pa.Table:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=n), rng.normal(size=n)
    truth = (a + 0.5 * b + 0.3 * rng.logistic(size=n) > 0).astype(int)
    columns: dict[str, Any] = {"id": np.arange(n), "at": [START] * n, "a": a, "b": b, "truth": truth}
    rows = pa.table(columns)
    if estimator is None:
        return rows
    rows = rows.append_column("said", pa.array(estimator.predict(rows)))
    sure = estimator.probabilities(rows)
    assert sure is not None
    return rows.append_column("sure", pa.array(sure[:, 1]))


def performance(seed: int, n: int = 600) -> Sample:
    model = _classifier()
    before = _answered(2000, seed=1000 + seed, estimator=model)
    reference = build_reference(before.to_batches, ANSWERED, "1")
    rows = _answered(n, seed, model)
    return Sample(WINDOW, rows, ANSWERED, version="1", reference=reference, model=model, seed=seed)


def _worse_answers(size: float, seed: int) -> Sample:
    """Half of the rows at most answer the other class; the rows of a smaller size are among those of a larger."""
    sample = performance(seed)
    said = sample.rows["said"].to_numpy()
    order = np.random.default_rng(seed).permutation(len(said))
    turned = order < size * 0.5 * len(said)
    at = sample.rows.column_names.index("said")
    return replace(sample, rows=sample.rows.set_column(at, "said", pa.array(np.where(turned, 1 - said, said))))


SLICED = Columns("at", row_id="id", prediction="said", probability="sure", label="truth", features=("a", "town"))


def _in_towns(n: int, seed: int) -> pa.Table:
    """Answers that are right in nine rows of ten, whichever town they come from."""
    rng = np.random.default_rng(seed)
    sure = np.where(rng.random(n) < 0.5, 0.9, 0.1)
    return pa.table(
        {
            "id": [f"{seed}-{i}" for i in range(n)],
            "at": [START] * n,
            "a": rng.normal(size=n),
            "town": rng.choice(np.array(["bonn", "oslo", "rome", "york", "nice"]), n, p=[0.15, 0.15, 0.15, 0.15, 0.4]),
            "said": (sure > 0.5).astype(int),
            "sure": sure,
            "truth": (rng.random(n) < sure).astype(int),
        }
    )


@cache
def _towns_before() -> Reference:
    return build_reference(_in_towns(4000, seed=5000).to_batches, SLICED, "1")


def _sliced(seed: int, n: int = 3000) -> Sample:
    return Sample(WINDOW, _in_towns(n, seed), SLICED, version="1", reference=_towns_before(), seed=seed)


def _bad_towns(size: float, seed: int) -> Sample:
    """Two of three answers turn wrong in one town, then in two, then in four."""
    sample = _sliced(seed)
    towns = ["bonn", "oslo", "rome", "york"][: round(4 * size)]
    turned = np.isin(sample.rows["town"].to_numpy(), towns) & (np.random.default_rng(seed).random(3000) < 0.67)
    said = sample.rows["said"].to_numpy()
    at = sample.rows.column_names.index("said")
    return replace(sample, rows=sample.rows.set_column(at, "said", pa.array(np.where(turned, 1 - said, said))))


@cache
def _seer() -> Torch:
    """Two classes: is the left half of the image brighter than the right? Its margin is known, row by row."""
    import torch

    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 2))
    with torch.no_grad():
        left = torch.tensor([1.0, 1.0, -1.0, -1.0]).repeat(4)
        net[1].weight.copy_(torch.stack([left, -left]))
        net[1].bias.zero_()
    return Torch("1", net.eval(), Inputs("1", shape=(-1, 1, 4, 4)))


def evasion(seed: int, n: int = 200, shrink: float = 0.0) -> Sample:
    """Images whose halves differ by up to 0.6 on average; `shrink` of 1 leaves hardly a difference to attack."""
    rng = np.random.default_rng(seed)
    digit = rng.integers(0, 2, n)
    gap = rng.uniform(0.25, 0.6, n) * (1 - 0.95 * shrink)
    side = np.tile([1.0, 1.0, -1.0, -1.0], 4)
    pixels = 0.5 + np.where(digit == 0, 1, -1)[:, None] * gap[:, None] / 2 * side
    vectors = pa.array(list(pixels.astype(np.float32)), pa.list_(pa.float32()))
    rows = pa.table({"id": np.arange(n), "at": [START] * n, "pixels": vectors, "digit": digit})
    return Sample(WINDOW, rows, SEEN, version="1", model=_seer(), seed=seed)


FIXTURES = {
    "performance": Fixture(
        measure="accuracy",
        quiet=performance,
        harm=_worse_answers,
        few=lambda seed: performance(seed, n=20),
        min_rows=30,
        params=PerformanceParams(),
        hostile=("a", "said", "sure", "truth"),
    ),
    "slices": Fixture(
        measure="weak_slices",
        quiet=_sliced,
        harm=_bad_towns,
        few=lambda seed: _sliced(seed, n=20),
        min_rows=30,
        params=SlicesParams(segments=("town", "a", "town x a"), groups=("town",)),
        hostile=("a", "town", "said", "sure", "truth"),
    ),
    "evasion": Fixture(
        measure="robust_accuracy",
        quiet=evasion,
        harm=lambda size, seed: evasion(seed, shrink=size),
        few=lambda seed: evasion(seed, n=20),
        min_rows=30,
        params=EvasionParams(),
        hostile=("pixels", "digit"),
    ),
}
