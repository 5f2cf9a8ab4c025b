"""Every metric is scikit-learn's on the same rows, its spread is what it should be, and what is undefined says so."""

from typing import Any

import numpy as np
import pytest
from sklearn import metrics as truth

from controlplane.checks import compared
from controlplane.checks.contributions import Contributions, Undefined
from controlplane.checks.metrics import CLASSIFICATION, REGRESSION, Answers, Judged, contributions

NAN: Any = float("nan")


def answered(seed: int, n: int, classes: list[Any], ties: bool = False) -> tuple[np.ndarray, Answers]:
    """Labels that lean towards the class with the greatest score; with `ties` there are few distinct scores."""
    rng = np.random.default_rng(seed)
    score = rng.normal(size=(n, len(classes)))
    labels = (score + rng.gumbel(size=score.shape)).argmax(axis=1)
    given = np.exp(score) / np.exp(score).sum(axis=1, keepdims=True)
    if ties:
        given = np.round(given[:, :1] * 10) / 10
        given = np.column_stack([given, 1 - given])
    named = np.array(classes)
    return named[labels], Answers(named[given.argmax(axis=1)], given, named)


def wanted(labels: np.ndarray, answers: Answers) -> dict[str, float]:
    """What scikit-learn says."""
    said, given, classes = answers.predictions, answers.probabilities, answers.classes
    assert given is not None and classes is not None
    how: dict[str, Any] = {"average": "macro", "zero_division": NAN}
    scores, ranked = given, {"average": "macro", "multi_class": "ovr"}
    hits = (labels[:, None] == classes[None, :]).astype(int)
    if len(classes) == 2:
        how = {"pos_label": classes[1]}
        scores, ranked, hits = given[:, 1], {}, hits[:, 1]
    return {
        "accuracy": truth.accuracy_score(labels, said),
        "balanced_accuracy": truth.balanced_accuracy_score(labels, said),
        "precision": truth.precision_score(labels, said, **how),
        "recall": truth.recall_score(labels, said, **how),
        "f1": truth.f1_score(labels, said, **how),
        "roc_auc": truth.roc_auc_score(labels, scores, **ranked),
        "pr_auc": truth.average_precision_score(hits, scores),
        "log_loss": truth.log_loss(labels, given),
        "brier": truth.brier_score_loss(hits, scores) if len(classes) == 2 else truth.brier_score_loss(labels, given),
    }


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("classes", [[0.0, 1.0], ["no", "yes"]])
@pytest.mark.parametrize("n", [40, 3000])
def test_two_classes_are_measured_as_scikit_learn_does(n: int, classes: list[Any], ties: bool) -> None:
    labels, answers = answered(n, n, classes, ties)
    for metric, value in wanted(labels, answers).items():
        assert contributions(metric, labels, answers).mean() == pytest.approx(value, abs=1e-9), metric


@pytest.mark.parametrize("classes", [["a", "b", "c"], [0.0, 1.0, 2.0, 3.0, 4.0], [float(i) for i in range(25)]])
def test_many_classes_are_averaged_as_scikit_learn_does(classes: list[Any]) -> None:
    labels, answers = answered(3, 4000, classes)
    for metric, value in wanted(labels, answers).items():
        assert contributions(metric, labels, answers).mean() == pytest.approx(value, abs=1e-9), metric


def test_numbers_are_measured_as_scikit_learn_does() -> None:
    rng = np.random.default_rng(4)
    labels = rng.normal(5, 2, 500)
    said = labels + rng.normal(-0.3, 1, 500)
    judged = Judged(labels, Answers(said), quantile=0.9)
    known = {
        "mae": truth.mean_absolute_error(labels, said),
        "rmse": truth.root_mean_squared_error(labels, said),
        "r2": truth.r2_score(labels, said),
        "pinball": truth.mean_pinball_loss(labels, said, alpha=0.9),
        "bias": abs(np.mean(said - labels)),
    }
    assert set(known) == set(REGRESSION)
    for metric, value in known.items():
        assert judged.metric(metric).values.mean() == pytest.approx(value, abs=1e-9), metric


def test_the_variance_of_roc_auc_and_of_its_paired_difference_is_delongs() -> None:
    labels, answers = answered(5, 300, [0.0, 1.0], ties=True)
    other = np.random.default_rng(5).normal(size=300) + labels
    positive = labels == 1
    components = []
    assert answers.probabilities is not None
    for score in (answers.probabilities[:, 1], other):
        above = score[positive][:, None] - score[~positive][None, :]
        wins = (above > 0) + 0.5 * (above == 0)
        components.append((wins.mean(axis=1), wins.mean(axis=0)))
    both = Answers(answers.predictions, np.column_stack([-other, other]), answers.classes)
    mine, theirs = (Judged(labels, one).metric("roc_auc").values for one in (answers, both))
    for values, weights in ((mine, (1, 0)), (theirs, (0, 1)), (mine - theirs, (1, -1))):
        parts = [weights[0] * components[0][side] + weights[1] * components[1][side] for side in (0, 1)]
        delong = sum(np.var(part) / len(part) for part in parts)
        assert np.var(values) / 300 == pytest.approx(delong, abs=1e-12)


@pytest.mark.parametrize("metric", [*CLASSIFICATION, *REGRESSION])
@pytest.mark.parametrize("classes", [["no", "yes"], ["a", "b", "c"]])
def test_the_spread_of_the_values_is_the_jackknifes(metric: str, classes: list[Any]) -> None:
    labels, answers = answered(6, 250, classes)
    if metric in REGRESSION:
        rng = np.random.default_rng(6)
        labels = rng.normal(size=250)
        answers = Answers(labels * 0.5 + rng.normal(0.2, 0.5, 250))
    values = Judged(labels, answers, 0.8).metric(metric).values
    left_out = []
    for row in range(250):
        kept = np.arange(250) != row
        given = None if answers.probabilities is None else answers.probabilities[kept]
        part = Answers(answers.predictions[kept], given, answers.classes)
        left_out.append(Judged(labels[kept], part, 0.8).metric(metric).estimate)
    jackknife = np.sqrt(249 * np.var(left_out))
    assert np.std(values) / np.sqrt(250) == pytest.approx(jackknife, rel=0.03)


def test_a_rare_class_answered_wholly_right_leaves_its_doubt() -> None:
    labels = np.array([1.0] * 5 + [0.0] * 995)
    sure = labels.copy()
    found = Judged(labels, Answers(labels, np.column_stack([1 - sure, sure]), np.array([0.0, 1.0])))
    for metric in ("recall", "precision", "f1", "roc_auc", "pr_auc", "balanced_accuracy"):
        low, high = found.metric(metric).interval
        assert found.metric(metric).estimate == pytest.approx(1.0) and high == pytest.approx(1.0)
        assert low < 0.8, metric


def test_precision_and_recall_of_one_class_get_wilsons_interval() -> None:
    labels, said = (
        np.repeat([1.0, 1.0, 0.0, 0.0], [30, 10, 20, 140]),
        np.repeat([1.0, 0.0, 1.0, 0.0], [30, 10, 20, 140]),
    )
    judged = Judged(labels, Answers(said, classes=np.array([0.0, 1.0])))
    assert judged.metric("recall").interval == pytest.approx((0.5981, 0.8581), abs=1e-4)
    assert judged.metric("precision").interval == pytest.approx((0.4618, 0.7239), abs=1e-4)


def test_two_versions_that_answer_alike_leave_room_for_doubt() -> None:
    labels, answers = answered(8, 200, ["no", "yes"])
    for metric in ("accuracy", "recall", "precision", "f1", "balanced_accuracy"):
        one = Judged(labels, answers).metric(metric)
        gap = compared.against_previous(metric, one, one, "2", "1")
        assert gap.estimate == 0.0 and gap.low is not None and gap.high is not None
        assert gap.low < -0.005 and gap.high > 0.005


def undefined(metric: str, labels: Any, said: Any, sure: Any = None, classes: Any = (0.0, 1.0)) -> str:
    given = None if sure is None else np.column_stack([1 - np.array(sure), np.array(sure)])
    with pytest.raises(Undefined) as caught:
        contributions(metric, np.array(labels), Answers(np.array(said), given, np.array(classes)))
    return str(caught.value)


def test_what_the_rows_do_not_define_says_why() -> None:
    ones, zeros, sure = [1.0] * 40, [0.0] * 40, np.linspace(0.1, 0.9, 40)
    for metric in ("roc_auc", "pr_auc"):
        assert undefined(metric, ones, ones, sure) == (
            f"{metric} needs rows of two classes that the model knows; every label is 1"
        )
    assert undefined("precision", ones, zeros) == "precision is not defined: no row was answered 1"
    assert undefined("recall", zeros, ones) == "recall is not defined: no label is 1"
    assert undefined("f1", zeros, zeros) == "f1 is not defined: no label or answer is 1"
    assert (
        undefined("balanced_accuracy", ones, zeros) == "balanced_accuracy needs labels of two classes; every label is 1"
    )
    assert undefined("r2", ones, sure) == "r2 is not defined: every label is 1"
    known = ["a", "b", "c"]
    assert undefined("f1", ["a"] * 40, ["a"] * 40, classes=known) == (
        "f1 needs two classes; every label and answer is 'a'"
    )


def test_a_class_that_is_missing_is_left_out_of_the_mean_and_named() -> None:
    labels, answers = answered(9, 400, ["a", "b", "c"])
    kept = labels != "c"
    assert answers.probabilities is not None
    part = Judged(labels[kept], Answers(answers.predictions[kept], answers.probabilities[kept], answers.classes))
    for metric in ("roc_auc", "pr_auc", "recall"):
        found: Contributions = part.metric(metric)
        assert found.over == ("a", "b")
        assert found.note == "class 'c' has no label and is left out of the mean"
    assert part.metric("precision").over == ("a", "b", "c")
    never = Answers(np.where(answers.predictions == "c", "a", answers.predictions), None, answers.classes)
    assert Judged(labels, never).metric("precision").note == "class 'c' was never answered and is left out of the mean"
    with_nan = truth.precision_score(labels, never.predictions, average="macro", zero_division=NAN)
    assert Judged(labels, never).metric("precision").estimate == pytest.approx(with_nan)


def test_bias_is_a_size_and_tells_its_side() -> None:
    rng = np.random.default_rng(10)
    labels = rng.normal(size=200)
    low = Judged(labels, Answers(labels - 3 + rng.normal(size=200))).metric("bias")
    high = Judged(labels, Answers(labels + 2 + rng.normal(size=200))).metric("bias")
    assert low.estimate == pytest.approx(3, abs=0.3) and "too low" in low.note
    assert high.estimate == pytest.approx(2, abs=0.3) and "too high" in high.note
    gap = compared.against_previous("bias", low, high, "2", "1")
    assert gap.low is not None and gap.low > 0.5
