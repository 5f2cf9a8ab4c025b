"""Drift is loud on real shifts, quiet on rows of the same world, and says what moved."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import ks_2samp, norm

from controlplane.checks.drift import Drift, DriftParams
from controlplane.domain.monitor import CheckSpec, Columns, ModelRef, Monitor, Schedule, SourceSpec, Window
from controlplane.domain.verdict import CheckResult, Finding, Measure, Outcome, judge
from controlplane.errors import CheckError, NotEnoughData
from controlplane.ports import Sample
from controlplane.profiles import ProfileBuilder, Reference, build_reference

START = datetime(2026, 1, 1, tzinfo=UTC)
SPAN = Window(START, START + timedelta(days=1))
COLUMNS = Columns("at", prediction="said", probability="sure")
LIMIT = 0.15


def world(n: int, seed: int, shift: float = 0.0) -> dict[str, Any]:
    """Ten columns: six numbers, two of categories, an answer and its probability; `shift` moves x0 by as many sigma."""
    rng = np.random.default_rng(seed)
    rows: dict[str, Any] = {f"x{i}": rng.normal(size=n) for i in range(4)}
    rows["x0"] = rows["x0"] + shift
    rows |= {"count": rng.poisson(2, n), "cost": rng.lognormal(size=n)}
    rows |= {"city": rng.choice(np.array([f"c{i}" for i in range(12)]), n), "flag": rng.random(n) < 0.3}
    return rows | {"said": rng.integers(0, 2, n), "sure": rng.random(n)}


@pytest.fixture(scope="module")
def reference() -> Reference:
    return build_reference(pa.table(world(3000, 999)).to_batches, COLUMNS)


def measured(reference: Reference, window: dict[str, Any], **params: Any) -> list[Measure]:
    rows = pa.record_batch(window)
    profile = ProfileBuilder(reference.profile.bins).add(rows).build()
    table = pa.Table.from_batches([rows])
    sample = Sample(SPAN, table, COLUMNS, profile=profile, reference=reference)
    return list(Drift().measure(sample, DriftParams(**params)))


def judged(measures: list[Measure]) -> list[Finding]:
    spec = CheckSpec("drift", "drift", limits=Drift.default_limits)
    schedule = Schedule("0 * * * *", timedelta(hours=1))
    monitor = Monitor("m", ModelRef("m", "champion"), SourceSpec("files"), COLUMNS, schedule, (spec,))
    return judge([CheckResult("drift", None, tuple(measures))], monitor)


def of(measures: list[Measure], column: str | None) -> Measure:
    return next(row for row in measures if row.column == column)


def failed(measures: list[Measure]) -> list[str | None]:
    return [finding.column for finding in judged(measures) if finding.outcome is Outcome.FAIL]


def test_two_hundred_windows_of_the_same_world_fail_nothing_and_hardly_warn(reference: Reference) -> None:
    outcomes = [finding.outcome for seed in range(200) for finding in judged(measured(reference, world(500, seed)))]
    assert Outcome.FAIL not in outcomes
    assert outcomes.count(Outcome.WARN) <= 2, "of 2,000 columns"


@pytest.mark.parametrize(("n", "shift", "power"), [(500, 0.8, 0.95), (1000, 0.65, 0.95), (5000, 0.5, 0.9)])
def test_a_real_shift_is_found_in_nearly_every_window_and_only_where_it_is(
    reference: Reference, n: int, shift: float, power: float
) -> None:
    found = [failed(measured(reference, world(n, seed, shift))) for seed in range(40)]
    assert np.mean([columns == ["x0"] for columns in found]) >= power


def test_half_a_sigma_is_a_warning_at_500_rows(reference: Reference) -> None:
    """Its distance is 0.197; at 500 rows the interval still holds 0.15, so it is shown and does not page."""
    windows = [judged(measured(reference, world(500, seed, 0.5))) for seed in range(40)]
    outcomes = [next(row.outcome for row in findings if row.column == "x0") for findings in windows]
    assert 2 * norm.cdf(0.25) - 1 == pytest.approx(0.197, abs=1e-3)
    assert np.mean([outcome in (Outcome.WARN, Outcome.FAIL) for outcome in outcomes]) >= 0.9


def test_the_drift_of_numbers_is_scipys_ks(reference: Reference) -> None:
    before, after = world(3000, 999), world(500, 1, 0.4)
    measures = measured(reference, after)
    for column in ("x0", "count"):
        exact = ks_2samp(before[column], after[column]).statistic
        assert of(measures, column).estimate == pytest.approx(exact, abs=1 / 2000)
        assert of(measures, column).n == 500


def test_it_says_what_moved_from_where_to_where(reference: Reference) -> None:
    after = world(500, 1, 2.0)
    after["x1"] = after["x1"] * 5
    after["city"] = ["c3"] * 250 + ["new"] * 250
    after["flag"] = [True] * 500
    measures = measured(reference, after)
    assert re.fullmatch(r"mean 0\.01\d+ -> (1\.9|2\.0)\d* \(\+2 sd\)", of(measures, "x0").detail)
    assert re.match(r"spread 1(\.\d+)? -> (4\.9\d|5\.\d+) \(x", of(measures, "x1").detail)
    assert "unseen values ('new') in 50 % of rows" in of(measures, "city").detail
    assert of(measures, "flag").detail == "share of true 30 % -> 100 %"


def test_features_and_answers_are_compared_and_the_share_of_drifted_columns_is_given(reference: Reference) -> None:
    measures = measured(reference, world(2000, 1, 1.0))
    assert [row.column for row in measures] == [*world(1, 0), None]
    share = of(measures, None)
    assert (share.name, share.estimate, share.n) == ("drifted_share", 0.1, 10)


def test_columns_can_be_named_and_unknown_ones_are_refused(reference: Reference) -> None:
    assert [row.column for row in measured(reference, world(500, 1), columns=("said",))] == ["said", None]
    with pytest.raises(CheckError, match="the reference has no column 'hat'; it has x0, x1"):
        measured(reference, world(500, 1), columns=("hat",))


@pytest.mark.parametrize("statistic", ["total_variation", "jensen_shannon"])
def test_another_statistic_is_quiet_and_loud_as_well(reference: Reference, statistic: str) -> None:
    for seed in range(20):
        assert not failed(measured(reference, world(500, seed), statistic=statistic))
    assert failed(measured(reference, world(500, 1, 2.0), statistic=statistic)) == ["x0"]


@pytest.mark.parametrize(
    ("gone", "words"),
    [
        (None, "0 of 500 rows hold a value, before 3000 of 3000; the column is gone or came with another type"),
        (pa.array(["0.1"] * 500), "0 of 500 rows hold a value, before 3000 of 3000; the column is gone or came"),
        (pa.nulls(500, pa.float64()), "0 of 500 rows hold a value, before 3000 of 3000"),
        (pa.array([1.0] * 20 + [float("nan")] * 480), "20 of 500 rows hold a value, before 3000 of 3000"),
    ],
)
def test_a_column_that_lost_its_values_has_drifted(reference: Reference, gone: pa.Array | None, words: str) -> None:
    window = world(500, 1)
    del window["x0"]
    measures = measured(reference, window if gone is None else window | {"x0": gone})
    assert failed(measures) == ["x0"]
    assert of(measures, "x0").estimate > 0.95 and of(measures, "x0").detail.startswith(words)


def test_dates_move_on_by_nature_and_are_compared_only_by_name() -> None:
    days = [START + timedelta(days=i) for i in range(200)]
    before = build_reference(pa.table({"day": days, "x": range(200)}).to_batches, COLUMNS)
    later = {"day": [day + timedelta(days=400) for day in days], "x": range(200)}
    assert [row.column for row in measured(before, later)] == ["x", None]
    assert failed(measured(before, later, columns=("day",))) == ["day"]


def test_too_few_rows_are_not_enough(reference: Reference) -> None:
    with pytest.raises(NotEnoughData, match="29 rows; drift needs 30"):
        measured(reference, world(29, 1))


def test_a_reference_without_rows_is_not_enough() -> None:
    nothing = build_reference(pa.table(world(0, 0)).to_batches, COLUMNS)
    with pytest.raises(NotEnoughData, match="no column of the reference"):
        measured(nothing, world(50, 1))


@pytest.mark.parametrize("statistic", ["psi", "wasserstein"])
def test_statistics_without_an_upper_end_are_measured_too(reference: Reference, statistic: str) -> None:
    measures = measured(reference, world(2_000, 1, 2.0), statistic=statistic)
    moved, still = of(measures, "x0"), of(measures, "x1")
    assert moved.low is not None and moved.low > 1.0 > 0.2 > still.estimate
    assert of(measures, "city").high is not None
