"""Calibration: errors and intervals held to worlds whose truth is known, the curve to a table worked out by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from controlplane.checks.calibration import Calibration, CalibrationParams
from controlplane.checks.calibration_curve import curve
from controlplane.domain.monitor import Columns, Window
from controlplane.domain.verdict import Measure
from controlplane.errors import CheckError, NotEnoughData
from controlplane.models.inputs import Inputs
from controlplane.models.tabular import Tabular
from controlplane.ports import Sample
from controlplane.profiles import Reference, build_reference

START = datetime(2026, 1, 1, tzinfo=UTC)
WINDOW = Window(START, START + timedelta(days=1))
COLUMNS = Columns("at", prediction="said", probability="sure", label="truth")


def rows(n: int, seed: int, sharper: float = 1.0, more: float = 0.0) -> pa.Table:
    """Labels drawn from a probability, and that probability told too sharply, or too high in its logit."""
    rng = np.random.default_rng(seed)
    true = rng.uniform(0.02, 0.98, n)
    sure = 1 / (1 + np.exp(-sharper * np.log(true / (1 - true)) - more))
    truth = (rng.random(n) < true).astype(int)
    return pa.table({"at": [START] * n, "sure": sure, "said": (sure > 0.5).astype(int), "truth": truth})


def sample(table: pa.Table, reference: Reference | None = None, **more: Any) -> Sample:
    return Sample(WINDOW, table, COLUMNS, version="2", reference=reference, **more)


def before(n: int = 4000, seed: int = 99) -> Reference:
    return build_reference(rows(n, seed).to_batches, COLUMNS)


def measured(given: Sample, **params: Any) -> list[Measure]:
    return list(Calibration().measure(given, CalibrationParams(**params)))


def one(found: list[Measure], name: str) -> Measure:
    return next(measure for measure in found if measure.name == name)


def test_the_curve_is_the_table_worked_out_by_hand() -> None:
    sure = np.repeat([0.1, 0.3, 0.8], [20, 20, 40])
    truth = np.concatenate([np.repeat([1, 0], [4, 16]), np.repeat([1, 0], [6, 14]), np.repeat([1, 0], [20, 20])])
    table = pa.table({"at": [START] * 80, "sure": sure, "said": (sure > 0.5).astype(int), "truth": truth})
    found = measured(sample(table), bins=4)
    curve_rows = [(m.segment, m.estimate, m.n) for m in found if m.name == "reliability"]
    assert curve_rows == [("0.10 to 0.10", 0.2, 20), ("0.30 to 0.30", 0.3, 20), ("0.80 to 0.80", 0.5, 40)]
    assert [m.estimate for m in found if m.name == "confidence"] == pytest.approx([0.1, 0.3, 0.8])
    assert one(found, "calibration_error").detail == "3 bins; 0.175 with the noise left in"
    assert one(found, "calibration_bias").estimate == pytest.approx(0.5 - 30 / 80)


@pytest.mark.parametrize(("n", "draws"), [(200, 300), (2000, 100)])
@pytest.mark.parametrize("world", ["calibrated", "too sharp", "too high", "rare and too low", "four values"])
def test_the_interval_covers_the_true_error_and_the_estimate_is_nearer_than_the_plain_one(
    world: str, n: int, draws: int
) -> None:
    rng = np.random.default_rng(7)

    def told(m: int) -> np.ndarray:
        if world == "four values":
            return np.asarray(rng.choice([0.1, 0.3, 0.7, 0.95], m))
        return rng.beta(1, 30, m).clip(1e-4) if world.startswith("rare") else rng.uniform(0.01, 0.99, m)

    def true(sure: np.ndarray) -> np.ndarray:
        slope, shift = {"too sharp": (0.5, 0.0), "too high": (1.0, -0.8), "rare and too low": (1.0, 1.0)}.get(
            world, (1.0, 0.0)
        )
        return np.asarray(1 / (1 + np.exp(-slope * np.log(sure / (1 - sure)) - shift)))

    many = told(400_000)
    error = float(np.abs(many - true(many)).mean())
    found = []
    for _ in range(draws):
        sure = told(n)
        drawn = curve(sure, rng.random(n) < true(sure), 10)
        low, high = drawn.interval
        found.append((low <= error <= high, drawn.error - error, drawn.plain - error))
    covered, off, plain = np.mean(found, axis=0)
    assert covered >= 0.92
    if error < 1e-9:
        assert off < plain / 2
    assert abs(off) < (0.03 if n == 200 else 0.008)


def test_a_change_against_the_reference_is_seen_and_none_is_rarely_claimed() -> None:
    then = before()
    changed = one(measured(sample(rows(2000, 1, more=1.0), then)), "calibration_error_vs_baseline")
    assert changed.low is not None and changed.low > 0.05
    assert (
        changed.detail == "calibration_error was 0 on the 4000 labelled reference rows" or "was 0.0" in changed.detail
    )
    sure_of_change = 0
    for seed in range(100):
        same = one(measured(sample(rows(500, seed), then)), "calibration_error_vs_baseline")
        assert same.low is not None and same.high is not None
        sure_of_change += not same.low <= 0 <= same.high
    assert sure_of_change <= 7


def test_the_bias_says_which_way_and_its_interval_covers() -> None:
    too_high = one(measured(sample(rows(1000, 2, more=1.0))), "calibration_bias")
    too_low = one(measured(sample(rows(1000, 2, more=-1.0))), "calibration_bias")
    assert too_high.low is not None and too_high.low > 0.1
    assert too_low.high is not None and too_low.high < -0.1
    covered = 0
    for seed in range(300):
        bias = one(measured(sample(rows(150, seed))), "calibration_bias")
        assert bias.low is not None and bias.high is not None
        covered += bias.low <= 0 <= bias.high
    assert covered >= 0.92 * 300


def test_many_classes_are_judged_by_the_one_held_most_likely() -> None:
    names = ["a", "b", "c", "d"]
    data = load_iris()
    table = pa.table({**{name: data.data[:, i] for i, name in enumerate(names)}, "truth": data.target})
    model = Tabular(
        "2",
        LogisticRegression(C=0.05).fit(table.select(names).to_pandas(), data.target),
        Inputs("2", ("a", "b", "c", "d")),
    )
    given = model.probabilities(table)
    assert given is not None
    found = measured(sample(table, model=model))
    bias = given.max(axis=1).mean() - np.mean(given.argmax(axis=1) == data.target)
    assert one(found, "calibration_bias").estimate == pytest.approx(bias)
    assert sum(m.n for m in found if m.name == "reliability") == 150


def test_probabilities_that_are_not_logged_are_asked_of_the_model() -> None:
    table = rows(300, 3)
    with pytest.raises(CheckError, match="calibration needs class probabilities: log a probability column"):
        measured(sample(table.drop_columns(["sure"])))


def test_a_reference_without_labels_or_answers_is_no_baseline_and_says_why() -> None:
    for gone in ("truth", "sure"):
        reference = build_reference(rows(1000, 5).drop_columns([gone]).to_batches, COLUMNS)
        found = measured(sample(rows(300, 4), reference))
        assert "calibration_error_vs_baseline" not in {m.name for m in found}
        assert "no baseline: " in one(found, "calibration_error").detail


def test_labels_of_one_class_are_measured_and_said() -> None:
    table = rows(100, 6)
    table = table.set_column(table.column_names.index("truth"), "truth", pa.array([0] * 100))
    error = one(measured(sample(table)), "calibration_error")
    assert error.estimate == pytest.approx(table["sure"].to_numpy().mean(), abs=0.02)
    assert error.detail.endswith("every label is 0")


@pytest.mark.parametrize("n", [0, 29])
def test_too_few_labels_are_not_enough_data(n: int) -> None:
    with pytest.raises(NotEnoughData, match=f"{n} of {n} rows have a label; 30 are needed"):
        measured(sample(rows(n, 8)))


def test_what_is_no_probability_is_one_sentence() -> None:
    table = rows(60, 9)
    table = table.set_column(1, "sure", pa.array(np.full(60, 1.5)))
    with pytest.raises(CheckError, match="60 of 60 values of probability column 'sure' are outside 0 to 1"):
        measured(sample(table))


def test_what_the_page_budget_is_told_moves_both_ways() -> None:
    given = sample(rows(500, 10))
    (bias,) = Calibration().statistics(given, CalibrationParams(), measured(given))
    residual = given.rows["sure"].to_numpy() - given.rows["truth"].to_numpy()
    assert bias.side == 0 and bias.value == pytest.approx(residual.mean())
    assert bias.variance == pytest.approx(residual.var(), rel=0.02)


@pytest.mark.parametrize("params", [{"bins": 0}, {"bins": 101}, {"min_labels": 1}])
def test_parameters_without_sense_are_refused(params: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must"):
        CalibrationParams(**params)
