"""Metrics of other distributions: entry points of the group `controlplane.metrics`.

A metric is a function `(labels, predictions, probabilities) -> values` of arrays of n rows, whose values are one number
a row; their mean is the metric. It bears what it measures as its attribute `spec`:

    def missed(labels, predictions, probabilities):
        return 500.0 * ((labels == 1) & (predictions == 0))

    missed.spec = MeasureSpec("EUR", higher_is_worse=True, meaning="what missed cases cost a row")

Labels and predictions are float64 or text, shape (n,); probabilities are (n, k), of two classes the second is the
positive one, or None where there are none. The name of the entry point is the metric's name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import numpy as np

from controlplane.errors import CheckError, masked
from controlplane.ports import MeasureSpec

GROUP = "controlplane.metrics"


@dataclass(frozen=True, slots=True)
class Custom:
    """An installed metric; what goes wrong in it becomes one sentence that names it."""

    name: str
    spec: MeasureSpec
    function: Callable[[np.ndarray, np.ndarray, np.ndarray | None], Any]

    def __call__(self, labels: np.ndarray, predictions: np.ndarray, probabilities: np.ndarray | None) -> np.ndarray:
        """Its values, shape (n,), of arrays that it cannot change; raises CheckError."""
        try:
            given = self.function(
                _kept(labels), _kept(predictions), None if probabilities is None else _kept(probabilities)
            )
            values = np.asarray(given, dtype=np.float64)
        except Exception as error:
            raise CheckError(f"metric {self.name!r} failed: {_one_line(error)}") from None
        if values.shape != labels.shape:
            raise CheckError(
                f"metric {self.name!r} must give one number a row, shape {labels.shape}; it gave {values.shape}"
            )
        broken = int(np.count_nonzero(~np.isfinite(values)))
        if broken:
            raise CheckError(f"metric {self.name!r} gave {broken} of {len(values)} values that are not finite numbers")
        return values


@cache
def _points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def names() -> tuple[str, ...]:
    """Every installed metric; a process looks once."""
    return tuple(sorted(_points()))


def load(name: str) -> Custom:
    """An installed metric by its name; raises CheckError where it cannot be used, KeyError where there is none."""
    point = _points()[name]
    try:
        function = point.load()
    except Exception as error:
        raise CheckError(f"metric {name!r} cannot be loaded from {point.value!r}: {_one_line(error)}") from None
    spec = getattr(function, "spec", None)
    if not callable(function) or not isinstance(spec, MeasureSpec):
        raise CheckError(
            f"metric {name!r} must be a function that bears a controlplane.ports.MeasureSpec as its 'spec'"
        )
    return Custom(name, spec, function)


def spec(name: str) -> MeasureSpec:
    """What an installed metric measures; of one that cannot be used, why, so that it stands in no other's way."""
    try:
        return load(name).spec
    except CheckError as problem:
        return MeasureSpec("unknown", True, str(problem))


def _kept(array: np.ndarray) -> np.ndarray:
    view = array.view()
    view.flags.writeable = False
    return view


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(masked(str(error)).split())}".rstrip(": ")
