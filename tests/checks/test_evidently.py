"""Evidently's metrics as a check: the numbers are Evidently's own, and each limit is held against its measure."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from evidently_rows import COLUMNS, COUNTED, NUMERIC, before, entry_of, measured, only, replaced, rows_of, sample_of
from scipy import stats
from sklearn.metrics import f1_score, log_loss, roc_auc_score

from controlplane.checks.evidently_table import METHODS, METRICS, NUMBERS, P_VALUES, all_measures
from controlplane.domain.monitor import CheckSpec, Limit, ModelRef, Monitor, Schedule, SourceSpec
from controlplane.domain.verdict import CheckResult, Finding, Measure, Outcome, judge
from controlplane.errors import CheckError
from controlplane.ports import Sample

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import evidently.metrics
    import evidently.presets


@pytest.fixture(scope="module")
def sample() -> Sample:
    return sample_of(rows_of(600, 1))


def numbers_in(value: Any) -> Iterator[float]:
    if isinstance(value, Mapping):
        for part in value.values():
            yield from numbers_in(part)
    else:
        yield float(value)


def own_report(metric: Any, task: str) -> list[float]:
    """What Evidently's own Report says of the same rows."""
    from evidently import BinaryClassification, DataDefinition, Dataset, Regression, Report

    if task:
        frame = rows_of(600, 1).select(["said", "sure", "truth"]).to_pandas()
        if task != NUMBERS:
            frame["truth"] = frame["truth"].astype(int).astype(str)
            frame["said"] = frame["said"].astype(str)
        roles = {"target": "truth", "prediction_labels": "said", "prediction_probas": "sure", "pos_label": "1"}
        definition = DataDefinition(
            numerical_columns=["truth", "said"] if task == NUMBERS else ["sure"],
            categorical_columns=[] if task == NUMBERS else ["truth", "said"],
            classification=None if task == NUMBERS else [BinaryClassification(**roles)],
            regression=[Regression(target="truth", prediction="said")] if task == NUMBERS else None,
        )
        current, reference = Dataset.from_pandas(frame, data_definition=definition), None
    else:
        definition = DataDefinition(numerical_columns=NUMERIC, categorical_columns=COUNTED)
        current, reference = (
            Dataset.from_pandas(rows.select([*NUMERIC, *COUNTED]).to_pandas(), data_definition=definition)
            for rows in (rows_of(600, 1), before())
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        snapshot = Report([metric], include_tests=False).run(current, reference)
    return [number for result in snapshot.metric_results.values() for number in numbers_in(result.to_simple_dict())]


@pytest.mark.parametrize("name", [name for name in METRICS if "Correlation" not in name])
def test_every_metric_gives_the_numbers_of_evidentlys_own_report(sample: Sample, name: str) -> None:
    entry = entry_of(name)
    found = measured(sample, entry)
    assert {measure.name for measure in found} <= set(all_measures())
    assert all(type(measure.estimate) is float and math.isfinite(measure.estimate) for measure in found)
    assert {(measure.n, measure.version, measure.low, measure.high) for measure in found} == {(600, "1", None, None)}
    kind = getattr(evidently.presets, name, None) or getattr(evidently.metrics, name)
    options = {key: value for key, value in entry.items() if key != "metric"}
    theirs = own_report(kind(**options), METRICS[name].task)
    assert {round(measure.estimate, 9) for measure in found} == {round(number, 9) for number in theirs}


@pytest.mark.parametrize("name", [name for name in METRICS if "Correlation" in name])
def test_correlations_are_those_of_pandas_pair_by_pair(sample: Sample, name: str) -> None:
    found = {m.column: m.estimate for m in measured(sample, entry_of(name)) if m.name.endswith((".pearson", ".auto"))}
    square = sample.rows.select(NUMERIC).to_pandas().corr()
    assert found and all(type(value) is float for value in found.values())
    for pair, value in found.items():
        assert pair is not None
        assert value == pytest.approx(square.loc[tuple(pair.split(" and "))], abs=1e-9)


def test_kolmogorov_smirnovs_p_value_is_scipys(sample: Sample) -> None:
    drift = only(measured(sample, {"metric": "ValueDrift", "column": "sure", "method": "ks"}))
    p_value = stats.ks_2samp(before()["sure"].to_numpy(), sample.rows["sure"].to_numpy()).pvalue
    assert (drift.name, drift.column) == ("ValueDrift.p_value", "sure")
    assert drift.estimate == pytest.approx(p_value, abs=1e-12)
    assert drift.detail == "by ks, which Evidently holds against 0.05"


def test_wassersteins_distance_is_scipys_in_standard_deviations(sample: Sample) -> None:
    drift = only(measured(sample, {"metric": "ValueDrift", "column": "visits", "method": "wasserstein"}))
    now, then = sample.rows["visits"].to_numpy(), before()["visits"].to_numpy()
    assert drift.name == "ValueDrift"
    assert drift.estimate == pytest.approx(stats.wasserstein_distance(then, now) / np.std(then), abs=1e-12)


def test_quality_of_answers_is_scikit_learns(sample: Sample) -> None:
    found = measured(
        sample, {"metric": "RocAuc"}, {"metric": "LogLoss"}, {"metric": "F1Score", "probas_threshold": 0.3}
    )
    truth, sure = sample.rows["truth"].to_numpy(), sample.rows["sure"].to_numpy()
    known = [roc_auc_score(truth, sure), log_loss(truth, sure), f1_score(truth, sure >= 0.3)]
    assert [measure.estimate for measure in found] == pytest.approx(known, abs=1e-9)
    assert found[0].detail == "positive is '1'; answers by the probability"


def test_a_metric_by_group_is_the_metric_of_the_groups_rows(sample: Sample) -> None:
    for group in ("city", "smoker"):
        found = measured(sample, {"metric": "MeanValue", "column": "sure", "by": group})
        frame = sample.rows.to_pandas()
        known = {str(label): part["sure"].mean() for label, part in frame.groupby(group)}
        assert {measure.segment: measure.estimate for measure in found} == pytest.approx(known)
    with pytest.raises(CheckError, match="column 'visits' holds numbers, and groups are categories"):
        measured(sample, {"metric": "MeanValue", "column": "sure", "by": "visits"})


@pytest.mark.parametrize("method", METHODS)
def test_a_p_value_is_never_taken_for_a_distance(method: str) -> None:
    """Of rows and themselves a p-value is large and a distance nothing."""
    rows = before().slice(0, 200)
    for column in ("sure", "smoker"):
        try:
            drift = only(measured(sample_of(rows, rows), {"metric": "ValueDrift", "column": column, "method": method}))
        except CheckError as error:
            assert "isn't applicable to feature of type" in str(error)
            continue
        if method in P_VALUES:
            assert drift.name == "ValueDrift.p_value" and drift.estimate > 0.2
        else:
            assert drift.name == "ValueDrift" and drift.estimate < 1e-6


def test_the_refused_dummy_of_a_regression_is_still_the_models_own_error() -> None:
    assert own_report(evidently.metrics.DummyMAE(), NUMBERS)[0] == own_report(evidently.metrics.MAE(), NUMBERS)[0]


def judged(limits: tuple[Limit, ...], found: list[Measure]) -> list[Finding]:
    spec = CheckSpec("evidently", "evidently", limits=limits)
    monitor = Monitor(
        "m", ModelRef("m", "champion"), SourceSpec("files"), COLUMNS, Schedule("0 * * * *", timedelta(hours=1)), (spec,)
    )
    return judge([CheckResult("evidently", "1", tuple(found))], monitor)


def test_one_limit_holds_for_every_column_and_the_estimate_alone_decides() -> None:
    rows = rows_of(600, 1)
    older = replaced(rows, "age", rows["age"].to_numpy() + 24)
    drift = [{"metric": "ValueDrift", "column": name, "method": "psi"} for name in ("age", "visits")]
    found = judged((Limit("ValueDrift", max=0.2),), measured(sample_of(older), *drift))
    assert {finding.column: finding.outcome for finding in found} == {"age": Outcome.FAIL, "visits": Outcome.PASS}


def test_a_column_that_cannot_be_measured_is_an_error_and_leaves_the_others_alone() -> None:
    rows = replaced(rows_of(600, 1), "visits", [None] * 600)
    found = measured(sample_of(rows), *({"metric": "MeanValue", "column": name} for name in ("age", "visits")))
    outcomes = {finding.column: finding.outcome for finding in judged((Limit("MeanValue", max=50),), found)}
    assert outcomes == {"age": Outcome.PASS, "visits": Outcome.ERROR}
    assert found[1].detail == "MeanValue of visits: the column holds no value in the window"


def test_a_preset_measures_what_it_can() -> None:
    rows = replaced(rows_of(600, 1).drop_columns(["sure"]), "visits", ["many"] * 600)
    found = measured(sample_of(rows), {"metric": "DataDriftPreset", "method": "psi"})
    drift = {measure.column for measure in found if measure.name == "ValueDrift"}
    assert drift == {"age", "city", "smoker", "said"}
    lost = {measure.column: measure.detail for measure in found if not math.isfinite(measure.estimate)}
    assert lost == {
        "visits": "DataDriftPreset of visits: "
        "column 'visits' holds categories in the window and numbers in the reference",
        "sure": "DataDriftPreset of sure: the window has no column 'sure'",
    }


def test_presets_that_overlap_tell_each_number_once(sample: Sample) -> None:
    found = measured(sample, {"metric": "DataSummaryPreset"}, {"metric": "DatasetStats"}, {"metric": "RowCount"})
    keys = [(measure.name, measure.column, measure.segment) for measure in found]
    assert len(keys) == len(set(keys))
    assert ("QuantileValue", "age", "quantile 0.25") in keys


def test_two_answers_to_one_question_are_refused(sample: Sample) -> None:
    with pytest.raises(CheckError, match="measure ValueDrift of age differently"):
        drift = {"metric": "ValueDrift", "column": "age", "method": "hellinger"}
        measured(sample, {"metric": "DataDriftPreset", "method": "psi"}, drift)


def test_of_many_values_the_most_frequent_are_told() -> None:
    rows = rows_of(600, 1)
    counts = np.concatenate([np.zeros(200), np.arange(1, 401)]).astype(int)
    found = measured(sample_of(replaced(rows, "visits", counts)), {"metric": "UniqueValueCount", "column": "visits"})
    assert len(found) == 200 and (found[0].name, found[0].segment, found[0].estimate) == (
        "UniqueValueCount.count",
        "0",
        200.0,
    )
    assert found[0].detail.startswith("the 100 most frequent of 4")
