"""Distances of two sets of counts in the same cells, as they are: no noise taken off, no interval."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from controlplane.profiles.kinds import Floats


def tv_distance(one: npt.ArrayLike, two: npt.ArrayLike) -> float:
    """Total variation: half the sum of the absolute differences of two sets of counts, each first made to sum to 1.

    >>> tv_distance([3, 1], [1, 3])
    0.5
    """
    p, q = shares(one), shares(two)
    return float(np.abs(p - q).sum() / 2)


def js_distance(one: npt.ArrayLike, two: npt.ArrayLike, base: float = 2.0) -> float:
    """Jensen-Shannon distance (Lin 1991): the root of the divergence of two sets of counts, each made to sum to 1.

    In bits it lies in [0, 1]. scipy and Evidently take `base` e unless told otherwise, which makes theirs smaller by
    the root of ln 2.

    >>> js_distance([1, 0], [0, 1]), round(js_distance([1, 0], [0, 1], math.e), 4)
    (1.0, 0.8326)
    """
    p, q = shares(one), shares(two)
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = [np.where(side > 0, side * np.log2(side / middle), 0.0).sum() for side in (p, q)]
    return math.sqrt(max(0.0, float(sum(parts)) / 2 * math.log(2) / math.log(base)))


def stability_index(one: npt.ArrayLike, two: npt.ArrayLike) -> float:
    """Population stability index: the sum of (q - p) ln(q / p), the symmetric divergence of Jeffreys (1946).

    An empty cell would make it infinite. As in Evidently it counts as a share of 0.0001, or as a millionth of the
    smallest share that is held where that one is no larger than 0.0001.

    >>> round(stability_index([50, 30, 20], [30, 30, 40]), 4)
    0.2408
    """
    p, q = _filled(shares(one)), _filled(shares(two))
    return float(np.sum((q - p) * np.log(q / p)))


def chi_squared(one: npt.ArrayLike, two: npt.ArrayLike, known: bool = False) -> tuple[float, int]:
    """Pearson's chi-squared (1900) and its degrees of freedom.

    By default it tests whether two samples come from one distribution, so that the first one's own sampling error
    counts too. With `known` the first is taken for the truth and the second is tested against it, as Evidently does:
    a category that the first lacks is then impossible and makes the statistic infinite.

    >>> chi_squared([30, 10], [10, 30]), chi_squared([20, 20], [10, 30], known=True)
    ((20.0, 1), (10.0, 1))
    """
    first, second = np.asarray(one, np.float64), np.asarray(two, np.float64)
    held = (first + second) > 0
    first, second = first[held], second[held]
    if known:
        expected = first * (second.sum() / first.sum())
        with np.errstate(divide="ignore"):
            return float(np.sum(np.square(second - expected) / expected)), len(first) - 1
    both = first + second
    apart = np.square(first * second.sum() - second * first.sum()) / both
    return float(apart.sum() / (first.sum() * second.sum())), len(first) - 1


def shares(counts: npt.ArrayLike) -> Floats:
    """The counts divided by their sum."""
    numbers = np.asarray(counts, np.float64)
    divided: Floats = numbers / numbers.sum()
    return divided


def _filled(part: Floats) -> Floats:
    least = float(part[part > 0].min())
    return np.where(part > 0, part, least / 1e6 if least <= 1e-4 else 1e-4)
