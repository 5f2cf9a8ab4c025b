"""Student's t for policy that may import nothing but the standard library."""

from __future__ import annotations

import math
from statistics import NormalDist


def student(level: float, freedom: int) -> float:
    """The quantile of Student's t at `level`; exact for 1 and 2 degrees of freedom.

    Above two, the expansion of Cornish and Fisher in 1 / freedom (Abramowitz and Stegun 1964, 26.7.5): at 0.975 within
    0.01, and within 0.1 % from 19 degrees of freedom on even at a level of one in six thousand.

    >>> round(student(0.975, 1), 3), round(student(0.975, 29), 3), round(student(1 - 1 / 6000, 29), 3)
    (12.706, 2.045, 4.067)
    """
    if freedom == 1:
        return math.tan(math.pi * (level - 0.5))
    if freedom == 2:
        both = 2 * level - 1
        return both * math.sqrt(2 / (1 - both * both))
    z = NormalDist().inv_cdf(level)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return math.fsum(term / math.pow(freedom, power) for power, term in enumerate(terms))
