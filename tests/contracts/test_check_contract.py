"""What every check promises, whichever it is: each entry of `ports.CHECKS` is held to all of this."""

from __future__ import annotations

import dataclasses
import math
import pickle
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from fixture import Fixture
from samples import FIXTURES

from controlplane import ports
from controlplane.domain.monitor import CheckSpec, Columns, ModelRef, Monitor, Schedule, SourceSpec
from controlplane.domain.verdict import CheckResult, Finding, Measure, Outcome, judge
from controlplane.errors import CheckError, NotEnoughData
from controlplane.ports import Need, Sample
from controlplane.rmf.catalogue import catalogue

NAMES = sorted(ports.CHECKS)
PROVIDED = {Need.PROFILE: "profile", Need.REFERENCE: "reference", Need.MODEL: "model", Need.REQUESTS: "requests"}


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def fixture(name: str) -> Fixture:
    return FIXTURES[name]


@pytest.fixture
def check(name: str) -> Any:
    return ports.load("checks", name)()


def judged(check: Any, fixture: Fixture, measures: Sequence[Measure]) -> list[Finding]:
    """The findings under the check's own default limits, or the fixture's where it has none."""
    spec = CheckSpec(check.name, check.name, limits=check.default_limits or fixture.limits)
    source, schedule = SourceSpec("files"), Schedule("0 * * * *", timedelta(hours=1))
    monitor = Monitor("m", ModelRef("m", "champion"), source, Columns("at"), schedule, (spec,))
    return judge([CheckResult(check.name, "1", tuple(measures))], monitor)


def hold_to_form(check: Any, sample: Sample, measures: Sequence[Measure]) -> None:
    """Finite Python numbers in order, under declared names."""
    assert measures
    for measure in measures:
        assert measure.name in check.measures
        assert type(measure.estimate) is float and math.isfinite(measure.estimate)
        assert type(measure.n) is int and measure.n >= 0
        assert type(measure.detail) is str
        for bound in (measure.low, measure.high):
            assert bound is None or (type(bound) is float and math.isfinite(bound))
        assert (measure.low is None) == (measure.high is None)
        if measure.low is not None and measure.high is not None:
            assert measure.low <= measure.estimate + 1e-12 and measure.estimate <= measure.high + 1e-12
    pickle.loads(pickle.dumps(measures))


def test_every_check_brings_a_fixture() -> None:
    assert sorted(FIXTURES) == NAMES


def test_a_check_declares_what_it_is(name: str, check: Any) -> None:
    assert check.name == name and check.version >= 1
    assert check.needs and all(isinstance(need, Need) for need in check.needs)
    assert check.Params.__dataclass_params__.frozen
    assert check.measures and all(spec.unit and spec.meaning for spec in check.measures.values())
    pickle.loads(pickle.dumps(check))


def test_a_checks_parameters_have_defaults_and_can_be_pickled(check: Any, fixture: Fixture) -> None:
    defaults = check.Params()
    assert isinstance(fixture.params, check.Params)
    for params in (defaults, fixture.params):
        assert pickle.loads(pickle.dumps(params)) == params
    assert dataclasses.replace(defaults) == defaults


def test_default_limits_are_on_declared_measures_in_the_right_direction(check: Any, fixture: Fixture) -> None:
    assert check.default_limits or fixture.limits
    for limit in check.default_limits:
        assert (limit.max is None) != (limit.min is None)
        assert check.measures[limit.measure].higher_is_worse == (limit.max is not None)


def test_under_a_page_budget_only_limits_on_declared_measures_are_left(check: Any) -> None:
    assert {limit.measure for limit in check.budget_limits} <= set(check.measures)
    assert set(check.budget_limits) <= set(check.default_limits)


def test_what_it_tells_a_page_budget_is_finite_and_declared(check: Any, fixture: Fixture) -> None:
    sample = fixture.quiet(3)
    found = check.statistics(sample, fixture.params, check.measure(sample, fixture.params))
    assert bool(found) == bool(check.scored)
    for one in found:
        assert any(one.name.startswith(name) for name in check.scored)
        assert math.isfinite(one.value) and one.n > 0 and one.variance > 0
        assert one.side in (-1, 0, 1) and one.measure in check.measures
    places = [(one.name, one.column) for one in found]
    assert len(places) == len(set(places))
    assert list(found) == list(check.statistics(sample, fixture.params, check.measure(sample, fixture.params)))


def test_its_evidence_supports_rows_of_the_catalogue(check: Any) -> None:
    book = catalogue()
    assert check.evidence in book.vocabulary
    assert any(check.evidence in row.evidence for row in book.subcategories)


def test_the_same_sample_and_seed_give_the_same_numbers(check: Any, fixture: Fixture) -> None:
    first, again = (check.measure(fixture.quiet(3), fixture.params) for _ in range(2))
    assert list(first) == list(again)
    hold_to_form(check, fixture.quiet(3), first)


@pytest.mark.parametrize("seed", range(3))
def test_without_harm_nothing_fails_under_the_default_limits(check: Any, fixture: Fixture, seed: int) -> None:
    outcomes = {
        finding.outcome for finding in judged(check, fixture, check.measure(fixture.quiet(seed), fixture.params))
    }
    assert outcomes <= {None, Outcome.PASS, Outcome.WARN} and Outcome.PASS in outcomes


@pytest.mark.parametrize("seed", range(2))
def test_more_harm_is_louder(check: Any, fixture: Fixture, seed: int) -> None:
    worse = check.measures[fixture.measure].higher_is_worse
    heard = []
    for size in (0.0, *fixture.sizes):
        sample = fixture.harm(size, seed)
        measures = check.measure(sample, fixture.params)
        hold_to_form(check, sample, measures)
        said = [row.estimate if worse else -row.estimate for row in measures if row.name == fixture.measure]
        heard.append(max(said))
    assert heard == sorted(heard) and heard[-1] > heard[0] and len(set(heard)) == len(heard), heard


def test_the_largest_harm_fails_under_the_default_limits(check: Any, fixture: Fixture) -> None:
    measures = check.measure(fixture.harm(max(fixture.sizes), 0), fixture.params)
    assert Outcome.FAIL in {finding.outcome for finding in judged(check, fixture, measures)}


def test_too_few_rows_are_said_to_be_too_few(check: Any, fixture: Fixture) -> None:
    sample = fixture.few(0)
    assert len(sample.rows) < fixture.min_rows
    with pytest.raises(NotEnoughData) as caught:
        check.measure(sample, fixture.params)
    assert str(caught.value)


def test_measuring_changes_nothing_it_was_handed(check: Any, fixture: Fixture) -> None:
    sample, same = fixture.quiet(1), fixture.quiet(1)
    random = np.random.get_state()
    check.measure(sample, fixture.params)
    assert sample.rows.equals(same.rows)
    assert np.array_equal(np.random.get_state()[1], random[1]), "the global random state is nobody's to turn"
    for part in ("profile", "reference"):
        held, untouched = getattr(sample, part), getattr(same, part)
        assert (held is None) == (untouched is None) and (held is None or held.digest == untouched.digest)


def test_without_what_it_needs_a_check_says_so_or_measures_the_rest(check: Any, fixture: Fixture) -> None:
    for need, part in PROVIDED.items():
        if need in check.needs:
            measured_or_said(check, fixture, dataclasses.replace(fixture.quiet(0), **{part: None}))


def measured_or_said(check: Any, fixture: Fixture, sample: Sample) -> None:
    try:
        measures = check.measure(sample, fixture.params)
    except (CheckError, NotEnoughData) as error:
        assert "\n" not in str(error) and 10 < len(str(error)) < 400
    else:
        lost = [measure for measure in measures if fixture.apart and not math.isfinite(measure.estimate)]
        for measure in lost:
            assert "\n" not in measure.detail and 10 < len(measure.detail) < 400
        hold_to_form(check, sample, [measure for measure in measures if measure not in lost])


def _constant(column: pa.Array) -> pa.Array:
    return column.take(pa.array([0] * len(column)))


def _all_null(column: pa.Array) -> pa.Array:
    return pa.nulls(len(column), column.type)


def _of_type_null(column: pa.Array) -> pa.Array:
    return pa.nulls(len(column))


def _infinite(column: pa.Array) -> pa.Array:
    values = np.where(np.arange(len(column)) % 2, np.inf, -np.inf)
    if pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type):
        return pa.array([[value] * len(column[0]) for value in values], column.type)
    return pa.array(values)


def _not_numbers(column: pa.Array) -> pa.Array:
    return pa.array(np.full(len(column), np.nan))


def _unseen(column: pa.Array) -> pa.Array:
    return pa.array([f"new{i % 7}" for i in range(len(column))])


def _huge(column: pa.Array) -> pa.Array:
    return pa.array(np.where(np.arange(len(column)) % 2, 1e308, -1e308))


@pytest.mark.parametrize("harm", [_constant, _all_null, _of_type_null, _infinite, _not_numbers, _unseen, _huge])
def test_a_hostile_column_is_measured_or_named_in_one_sentence(check: Any, fixture: Fixture, harm: Any) -> None:
    assert fixture.hostile, "a check that reads no column has nothing to show here"
    sample = fixture.quiet(0)
    for column in fixture.hostile:
        index = sample.rows.column_names.index(column)
        values = harm(sample.rows[column].combine_chunks())
        measured_or_said(check, fixture, fixture.rebuild(sample, sample.rows.set_column(index, column, values)))


def test_a_column_that_is_gone_and_a_window_without_rows_are_said(check: Any, fixture: Fixture) -> None:
    sample = fixture.quiet(0)
    for column in fixture.hostile:
        measured_or_said(check, fixture, fixture.rebuild(sample, sample.rows.drop_columns([column])))
    with pytest.raises((NotEnoughData, CheckError)):
        check.measure(fixture.rebuild(sample, sample.rows.slice(0, 0)), fixture.params)
