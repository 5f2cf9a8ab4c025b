"""Rates of rare events, with an interval that holds however few there were."""

from __future__ import annotations


def poisson_interval(count: int) -> tuple[float, float]:
    """The exact 95 % interval of a Poisson mean of which `count` was seen (Garwood 1936).

    >>> [round(bound, 3) for bound in poisson_interval(3)]
    [0.619, 8.767]
    """
    from scipy.special import gammaincinv

    low = float(gammaincinv(count, 0.025)) if count else 0.0
    return low, float(gammaincinv(count + 1, 0.975))
