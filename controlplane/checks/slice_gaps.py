"""Gaps between groups: how far the best treated and the worst treated of them are apart, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from controlplane.checks.moments import Moments, by_code
from controlplane.domain.verdict import Measure

NAMED = 5


def gap_between(
    name: str, column: str, values: np.ndarray, codes: np.ndarray, names: Sequence[str], least: int, share: bool
) -> tuple[Measure | None, str]:
    """The largest difference between groups in the mean of `values`, shape (n,), and which groups were left out.

    None where fewer than two groups have `least` rows. Its interval holds whichever pair turned out to be the extreme
    one: the differences of all pairs have intervals that hold together in 95 % (Bonferroni), and the largest true gap
    lies between the largest of their lower ends and the largest of their upper ones.

    >>> rated, sexes = np.array([1.0, 1.0, 0.0, 1.0, 0.0, 0.0]), np.array([0, 0, 0, 1, 1, 1])
    >>> measure, left_out = gap_between("rate_gap", "sex", rated, sexes, ("sex=f", "sex=m"), 2, share=True)
    >>> round(measure.estimate, 3), measure.detail
    (0.333, '0.667 for sex=f (n=3), 0.333 for sex=m (n=3)')
    """
    every = by_code(values, codes, len(names), share)
    groups = {said: one for said, one in zip(names, every, strict=True) if one.n >= least}
    few = few_rows([(said, one.n) for said, one in zip(names, every, strict=True) if 0 < one.n < least], least)
    if len(groups) < 2:
        return None, few
    ranked = sorted(groups, key=lambda said: groups[said].mean)
    worst, best = groups[ranked[0]], groups[ranked[-1]]
    low, high = _interval(list(groups.values()))
    estimate = best.mean - worst.mean
    detail = f"{best.mean:.3g} for {ranked[-1]} (n={best.n}), {worst.mean:.3g} for {ranked[0]} (n={worst.n})"
    n = sum(one.n for one in groups.values())
    detail += f"; left out: {few}" if few else ""
    return Measure(name, estimate, n, min(low, estimate), max(high, estimate), column, detail=detail), few


def few_rows(counts: Sequence[tuple[str, int]], least: int) -> str:
    """Groups with too few rows, in words; empty for none.

    >>> few_rows([("sex=x", 3), ("sex is missing", 0)], 30)
    'sex=x has 3 rows, sex is missing has 0 rows (30 are needed)'
    """
    if not counts:
        return ""
    said = ", ".join(f"{name} has {n} row{'' if n == 1 else 's'}" for name, n in counts[:NAMED])
    more = f" and {len(counts) - NAMED} more have too few" if len(counts) > NAMED else ""
    return f"{said}{more} ({least} are needed)"


def _interval(groups: Sequence[Moments]) -> tuple[float, float]:
    pairs = list(combinations(groups, 2))
    confidence = 1 - 0.05 / len(pairs)
    ends = [one.minus(other, confidence) for one, other in pairs]
    lows = [max(low, -high) for low, high in ends]
    highs = [max(high, -low) for low, high in ends]
    return max(0.0, *lows), max(highs)
