"""Metrics as means over rows, so that each has an interval, a difference between samples, and a paired difference.

`contributions` turns labels and answers into one number a row whose mean is the metric. A metric that is no mean (F1,
ROC AUC, RMSE, R2) joins through its influence values, see `Contributions`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from controlplane.checks import metrics_custom as custom
from controlplane.checks import metrics_numbers as numbers
from controlplane.checks.contributions import Contributions, Undefined, mean
from controlplane.checks.labels import distinct, said
from controlplane.checks.metrics_classes import Decisions
from controlplane.checks.metrics_ranks import Ranking, area
from controlplane.ports import MeasureSpec

CLASSIFICATION = {
    "accuracy": MeasureSpec("share", False, "the share of labelled rows answered with their label"),
    "balanced_accuracy": MeasureSpec("share", False, "the mean over classes of the share answered with their label"),
    "precision": MeasureSpec("share", False, "of the rows answered as positive, the share that is (macro averaged)"),
    "recall": MeasureSpec("share", False, "of the positive rows, the share answered as such (macro averaged)"),
    "f1": MeasureSpec("share", False, "the harmonic mean of precision and recall (macro averaged)"),
    "roc_auc": MeasureSpec("share", False, "the chance that a positive row scores above another (macro averaged)"),
    "pr_auc": MeasureSpec("share", False, "average precision over the positive rows (macro averaged)"),
    "log_loss": MeasureSpec("nats", True, "the mean negative log probability given to the true class"),
    "brier": MeasureSpec("squared probability", True, "the mean squared error of the class probabilities"),
}
REGRESSION = {
    "mae": MeasureSpec("unit of the label", True, "the mean absolute error"),
    "rmse": MeasureSpec("unit of the label", True, "the root of the mean squared error"),
    "bias": MeasureSpec("unit of the label", True, "the size of the mean error; its detail says which way"),
    "r2": MeasureSpec("share", False, "the share of the labels' variance that is explained"),
    "pinball": MeasureSpec("unit of the label", True, "the mean pinball loss of the predicted quantile"),
}
METRICS = {**CLASSIFICATION, **REGRESSION}
PROBABILISTIC = frozenset({"roc_auc", "pr_auc", "log_loss", "brier"})


class Specs(Mapping[str, MeasureSpec]):
    """What a labelled check measures: every metric, installed ones among them, and its two differences.

    An installed metric is only loaded when it is looked up.
    """

    _ENDS: Mapping[str, str] = {
        "_vs_baseline": "the reference rows",
        "_vs_previous": "the version before, on the same rows",
    }

    def __init__(self, more: Mapping[str, MeasureSpec]) -> None:
        self._known = {**METRICS, **more}

    def __getitem__(self, name: str) -> MeasureSpec:
        for end, other in self._ENDS.items():
            metric = name.removesuffix(end)
            if metric != name and (metric in METRICS or metric in custom.names()):
                spec = self[metric]
                return MeasureSpec(spec.unit, spec.higher_is_worse, f"{metric} minus {metric} of {other}")
        return self._known[name] if name in self._known else custom.spec(name)

    def __contains__(self, name: object) -> bool:
        return name in set(self)

    def __iter__(self) -> Iterator[str]:
        metrics = [*METRICS, *custom.names()]
        yield from (*self._known, *metrics[len(METRICS) :])
        for metric in metrics:
            yield from (metric + end for end in self._ENDS)

    def __len__(self) -> int:
        return sum(1 for _ in self)


@dataclass(frozen=True, slots=True)
class Answers:
    """What a version answered to n rows: `predictions` (n,), and where known `probabilities` (n, k) of `classes`.

    Of two classes the second is the positive one.
    """

    predictions: np.ndarray
    probabilities: np.ndarray | None = None
    classes: np.ndarray | None = None


class Judged:
    """Labels beside the answers to the same rows; what several metrics need of them is made once."""

    def __init__(self, labels: np.ndarray, answers: Answers, quantile: float | None = None) -> None:
        self.labels, self.answers, self.quantile = labels, answers, quantile

    def metric(self, name: str) -> Contributions:
        """One metric by its name, built-in or installed; raises Undefined, or CheckError of an installed one."""
        errors: dict[str, Callable[..., Contributions]] = {
            "mae": numbers.mae,
            "rmse": numbers.rmse,
            "bias": numbers.bias,
            "r2": numbers.r2,
        }
        answers = self.answers
        if name in errors:
            return errors[name](self.labels, answers.predictions)
        match name:
            case "pinball":
                assert self.quantile is not None
                return numbers.pinball(self.labels, answers.predictions, self.quantile)
            case "log_loss":
                return mean(-np.log(np.clip(self._of_label, np.finfo(np.float64).eps, 1.0)), least=0.0)
            case "brier":
                return mean(self._brier(), 0.0, 1.0 if self._positive is not None else 2.0)
            case "roc_auc" | "pr_auc":
                return self._area(name)
            case "accuracy" | "balanced_accuracy" | "precision" | "recall" | "f1":
                found: Contributions = getattr(self._decisions, name)()
                return found
        return mean(custom.load(name)(self.labels, answers.predictions, answers.probabilities))

    @property
    def _positive(self) -> float | str | None:
        classes = self.answers.classes
        return classes[1] if classes is not None and len(classes) == 2 else None

    @cached_property
    def _decisions(self) -> Decisions:
        return Decisions(self.labels, self.answers.predictions, self._positive)

    @cached_property
    def _of_label(self) -> np.ndarray:
        """The probability given to each label; 0 for one outside the classes."""
        given, classes = self._given
        found = np.zeros(len(self.labels))
        for place, one in enumerate(classes):
            np.copyto(found, given[:, place], where=self.labels == one)
        return found

    def _brier(self) -> np.ndarray:
        given, _ = self._given
        if given.shape[1] == 2:
            return np.square(1.0 - self._of_label)
        return np.asarray(np.square(given).sum(axis=1) - 2 * self._of_label + 1.0)

    def _area(self, metric: str) -> Contributions:
        classes, places = self._given[1], list(self._rankings)
        if not places:
            raise Undefined(
                f"{metric} needs rows of two classes that the model knows; every label is {said(distinct(self.labels))}"
            )
        over = tuple(classes[places].tolist())
        lost = np.delete(classes, places if self._positive is None else range(2))
        note = f"class {said(lost)} has no label and is left out of the mean" if len(lost) else ""
        return area(metric, list(self._rankings.values()), over, note)

    @cached_property
    def _rankings(self) -> dict[int, Ranking]:
        """By the place of its class: of two classes the positive one, else each that has rows against the rest."""
        given, classes = self._given
        found = {}
        for place in range(len(classes)) if self._positive is None else [1]:
            positive = self.labels == classes[place]
            if 0 < np.count_nonzero(positive) < len(positive):
                found[place] = Ranking(np.ascontiguousarray(given[:, place]), positive)
        return found

    @property
    def _given(self) -> tuple[np.ndarray, np.ndarray]:
        given, classes = self.answers.probabilities, self.answers.classes
        assert given is not None and classes is not None
        return given, classes


def contributions(metric: str, labels: np.ndarray, answers: Answers, quantile: float | None = None) -> np.ndarray:
    """One number a row, shape (n,), whose mean is the metric. A label outside the classes had probability 0.

    Raises Undefined (a NotEnoughData) where these rows do not define the metric.

    >>> float(contributions("rmse", np.array([0.0, 0.0]), Answers(np.array([7.0, 1.0]))).mean())
    5.0
    """
    return Judged(labels, answers, quantile).metric(metric).values
