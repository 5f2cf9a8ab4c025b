"""Quality: whether the rows still look like rows of this model, before anything is made of their values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from controlplane.domain.monitor import Limit
from controlplane.domain.verdict import Measure
from controlplane.errors import CheckError, NotEnoughData
from controlplane.ports import MeasureSpec, Need, Sample
from controlplane.profiles import ColumnProfile, Kind
from controlplane.profiles.compare import infinite_rate, missing_increase, missing_rate, out_of_range_rate, unseen_rate
from controlplane.profiles.intervals import Figure
from controlplane.profiles.scores import Statistic


@dataclass(frozen=True)
class QualityParams:
    """Columns to leave out."""

    ignore: tuple[str, ...] = ()


class Quality:
    """Schema, missing values, infinities, ranges and categories against the reference.

    The counts of missing and retyped columns are exact; rates carry the Wilson interval, the increase of missing values
    Newcombe's. By default no column may be gone or have another type (a vector of another length is one), no value may
    be infinite, and the other rates may not surely pass 5 %. Time leaves every reference behind, so the range of a
    datetime column is not held against it.
    """

    name: ClassVar[str] = "quality"
    version: ClassVar[int] = 1
    Params: ClassVar[type] = QualityParams
    needs: ClassVar[frozenset[Need]] = frozenset({Need.PROFILE, Need.REFERENCE})
    measures: ClassVar[Mapping[str, MeasureSpec]] = {
        "missing_columns": MeasureSpec("columns", True, "columns of the reference that the window lacks"),
        "type_changes": MeasureSpec("columns", True, "columns whose type cannot be read as the reference's"),
        "missing_rate": MeasureSpec("share of rows", True, "rows without a value"),
        "missing_increase": MeasureSpec("share of rows", True, "rows without a value, more than in the reference"),
        "infinite_rate": MeasureSpec("share of values", True, "infinite values"),
        "out_of_range_rate": MeasureSpec("share of values", True, "values outside the reference's range"),
        "unseen_rate": MeasureSpec("share of values", True, "values in categories the reference never had"),
    }
    default_limits: ClassVar[tuple[Limit, ...]] = (
        Limit("missing_columns", max=0),
        Limit("type_changes", max=0),
        Limit("missing_increase", max=0.05),
        Limit("infinite_rate", max=0.0),
        Limit("out_of_range_rate", max=0.05),
        Limit("unseen_rate", max=0.05),
    )
    budget_limits: ClassVar[tuple[Limit, ...]] = (
        Limit("missing_columns", max=0),
        Limit("type_changes", max=0),
        Limit("infinite_rate", max=0.0),
    )
    scored: ClassVar[tuple[str, ...]] = ()
    most_blocks: ClassVar[int | None] = None
    evidence: ClassVar[str] = "data_quality"
    replayable: ClassVar[bool] = False

    def measure(self, sample: Sample, params: QualityParams) -> Sequence[Measure]:
        """The schema's counts, and each column's rates."""
        if sample.profile is None or sample.reference is None:
            raise CheckError("quality compares with a reference; the monitor has none")
        before, after = sample.reference.profile, sample.profile
        if not after.comparable(before):
            raise CheckError("the window was profiled against another reference than the one it is compared with")
        if after.n == 0:
            raise NotEnoughData("no rows")
        gone = [name for name in after.missing_columns if name not in params.ignore]
        changed = [f"{name} is {kind}" for name, kind in after.type_changed.items() if name not in params.ignore]
        changed += [
            f"{name} holds {column.wrong_length} vectors of another length than {column.bins.length}"
            for name, column in after.columns.items()
            if column.wrong_length and name not in params.ignore
        ]
        measured = [
            Measure("missing_columns", float(len(gone)), after.n, version=sample.version, detail=", ".join(gone)),
            Measure("type_changes", float(len(changed)), after.n, version=sample.version, detail=", ".join(changed)),
        ]
        unreadable = {*after.missing_columns, *after.type_changed, *params.ignore}
        for name, column in after.columns.items():
            if name not in unreadable:
                measured += [
                    Measure(rate, fig.estimate, fig.n, fig.low, fig.high, name, None, sample.version, detail)
                    for rate, fig, detail in _rates(before[name], column)
                ]
        # A window without any column of a kind has no such trouble; a limit on it is then kept, not unmeasured.
        found = {measure.name for measure in measured}
        measured += [Measure(rate, 0.0, 0, version=sample.version) for rate in self.measures if rate not in found]
        return measured

    def statistics(self, sample: Sample, params: QualityParams, measures: Sequence[Measure]) -> Sequence[Statistic]:
        """Nothing: what fails for certain needs no evidence, and what moves is watched by `drift`."""
        return ()


def _rates(before: ColumnProfile, after: ColumnProfile) -> Iterator[tuple[str, Figure, str]]:
    yield "missing_rate", missing_rate(after), ""
    yield "missing_increase", missing_increase(before, after), ""
    if after.bins.kind.counted:
        yield "unseen_rate", unseen_rate(after), ", ".join(after.examples)
    elif after.bins.kind is not Kind.DATETIME:
        yield "infinite_rate", infinite_rate(after), ""
        moved = f"{after.low:.4g} to {after.high:.4g}, before {before.low:.4g} to {before.high:.4g}"
        yield "out_of_range_rate", out_of_range_rate(after), moved
