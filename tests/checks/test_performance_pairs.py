"""Version beside version: flips, the previous one's own baseline, and metrics that these rows do not define."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import binomtest

from controlplane.checks.performance import ASKED_OF_REFERENCE, Performance, PerformanceParams
from controlplane.domain.monitor import Columns, Window
from controlplane.domain.verdict import Measure
from controlplane.errors import CheckError, NotEnoughData
from controlplane.ports import Sample
from controlplane.profiles import build_reference

START = datetime(2026, 1, 1, tzinfo=UTC)
WINDOW = Window(START, START + timedelta(days=1))
COLUMNS = Columns("at", prediction="said", probability="sure", label="truth")


class Old:
    """A version that answers by the sign of `x`, surer the farther from 0; its classes may stand in any order."""

    version = "1"

    def __init__(self, classes: tuple[Any, ...] = (0, 1), most: int = 10**9) -> None:
        self.classes, self._most = classes, most
        self.asked: list[int] = []

    def predict(self, rows: pa.Table) -> np.ndarray:
        self.asked.append(rows.num_rows)
        if rows.num_rows > self._most:
            raise CheckError(f"version 1 cannot answer {rows.num_rows} rows")
        return np.array(sorted(self.classes))[(rows["x"].to_numpy() > 0).astype(int)]

    def probabilities(self, rows: pa.Table) -> np.ndarray | None:
        chance = 1 / (1 + np.exp(-rows["x"].to_numpy()))
        both = np.column_stack([1 - chance, chance])
        return both if list(self.classes) == sorted(self.classes) else both[:, ::-1]

    def inputs(self, rows: pa.Table) -> np.ndarray:
        raise CheckError("none")

    def module(self) -> Any:
        raise CheckError("none")


def rows(seed: int, n: int, slope: float = 2.0, own: float = 1.0) -> pa.Table:
    """Labels follow `slope * x`; the version in charge hears `own` as much noise as signal."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    truth = (slope * x + rng.logistic(size=n) > 0).astype(int)
    heard = x + own * rng.normal(size=n)
    sure = 1 / (1 + np.exp(-heard))
    return pa.table({"x": x, "said": (heard > 0).astype(int), "sure": sure, "truth": truth, "at": [START] * n})


def sample(now: pa.Table, before: pa.Table | None = None, previous: Any = None) -> Sample:
    reference = None if before is None else build_reference(before.to_batches, COLUMNS, cap=50_000)
    return Sample(WINDOW, now, COLUMNS, version="2", reference=reference, previous=previous)


def measured(given: Sample, **params: Any) -> dict[tuple[str, str | None], Measure]:
    found = Performance().measure(given, PerformanceParams(**params))
    assert len({(measure.name, measure.version) for measure in found}) == len(found)
    return {(measure.name, measure.version): measure for measure in found}


def test_rows_that_only_the_version_before_had_right_are_negative_flips() -> None:
    now = rows(1, 500)
    found = measured(sample(now, previous=Old()))
    truth, said = now["truth"].to_numpy(), now["said"].to_numpy()
    old = (now["x"].to_numpy() > 0).astype(int)
    lost, won = int(((old == truth) & (said != truth)).sum()), int(((old != truth) & (said == truth)).sum())
    flips, gap = found["negative_flips", "2"], found["accuracy_vs_previous", "2"]
    assert (flips.estimate, flips.n) == (lost / 500, 500) and flips.low < flips.estimate < flips.high
    assert flips.detail == f"{lost} rows that version 1 had right are wrong now, {won} that it had wrong are right"
    p = binomtest(won, won + lost).pvalue
    assert gap.detail.endswith(
        f"{won} rows are right with version 2 alone, {lost} with version 1 alone (McNemar's exact test: p = {p:.2g})"
    )


def test_where_the_world_changed_the_version_before_fell_too() -> None:
    found = measured(sample(rows(2, 3000, slope=0.3), rows(3, 20_000), Old()))
    for version in ("1", "2"):
        for metric in ("accuracy", "roc_auc"):
            change = found[f"{metric}_vs_baseline", version]
            assert change.high is not None and change.high < -0.05, (metric, version)
    assert found["accuracy_vs_baseline", "1"].detail.endswith(f"on the {ASKED_OF_REFERENCE} labelled reference rows")


def test_where_the_version_regressed_the_one_before_did_not_fall() -> None:
    found = measured(sample(rows(4, 3000, own=3.0), rows(5, 20_000), Old()))
    own, other = found["accuracy_vs_baseline", "2"], found["accuracy_vs_baseline", "1"]
    assert own.high is not None and own.high < -0.05
    assert other.low is not None and other.high is not None and other.low < 0 < other.high


def test_the_version_before_is_asked_on_a_part_of_a_large_reference() -> None:
    old = Old()
    found = measured(sample(rows(6, 200), rows(7, 30_000), old))
    assert old.asked == [200, ASKED_OF_REFERENCE]
    reference = rows(7, 30_000)
    truth = reference["truth"].to_numpy() == (reference["x"].to_numpy() > 0)
    now = found["accuracy", "1"].estimate
    assert found["accuracy_vs_baseline", "1"].estimate == pytest.approx(now - truth.mean(), abs=0.01)


def test_a_version_that_cannot_answer_the_reference_is_compared_on_the_window_alone() -> None:
    found = measured(sample(rows(8, 200), rows(9, 1000), Old(most=500)))
    assert ("accuracy_vs_previous", "2") in found and ("accuracy_vs_baseline", "1") not in found
    assert found["accuracy", "2"].detail == "version 1 has no baseline: version 1 cannot answer 1000 rows"


def test_both_versions_mean_the_same_positive_class_however_their_classes_stand() -> None:
    given = sample(rows(10, 400), previous=Old())
    turned = replace(given, previous=Old(classes=(1, 0)))
    for positive in ("0", "1"):
        assert measured(given, positive=positive) == measured(turned, positive=positive)
    found = measured(given, positive="0")
    assert found["recall", "1"].estimate != pytest.approx(measured(given)["recall", "1"].estimate)


def test_a_version_that_tells_other_classes_apart_is_not_compared() -> None:
    found = measured(sample(rows(11, 200), previous=Old(classes=(0, 2))))
    assert {version for _, version in found} == {"2"}
    assert found["accuracy", "2"].detail == "version 1 could not be compared: its classes are 0, 2, not 0, 1"


ONE_SIDED = {"said": [0, 1] * 30, "sure": [0.2, 0.8] * 30, "truth": [1] * 60, "at": [START] * 60}


def test_by_default_a_metric_that_the_rows_do_not_define_is_left_out_and_the_others_say_why() -> None:
    found = measured(sample(pa.table(ONE_SIDED)))
    assert {name for name, _ in found} == {"accuracy", "precision", "recall", "f1", "log_loss", "brier"}
    assert "roc_auc needs rows of two classes that the model knows; every label is 1" in found["accuracy", "2"].detail


def test_a_named_metric_that_the_rows_do_not_define_is_no_number_and_hides_no_other() -> None:
    found = measured(sample(pa.table(ONE_SIDED)), metrics=("accuracy", "roc_auc"))
    assert found["accuracy", "2"].estimate == 0.5
    assert math.isnan(found["roc_auc", "2"].estimate) and found["roc_auc", "2"].low is None
    assert found["roc_auc", "2"].detail == "roc_auc needs rows of two classes that the model knows; every label is 1"
    params = PerformanceParams(metrics=("accuracy", "roc_auc"))
    statistics = Performance().statistics(sample(pa.table(ONE_SIDED)), params, list(found.values()))
    assert [one.name for one in statistics] == ["accuracy"]


def test_where_no_named_metric_is_defined_there_is_not_enough_data() -> None:
    never = pa.table(ONE_SIDED | {"said": [0] * 60})
    with pytest.raises(NotEnoughData, match=r"^precision is not defined: no row was answered 1; roc_auc needs"):
        measured(sample(never), metrics=("precision", "roc_auc"))


def test_a_reference_of_one_class_is_no_baseline_for_a_ranking_and_says_so() -> None:
    before = rows(12, 300)
    one = before.filter(pa.array(before["truth"].to_numpy() == 1))
    found = measured(sample(rows(13, 300), one))
    assert ("accuracy_vs_baseline", "2") in found and ("roc_auc_vs_baseline", "2") not in found
    assert "no baseline: in the reference roc_auc needs rows of two classes" in found["accuracy", "2"].detail


def test_a_window_of_one_class_means_the_classes_of_the_reference() -> None:
    names = np.array(["ham", "spam"])
    before = rows(14, 300)
    said = {name: pa.array(names[before[name].to_numpy()]) for name in ("said", "truth")}
    before = pa.table(said | {"at": before["at"], "sure": before["sure"]})
    ham = pa.table({"said": ["ham"] * 60, "truth": ["ham"] * 60, "sure": [0.1] * 60, "at": [START] * 60})
    found = measured(sample(ham, before))
    assert found["log_loss", "2"].estimate == pytest.approx(-math.log(0.9))
    assert ("precision", "2") not in found
    assert "precision is not defined: no row was answered 'spam'" in found["accuracy", "2"].detail
    with pytest.raises(CheckError, match="no label is a class of the reference: labels are 'eggs'"):
        measured(sample(ham.set_column(1, "truth", pa.array(["eggs"] * 60)), before))


def test_by_default_few_metrics_feed_a_page_budget_and_named_ones_do() -> None:
    given = sample(rows(15, 300))
    for params, names in (
        (PerformanceParams(), ["accuracy", "roc_auc", "log_loss"]),
        (PerformanceParams(metrics=("recall", "brier")), ["recall", "brier"]),
    ):
        found = Performance().statistics(given, params, Performance().measure(given, params))
        assert [one.name for one in found] == names
