"""95 % intervals without resampling: for shares, for differences of shares, and for distances of distributions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from controlplane.profiles.kinds import Floats

Z = 1.959963984540054
_ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Figure:
    """An estimate with its 95 % interval and the number of values behind it.

    Counted in bins, a statistic's exact value lies in [estimate, estimate + hidden]; on every distinct value `hidden`
    is 0. `p_value` is that of the test the statistic belongs to, None where it has none or nobody asked.
    """

    estimate: float
    low: float
    high: float
    n: int
    hidden: float = 0.0
    p_value: float | None = None


def wilson(hits: int, n: int) -> Figure:
    """A share with Wilson's score interval (1927); the whole of [0, 1] where n is 0.

    >>> round(wilson(0, 100).high, 4)
    0.037
    """
    if n == 0:
        return Figure(0.0, 0.0, 1.0, 0)
    share, spread = hits / n, Z * Z / n
    centre = (share + spread / 2) / (1 + spread)
    half = Z / (1 + spread) * math.sqrt(share * (1 - share) / n + spread / (4 * n))
    low = 0.0 if hits == 0 else max(0.0, centre - half)
    high = 1.0 if hits == n else min(1.0, centre + half)
    return Figure(share, low, high, n)


def difference(share: Figure, base: Figure) -> Figure:
    """`share` minus `base`, two independent shares, with Newcombe's hybrid score interval (1998, method 10)."""
    delta = share.estimate - base.estimate
    low = delta - math.hypot(share.estimate - share.low, base.high - base.estimate)
    high = delta + math.hypot(share.high - share.estimate, base.estimate - base.low)
    return Figure(delta, max(-1.0, low), min(1.0, high), share.n)


@lru_cache(maxsize=512)
def dkw_radius(n: int, m: int) -> float:
    """How far the distance of two empirical distribution functions lies from that of the true ones, with 95 %.

    Each lies within T of its own truth with P(T > t) <= 2 exp(-2 n t^2) (Dvoretzky, Kiefer and Wolfowitz 1956, with
    the constant of Massart 1990), and a supremum distance moves by at most the sum of two independent such T, whose
    quantile is found numerically. It holds for every n, whatever the distributions, ties included, as long as rows are
    independent of one another; rows that come in groups (a person's, a day's) make the true interval wider.

    >>> round(dkw_radius(500, 2000), 3)
    0.082
    """
    chances = (np.arange(4000) + 0.5) / 4000
    own = np.sqrt(np.log(2 / chances) / (2 * n))
    low, high = 0.0, 2 * math.sqrt(math.log(4 / _ALPHA) / 2) * float(n**-0.5 + m**-0.5)
    for _ in range(40):
        middle = (low + high) / 2
        rest = np.maximum(middle - own, 0.0)
        if float(np.minimum(1.0, 2 * np.exp(-2 * m * rest * rest)).mean()) > _ALPHA:
            low = middle
        else:
            high = middle
    return high


def cell_noise(p: Floats, m: int, q: Floats, n: int) -> tuple[float, float]:
    """What sampling alone adds to the total variation of two sets of shares, and the spread of that distance.

    The plug-in distance of shares `p` of m and `q` of n rows is too large on average by at most half the sum of
    E(|d + N| - |d|), N the normal noise of a cell and d its true difference, of which 2 standard errors are given away;
    that sum is returned first. Around its mean the distance has normal tails no wider than those of the noisiest set of
    cells (Borell 1975), whose standard error is returned second.
    """
    smooth_p, smooth_q = (p * m + 0.5) / (m + 1), (q * n + 0.5) / (n + 1)
    spread = np.sqrt(smooth_p * (1 - smooth_p) / m + smooth_q * (1 - smooth_q) / n)
    apart = np.maximum(np.abs(p - q) / spread - 2, 0.0)
    tails = np.array([math.erfc(a / math.sqrt(2)) / 2 for a in apart])
    excess = 2 * spread * (np.exp(-apart * apart / 2) / math.sqrt(2 * math.pi) - apart * tails)
    largest_p, largest_q = max(0.5, float(smooth_p.max())), max(0.5, float(smooth_q.max()))
    return float(excess.sum()) / 2, math.sqrt(largest_p * (1 - largest_p) / m + largest_q * (1 - largest_q) / n)


def chi_squared_bound(cells: int) -> float:
    """The 97.5 % point of the chi-squared distribution with `cells` - 1 degrees of freedom (Wilson, Hilferty 1931)."""
    degrees = max(cells - 1, 1)
    part = 2 / (9 * degrees)
    return float(degrees * (1 - part + Z * math.sqrt(part)) ** 3)
