"""How many requests look like nothing in the reference, by their distance to its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from controlplane.checks import ood_share
from controlplane.checks.ood_distance import Distances, learn
from controlplane.checks.scored import statistics_of
from controlplane.domain.monitor import Limit
from controlplane.domain.verdict import Measure
from controlplane.errors import CheckError
from controlplane.ports import MeasureSpec, Need, Sample
from controlplane.profiles.kinds import Floats
from controlplane.profiles.scores import Statistic

_TOLD_ROWS = 200
_TOLD_COLUMNS = 3


@dataclass(frozen=True, slots=True)
class OodParams:
    """`columns` to measure by (empty: the features, but for dates, which always move on); the `quantile` of held-out
    reference rows past which a row is out; how many rows are needed."""

    columns: tuple[str, ...] = ()
    quantile: float = 0.99
    min_rows: int = 30

    def __post_init__(self) -> None:
        if not 0.5 <= self.quantile < 1:
            raise ValueError(f"quantile must lie between 0.5 and 1, not {self.quantile:g}")
        if self.min_rows < 1:
            raise ValueError(f"min_rows must be at least 1, not {self.min_rows}")


class Ood:
    """The share of rows out of the reference's distribution, one row at a time.

    A row is out where it lies farther from the reference than nearly all of its own rows do (see `ood_distance`): by a
    value past the range, a category that never was, or values that are usual alone and never met together. Drift is
    another question: a shift of many rows within what the reference knows leaves every one of them in.

    The threshold is set on rows of the reference that the distance was not learnt from; `ood_excess` is what the window
    has more than those. By default it fails where that surely passes 5 points.
    """

    name: ClassVar[str] = "ood"
    version: ClassVar[int] = 1
    Params: ClassVar[type] = OodParams
    needs: ClassVar[frozenset[Need]] = frozenset({Need.ROWS, Need.REFERENCE})
    measures: ClassVar[Mapping[str, MeasureSpec]] = ood_share.MEASURES
    default_limits: ClassVar[tuple[Limit, ...]] = (Limit("ood_excess", max=0.05),)
    budget_limits: ClassVar[tuple[Limit, ...]] = ()
    scored: ClassVar[tuple[str, ...]] = ("ood_share",)
    most_blocks: ClassVar[int | None] = None
    evidence: ClassVar[str] = "ood_rate"
    replayable: ClassVar[bool] = False

    def measure(self, sample: Sample, params: OodParams) -> Sequence[Measure]:
        """The share of rows that are out, and how much more than of the reference; raises NotEnoughData, CheckError."""
        if sample.reference is None:
            raise CheckError("ood compares with a reference; the monitor has none")
        rows = sample.rows
        ood_share.enough(rows.num_rows, params.min_rows, "rows")
        distances = learn(sample.reference, params.columns, params.quantile)
        scores = distances.of(rows)
        out = distances.ruler.out(scores)
        detail = _told(distances, rows, scores, out) if out.any() else ""
        return ood_share.measures(out, distances.ruler, params.quantile, sample.version, detail)

    def statistics(self, sample: Sample, params: OodParams, measures: Sequence[Measure]) -> Sequence[Statistic]:
        """The share of rows that are out: a mean of rows, whose excess differs from it by a constant alone.

        A block of the reference holds rows that the distance was learnt from, which are out less often: at most by half
        of 1 - quantile, which at the default is the least effect that a page budget holds against a window.
        """
        return statistics_of(measures, self.scored, self.measures, sample.version)


def _told(distances: Distances, rows: pa.Table, scores: Floats, out: np.ndarray) -> str:
    """Which columns put the farthest rows where they are, in words."""
    farthest = np.argsort(-scores, kind="stable")[: min(int(out.sum()), _TOLD_ROWS)]
    parts, beyond = distances.parts(rows.take(pa.array(np.sort(farthest))))
    more = np.maximum(parts - distances.usual, 0.0)
    # By share of each row, so that one row at the end of the world does not speak for all.
    shares = (more / np.maximum(more.sum(axis=1, keepdims=True), 1e-12)).mean(axis=0)
    names = list(distances.columns)
    said = []
    for place in np.argsort(-shares, kind="stable")[:_TOLD_COLUMNS]:
        if shares[place] >= 0.1:
            why = "values the reference does not hold" if beyond[:, place].mean() > 0.5 else "unusual beside the others"
            said.append(f"{names[place]} ({shares[place]:.0%}, {why})")
    return f"; the farthest differ most in {', '.join(said)}" if said else ""
