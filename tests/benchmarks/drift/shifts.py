"""Shifts to plant in a stream: mean, spread, shape, category mix and missingness, each at three sizes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from streams import Day, Floats, Rng, Stream

SIZES: dict[str, tuple[float, float, float]] = {
    "mean": (0.25, 0.5, 1.0),
    "spread": (1.25, 1.5, 2.0),
    "shape": (0.25, 0.5, 1.0),
    "mix": (0.1, 0.2, 0.4),
    "missing": (0.02, 0.05, 0.2),
    "several means": (0.125, 0.25, 0.5),
}
"""Standard deviations to add, factor on the spread, share of rows that become bimodal with the same mean and spread,
share of rows that take the second most common category, share of values that go missing, and standard deviations added
to four columns at once."""

NAMES = ("small", "medium", "large")


@dataclass(frozen=True)
class Shift:
    """One kind of shift at one size, as it happens to `columns`."""

    kind: str
    size: float
    columns: tuple[str, ...]

    def apply(self, day: Day, rng: Rng, normal: dict[str, tuple[float, float]], second: dict[str, float]) -> Day:
        """The day with the shift; `normal` holds each number's mean and standard deviation, `second` each category's
        second most common code, both of the reference. Columns of whole numbers stay whole, by random rounding."""
        values = dict(day.values)
        for name in self.columns:
            before = values[name]
            if self.kind == "mix":
                values[name] = np.where(rng.random(len(before)) < self.size, second[name], before)
            elif self.kind == "missing":
                values[name] = np.where(rng.random(len(before)) < self.size, np.nan, before)
            else:
                after = self._moved(before, rng, *normal[name])
                whole = bool(np.all(np.isnan(before) | (before == np.rint(before))))
                values[name] = np.floor(after + rng.random(len(after))) if whole else after
        return Day(values)

    def _moved(self, values: Floats, rng: Rng, mean: float, std: float) -> Floats:
        if self.kind == "spread":
            return mean + self.size * (values - mean)
        if self.kind == "shape":
            peaks = rng.choice([-1.0, 1.0], len(values)) * np.sqrt(1 - 0.2**2)
            bimodal = mean + std * (peaks + 0.2 * rng.standard_normal(len(values)))
            return np.where((rng.random(len(values)) < self.size) & ~np.isnan(values), bimodal, values)
        return values + self.size * std


def shifts_for(stream: Stream, draw: int) -> dict[tuple[str, str], Shift]:
    """Every kind and size by name; which column it happens to rotates with the number of the drawing."""
    number = stream.numbers[draw % len(stream.numbers)]
    category = stream.categories[draw % len(stream.categories)]
    targets = {"mix": (category,), "several means": stream.together}
    return {
        (kind, name): Shift(kind, size, targets.get(kind, (number,)))
        for kind, sizes in SIZES.items()
        for name, size in zip(NAMES, sizes, strict=True)
    }


def known(reference: list[Day], stream: Stream) -> tuple[dict[str, tuple[float, float]], dict[str, float]]:
    """Mean and standard deviation of each number, and the second most common code of each category."""
    normal, second = {}, {}
    for name, kind in stream.kinds.items():
        values = np.concatenate([day.values[name] for day in reference])
        values = values[~np.isnan(values)]
        if isinstance(kind, tuple):
            second[name] = float(np.argsort(np.bincount(values.astype(int), minlength=2))[-2])
        else:
            normal[name] = (float(values.mean()), float(values.std()))
    return normal, second
