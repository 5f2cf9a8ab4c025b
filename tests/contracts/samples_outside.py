"""What `calibration`, `ood` and `ood_energy` bring to the contract suite: answers and inputs that leave what was."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pyarrow as pa
import samples_models
from fixture import Fixture

from controlplane.checks.calibration import CalibrationParams
from controlplane.checks.ood import OodParams
from controlplane.checks.ood_energy import OodEnergyParams
from controlplane.domain.monitor import Columns
from controlplane.ports import Sample
from controlplane.profiles import Reference, build_reference


def _replaced(sample: Sample, name: str, values: np.ndarray) -> Sample:
    at = sample.rows.column_names.index(name)
    return replace(sample, rows=sample.rows.set_column(at, name, pa.array(values)))


def _too_sure(size: float, seed: int) -> Sample:
    """The probability of the positive class is told too high by up to two in its logit."""
    sample = samples_models.performance(seed)
    sure = sample.rows["sure"].to_numpy()
    return _replaced(sample, "sure", 1 / (1 + np.exp(-2 * size) * (1 - sure) / sure))


PEOPLE = Columns("at", row_id="id")


def _people(n: int, seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    age = rng.normal(40, 12, n)
    return pa.table(
        {
            "id": [f"{seed}-{i}" for i in range(n)],
            "at": [samples_models.START] * n,
            "age": pa.array(age, mask=rng.random(n) < 0.02),
            "visits": rng.poisson(np.maximum(age, 1) / 15),
            "city": rng.choice(np.array(["oslo", "rome", "york"]), n, p=[0.5, 0.3, 0.2]),
            "smoker": rng.random(n) < 0.25,
            "scan": pa.array(list(rng.normal(size=(n, 4))), pa.list_(pa.float64(), 4)),
        }
    )


@cache
def _before() -> Reference:
    return build_reference(_people(3000, seed=10_000).to_batches, PEOPLE, "1")


def _inside(seed: int, n: int = 600) -> Sample:
    return Sample(samples_models.WINDOW, _people(n, seed), PEOPLE, version="1", reference=_before(), seed=seed)


def _ancient(size: float, seed: int) -> Sample:
    """Up to half of the people are 400 years old; those of a smaller size are among those of a larger."""
    sample = _inside(seed)
    old = np.random.default_rng(seed).random(600) < size / 2
    return _replaced(sample, "age", np.where(old, 400.0, 40.0))


@cache
def _clear() -> Reference:
    return build_reference(samples_models.evasion(10_000, 600).rows.to_batches, samples_models.SEEN, "1")


def _images(seed: int, n: int = 200, shrink: float = 0.0) -> Sample:
    """Images whose halves differ less than those of the reference; `shrink` of 1 leaves hardly a difference."""
    return replace(samples_models.evasion(seed, n, shrink), reference=_clear())


FIXTURES = {
    "calibration": Fixture(
        measure="calibration_error",
        quiet=samples_models.performance,
        harm=_too_sure,
        few=lambda seed: samples_models.performance(seed, n=20),
        min_rows=30,
        params=CalibrationParams(),
        hostile=("a", "said", "sure", "truth"),
    ),
    "ood": Fixture(
        measure="ood_excess",
        quiet=_inside,
        harm=_ancient,
        few=lambda seed: _inside(seed, n=20),
        min_rows=30,
        params=OodParams(),
        hostile=("age", "visits", "city", "smoker", "scan"),
    ),
    "ood_energy": Fixture(
        measure="ood_excess",
        quiet=_images,
        harm=lambda size, seed: _images(seed, shrink=size),
        few=lambda seed: _images(seed, n=20),
        min_rows=30,
        params=OodEnergyParams(),
        hostile=("pixels",),
    ),
}
