"""`performance` against scikit-learn on the same rows, its intervals on simulated truth, and every bad input."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn import metrics as truth
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from controlplane.checks.performance import Performance, PerformanceParams
from controlplane.domain.action import Accepted, Plan, Proof, accept
from controlplane.domain.attribution import compare
from controlplane.domain.monitor import Columns, Window
from controlplane.domain.verdict import Measure
from controlplane.errors import CheckError, NotEnoughData
from controlplane.models.inputs import Inputs
from controlplane.models.tabular import Tabular
from controlplane.ports import Sample
from controlplane.profiles import build_reference

START = datetime(2026, 1, 1, tzinfo=UTC)
WINDOW = Window(START, START + timedelta(days=1))
COLUMNS = Columns("at", prediction="said", probability="sure", label="truth")


def sample(rows: dict[str, Any] | pa.Table, columns: Columns = COLUMNS, **more: Any) -> Sample:
    table = rows if isinstance(rows, pa.Table) else pa.table(rows)
    return Sample(WINDOW, table.append_column("at", pa.array([START] * table.num_rows)), columns, version="2", **more)


def measured(given: Sample, **params: Any) -> dict[tuple[str, str | None], Measure]:
    found = Performance().measure(given, PerformanceParams(**params))
    assert len({(measure.name, measure.version) for measure in found}) == len(found)
    return {(measure.name, measure.version): measure for measure in found}


def table_of(data: Any, names: list[str]) -> pa.Table:
    return pa.table({**{name: data.data[:, i] for i, name in enumerate(names)}, "truth": data.target})


def fitted(rows: pa.Table, names: list[str], version: str, estimator: Any) -> Tabular:
    estimator = make_pipeline(StandardScaler(), estimator)
    return Tabular(
        version, estimator.fit(rows.select(names).to_pandas(), rows["truth"].to_numpy()), Inputs(version, tuple(names))
    )


@pytest.fixture(scope="module")
def tumours() -> dict[str, Any]:
    """Real rows, half to learn from; version 1 saw all of its half, version 2 only large tumours."""
    names = ["radius", "texture", "perimeter", "area"]
    rows = table_of(load_breast_cancer(), names)
    rows = rows.take(np.random.default_rng(0).permutation(rows.num_rows))
    learn, ask = rows.slice(0, 284), rows.slice(284)
    biased = learn.filter(pa.array(learn["area"].to_numpy() > 700))
    return {
        "learn": learn,
        "ask": ask,
        "good": fitted(learn, names, "1", LogisticRegression()),
        "bad": fitted(biased, names, "2", LogisticRegression()),
    }


@pytest.mark.parametrize("kind", [str, int, bool, float])
def test_two_classes_measure_what_scikit_learn_does(kind: type) -> None:
    rng = np.random.default_rng(1)
    sure = rng.uniform(size=400)
    labels = rng.uniform(size=400) < sure
    said = sure > 0.4
    names = {str: np.array(["no", "yes"])}.get(kind, np.array([0, 1]).astype(kind))
    found = measured(sample({"said": names[said.astype(int)], "sure": sure, "truth": names[labels.astype(int)]}))
    assert found["accuracy", "2"].estimate == pytest.approx(truth.accuracy_score(labels, said))
    assert found["brier", "2"].estimate == pytest.approx(truth.brier_score_loss(labels, sure))
    assert found["log_loss", "2"].estimate == pytest.approx(truth.log_loss(labels, sure))
    assert all(m.low < m.estimate < m.high and m.n == 400 for m in found.values())


def test_many_classes_measure_what_scikit_learn_does() -> None:
    names = ["a", "b", "c", "d"]
    rows = table_of(load_iris(), names)
    model = fitted(rows, names, "2", LogisticRegression(C=0.05))
    given = model.probabilities(rows)
    found = measured(sample(rows, model=model))
    labels = rows["truth"].to_numpy()
    assert found["accuracy", "2"].estimate == pytest.approx(truth.accuracy_score(labels, model.predict(rows)))
    assert found["log_loss", "2"].estimate == pytest.approx(truth.log_loss(labels, given))
    assert found["brier", "2"].estimate == pytest.approx(truth.brier_score_loss(labels, given))


def test_a_regression_measures_what_scikit_learn_does() -> None:
    rng = np.random.default_rng(2)
    labels = rng.normal(size=300)
    said = labels + rng.normal(scale=0.3, size=300)
    found = measured(sample({"said": said, "truth": labels}), task="regression")
    assert found["mae", "2"].estimate == pytest.approx(truth.mean_absolute_error(labels, said))
    assert found["rmse", "2"].estimate == pytest.approx(truth.root_mean_squared_error(labels, said))
    assert {name for name, _ in found} == {"mae", "rmse", "bias", "r2"}


def test_the_interval_of_rmse_and_of_its_paired_difference_cover_the_truth() -> None:
    rng = np.random.default_rng(3)
    level = gap = 0
    names = Columns("at", prediction="said", label="truth", features=("x",))
    for _ in range(300):
        x = rng.normal(size=120)
        labels = x + rng.normal(size=120)
        other = Tabular("1", _Doubled(), Inputs("1", ("x",)))
        found = measured(sample({"x": x, "said": x, "truth": labels}, names, previous=other), task="regression")
        level += found["rmse", "2"].low <= 1.0 <= found["rmse", "2"].high
        difference = found["rmse_vs_previous", "2"]
        gap += difference.low <= 1.0 - np.sqrt(2.0) <= difference.high
    assert level / 300 > 0.92
    assert gap / 300 > 0.92


class _Doubled:
    """Answers twice the input: an error of variance 2 where labels are the input plus unit noise."""

    def predict(self, frame: Any) -> Any:
        return 2 * frame["x"].to_numpy()


def test_a_worse_version_is_compared_on_the_same_rows_and_the_replay_proves_the_rollback(tumours: Any) -> None:
    good, bad, rows = tumours["good"], tumours["bad"], tumours["ask"]
    logged = rows.append_column("said", pa.array(bad.predict(rows)))
    found = measured(sample(logged, model=bad, previous=good))
    labels = rows["truth"].to_numpy()
    gap = np.mean(bad.predict(rows) == labels) - np.mean(good.predict(rows) == labels)
    paired = found["accuracy_vs_previous", "2"]
    assert paired.estimate == pytest.approx(gap)
    assert found["accuracy", "2"].estimate - found["accuracy", "1"].estimate == pytest.approx(gap)
    assert found["log_loss_vs_previous", "2"].low > 0
    worse = {name: spec.higher_is_worse for name, spec in Performance.measures.items()}
    replays = compare(tuple(found.values()), ["accuracy_vs_baseline"], "2", worse)
    plan = Plan("2", ("1",), "performance", ("accuracy_vs_baseline",), "")
    proof = accept(plan, [Proof("1", tuple(replays))])
    assert isinstance(proof, Accepted)
    assert (proof.replay.measure, proof.replay.difference) == ("accuracy", paired.estimate)


def test_pairing_is_surer_than_two_samples_apart(tumours: Any) -> None:
    good, bad, rows = tumours["good"], tumours["bad"], tumours["ask"]
    reference = build_reference(rows.append_column("said", pa.array(good.predict(rows))).to_batches, COLUMNS)
    found = measured(sample(rows, model=bad, previous=good, reference=reference))
    paired, apart = found["log_loss_vs_previous", "2"], found["log_loss_vs_baseline", "2"]
    assert paired.high - paired.low < apart.high - apart.low


def test_the_baseline_is_the_labelled_reference(tumours: Any) -> None:
    good, bad = tumours["good"], tumours["bad"]
    learn, ask = (
        rows.append_column("said", pa.array(who.predict(rows)))
        for rows, who in ((tumours["learn"], good), (tumours["ask"], bad))
    )
    found = measured(sample(ask, reference=build_reference(learn.to_batches, COLUMNS)))
    then = np.mean(learn["said"].to_numpy() == learn["truth"].to_numpy())
    now = np.mean(ask["said"].to_numpy() == ask["truth"].to_numpy())
    change = found["accuracy_vs_baseline", "2"]
    assert change.estimate == pytest.approx(now - then)
    assert change.low < change.estimate < change.high
    assert change.detail == f"accuracy was {then:.3g} on the 284 labelled reference rows"


def test_a_reference_without_labels_or_answers_is_no_baseline(tumours: Any) -> None:
    rows = tumours["ask"].append_column("said", pa.array(tumours["good"].predict(tumours["ask"])))
    for gone in ("truth", "said"):
        reference = build_reference(rows.drop_columns([gone]).to_batches, COLUMNS)
        assert ("accuracy_vs_baseline", "2") not in measured(sample(rows, reference=reference))


def test_logged_answers_count_and_the_model_fills_only_the_gaps(tumours: Any) -> None:
    model, rows = tumours["good"], tumours["ask"]
    answers = model.predict(rows)
    wrong = 1 - answers
    gaps = np.arange(len(answers)) < 100
    logged = rows.append_column("said", pa.array(np.where(gaps, 0, wrong), mask=gaps))
    right = answers == rows["truth"].to_numpy()
    found = measured(sample(logged, model=model), metrics=("accuracy",))
    assert found["accuracy", "2"].estimate == pytest.approx(np.mean(np.where(gaps, right, ~right)))
    with pytest.raises(CheckError, match="100 of 285 labelled rows log no prediction, and no model is at hand"):
        measured(sample(logged))


def test_rows_without_a_label_are_left_out_and_counted() -> None:
    labels = pa.array([1.0] * 40 + [0.0] * 10 + [float("nan")] * 20 + [None] * 30)
    found = measured(sample({"said": [1] * 100, "truth": labels}))
    accuracy = found["accuracy", "2"]
    assert (accuracy.estimate, accuracy.n) == (0.8, 50)
    assert accuracy.detail == "50 of 100 rows have no label yet"


def test_too_few_labels_is_not_enough_data() -> None:
    rows = {"said": [1] * 100, "truth": pa.array([1] * 29 + [None] * 71)}
    with pytest.raises(NotEnoughData, match="29 of 100 rows have a label; 30 are needed") as caught:
        measured(sample(rows))
    assert (caught.value.n, caught.value.needed) == (29, 30)


def test_a_label_no_class_of_the_model_counts_as_wrong_and_is_named(tumours: Any) -> None:
    rows = tumours["ask"]
    strange = np.where(np.arange(rows.num_rows) < 15, 7, rows["truth"].to_numpy())
    rows = rows.set_column(rows.column_names.index("truth"), "truth", pa.array(strange))
    found = measured(sample(rows, model=tumours["good"]))
    assert found["accuracy", "2"].detail == "15 labels are of no class the model knows (7)"
    assert found["accuracy", "2"].estimate == pytest.approx(np.mean(tumours["good"].predict(rows) == strange))
    assert found["log_loss", "2"].estimate > 15 / 285 * 36


def test_labels_of_one_class_only_are_measured() -> None:
    sure = np.linspace(0.1, 0.9, 50)
    found = measured(sample({"said": (sure > 0.5).astype(int), "sure": sure, "truth": [1] * 50}))
    assert found["accuracy", "2"].estimate == 0.5
    assert found["log_loss", "2"].estimate == pytest.approx(-np.log(sure).mean())


def test_the_probability_column_speaks_of_the_positive_class() -> None:
    rows = {"said": ["ham", "spam"] * 20, "sure": [0.9, 0.2] * 20, "truth": ["ham", "spam"] * 20}
    assert measured(sample(rows), positive="ham")["brier", "2"].estimate == pytest.approx(0.025)
    assert measured(sample(rows))["brier", "2"].estimate == pytest.approx(0.725)
    with pytest.raises(CheckError, match="positive is 'eggs', which is no class: 'ham', 'spam'"):
        measured(sample(rows), positive="eggs")


def test_without_probabilities_the_default_measures_accuracy_and_an_explicit_wish_says_what_lacks() -> None:
    rows = {"said": [0, 1] * 30, "truth": [0, 1] * 30}
    assert {name for name, _ in measured(sample(rows))} == {
        "accuracy",
        "balanced_accuracy",
        "precision",
        "recall",
        "f1",
    }
    with pytest.raises(CheckError, match="log_loss needs class probabilities: log a probability column"):
        measured(sample(rows), metrics=("log_loss",))


GOOD: dict[str, Any] = {"said": [0, 1] * 30, "sure": [0.2, 0.8] * 30, "truth": [0, 1] * 30}


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        ({"sure": [0.2, 1.5] * 30}, "30 of 60 values of probability column 'sure' are outside 0 to 1"),
        ({"sure": [0.2, float("nan")] * 30}, "30 of 60 values of probability column 'sure' are outside 0 to 1"),
        ({"sure": [[0.2, 0.8]] * 60}, "probability column 'sure' must hold one number a row; it holds list"),
        ({"said": [0.0, float("nan")] * 30}, "30 of 60 predictions are not finite numbers"),
        ({"said": ["0", "1"] * 30}, "labels such as 0 can never equal predictions such as '0'"),
        ({"said": [START] * 60}, "predictions must be numbers or text; found datetime64"),
        ({"truth": [float("inf"), 1.0] * 30}, "30 of 60 labels are not finite numbers"),
    ],
)
def test_answers_and_labels_that_cannot_be_compared_are_one_sentence(bad: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CheckError, match=sentence):
        measured(sample({**GOOD, **bad}))


def test_text_labels_of_a_regression_are_one_sentence() -> None:
    with pytest.raises(CheckError, match="the labels of a regression are numbers; column 'truth' holds 'high'"):
        measured(sample({"said": [1.0] * 40, "truth": ["high"] * 40}), task="regression")


@pytest.mark.parametrize("label", [None, "gone"])
def test_rows_without_the_label_column_are_one_sentence(label: str | None) -> None:
    with pytest.raises(CheckError, match=r"the rows have no (label column|column 'gone')"):
        measured(sample(GOOD, replace(COLUMNS, label=label)))


def test_another_version_that_cannot_answer_costs_the_comparison_alone(tumours: Any) -> None:
    rows = tumours["ask"].append_column("said", pa.array(tumours["bad"].predict(tumours["ask"])))
    found = measured(sample(rows.drop_columns(["area"]), previous=tumours["good"]))
    assert {version for _, version in found} == {"2"} and not any("_vs_" in name for name, _ in found)
    assert found["accuracy", "2"].detail.startswith("version 1 could not be compared: version 1 needs the column area")


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"metrics": ("rmse",)}, "classification has no metric rmse; valid: accuracy, balanced_accuracy, "),
        (
            {"task": "regression", "metrics": ("f1",)},
            "regression has no metric f1; valid: mae, rmse, bias, r2, pinball",
        ),
        ({"min_labels": 1}, "min_labels must be at least 2, not 1"),
        ({"task": "regression", "metrics": ("pinball",)}, "pinball needs the quantile that is predicted"),
        ({"task": "regression", "quantile": 90.0}, "quantile must lie between 0 and 1, not 90"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(params: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        PerformanceParams(**params)


def test_every_measure_is_declared(tumours: Any) -> None:
    rows = tumours["learn"]
    reference = build_reference(rows.to_batches, COLUMNS)
    names = {
        name for name, _ in measured(sample(rows, model=tumours["bad"], previous=tumours["good"], reference=reference))
    }
    found = measured(sample({"said": [1.0, 2.0] * 20, "truth": [1.0, 3.0] * 20}), task="regression")
    assert names | {name for name, _ in found} <= set(Performance.measures)
    assert {limit.measure for limit in Performance.default_limits} <= names
