"""Drift: how far each column, and the model's answers, moved from the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from controlplane.domain.monitor import Limit
from controlplane.domain.verdict import Measure
from controlplane.errors import CheckError, NotEnoughData
from controlplane.ports import MeasureSpec, Need, Sample
from controlplane.profiles import ColumnProfile
from controlplane.profiles.compare import ks, presence, total_variation
from controlplane.profiles.intervals import Figure, wilson


@dataclass(frozen=True)
class DriftParams:
    """Which columns to compare (empty: features, prediction and probability), and from which drift on a column counts
    as drifted in `drifted_share`."""

    columns: tuple[str, ...] = ()
    column_threshold: float = 0.1
    min_values: int = 30


class Drift:
    """Columns and predictions against the stored reference profile.

    `drift` is in [0, 1]: the Kolmogorov-Smirnov distance for numbers, total variation for categories, each with a 95 %
    interval. It depends on the inputs alone, so no other version could undo it. The default limit of 0.15
    fails once the interval lies wholly above it: about a third of a standard deviation, seen for sure.
    """

    name: ClassVar[str] = "drift"
    version: ClassVar[int] = 1
    Params: ClassVar[type] = DriftParams
    needs: ClassVar[frozenset[Need]] = frozenset({Need.PROFILE, Need.REFERENCE})
    measures: ClassVar[Mapping[str, MeasureSpec]] = {
        "drift": MeasureSpec("distance in [0, 1]", True, "how far a column moved from the reference"),
        "drifted_share": MeasureSpec("share", True, "share of the columns that moved for sure"),
    }
    default_limits: ClassVar[tuple[Limit, ...]] = (Limit("drift", max=0.15),)
    evidence: ClassVar[str] = "drift_check"
    replayable: ClassVar[bool] = False

    def measure(self, sample: Sample, params: DriftParams) -> Sequence[Measure]:
        """One `drift` a column, and the share of columns that drifted for sure."""
        if sample.profile is None or sample.reference is None:
            raise CheckError("drift compares with a reference; the monitor has none")
        before, after = sample.reference.profile, sample.profile
        if after.n < params.min_values:
            raise NotEnoughData(f"{after.n} rows; drift needs {params.min_values}", after.n, params.min_values)
        known = list(before.columns)
        unknown = [name for name in params.columns if name not in known]
        if unknown:
            raise CheckError(f"the reference has no column {unknown[0]!r}; it has {', '.join(known)}")
        measured = []
        for name in params.columns or known:
            figure = _distance(before[name], after[name], params.min_values)
            if figure is not None:
                detail = _moved(before[name], after[name])
                measured.append(
                    Measure(
                        "drift",
                        figure.estimate,
                        figure.n,
                        figure.low,
                        figure.high,
                        name,
                        version=sample.version,
                        detail=detail,
                    )
                )
        if not measured:
            raise NotEnoughData("no column of the reference holds values to compare")
        sure = sum(measure.low > params.column_threshold for measure in measured if measure.low is not None)
        share = wilson(sure, len(measured))
        measured.append(Measure("drifted_share", share.estimate, len(measured), None, None, version=sample.version))
        return measured


def _distance(before: ColumnProfile, after: ColumnProfile, needed: int) -> Figure | None:
    """The distance of two columns; of holding a value at all where too few do; None where neither side has rows."""
    if before.n == 0 or after.n == 0:
        return None
    if before.present < needed or after.present < needed:
        return presence(before, after)
    return total_variation(before, after) if before.bins.kind.counted else ks(before, after)


def _moved(before: ColumnProfile, after: ColumnProfile) -> str:
    """What moved, from where to where."""
    if after.present == 0:
        return f"{after.missing} of {after.n} rows hold no value"
    if not before.bins.kind.counted:
        return f"mean {before.mean:.4g} -> {after.mean:.4g}"
    if after.unseen * 2 > after.present:
        return f"unseen: {', '.join(after.examples)}"
    shares = [column.slots / max(1, column.present) for column in (before, after)]
    largest = int(np.argmax(np.abs(shares[1] - shares[0])))
    name = before.bins.categories[largest]
    return f"share of {name!r} {shares[0][largest]:.1%} -> {shares[1][largest]:.1%}"
