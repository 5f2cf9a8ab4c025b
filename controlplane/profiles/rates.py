"""Rates of rare events, with an interval that holds however few there were."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """How many events came in how much time: `estimate` per unit of it, and its exact 95 % interval."""

    events: int
    time: float
    estimate: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, events: int, time: float) -> Rate:
        """The rate of a Poisson process watched for `time` units; in no time nothing is known of it.

        >>> rate = Rate.of(3, 2.0)
        >>> rate.estimate, round(rate.low, 3), round(rate.high, 3)
        (1.5, 0.309, 4.384)
        """
        if time <= 0:
            return cls(events, 0.0, None, None, None)
        low, high = poisson_interval(events)
        return cls(events, time, events / time, low / time, high / time)


def poisson_interval(count: int) -> tuple[float, float]:
    """The exact 95 % interval of a Poisson mean of which `count` was seen (Garwood 1936)."""
    from scipy.special import gammaincinv

    low = float(gammaincinv(count, 0.025)) if count else 0.0
    return low, float(gammaincinv(count + 1, 0.975))
