"""The serving check: a request counts once, what is too little is named, and an interval holds what it says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from controlplane.checks import intervals
from controlplane.checks.serving import Serving, ServingParams
from controlplane.domain.monitor import CheckSpec, Columns, Limit, ModelRef, Monitor, Schedule, SourceSpec, Window
from controlplane.domain.verdict import CheckResult, Measure, Outcome, by_check, judge
from controlplane.errors import CheckError, NotEnoughData
from controlplane.ports import Sample
from controlplane.profiles import build_reference
from controlplane.profiles.requests import Requests

T0 = datetime(2026, 1, 1, tzinfo=UTC)
WINDOW = Window(T0, T0 + timedelta(hours=1))
COLUMNS = Columns("at", status="status", latency="ms", request="call")
MEASURED = ServingParams()


def requests(
    latencies: np.ndarray, statuses: list[int | None] | None = None, rate: float = 1.0, start: datetime = T0
) -> Requests:
    n = len(latencies)
    table = {
        "at": pa.array([start + timedelta(seconds=3600 * i / n) for i in range(n)], pa.timestamp("us", "UTC")),
        "status": pa.array(statuses or [200] * n, pa.int64()),
        "latency": pa.array(latencies, pa.float64(), from_pandas=True),
        "rows": pa.array([1] * n, pa.int64()),
    }
    return Requests(pa.table(table), rate)


def sample(asked: Requests, before: Requests | None = None) -> Sample:
    reference = None
    if before is not None:
        bare = build_reference(lambda: iter([pa.record_batch({"x": [1.0]})]), COLUMNS)
        reference = replace(bare, requests=before if len(before) else None)
    return Sample(WINDOW, pa.table({}), COLUMNS, version="1", requests=asked, reference=reference)


def measured(asked: Requests, before: Requests | None = None, params: ServingParams = MEASURED) -> dict[str, Measure]:
    return {one.name: one for one in Serving().measure(sample(asked, before), params)}


def lognormal(n: int, seed: int, median: float = 20.0) -> np.ndarray:
    return np.random.default_rng(seed).lognormal(np.log(median), 0.7, n)


@pytest.mark.parametrize(("share", "n"), [(0.5, 40), (0.95, 150), (0.99, 500)])
def test_the_interval_of_a_quantile_holds_it_at_least_as_often_as_it_says(share: float, n: int) -> None:
    rng = np.random.default_rng(1)
    truth = float(np.quantile(rng.exponential(size=2_000_000), share))
    drawn = np.sort(rng.exponential(size=(2000, n)), axis=1)
    held = [low <= truth <= high for _, (low, high) in (intervals.quantile(row, share) for row in drawn)]
    assert 0.94 <= np.mean(held) <= 0.985


@pytest.mark.parametrize("share", [0.5, 0.95, 0.99])
def test_a_quantile_of_the_fewest_values_lies_between_two_of_them_and_ties_widen_it(share: float) -> None:
    n = intervals.fewest(share)
    value, (low, high) = intervals.quantile(np.arange(float(n)), share)
    assert 0 <= low <= value <= high == n - 1
    assert 1 - share**n >= 0.975 > 1 - share ** (n - 1)
    many = intervals.quantile(np.sort(np.repeat(np.arange(50.0), 40)), share)
    assert many[1][0] <= many[0] <= many[1][1]


@pytest.mark.parametrize("count", [0, 3, 40])
def test_the_interval_of_a_count_holds_its_mean(count: int) -> None:
    low, high = intervals.poisson(count)
    assert low <= count <= high
    drawn = np.random.default_rng(2).poisson(max(count, 1), 4000)
    bounds = {int(one): intervals.poisson(int(one)) for one in set(drawn)}
    assert np.mean([bounds[int(one)][0] <= max(count, 1) <= bounds[int(one)][1] for one in drawn]) >= 0.95


def test_too_few_requests_for_a_percentile_are_named_and_no_number_stands_for_it() -> None:
    found = measured(requests(lognormal(100, 0)), requests(lognormal(100, 1)))
    assert not found["latency_p95"].blind and found["latency_p99"].blind
    assert np.isnan(found["latency_p99"].estimate) and np.isnan(found["slower_than_p99"].estimate)
    assert found["latency_p99"].detail == "100 requests were answered and timed, and 368 are needed"
    assert "100 requests in the reference" in found["slower_than_p99"].detail
    assert found["latency_p95_vs_baseline"].low is not None and found["latency_p99_vs_baseline"].blind


def test_a_limit_on_what_is_too_little_is_inconclusive_and_hides_no_other() -> None:
    found = Serving().measure(sample(requests(lognormal(100, 0))), MEASURED)
    limits = (Limit("error_rate", max=0.05), Limit("latency_p99", max=200.0))
    spec = CheckSpec("serving", "serving", limits=limits)
    schedule = Schedule("0 * * * *", timedelta(hours=1))
    monitor = Monitor("m", ModelRef("m", "a"), SourceSpec("files"), COLUMNS, schedule, (spec,))
    findings = judge([CheckResult("serving", "1", tuple(found))], monitor)
    (late,) = [one for one in findings if one.measure == "latency_p99"]
    assert (late.outcome, late.estimate) == (Outcome.INCONCLUSIVE, None)
    assert late.why == "latency_p99: 100 requests were answered and timed, and 368 are needed"
    assert by_check(findings)["serving"][0] is Outcome.PASS
    alone = judge(
        [CheckResult("serving", "1", tuple(found))], replace(monitor, checks=(replace(spec, limits=limits[1:]),))
    )
    assert by_check(alone)["serving"][0] is Outcome.INCONCLUSIVE


def test_a_coarse_clock_is_named() -> None:
    found = measured(requests(np.full(500, 16.0)))
    assert (found["latency_p50"].low, found["latency_p50"].estimate, found["latency_p50"].high) == (16.0, 16.0, 16.0)
    assert found["latency_p50"].detail == "500 of 500 requests took exactly so long, so its interval is one value"
    assert measured(requests(lognormal(500, 0)))["latency_p50"].detail == ""


def test_what_fails_fast_does_not_make_a_server_look_quick() -> None:
    quick = np.concatenate([np.full(300, 1.0), lognormal(300, 0)])
    found = measured(requests(quick, [500] * 300 + [200] * 300))
    assert found["latency_p50"].n == 300 and found["latency_p50"].estimate > 10
    assert (found["error_rate"].estimate, found["error_rate"].n) == (0.5, 600)
    assert found["error_rate"].detail == "300 of status 500"


def test_where_every_request_failed_the_rate_is_one_and_nothing_else_is_made_up() -> None:
    found = measured(requests(np.full(40, 5.0), [503] * 40), requests(lognormal(500, 0)))
    assert found["error_rate"].estimate == 1.0 and (found["error_rate"].low or 0) > 0.9
    assert {name for name, one in found.items() if not one.blind} == {
        *("error_rate", "error_rate_vs_baseline", "throughput", "throughput_vs_baseline")
    }
    assert "request_rows" not in found


def test_statuses_that_nobody_knows_are_left_out_and_counted() -> None:
    found = measured(requests(lognormal(100, 0), [None] * 20 + [500] * 8 + [200] * 72))
    assert (found["error_rate"].estimate, found["error_rate"].n) == (0.1, 80)
    assert "20 more requests bear no HTTP status" in found["error_rate"].detail
    with pytest.raises(CheckError, match="none of 100 requests bears an HTTP status in column 'status'"):
        measured(requests(lognormal(100, 0), [None] * 100))


def test_errors_can_be_those_of_the_server_alone() -> None:
    asked = requests(lognormal(100, 0), [400] * 30 + [500] * 10 + [200] * 60)
    assert measured(asked)["error_rate"].estimate == 0.4
    assert measured(asked, params=ServingParams(errors_from=500))["error_rate"].estimate == 0.1
    with pytest.raises(ValueError, match="errors_from must lie between 400 and 599, not 200"):
        ServingParams(errors_from=200)


def test_throughput_counts_the_requests_that_a_sample_stands_for() -> None:
    found = measured(requests(lognormal(720, 0), rate=0.1))["throughput"]
    assert found.estimate == pytest.approx(2.0) and found.n == 720
    assert found.low is not None and found.low == pytest.approx(1.857, abs=0.01)


def test_a_reference_with_gaps_has_the_throughput_of_its_busy_hours() -> None:
    days = [requests(lognormal(720, day), start=T0 - timedelta(days=day + 1)) for day in range(3)]
    before = Requests(pa.concat_tables([day.table for day in days]))
    found = measured(requests(lognormal(360, 9)), before)["throughput_vs_baseline"]
    assert found.estimate == pytest.approx(-0.1) and "over 3 hours of the reference" in found.detail
    assert found.high is not None and found.high < 0


def test_slower_answers_are_slower_than_the_references_own_percentiles() -> None:
    before = requests(lognormal(5000, 0))
    same, slow = (measured(requests(lognormal(2000, 1, median)), before) for median in (20.0, 40.0))
    assert same["slower_than_p95"].estimate == pytest.approx(0.05, abs=0.015)
    assert same["latency_p95_vs_baseline"].low is not None and same["latency_p95_vs_baseline"].low < 0
    assert (slow["slower_than_p95"].low or 0) > 0.15 and (slow["latency_p95_vs_baseline"].low or 0) > 20


def test_a_reference_without_requests_is_said_once_and_scores_nothing() -> None:
    asked = sample(requests(lognormal(500, 0)), requests(lognormal(0, 0)))
    found = Serving().measure(asked, MEASURED)
    assert not [one.name for one in found if one.name.endswith("_vs_baseline") or one.name.startswith("slower")]
    assert [one.name for one in found if "bears no requests" in one.detail] == ["error_rate"]
    assert list(Serving().statistics(asked, MEASURED, found)) == []


def test_the_budget_is_told_averages_that_only_harm_raises() -> None:
    asked = sample(requests(lognormal(2000, 1), [503] * 100 + [200] * 1900), requests(lognormal(5000, 0)))
    found = {one.name: one for one in Serving().statistics(asked, MEASURED, ())}
    assert set(found) == set(Serving.scored) and {one.side for one in found.values()} == {1}
    assert (found["error_rate"].value, found["error_rate"].n) == (0.05, 2000)
    assert found["slower_than_p95"].variance == pytest.approx(0.05 * 0.95, rel=0.02)
    assert found["log_latency"].value == pytest.approx(np.log1p(20.0), abs=0.1)


def test_no_requests_and_no_named_column_are_said() -> None:
    with pytest.raises(NotEnoughData, match="no requests"):
        measured(requests(lognormal(0, 0)))
    with pytest.raises(CheckError, match=r"name the column of their HTTP status as columns\.status"):
        Serving().measure(replace(sample(requests(lognormal(9, 0))), requests=None), MEASURED)
