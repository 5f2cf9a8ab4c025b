"""The memoryless peers: one number a window that a single threshold turns into pages.

Evidently: for references of more than 1,000 rows its DataDriftPreset takes the Wasserstein distance over the standard
deviation for numbers and the Jensen-Shannon distance for categories, each with a threshold of 0.1; the data set drifts
when half of the columns do. NannyML: Kolmogorov-Smirnov, Wasserstein and Jensen-Shannon distances and the share of
missing values, each with a threshold of three standard deviations over the reference's own days. Bonferroni: one test
a column and one of its missing values, at 5 % over all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from distances import (
    Binned,
    Exact,
    Windows,
    categories,
    chi_square_surprise,
    histograms,
    jensen_shannon,
    ks_surprise,
    windows,
)
from streams import Day, Floats, Kind

DEFAULTS = {
    "Evidently, any column": 1.0,
    "Evidently, preset": 1.0,
    "NannyML, JS": 3.0,
    "NannyML, KS+W+JS+missing": 3.0,
    "Bonferroni KS and chi-square": -math.log10(0.05),
}
"""Every memoryless peer and the threshold that it pages above when nobody tunes it."""

EVIDENTLY, NANNYML_JS, NANNYML_ALL, TESTS = range(4)
EVIDENTLY_THRESHOLD = 0.1
FEW_INTEGERS, FEW_VALUES, MANY_ROWS = 10, 5, 10_000


@dataclass(frozen=True)
class _Spread:
    """Mean and standard deviation of a statistic over the reference's days, in NannyML's way."""

    mean: float
    std: float

    def above(self, statistic: Floats) -> Floats:
        return (statistic - self.mean) / max(self.std, 1e-9)


class Column:
    """One column of a reference, ready to be compared with windows."""

    def __init__(self, reference: list[Floats], kind: Kind) -> None:
        found = windows(reference)
        values = found.values
        self._present, self._nulls = len(values), int(found.nulls.sum())
        self._known, counts = np.unique(values, return_counts=True)
        self._counts = counts.astype(float)
        self._counted = isinstance(kind, tuple)
        few = len(self._known) <= (FEW_INTEGERS if kind == "int" else FEW_VALUES)
        self._evidently_counts = self._counted or few
        if not self._counted:
            self._exact, self._std = Exact(values), max(float(values.std()), 0.001)
            self._binned = Binned(values) if len(values) >= MANY_ROWS else None
            self._edges = np.histogram_bin_edges(values, bins="doane")
            self._histogram = np.histogram(values, self._edges)[0].astype(float)
        self._spreads = [_Spread(float(s.mean()), float(s.std())) for s in self._nannyml(found)]

    def measure(self, column: list[Floats]) -> Floats:
        """Of each window: Evidently's distance over its threshold, NannyML's Jensen-Shannon and largest excess in
        standard deviations, and the -log10 of the least p-value."""
        found = windows(column)
        excess = [spread.above(s) for spread, s in zip(self._spreads, self._nannyml(found), strict=True)]
        excess[-1] = np.abs(excess[-1])
        by_test = [self._surprise(found), self._missing_surprise(found)]
        evidently = self._evidently(found) / EVIDENTLY_THRESHOLD
        return np.stack([evidently, excess[0], np.max(excess, axis=0), np.max(by_test, axis=0)], axis=1)

    def _evidently(self, found: Windows) -> Floats:
        if self._evidently_counts:
            return jensen_shannon(self._counts, categories(found, self._known))
        return self._exact.wasserstein(found) / self._std

    def _nannyml(self, found: Windows) -> list[Floats]:
        missing = found.nulls / (found.sizes + found.nulls)
        if self._counted:
            return [jensen_shannon(self._counts, categories(found, self._known), 2), missing]
        shannon = jensen_shannon(self._histogram, histograms(found, self._edges), 2)
        if self._binned is None:
            return [shannon, self._exact.ks(found), self._exact.wasserstein(found), missing]
        return [shannon, *self._binned.both(found), missing]

    def _surprise(self, found: Windows) -> Floats:
        if self._counted:
            return chi_square_surprise(self._counts, categories(found, self._known))
        return ks_surprise(self._exact.ks(found), self._present, found.sizes)

    def _missing_surprise(self, found: Windows) -> Floats:
        before = np.array([self._present, self._nulls], float)
        nothing = np.zeros_like(found.sizes)
        return chi_square_surprise(before, np.stack([found.sizes, found.nulls, nothing], axis=1))


class Reference:
    """A reference as the memoryless peers keep it."""

    def __init__(self, days: list[Day], kinds: dict[str, Kind]) -> None:
        self._columns = {name: Column([day.values[name] for day in days], kind) for name, kind in kinds.items()}

    def measure(self, days: list[Day]) -> Floats:
        """Windows x columns x 4."""
        return np.stack([self.column(name, days) for name in self._columns], axis=1)

    def column(self, name: str, days: list[Day]) -> Floats:
        """Windows x 4 of one column."""
        return self._columns[name].measure([day.values[name] for day in days])

    def place(self, name: str) -> int:
        """Where among the columns of `measure` this one is."""
        return list(self._columns).index(name)


def scores(measured: Floats) -> dict[str, Floats]:
    """What each peer compares with its threshold, from windows x columns x 4."""
    columns = measured.shape[1]
    half = np.sort(measured[:, :, EVIDENTLY], axis=1)[:, columns - math.ceil(columns / 2)]
    largest = measured.max(axis=1)
    values = [
        largest[:, EVIDENTLY],
        half,
        largest[:, NANNYML_JS],
        largest[:, NANNYML_ALL],
        largest[:, TESTS] - math.log10(2 * columns),
    ]
    return dict(zip(DEFAULTS, values, strict=True))
