"""What a stretch of requests comes to: how many failed, how long the answered ones took, how many rows they had."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc

from controlplane.checks import intervals
from controlplane.domain.monitor import Window
from controlplane.profiles.kinds import Floats
from controlplane.profiles.requests import AT, FAILED, LATENCY, ROWS, STATUS, Requests

_TOLD = 3


@dataclass(frozen=True, eq=False)
class Asked:
    """`n` requests at `rate`, of which `known` tell their status and `errors` are errors; `told` says which, in words.

    `latencies` (milliseconds, sorted) and `rows` are those of answered requests; `seconds` is the time they came in.
    """

    n: int
    rate: float
    known: int
    errors: int
    told: str
    latencies: Floats
    rows: Floats
    seconds: float

    @classmethod
    def of(cls, requests: Requests, window: Window, errors_from: int, whole: bool = False) -> Asked:
        """Sum up requests; `whole`: they are all of the window. Others lie in stretches as long, and as placed, as
        the window is, of which those without any request are left out: a reference may have gaps."""
        table = requests.table
        statuses = table[STATUS]
        errors = statuses.filter(pc.fill_null(pc.greater_equal(statuses, errors_from), False))
        counts = sorted(((one["counts"], one["values"]) for one in pc.value_counts(errors).to_pylist()), reverse=True)
        answered = table.filter(pc.less(pc.fill_null(statuses, 0), FAILED))
        length = (window.end - window.start).total_seconds()
        stretches = 1
        if not whole:
            micros = table[AT].drop_null().cast("int64").to_numpy()
            placed = np.floor_divide(micros / 1e6 - window.start.timestamp(), length)
            stretches = len(np.unique(placed))
        return cls(
            table.num_rows,
            requests.rate,
            table.num_rows - statuses.null_count,
            len(errors),
            ", ".join(f"{count} of status {status}" for count, status in counts[:_TOLD]),
            np.sort(answered[LATENCY].drop_null().to_numpy()),
            answered[ROWS].to_numpy().astype(np.float64),
            length * stretches,
        )

    def quantile(self, share: float) -> tuple[float, intervals.Interval] | None:
        """A quantile of the latencies with its interval; None of too few."""
        if len(self.latencies) < intervals.fewest(share):
            return None
        return intervals.quantile(self.latencies, share)

    def slower(self, latency: float) -> int:
        """How many answered requests took longer."""
        return len(self.latencies) - int(np.searchsorted(self.latencies, latency, "right"))

    def tied(self, value: float, interval: intervals.Interval) -> str:
        """Says that a quantile and its interval are one value that many requests took, as a coarse clock has it."""
        if interval[0] < interval[1]:
            return ""
        ties = self.slower(np.nextafter(value, -np.inf)) - self.slower(value)
        return f"{ties} of {len(self.latencies)} requests took exactly so long, so its interval is one value"

    def per_second(self) -> tuple[float, intervals.Interval]:
        """Requests a second, with the interval of their count."""
        low, high = intervals.poisson(self.n)
        whole = self.rate * self.seconds
        return self.n / whole, (low / whole, high / whole)
