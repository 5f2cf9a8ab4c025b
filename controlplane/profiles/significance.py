"""p-values: how often rows that did not change, and do not depend on one another, would lie this far apart.

Rows of one window do depend on one another, so nothing here pages anybody; it is for people who compare two tables.
"""

from __future__ import annotations

import math

import numpy as np

from controlplane.profiles.column import ColumnProfile
from controlplane.profiles.compare import on_line

_EXACT = 10_000
_SERIES = 1_000


def ks_p_value(reference: ColumnProfile, current: ColumnProfile, distance: float) -> float:
    """Of the two-sample Kolmogorov-Smirnov test, two-sided: scipy's, exact up to 10,000 rows a side.

    Beyond that, and of counts in bins, by the limiting distribution with the finite-sample correction of Simard and
    L'Ecuyer (2011). A distance that bins made smaller gives too large a p-value, never too small a one.
    """
    from scipy.stats import ks_2samp, kstwo

    one, two = on_line(reference), on_line(current)
    m, n = int(one.sum()), int(two.sum())
    whole = not (one[1:-1:2].any() or two[1:-1:2].any())
    if whole and max(m, n) <= _EXACT:
        points = np.concatenate(([-np.inf], reference.bins.edges, [np.inf]))
        sides = (np.repeat(points, np.concatenate((side[:1], side[2:-2:2], side[-1:]))) for side in (one, two))
        return float(ks_2samp(*sides).pvalue)
    rows = round(m * n / (m + n))
    if rows >= _SERIES and rows * distance**2 >= 2.2:
        return _ks_tail(distance, rows)
    return float(np.clip(kstwo.sf(distance, rows), 0.0, 1.0))


def _ks_tail(distance: float, n: int) -> float:
    """Twice the one-sided tail, by the series of Chang (1956).

    Within 1e-7 of scipy's, whose own sum over all rows takes most of a second a column where a million moved.
    """
    z = distance * math.sqrt(n)
    square = z * z
    terms = (
        1.0,
        -2 * z / 3 / math.sqrt(n),
        2 * square / 3 / n * (1 - 2 * square / 3),
        4 * z / 9 / n**1.5 * (1 / 5 - 19 * square / 15 + 2 * square * square / 3),
    )
    return min(1.0, max(0.0, 2 * math.exp(-2 * square) * math.fsum(terms)))


def chi_squared_p_value(statistic: float, degrees: int) -> float:
    """The upper tail of the chi-squared distribution; 1 without a degree of freedom.

    >>> round(chi_squared_p_value(3.841459, 1), 4), chi_squared_p_value(0.0, 0)
    (0.05, 1.0)
    """
    from scipy.special import chdtrc

    return float(chdtrc(degrees, statistic)) if degrees else 1.0


def proportions_p_value(hits: int, n: int, hits_before: int, m: int) -> float:
    """Of the two-proportion z-test with the pooled variance, two-sided; 1 where the pool does not vary.

    >>> round(proportions_p_value(15, 100, 5, 100), 4)
    0.0184
    """
    pooled = (hits + hits_before) / (n + m)
    error = math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    return math.erfc(abs(hits / n - hits_before / m) / error / math.sqrt(2)) if error else 1.0
