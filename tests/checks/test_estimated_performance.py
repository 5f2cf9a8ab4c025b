"""`estimated_performance` in worlds whose truth is known, where it must give an estimate, and where it must not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import roc_auc_score

from controlplane.checks.estimate import EstimatedPerformance, EstimateParams
from controlplane.checks.estimate_curve import Graded
from controlplane.checks.estimate_domain import compare
from controlplane.checks.estimate_expected import Rows
from controlplane.checks.estimate_model import Answered, Estimator
from controlplane.domain.monitor import Columns, Window
from controlplane.domain.verdict import Measure
from controlplane.errors import CheckError, NotEnoughData
from controlplane.ports import Sample
from controlplane.profiles import build_reference

START = datetime(2026, 1, 1, tzinfo=UTC)
WINDOW = Window(START, START + timedelta(days=1))
COLUMNS = Columns("at", prediction="said", probability="sure", label="truth")


def world(n: int, seed: int, shift: float = 0.0, drift: float = 0.0) -> dict[str, Any]:
    """Two inputs decide the label, the model sees the first alone; `shift` moves the second by standard deviations,
    `drift` what the inputs mean over the rows, in units of the logit.
    """
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=n), rng.normal(shift, 1, n)
    logit = 1.5 * first + 2 * second + drift * np.sin(np.arange(n) / n * 9)
    truth = (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(int)
    at = [START + timedelta(seconds=i) for i in range(n)]
    sure = 1 / (1 + np.exp(-0.9 * first))
    kind = rng.choice(["a", "b", "c"], n)
    return {
        "at": at,
        "first": first,
        "second": second,
        "kind": kind,
        "said": (sure > 0.5).astype(int),
        "sure": sure,
        "truth": truth,
    }


def sample(rows: dict[str, Any], before: dict[str, Any], columns: Columns = COLUMNS, **more: Any) -> Sample:
    table = pa.table(before)
    return Sample(
        WINDOW, pa.table(rows), columns, version="2", reference=build_reference(table.to_batches, columns), **more
    )


def measured(given: Sample, **params: Any) -> dict[str, Measure]:
    return {one.name: one for one in EstimatedPerformance().measure(given, EstimateParams(**params))}


def unlabelled(rows: dict[str, Any]) -> dict[str, Any]:
    return {name: values for name, values in rows.items() if name != "truth"}


def true_accuracy(rows: dict[str, Any]) -> float:
    return float(np.mean(rows["said"] == rows["truth"]))


BEFORE = world(4000, 1000)


def test_a_window_of_the_references_world_is_estimated_without_its_labels() -> None:
    rows = world(1500, 1)
    found = measured(sample(unlabelled(rows), BEFORE))
    assert set(found) == set(EstimatedPerformance.measures)
    assert found["estimated_accuracy"].low < true_accuracy(rows) < found["estimated_accuracy"].high
    auc = roc_auc_score(rows["truth"], rows["sure"])
    assert found["estimated_roc_auc"].low < auc < found["estimated_roc_auc"].high
    change = found["estimated_accuracy_vs_baseline"]
    assert change.estimate == pytest.approx(found["estimated_accuracy"].estimate - true_accuracy(BEFORE))
    assert found["support"].estimate > 0.98
    assert all(one.n == 1500 and one.version == "2" for one in found.values())


def test_the_sentence_says_what_no_estimate_can_see() -> None:
    detail = measured(sample(unlabelled(world(500, 2)), BEFORE))["estimated_accuracy"].detail
    assert "accuracy was 0.6" in detail and "on the 4000 labelled reference rows (it looks like the window)" in detail
    assert "a change of what the inputs mean that leaves no trace in them cannot be seen without labels" in detail


def test_labels_in_the_window_are_not_looked_at() -> None:
    rows = world(500, 3)
    wrong = {**rows, "truth": 1 - rows["truth"]}
    assert measured(sample(wrong, BEFORE)) == measured(sample(unlabelled(rows), BEFORE))


def test_under_a_shift_of_inputs_the_weighted_estimate_holds_the_truth_where_the_plain_one_misses_it() -> None:
    weighted = plain = 0
    for seed in range(30):
        before, rows = world(3000, 100 + seed), world(1000, seed, shift=1.0)
        names = [pa.table({name: one[name] for name in ("first", "second")}) for one in (before, rows)]
        learnt, asked = (Answered(one["sure"], np.where(one["said"] == 1, 1.0, -1.0), True) for one in (before, rows))
        estimator = Estimator(learnt, before["truth"].astype(float), seed)
        domain = compare(*names, ("first", "second"), (before["sure"], rows["sure"]), seed)
        assert domain.shifted and domain.supported
        for weights in (domain.weights, None):
            now = estimator.estimate(asked, weights)["accuracy"][0]
            hit = now.low <= true_accuracy(rows) <= now.high
            weighted, plain = weighted + (hit and weights is not None), plain + (hit and weights is None)
    assert weighted >= 28
    assert plain <= 20


def test_intervals_hold_accuracy_and_roc_auc_where_nothing_moved() -> None:
    held = {"accuracy": 0, "roc_auc": 0}
    for seed in range(60):
        before, rows = world(2000, 500 + seed), world(400, seed)
        learnt, asked = (Answered(one["sure"], np.where(one["said"] == 1, 1.0, -1.0), True) for one in (before, rows))
        found = Estimator(learnt, before["truth"].astype(float), seed).estimate(asked)
        truth = asked.rows().metrics(rows["truth"].astype(float))
        for name in held:
            held[name] += found[name][0].low <= float(truth[name]) <= found[name][0].high
    assert min(held.values()) >= 55, held


def test_three_classes_are_estimated_by_the_chance_of_the_answer() -> None:
    class Three:
        version, classes = "2", ("x", "y", "z")

        def predict(self, rows: pa.Table) -> np.ndarray:
            return np.array(self.classes)[self.probabilities(rows).argmax(axis=1)]

        def probabilities(self, rows: pa.Table) -> np.ndarray:
            logits = np.column_stack([rows["u"].to_numpy(), rows["v"].to_numpy(), np.zeros(rows.num_rows)])
            odds = np.exp(2 * logits)  # Twice too sure of itself.
            return odds / odds.sum(axis=1, keepdims=True)

    def rows_of(n: int, seed: int) -> dict[str, Any]:
        rng = np.random.default_rng(seed)
        u, v = rng.normal(size=(2, n))
        logits = np.column_stack([u, v, np.zeros(n)]) + rng.gumbel(size=(n, 3))
        return {"at": [START] * n, "u": u, "v": v, "truth": np.array(["x", "y", "z"])[logits.argmax(axis=1)]}

    columns = Columns("at", label="truth")
    rows = rows_of(1500, 1)
    found = measured(sample(unlabelled(rows), rows_of(4000, 2), columns, model=Three()))
    truth = float(np.mean(Three().predict(pa.table(rows)) == rows["truth"]))
    assert found["estimated_accuracy"].low < truth < found["estimated_accuracy"].high
    assert set(found) == {"estimated_accuracy", "estimated_accuracy_vs_baseline", "support"}


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_rows_outside_the_reference_end_the_estimate_and_are_named(share: float) -> None:
    rows = unlabelled(world(1000, 4))
    moved = np.arange(1000) < share * 1000
    for name, values in (("first", rows["first"] + 30 * moved), ("kind", np.where(moved, "new", rows["kind"]))):
        with pytest.raises(NotEnoughData, match=r"no estimate: \d+% of the window's 1000 rows lie outside") as caught:
            measured(sample({**rows, name: values}, BEFORE))
        assert f"{share:.0%} of the rows hold a value of {name} that the reference never had" in str(caught.value)
        assert "labels, or a reference with such rows, are needed" in str(caught.value)


def test_a_few_rows_outside_are_borne_and_counted() -> None:
    rows = unlabelled(world(1000, 5))
    found = measured(sample({**rows, "kind": np.where(np.arange(1000) < 50, "new", rows["kind"])}, BEFORE))
    assert 0.9 < found["support"].estimate <= 0.95
    assert found["support"].detail == "5% of the rows hold a value of kind that the reference never had"


def test_codes_that_are_always_new_are_not_taken_for_leaving_the_reference() -> None:
    rng = np.random.default_rng(6)
    coded = [
        {**rows, "code": np.char.add("c", rng.zipf(1.5, len(rows["at"])).clip(max=9**9).astype(str))}
        for rows in (unlabelled(world(1000, 6)), BEFORE)
    ]
    assert measured(sample(*coded))["support"].estimate > 0.98


def test_too_few_effective_rows_end_the_estimate() -> None:
    far = unlabelled(world(400, 7, shift=2.8))
    with pytest.raises(
        NotEnoughData, match=r"weighted like the window, the reference's 4000 rows are worth \d+, and 9"
    ):
        measured(sample(far, BEFORE), max_outside=1.0, min_effective=900)


def test_a_reference_in_which_probabilities_change_their_meaning_ends_the_estimate() -> None:
    with pytest.raises(NotEnoughData, match=r"held out it was off by 0\.\d+ beyond chance .* at most 0.05 is allowed"):
        measured(sample(unlabelled(world(500, 8)), world(4000, 9, drift=6.0)))


def test_a_reference_that_is_too_short_says_what_is_needed() -> None:
    rows = unlabelled(world(500, 10))
    with pytest.raises(NotEnoughData, match="the reference is too short: 200 of 200 rows have a label; 300 are needed"):
        measured(sample(rows, world(200, 11)))
    one_class = {**BEFORE, "truth": np.ones(4000, int)}
    with pytest.raises(NotEnoughData, match="20 rows of each class are needed, and of the rarer it holds 0 among 4000"):
        measured(sample(rows, one_class))
    with pytest.raises(NotEnoughData, match="29 rows; an estimate needs 30"):
        measured(sample({name: values[:29] for name, values in rows.items()}, BEFORE))


def test_a_model_that_answers_everything_alike_is_estimated() -> None:
    rows = world(1000, 12)
    same = [
        {**one, "said": np.ones(len(one["at"]), int), "sure": np.full(len(one["at"]), 0.7)} for one in (rows, BEFORE)
    ]
    found = measured(sample(unlabelled(same[0]), same[1]))
    assert found["estimated_accuracy"].low < np.mean(rows["truth"] == 1) < found["estimated_accuracy"].high
    assert found["estimated_roc_auc"].estimate == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ("columns", "gone", "sentence"),
    [
        (COLUMNS, "sure", "an estimate needs class probabilities: log a probability column"),
        (COLUMNS, "truth", "the reference has no labels to learn from: it has no column 'truth'"),
        (replace(COLUMNS, label=None), None, "the reference has no labels to learn from"),
    ],
)
def test_what_is_missing_for_an_estimate_is_named(columns: Columns, gone: str | None, sentence: str) -> None:
    rows, before = ({k: v for k, v in one.items() if k != gone} for one in (world(100, 13), world(500, 14)))
    with pytest.raises(CheckError, match=sentence):
        measured(sample(rows, before, columns))


def test_without_a_reference_there_is_no_estimate() -> None:
    with pytest.raises(CheckError, match="needs a reference with labels; the monitor has no reference"):
        measured(replace(sample(world(100, 15), BEFORE), reference=None))


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        ({"sure": [0.2, 1.5] * 250}, "250 of 500 values of probability column 'sure' are outside 0 to 1"),
        ({"said": ["no", "yes"] * 250}, "labels such as 1 can never equal predictions such as 'no'"),
        ({"said": [0, 7] * 250}, r"250 predictions of the window are no class \(7\); the classes are 0, 1"),
    ],
)
def test_answers_that_make_no_sense_are_one_sentence(bad: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CheckError, match=sentence):
        measured(sample({**unlabelled(world(500, 16)), **bad}, BEFORE))


@pytest.mark.parametrize("params", [{"min_rows": 1}, {"min_reference": 50}, {"max_outside": 0.0}, {"max_off": 2.0}])
def test_parameters_that_make_no_sense_are_refused(params: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must"):
        EstimateParams(**params)


def test_the_curve_is_that_of_scikit_learn_and_of_few_rows_smooth() -> None:
    from sklearn.isotonic import IsotonicRegression

    rng = np.random.default_rng(17)
    score = rng.random(3000).round(3)
    hit = (rng.random(3000) < score).astype(float)
    graded = Graded.of(score, hit)
    theirs = IsotonicRegression().fit(score, hit)
    assert graded.curve(np.ones(3000)) == pytest.approx(theirs.predict(graded.score))
    few = Graded.of(score[:200], hit[:200]).curve(np.ones(200))
    assert (np.diff(few) >= 0).all() and 0 < few[0] < few[-1] < 1


def test_roc_auc_of_known_labels_is_that_of_scikit_learn_ties_included() -> None:
    rng = np.random.default_rng(18)
    score, hit, weights = rng.random(500).round(1), rng.integers(0, 2, 500).astype(float), rng.random(500)
    rows = Rows.of(score, np.ones(500), True)
    assert float(rows.metrics(hit)["roc_auc"]) == pytest.approx(roc_auc_score(hit, score))
    theirs = roc_auc_score(hit, score, sample_weight=weights)
    assert float(rows.metrics(hit, weights)["roc_auc"]) == pytest.approx(theirs)


def test_the_expected_roc_auc_is_the_mean_over_labels_drawn() -> None:
    rng = np.random.default_rng(19)
    chance = rng.random(300)
    rows = Rows.of(chance.round(2), np.ones(300), True)
    drawn = rows.draws(chance, 4000, rng)
    for name, value in rows.metrics(chance).items():
        assert float(value) == pytest.approx(drawn[name].mean(), abs=0.002)
