"""A fixed grid of one-column slices for the page budget: the same in every block of a reference and every window."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from controlplane.checks.moments import Moments, by_code
from controlplane.checks.slice_answers import Answered, losses
from controlplane.checks.slice_cuts import cut_of
from controlplane.errors import CheckError
from controlplane.ports import Sample
from controlplane.profiles.scores import COMMON_SHARE, LEAST_VARIANCE, Statistic

if TYPE_CHECKING:
    from controlplane.checks.slices import SlicesParams

QUARTERS, MOST_VALUES = 4, 5
LEAST_ROWS = 10


def statistics(now: Answered, sample: Sample, params: SlicesParams) -> list[Statistic]:
    """How much worse the metric is in each slice of the grid than in the rest; a rise is harmful.

    The slices are the quarters of each numeric feature of the reference and the common values (5 % and more, at most
    five) of each other one, and the rows without a value. One with fewer than 10 rows in this window is left out.
    """
    reference = sample.reference
    if reference is None:
        return []
    lost = losses(now, params.measured_by)
    before, rows, found = reference.rows, now.rows, []
    for name in sample.columns.features_of(before.column_names):
        if name not in rows.column_names or name not in before.column_names:
            continue
        cut = cut_of(name, before[name], QUARTERS, MOST_VALUES, math.ceil(COMMON_SHARE * before.num_rows))
        if cut is None:
            continue
        try:
            codes = cut.codes(rows[name])
        except CheckError:
            # Another type is for `quality` to say; it has no slices to compare.
            continue
        groups = by_code(lost, codes, cut.size)
        for code, (said, own) in enumerate(zip(cut.names, groups, strict=True)):
            rest = _without(groups, code)
            if own.n < LEAST_ROWS or rest is None:
                continue
            spread = max(own.error(rest) ** 2 * own.n, LEAST_VARIANCE)
            found.append(Statistic(f"slice_gap in {said}", own.mean - rest.mean, own.n, spread, None, 1, "slice_gap"))
    return found


def _without(groups: list[Moments], code: int) -> Moments | None:
    """The moments of all other groups together, None where they have too few rows."""
    others = [one for place, one in enumerate(groups) if place != code and one.n]
    n = sum(one.n for one in others)
    if n < LEAST_ROWS:
        return None
    mean = sum(one.n * one.mean for one in others) / n
    squares = sum((one.n - 1) * one.variance + one.n * (one.mean - mean) ** 2 for one in others)
    return Moments(n, mean, squares / (n - 1))
