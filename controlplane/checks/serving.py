"""Serving: how fast requests are answered, how many fail, and how many there are; a request counts once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from controlplane.checks import intervals
from controlplane.checks.asked import Asked
from controlplane.domain.monitor import Limit
from controlplane.domain.verdict import Measure
from controlplane.errors import CheckError, NotEnoughData
from controlplane.ports import MeasureSpec, Need, Sample
from controlplane.profiles.requests import FAILED, MOST_STATUS, Requests
from controlplane.profiles.scores import LEAST_VARIANCE, Statistic

QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
TAILS = ("p95", "p99")
BASELINE = "_vs_baseline"


@dataclass(frozen=True, slots=True)
class ServingParams:
    """A status from `errors_from` on is an error; 500 leaves out what clients got wrong."""

    errors_from: int = FAILED

    def __post_init__(self) -> None:
        if not FAILED <= self.errors_from <= MOST_STATUS:
            raise ValueError(f"errors_from must lie between {FAILED} and {MOST_STATUS}, not {self.errors_from}")


class Serving:
    """Latency, error rate, throughput and size of the requests that a version was asked, failed ones among them.

    Latencies are those of answered requests: what fails fast must not make a server look quick. Their quantiles are
    values that occurred, with intervals between order statistics, which hold for any distribution; of fewer requests
    than an interval takes (72 for the 95th percentile, 368 for the 99th) there is no number, and the finding says so.
    With a reference that bears requests each comes with its difference to that, and `slower_than_p95` and
    `slower_than_p99` are the shares of requests slower than the reference's own quantiles. Throughput is that of the
    requests that the rows tell of: a log that samples holds a share of them. By default an error rate surely above 5 %
    fails, under a page budget too, for that is no chance.

    The budget is told averages, which quantiles are not: the error rate, those two shares, and the mean logarithm of
    latency (the mean of latencies is ruled by a few that no reference holds enough of). Each is held against a rise
    alone. Throughput and size are what clients make of a day, and no harm done by a version: shown, and judged by
    limits that the job writes itself. No replay can ask an earlier version the same again under the same load, so none
    is measured beside it, and a failure here opens an incident and moves no alias.
    """

    name: ClassVar[str] = "serving"
    version: ClassVar[int] = 1
    Params: ClassVar[type] = ServingParams
    needs: ClassVar[frozenset[Need]] = frozenset({Need.REQUESTS})
    measures: ClassVar[Mapping[str, MeasureSpec]] = {
        **{
            f"latency_{name}": MeasureSpec("ms", True, f"{share:.0%} of answered requests took at most so long")
            for name, share in QUANTILES.items()
        },
        **{
            f"latency_{name}{BASELINE}": MeasureSpec("ms", True, f"latency_{name} minus that of the reference")
            for name in QUANTILES
        },
        **{
            f"slower_than_{name}": MeasureSpec("share", True, f"answered requests slower than the reference's {name}")
            for name in TAILS
        },
        "error_rate": MeasureSpec("share", True, "requests that failed"),
        f"error_rate{BASELINE}": MeasureSpec("share", True, "error_rate minus that of the reference"),
        "throughput": MeasureSpec("requests/s", False, "requests of this version over the length of the window"),
        f"throughput{BASELINE}": MeasureSpec("requests/s", False, "throughput minus that of the reference"),
        "request_rows": MeasureSpec("rows", True, "the mean number of rows of an answered request"),
        f"request_rows{BASELINE}": MeasureSpec("rows", True, "request_rows minus that of the reference"),
    }
    default_limits: ClassVar[tuple[Limit, ...]] = (Limit("error_rate", max=0.05),)
    budget_limits: ClassVar[tuple[Limit, ...]] = (Limit("error_rate", max=0.05),)
    scored: ClassVar[tuple[str, ...]] = ("error_rate", *(f"slower_than_{name}" for name in TAILS), "log_latency")
    most_blocks: ClassVar[int | None] = None
    evidence: ClassVar[str] = "ops_measures"
    replayable: ClassVar[bool] = False

    def measure(self, sample: Sample, params: ServingParams) -> Sequence[Measure]:
        """Every measure of the window's requests; raises NotEnoughData, or CheckError where none tells its status."""
        now, before = _asked(sample, params)
        found = [*_errors(now, before, sample), *_rates(now, before), *_sizes(now, before)]
        if sample.columns.latency is not None:
            found += [*_latencies(now, before), *(() if before is None else _slower(now, before))]
        return [replace(one, version=sample.version) for one in found]

    def statistics(self, sample: Sample, params: ServingParams, measures: Sequence[Measure]) -> Sequence[Statistic]:
        """The averages that harm would raise, with the variance of one request as the reference has it."""
        now, before = _asked(sample, params)
        if before is None or not before.known:
            return ()
        rates = [("error_rate", now.errors, now.known, before.errors / before.known)]
        for name in TAILS:
            cut = before.quantile(QUANTILES[name])
            if cut is not None and len(now.latencies):
                was = before.slower(cut[0]) / len(before.latencies)
                rates.append((f"slower_than_{name}", now.slower(cut[0]), len(now.latencies), was))
        found = [
            Statistic(name, hits / n, n, max(was * (1 - was), LEAST_VARIANCE), None, 1, name)
            for name, hits, n, was in rates
        ]
        if len(now.latencies) and len(before.latencies):
            # One millisecond more keeps what a coarse clock calls zero within reach.
            usual, logs = np.log1p(before.latencies), np.log1p(now.latencies)
            spread = max(float(np.var(usual)), LEAST_VARIANCE)
            found.append(Statistic("log_latency", float(logs.mean()), len(logs), spread, None, 1, "latency_p50"))
        return found


def _asked(sample: Sample, params: ServingParams) -> tuple[Asked, Asked | None]:
    """What was asked in the window, and in the reference where that tells."""
    if sample.requests is None:
        raise CheckError("serving measures requests; name the column of their HTTP status as columns.status")
    if not len(sample.requests):
        raise NotEnoughData("no requests", 0, 1)
    now = Asked.of(sample.requests, sample.window, params.errors_from, whole=True)
    if not now.known:
        raise CheckError(f"none of {now.n} requests bears an HTTP status in column {sample.columns.status!r}")
    then: Requests | None = None if sample.reference is None else sample.reference.requests
    if then is None or not len(then):
        return now, None
    return now, Asked.of(then, sample.window, params.errors_from)


def _errors(now: Asked, before: Asked | None, sample: Sample) -> Iterator[Measure]:
    rate, interval = now.errors / now.known, intervals.wilson(now.errors, now.known)
    said = [now.told] if now.told else []
    if now.known < now.n:
        said.append(f"{now.n - now.known} more requests bear no HTTP status")
    if sample.reference is not None and before is None:
        said.append("nothing is compared with the reference, which bears no requests")
    yield Measure("error_rate", rate, now.known, *interval, detail="; ".join(said))
    if before is not None and before.known:
        then, other = before.errors / before.known, intervals.wilson(before.errors, before.known)
        low, high = intervals.apart(rate, interval, then, other)
        detail = f"error_rate was {then:.3g} in {before.known} requests of the reference"
        yield Measure(f"error_rate{BASELINE}", rate - then, now.known, low, high, detail=detail)


def _rates(now: Asked, before: Asked | None) -> Iterator[Measure]:
    rate, interval = now.per_second()
    yield Measure("throughput", rate, now.n, *interval)
    if before is not None and before.seconds:
        then, other = before.per_second()
        low, high = intervals.between(rate, interval, then, other)
        detail = f"throughput was {then:.3g} over {before.seconds / 3600:.3g} hours of the reference"
        yield Measure(f"throughput{BASELINE}", rate - then, now.n, low, high, detail=detail)


def _sizes(now: Asked, before: Asked | None) -> Iterator[Measure]:
    if len(now.rows) < 2:
        return
    mean = float(now.rows.mean())
    yield Measure("request_rows", mean, len(now.rows), *intervals.mean(now.rows))
    if before is not None and len(before.rows) > 1:
        then = float(before.rows.mean())
        low, high = intervals.welch(now.rows, before.rows)
        detail = f"request_rows was {then:.3g} in {len(before.rows)} requests of the reference"
        yield Measure(f"request_rows{BASELINE}", mean - then, len(now.rows), low, high, detail=detail)


def _latencies(now: Asked, before: Asked | None) -> Iterator[Measure]:
    n = len(now.latencies)
    for name, share in QUANTILES.items():
        measure, needed, found = f"latency_{name}", intervals.fewest(share), now.quantile(share)
        if found is None:
            yield _short(measure, n, needed)
            if before is not None:
                yield _short(measure + BASELINE, n, needed)
            continue
        value, interval = found
        yield Measure(measure, value, n, *interval, detail=now.tied(value, interval))
        if before is None:
            continue
        held, then = len(before.latencies), before.quantile(share)
        if then is None:
            yield _short(measure + BASELINE, held, needed, " in the reference")
            continue
        low, high = intervals.between(value, interval, *then)
        detail = f"{measure} was {then[0]:.3g} ms in {held} requests of the reference"
        yield Measure(measure + BASELINE, value - then[0], n, low, high, detail=detail)


def _slower(now: Asked, before: Asked) -> Iterator[Measure]:
    n, held = len(now.latencies), len(before.latencies)
    for name in TAILS:
        measure, share = f"slower_than_{name}", QUANTILES[name]
        cut = before.quantile(share)
        if cut is None:
            yield _short(measure, held, intervals.fewest(share), " in the reference")
        elif not n:
            yield _short(measure, n, 1)
        else:
            slower = now.slower(cut[0])
            detail = f"{name} of the reference is {cut[0]:.3g} ms"
            yield Measure(measure, slower / n, n, *intervals.wilson(slower, n), detail=detail)


def _short(measure: str, n: int, needed: int, where: str = "") -> Measure:
    """A measure that so few requests do not give: no number, and how many it takes."""
    said = f"{n} requests{where} were answered and timed, and {needed} are needed"
    return Measure(measure, float("nan"), n, detail=said, blind=True)
