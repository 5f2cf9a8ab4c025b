"""Quality sees what is wrong with the rows themselves, names it, and stays calm otherwise."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from controlplane.checks.quality import Quality, QualityParams
from controlplane.domain.monitor import CheckSpec, Columns, ModelRef, Monitor, Schedule, SourceSpec, Window
from controlplane.domain.verdict import CheckResult, Measure, Outcome, judge
from controlplane.errors import CheckError, NotEnoughData
from controlplane.ports import Sample
from controlplane.profiles import ProfileBuilder, build_reference
from controlplane.profiles.intervals import wilson

START = datetime(2026, 1, 1, tzinfo=UTC)
COLUMNS = Columns("at")


def good(n: int, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {
        "age": pa.array(rng.normal(40, 10, n)),
        "city": pa.array(rng.choice(np.array(["oslo", "rome"]), n)),
        "scan": pa.array(list(rng.normal(size=(n, 3)))),
        "seen": pa.array([START + timedelta(minutes=i) for i in range(n)]),
    }


def measured(
    window: dict[str, Any], before: dict[str, Any] | None = None, ignore: tuple[str, ...] = ()
) -> list[Measure]:
    rows = pa.record_batch(window)
    reference = build_reference(pa.table(before or good(2000, 99)).to_batches, COLUMNS)
    profile = ProfileBuilder(reference.profile.bins).add(rows).build()
    span = Window(START, START + timedelta(days=1))
    sample = Sample(span, pa.Table.from_batches([rows]), COLUMNS, profile=profile, reference=reference)
    return list(Quality().measure(sample, QualityParams(ignore)))


def failing(measures: list[Measure]) -> dict[str, str]:
    """What fails under the default limits: `measure` or `measure of column`, and the sentence."""
    spec = CheckSpec("quality", "quality", limits=Quality.default_limits)
    schedule = Schedule("0 * * * *", timedelta(hours=1))
    monitor = Monitor("m", ModelRef("m", "champion"), SourceSpec("files"), COLUMNS, schedule, (spec,))
    findings = judge([CheckResult("quality", None, tuple(measures))], monitor)
    assert Outcome.ERROR not in {finding.outcome for finding in findings}
    return {
        f"{finding.measure} of {finding.column}" if finding.column else finding.measure: finding.why
        for finding in findings
        if finding.outcome is Outcome.FAIL
    }


def find(measures: list[Measure], name: str, column: str | None = None) -> Measure:
    return next(row for row in measures if (row.name, row.column) == (name, column))


@pytest.mark.parametrize("seed", range(20))
def test_rows_like_the_reference_fail_nothing(seed: int) -> None:
    assert not failing(measured(good(300, seed)))


def test_a_column_that_is_gone_fails_once_and_is_named() -> None:
    window = good(300)
    del window["age"]
    failed = failing(measured(window))
    assert list(failed) == ["missing_columns"] and "age" in failed["missing_columns"]


def test_numbers_that_became_words_fail_as_a_change_of_type() -> None:
    failed = failing(measured(good(300) | {"age": pa.array(["40"] * 300)}))
    assert list(failed) == ["type_changes"] and "age is string" in failed["type_changes"]


def test_vectors_of_another_length_are_a_change_of_type() -> None:
    failed = failing(measured(good(300) | {"scan": pa.array([[1.0, 2.0]] * 300)}))
    assert "scan holds 300 vectors of another length than 3" in failed["type_changes"]


@pytest.mark.parametrize("nothing", [pa.nulls(300), pa.nulls(300, pa.float64()), pa.array([float("nan")] * 300)])
def test_a_column_without_a_single_value_fails(nothing: pa.Array) -> None:
    measures = measured(good(300) | {"age": nothing})
    assert "missing_increase of age" in failing(measures)
    assert find(measures, "missing_rate", "age").estimate == 1.0


def test_a_column_the_reference_hardly_had_either_is_no_news() -> None:
    before = good(2000, 99) | {"note": pa.array([None] * 1990 + ["x"] * 10)}
    assert not failing(measured(good(300) | {"note": pa.nulls(300, pa.string())}, before))


def test_rates_carry_wilsons_interval_and_the_number_of_values() -> None:
    age = np.full(300, 40.0)
    age[:30], age[30:40] = 999.0, np.nan
    measures = measured(good(300) | {"age": age})
    row, exact = find(measures, "out_of_range_rate", "age"), wilson(30, 290)
    assert (row.estimate, row.low, row.high, row.n) == (exact.estimate, exact.low, exact.high, 290)
    assert "out_of_range_rate of age" in failing(measures) and "to 999" in failing(measures)["out_of_range_rate of age"]


def test_a_single_infinity_fails() -> None:
    age = np.full(300, 40.0)
    age[7] = -np.inf
    assert list(failing(measured(good(300) | {"age": age}))) == ["infinite_rate of age"]


def test_new_categories_fail_and_are_named() -> None:
    failed = failing(measured(good(300) | {"city": ["oslo"] * 200 + ["kyiv", "bern"] * 50}))
    assert list(failed) == ["unseen_rate of city"] and "bern, kyiv" in failed["unseen_rate of city"]


def test_a_few_values_past_the_range_do_not_fail() -> None:
    age = np.full(300, 40.0)
    age[:15] = 999.0
    assert not failing(measured(good(300) | {"age": age})), "5 % of 300 may be 3 % in truth"


def test_time_may_pass_the_references_end() -> None:
    later = pa.array([START + timedelta(days=99)] * 300)
    assert not failing(measured(good(300) | {"seen": later}))


def test_limits_hold_where_no_column_is_of_their_kind() -> None:
    numbers = {"age": pa.array([1.0, 2.0] * 50)}
    measures = measured(numbers, numbers)
    assert find(measures, "unseen_rate").n == 0 and not failing(measures)


def test_ignored_columns_are_left_out() -> None:
    window = good(300) | {"age": pa.array(["40"] * 300), "city": pa.nulls(300)}
    del window["scan"]
    assert not failing(measured(window, ignore=("age", "city", "scan")))


def test_no_rows_are_not_enough_and_no_reference_is_an_error() -> None:
    with pytest.raises(NotEnoughData, match="no rows"):
        measured({name: pa.array(column)[:0] for name, column in good(5).items()})
    span = Window(START, START + timedelta(days=1))
    with pytest.raises(CheckError, match="the monitor has none"):
        Quality().measure(Sample(span, pa.table(good(5)), COLUMNS), QualityParams())


def test_a_window_counted_against_another_reference_is_refused() -> None:
    one, other = (build_reference(pa.table(good(500, seed)).to_batches, COLUMNS) for seed in (1, 2))
    sample = Sample(
        Window(START, START + timedelta(days=1)), pa.table(good(5)), COLUMNS, profile=one.profile, reference=other
    )
    with pytest.raises(CheckError, match="another reference"):
        Quality().measure(sample, QualityParams())
