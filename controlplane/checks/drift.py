"""Drift: how far each column, and the model's answers, moved from the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from controlplane.domain.monitor import Limit
from controlplane.domain.verdict import Measure
from controlplane.errors import CheckError, NotEnoughData
from controlplane.ports import MeasureSpec, Need, Sample
from controlplane.profiles import ColumnProfile, Kind
from controlplane.profiles.compare import jensen_shannon, ks, presence, total_variation
from controlplane.profiles.figures import psi_of
from controlplane.profiles.intervals import Figure
from controlplane.profiles.pairs import binned_pair
from controlplane.profiles.scores import MOMENTS, Statistic, statistics
from controlplane.profiles.shift import describe_shift
from controlplane.profiles.transport import wasserstein


@dataclass(frozen=True)
class DriftParams:
    """Which columns to compare (empty: features, prediction and probability, but for dates, which always move on), by
    which statistic, and from which drift on a column counts as drifted in `drifted_share`.

    `psi` and `wasserstein` (in standard deviations; psi for categories) have no upper end and want limits of their own.
    A column with fewer than `min_values` values is compared by whether it holds any.
    """

    columns: tuple[str, ...] = ()
    statistic: Literal["auto", "total_variation", "jensen_shannon", "psi", "wasserstein"] = "auto"
    column_threshold: float = 0.1
    min_values: int = 30


class Drift:
    """Columns and predictions against the stored reference profile.

    `drift` is in [0, 1]: by default the Kolmogorov-Smirnov distance for numbers and total variation for categories,
    each with a 95 % interval. A column that is gone, or came with another type, is compared as one without values. It
    depends on the inputs alone, so no other version could undo it. The default limit of 0.15 fails once the interval
    lies wholly above it: about a third of a standard deviation, seen for sure.
    """

    name: ClassVar[str] = "drift"
    version: ClassVar[int] = 1
    Params: ClassVar[type] = DriftParams
    needs: ClassVar[frozenset[Need]] = frozenset({Need.PROFILE, Need.REFERENCE})
    measures: ClassVar[Mapping[str, MeasureSpec]] = {
        "drift": MeasureSpec("distance", True, "how far a column moved from the reference"),
        "drifted_share": MeasureSpec("share", True, "share of the columns that moved for sure"),
    }
    default_limits: ClassVar[tuple[Limit, ...]] = (Limit("drift", max=0.15),)
    budget_limits: ClassVar[tuple[Limit, ...]] = ()
    scored: ClassVar[tuple[str, ...]] = ("missing", *MOMENTS, "share")
    most_blocks: ClassVar[int | None] = None
    evidence: ClassVar[str] = "drift_check"
    replayable: ClassVar[bool] = False

    def measure(self, sample: Sample, params: DriftParams) -> Sequence[Measure]:
        """One `drift` a column, and the share of columns that drifted for sure."""
        if sample.profile is None or sample.reference is None:
            raise CheckError("drift compares with a reference; the monitor has none")
        before, after = sample.reference.profile, sample.profile
        if not after.comparable(before):
            raise CheckError("the window was profiled against another reference than the one it is compared with")
        if after.n < params.min_values:
            raise NotEnoughData(f"{after.n} rows; drift needs {params.min_values}", after.n, params.min_values)
        known = list(before.columns)
        unknown = [name for name in params.columns if name not in known]
        if unknown:
            raise CheckError(f"the reference has no column {unknown[0]!r}; it has {', '.join(known)}")
        measured = []
        for name in params.columns or [name for name in known if before[name].bins.kind is not Kind.DATETIME]:
            if before[name].n:
                fig, moved = _compare(before[name], after[name], params)
                measured.append(
                    Measure("drift", fig.estimate, fig.n, fig.low, fig.high, name, None, sample.version, moved)
                )
        if not measured:
            raise NotEnoughData("no column of the reference holds values to compare")
        sure = sum(measure.low > params.column_threshold for measure in measured if measure.low is not None)
        measured.append(Measure("drifted_share", sure / len(measured), len(measured), version=sample.version))
        return measured

    def statistics(self, sample: Sample, params: DriftParams, measures: Sequence[Measure]) -> Sequence[Statistic]:
        """Location, spread, skew and tails of each number, the common shares of each category, and missing values."""
        if sample.profile is None or sample.reference is None:
            raise CheckError("drift compares with a reference; the monitor has none")
        before = sample.reference.profile
        return statistics(before, sample.profile, params.columns or tuple(before.columns), "drift")


def _compare(before: ColumnProfile, after: ColumnProfile, params: DriftParams) -> tuple[Figure, str]:
    """The distance of two columns and what moved, in words; of holding a value at all where too few rows do."""
    if min(before.present, after.present) < params.min_values:
        held = f"{after.present} of {after.n} rows hold a value, before {before.present} of {before.n}"
        gone = "; the column is gone or came with another type" if after.absent == after.n else ""
        return presence(before, after), held + gone
    counted = before.bins.kind.counted
    moved = describe_shift(before, after)
    if params.statistic == "jensen_shannon":
        return jensen_shannon(before, after), moved
    if params.statistic == "total_variation" or (counted and params.statistic == "auto"):
        return total_variation(before, after), moved
    if params.statistic == "auto":
        return ks(before, after), moved
    if params.statistic == "wasserstein" and before.finite and after.finite:
        return wasserstein(before, after), moved
    if counted or (before.finite and after.finite):
        return psi_of(*binned_pair(before, after).cells), moved
    return presence(before, after), moved
