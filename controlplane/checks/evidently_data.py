"""Arrow rows as the data sets that Evidently reads: columns of numbers, categories and dates, or labels and answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from controlplane.checks.answers import logged
from controlplane.checks.evidently_table import NUMBERS, PROBABILITIES
from controlplane.checks.labels import keys, said, with_labels
from controlplane.domain.monitor import Columns
from controlplane.errors import CheckError

NUMBER, CATEGORY, DATE, TEXT = "numbers", "categories", "dates", "free text"
LABEL, ANSWER, PROBABILITY = "label of the row", "answer to the row", "probability of the positive"
_TEXT_FROM = 50


@dataclass(frozen=True)
class Data:
    """What Evidently is handed. `lost` says why a column cannot be compared, `unread` why its type is none for
    Evidently, `empty` which columns hold no value in the window."""

    current: Any
    reference: Any
    n: int
    kinds: Mapping[str, str]
    lost: Mapping[str, str]
    unread: Mapping[str, str]
    empty: frozenset[str] = frozenset()
    detail: str = ""


def columns_of(rows: pa.Table, before: pa.Table, names: Iterable[str]) -> Data:
    """The named columns of the window and of the reference, side by side."""
    from evidently import DataDefinition, Dataset

    kinds: dict[str, str] = {}
    lost: dict[str, str] = {}
    unread: dict[str, str] = {}
    pairs: dict[str, tuple[Any, Any]] = {}
    for name in names:
        gone = [where for where, table in (("window", rows), ("reference", before)) if name not in table.column_names]
        if gone:
            lost[name] = f"the {gone[0]} has no column {name!r}"
            continue
        now, then = _plain(rows[name]), _plain(before[name])
        now, then = _typed(now, then.type), _typed(then, now.type)
        is_, was = _kind(now), _kind(then)
        if was == is_ == "":
            unread[name] = f"column {name!r} holds {then.type}, which Evidently's metrics of columns do not read"
        elif was != is_:
            lost[name] = (
                f"column {name!r} holds {is_ or now.type} in the window and {was or then.type} in the reference"
            )
        else:
            kinds[name] = TEXT if was == CATEGORY and _is_text(then) else was
            pairs[name] = now, then
    definition = DataDefinition(
        numerical_columns=[name for name, kind in kinds.items() if kind == NUMBER],
        categorical_columns=[name for name, kind in kinds.items() if kind == CATEGORY],
        datetime_columns=[name for name, kind in kinds.items() if kind == DATE],
        unknown_columns=[name for name, kind in kinds.items() if kind == TEXT],
    )
    frames = (_frame({name: pair[side] for name, pair in pairs.items()}) for side in (0, 1))
    current, reference = (Dataset.from_pandas(frame, data_definition=definition) for frame in frames)
    empty = frozenset(name for name, (now, _) in pairs.items() if _present(now) == 0)
    return Data(current, reference, rows.num_rows, kinds, lost, unread, empty)


def answers_of(rows: pa.Table, columns: Columns, tasks: set[str], positive: str | None, min_labels: int) -> Data:
    """The labelled rows of the window with what was answered at the time; raises CheckError or NotEnoughData.

    Classes are handed over as text, so that `1` of a label and `1.0` of an answer are one class. Where there are two
    classes and a probability column, Evidently answers by the probability.
    """
    from evidently import BinaryClassification, DataDefinition, Dataset, MulticlassClassification, Regression

    labelled = with_labels(rows, columns.label, min_labels)
    labels = keys(labelled[columns.label], "labels")
    own = logged(labelled, columns, None, labels, probable=NUMBERS not in tasks, positive=positive)
    n, waiting = labelled.num_rows, rows.num_rows - labelled.num_rows
    parts = [f"{waiting} of {rows.num_rows} rows have no label yet"] if waiting else []
    if NUMBERS in tasks:
        if labels.dtype.kind == "U":
            raise CheckError(f"labels such as {said(labels[:1])} are text; metrics of regression need numbers")
        frame = _frame({LABEL: pa.array(labels), ANSWER: pa.array(own.predictions)})
        definition = DataDefinition(
            numerical_columns=[LABEL, ANSWER], regression=[Regression(target=LABEL, prediction=ANSWER)]
        )
        data = Dataset.from_pandas(frame, data_definition=definition)
        return Data(data, None, n, {}, {}, {}, detail="; ".join(parts))
    if PROBABILITIES in tasks and own.probabilities is None:
        raise CheckError(f"{PROBABILITIES} are needed: log a probability column, for labels and answers of two classes")
    given = {LABEL: pa.array(_names(labels)), ANSWER: pa.array(_names(own.predictions))}
    task: Any = MulticlassClassification(target=LABEL, prediction_labels=ANSWER)
    numbers = []
    if own.probabilities is not None and own.classes is not None:
        given[PROBABILITY] = pa.array(own.probabilities[:, 1])
        numbers.append(PROBABILITY)
    known = np.union1d(labels, own.predictions) if own.classes is None else own.classes
    if len(known) == 2:
        name = positive or str(_names(known)[1])
        if name not in _names(known):
            raise CheckError(f"positive is {positive!r}, which is no class: {said(known)}")
        parts += [f"positive is {name!r}"] + (["answers by the probability"] if numbers else [])
        task = BinaryClassification(
            target=LABEL, prediction_labels=ANSWER, prediction_probas=PROBABILITY if numbers else None, pos_label=name
        )
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=[LABEL, ANSWER], classification=[task])
    data = Dataset.from_pandas(_frame(given), data_definition=definition)
    return Data(data, None, n, {}, {}, {}, detail="; ".join(parts))


def _names(values: np.ndarray) -> np.ndarray:
    return values if values.dtype.kind == "U" else np.array([f"{value:g}" for value in values])


def _frame(columns: Mapping[str, Any]) -> Any:
    return pa.table(dict(columns)).to_pandas()


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column in one of few types: float64 or integers, boolean, text, microseconds; others as they are."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_decimal(column.type) or pa.types.is_floating(column.type):
        return column.cast(pa.float64())
    if pa.types.is_date(column.type) or pa.types.is_timestamp(column.type):
        return column.cast(pa.timestamp("us", getattr(column.type, "tz", None)), safe=False)
    return column


def _typed(column: pa.ChunkedArray, other: pa.DataType) -> pa.ChunkedArray:
    """A column without a type has the other's."""
    return column.cast(other) if pa.types.is_null(column.type) and column.type != other else column


def _kind(column: pa.ChunkedArray) -> str:
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return NUMBER
    if pa.types.is_boolean(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return CATEGORY
    return DATE if pa.types.is_timestamp(kind) else ""


def _is_text(column: pa.ChunkedArray) -> bool:
    """Whether values hardly ever come twice, as in free text and ids."""
    distinct = pc.count_distinct(column).as_py()
    return bool(distinct > _TEXT_FROM and 2 * distinct > len(column) - column.null_count)


def _present(column: pa.ChunkedArray) -> int:
    missing = column.null_count
    if pa.types.is_floating(column.type):
        missing += pc.sum(pc.is_nan(column)).as_py() or 0
    return len(column) - int(missing)
