"""Our detector, through the product's own functions: profile, statistics, calibration, promise and evidence."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pyarrow as pa
from streams import TIME

from controlplane.profiles import Profile, ProfileBuilder, fit_bins
from controlplane.profiles.blocks import collect
from controlplane.profiles.calibration import calibrate
from controlplane.profiles.detector import EDetector, accumulate
from controlplane.profiles.promise import promise
from controlplane.profiles.scores import statistics

CHECK, MIN_EFFECT = "drift", 0.05


class Ours:
    """Pages once the evidence reaches the threshold that keeps the budget on the reference's own blocks."""

    name = "Control Plane"

    def fit(self, reference: list[pa.Table], budget_windows: float, seed: int) -> None:
        """Profile the reference and each of its days, and calibrate on them."""
        self._bins = fit_bins(lambda: (batch for table in reference for batch in table.to_batches()), ignored=[TIME])
        profiles = [self._profile(table) for table in reference]
        whole = profiles[0]
        for profile in profiles[1:]:
            whole = whole.merge(profile)
        self._reference, self._columns = whole, tuple(whole.columns)
        starts = [_start(table) for table in reference]
        found = [{CHECK: statistics(whole, profile, self._columns, CHECK)} for profile in profiles]
        blocks = collect(timedelta(days=1), starts, found)
        self._calibration = calibrate(blocks, MIN_EFFECT)
        self._threshold = promise(blocks, budget_windows, MIN_EFFECT, seed).threshold
        self._names = [(key.check, key.name, key.column, side) for side in (1, -1) for key in self._calibration.keys]
        self._state = EDetector()

    def step(self, window: pa.Table) -> bool:
        """Score the window and fold it in; after a page the evidence starts afresh."""
        found = statistics(self._reference, self._profile(window), self._columns, CHECK)
        scores = self._calibration.score_statistics(found, CHECK, _start(window)).ravel()
        told = {name: float(score) for name, score in zip(self._names, scores, strict=True) if np.isfinite(score)}
        self._state = accumulate(self._state, told, self._threshold)
        paged = bool(self._state.alarms)
        if paged:
            self._state = EDetector()
        return paged

    def _profile(self, table: pa.Table) -> Profile:
        builder = ProfileBuilder(self._bins)
        for batch in table.to_batches():
            builder.add(batch)
        return builder.build()


def _start(table: pa.Table) -> float:
    day = table[TIME][0].as_py().replace(hour=0, minute=0, second=0, microsecond=0)
    return float(day.timestamp())
