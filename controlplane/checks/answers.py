"""What a version answered to the rows: the logged answers, or what its model says now."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from controlplane.checks.labels import keys, said, same_kind
from controlplane.checks.metrics import Answers
from controlplane.domain.monitor import Columns
from controlplane.errors import CheckError
from controlplane.ports import Model


def logged(
    rows: pa.Table,
    columns: Columns,
    model: Model | None,
    labels: np.ndarray,
    probable: bool = False,
    positive: str | None = None,
) -> Answers:
    """What was answered at the time; the model answers the rows that log nothing. Raises CheckError.

    With `probable` the class probabilities come along: from the probability column, where it is full and there are two
    classes (`positive` names the one it speaks of, by default the greater), else from the model where it gives any.
    """
    predictions = _predictions(rows, columns, model)
    same_kind(labels, predictions, "predictions")
    classes = None if model is None else _classes(model, labels)
    column = columns.probability if columns.probability in rows.column_names else None
    if probable and column is not None and rows[column].null_count == 0:
        pair = _two_classes(np.union1d(labels, predictions) if classes is None else classes, positive)
        if pair is not None:
            return Answers(predictions, _column(rows[column], column), pair)
    if probable and model is not None:
        return _with_probabilities(rows, model, labels, predictions)
    return Answers(predictions, classes=classes)


def asked(rows: pa.Table, model: Model, labels: np.ndarray, probable: bool = False) -> Answers:
    """What the model says now, with its class probabilities where `probable` and it gives any; raises CheckError."""
    what = f"predictions of version {model.version}"
    predictions = keys(model.predict(rows), what)
    same_kind(labels, predictions, what)
    return _with_probabilities(rows, model, labels, predictions) if probable else Answers(predictions)


def _predictions(rows: pa.Table, columns: Columns, model: Model | None) -> np.ndarray:
    name = columns.prediction if columns.prediction in rows.column_names else None
    silent = np.ones(rows.num_rows, dtype=bool) if name is None else np.asarray(pc.is_null(rows[name]))
    if name is not None and not silent.any():
        return keys(rows[name], "predictions")
    if model is None:
        raise CheckError(
            f"{int(silent.sum())} of {rows.num_rows} labelled rows log no prediction, and no model is at hand"
        )
    answered = keys(model.predict(rows.filter(pa.array(silent))), f"predictions of version {model.version}")
    if silent.all():
        return answered
    noted = keys(rows.filter(pa.array(~silent))[name], "predictions")
    same_kind(noted, answered, f"predictions of version {model.version}")
    predictions = np.empty(rows.num_rows, dtype=np.result_type(answered, noted))
    predictions[silent], predictions[~silent] = answered, noted
    return predictions


def _with_probabilities(rows: pa.Table, model: Model, labels: np.ndarray, predictions: np.ndarray) -> Answers:
    given, classes = model.probabilities(rows), _classes(model, labels)
    if given is None:
        return Answers(predictions, classes=classes)
    if classes is None:
        classes = np.arange(given.shape[1], dtype=np.float64)
        same_kind(labels, classes, f"classes of version {model.version}")
    if len(classes) != given.shape[1]:
        raise CheckError(
            f"version {model.version} names {len(classes)} classes and gives {given.shape[1]} probabilities"
        )
    _valid(given, f"probabilities of version {model.version}")
    return Answers(predictions, given, classes)


def _classes(model: Model, labels: np.ndarray) -> np.ndarray | None:
    if model.classes is None:
        return None
    classes = keys(np.asarray(model.classes), f"classes of version {model.version}")
    same_kind(labels, classes, f"classes of version {model.version}")
    return classes


def _two_classes(known: np.ndarray, positive: str | None) -> np.ndarray | None:
    """The classes (negative, positive) that one probability a row speaks of; None where there are not two."""
    if known.dtype.kind != "U" and set(known) <= {0.0, 1.0}:
        known = np.array([0.0, 1.0])
    if len(known) != 2:
        return None
    if positive is None:
        return np.sort(known)
    named = [str(value) if known.dtype.kind == "U" else f"{value:g}" for value in known]
    if positive not in named:
        raise CheckError(f"positive is {positive!r}, which is no class: {said(known)}")
    return known if positive == named[1] else known[::-1]


def _column(column: pa.ChunkedArray, name: str) -> np.ndarray:
    if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
        raise CheckError(f"probability column {name!r} must hold one number a row; it holds {column.type}")
    of_positive = np.asarray(column.to_numpy(), dtype=np.float64)
    both = np.column_stack([1.0 - of_positive, of_positive])
    _valid(both, f"values of probability column {name!r}")
    return both


def _valid(given: np.ndarray, what: str) -> None:
    outside = int((~((given >= 0) & (given <= 1)).all(axis=1)).sum())
    if outside:
        raise CheckError(f"{outside} of {len(given)} {what} are outside 0 to 1")
    if float(np.abs(given.sum(axis=1) - 1.0).max()) > 1e-3:
        raise CheckError(f"the {what} do not add up to 1")
