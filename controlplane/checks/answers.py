"""What a version answered to the rows: the logged answers, or what its model says now."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from controlplane.checks.labels import distinct, keys, said, same_kind
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
    beside: np.ndarray | None = None,
) -> Answers:
    """What was answered at the time; the model answers the rows that log nothing. Raises CheckError.

    The classes are the model's, else those of `beside` (such as the labels of the reference), else those found in the
    rows. Of two, `positive` names the one that counts as such, by default the greater. With `probable` the class
    probabilities come along: from the probability column, which speaks of the positive one of two classes, where it is
    full; else from the model where it gives any.
    """
    predictions = _predictions(rows, columns, model)
    same_kind(labels, predictions, "predictions")
    plain = _plain(predictions, labels, _known(model, labels, beside), positive)
    column = columns.probability if columns.probability in rows.column_names else None
    two = plain.classes is not None and len(plain.classes) == 2
    if probable and two and column is not None and rows[column].null_count == 0:
        return replace(plain, probabilities=_column(rows[column], column))
    return _with_probabilities(rows, model, labels, plain, positive) if probable and model is not None else plain


def asked(
    rows: pa.Table,
    model: Model,
    labels: np.ndarray,
    probable: bool = False,
    positive: str | None = None,
    beside: np.ndarray | None = None,
) -> Answers:
    """What the model says now, with its class probabilities where `probable` and it gives any; raises CheckError.

    `positive` and `beside` are as for `logged`.
    """
    what = f"predictions of version {model.version}"
    predictions = keys(model.predict(rows), what)
    same_kind(labels, predictions, what)
    plain = _plain(predictions, labels, _known(model, labels, beside), positive)
    return _with_probabilities(rows, model, labels, plain, positive) if probable else plain


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


def _plain(predictions: np.ndarray, labels: np.ndarray, known: np.ndarray | None, positive: str | None) -> Answers:
    """Answers without probabilities; of two classes the second is the positive one."""
    pair = _two_classes(_found(labels, predictions) if known is None else known, positive)
    return Answers(predictions, classes=known if pair is None else pair)


def _with_probabilities(
    rows: pa.Table, model: Model, labels: np.ndarray, plain: Answers, positive: str | None
) -> Answers:
    given, classes = model.probabilities(rows), _classes(model, labels)
    if given is None:
        return plain
    if classes is None:
        classes = np.arange(given.shape[1], dtype=np.float64)
        same_kind(labels, classes, f"classes of version {model.version}")
    if len(classes) != given.shape[1]:
        raise CheckError(
            f"version {model.version} names {len(classes)} classes and gives {given.shape[1]} probabilities"
        )
    _valid(given, f"probabilities of version {model.version}")
    pair = _two_classes(classes, positive)
    if pair is not None and pair[0] != classes[0]:
        given = given[:, ::-1]
    return Answers(plain.predictions, given, classes if pair is None else pair)


def _classes(model: Model, labels: np.ndarray) -> np.ndarray | None:
    if model.classes is None:
        return None
    classes = keys(np.asarray(model.classes), f"classes of version {model.version}")
    same_kind(labels, classes, f"classes of version {model.version}")
    return classes


def _known(model: Model | None, labels: np.ndarray, beside: np.ndarray | None) -> np.ndarray | None:
    """The classes that there are, as the model or other rows say; None where neither tells."""
    classes = None if model is None else _classes(model, labels)
    if classes is not None or beside is None or (beside.dtype.kind == "U") != (labels.dtype.kind == "U"):
        return classes
    others = distinct(beside)
    return others if len(others) > 1 else None


def _found(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """The classes in the rows, or the first three: enough to know that there are not two."""
    found: list[Any] = []
    for rest in (labels, predictions):
        for one in found:
            rest = rest[rest != one]
        while len(rest) and len(found) < 3:
            found.append(rest[0])
            rest = rest[rest != rest[0]]
    return np.sort(np.array(found))


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
    _within(of_positive[:, None], f"values of probability column {name!r}")
    return np.column_stack([1.0 - of_positive, of_positive])


def _within(given: np.ndarray, what: str) -> None:
    if not (given.min(initial=0.0) >= 0 and given.max(initial=0.0) <= 1):
        outside = int((~((given >= 0) & (given <= 1)).all(axis=1)).sum())
        raise CheckError(f"{outside} of {len(given)} {what} are outside 0 to 1")


def _valid(given: np.ndarray, what: str) -> None:
    _within(given, what)
    if float(np.abs(given @ np.ones(given.shape[1]) - 1.0).max()) > 1e-3:
        raise CheckError(f"the {what} do not add up to 1")
