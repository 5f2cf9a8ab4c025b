"""What Evidently cannot measure is said in one sentence, and nothing else is touched or sent."""

from __future__ import annotations

import math
import socket
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from evidently_rows import COUNTED, NUMERIC, START, WINDOW, before, measured, only, replaced, rows_of, sample_of
from sklearn.metrics import f1_score

from controlplane.domain.monitor import Columns
from controlplane.errors import CheckError, NotEnoughData
from controlplane.ports import Sample


@pytest.fixture(scope="module")
def sample() -> Sample:
    return sample_of(rows_of(600, 1))


@pytest.mark.parametrize(
    ("rows", "entry", "said"),
    [
        (rows_of(60, 1).drop_columns(["age"]), {"metric": "MeanValue"}, "the window has no column 'age'"),
        (rows_of(60, 1), {"metric": "MeanValue", "column": "agee"}, "the window has no column 'agee'"),
        (
            rows_of(60, 1).append_column("new", pa.array(range(60))),
            {"metric": "MeanValue", "column": "new"},
            "MeanValue of new: the reference has no column 'new'",
        ),
        (
            replaced(rows_of(60, 1), "age", ["old"] * 60),
            {"metric": "ValueDrift"},
            "ValueDrift of age: column 'age' holds categories in the window and numbers in the reference",
        ),
        (replaced(rows_of(60, 1), "age", [None] * 60), {"metric": "ValueDrift"}, "An empty column 'age' was provided"),
        (replaced(rows_of(60, 1), "age", [math.inf] * 60), {"metric": "MeanValue"}, "gives no finite number"),
        (
            rows_of(60, 1),
            {"metric": "MeanValue", "column": "city"},
            "MeanValue of city: Evidently could not measure it",
        ),
        (rows_of(60, 1), {"metric": "ValueDrift", "column": "city", "method": "ks"}, "ks"),
    ],
)
def test_what_cannot_be_measured_is_one_sentence(rows: pa.Table, entry: dict[str, Any], said: str) -> None:
    with pytest.raises(CheckError) as caught:
        measured(sample_of(rows), {"column": "age", **entry})
    assert said in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_a_window_without_rows_is_not_enough(sample: Sample) -> None:
    with pytest.raises(NotEnoughData, match="no rows"):
        measured(sample_of(rows_of(600, 1).slice(0, 0)), {"metric": "RowCount"})


def test_a_constant_column_has_not_moved() -> None:
    rows = replaced(rows_of(60, 1), "visits", [3] * 60)
    drift = only(measured(sample_of(rows, rows), {"metric": "ValueDrift", "column": "visits", "method": "psi"}))
    assert drift.estimate == 0.0


def with_odd_columns(n: int, seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    rows = rows_of(n, seed).append_column("scan", pa.array(list(rng.normal(size=(n, 4)))))
    rows = rows.append_column("note", pa.array([f"{seed} said {i}" for i in range(n)]))
    rows = rows.append_column("seen", pa.array([START + timedelta(hours=i) for i in range(n)]))
    return rows.append_column("plan", pa.array(["gold", "blue"] * (n // 2)).dictionary_encode())


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ("scan", "column 'scan' holds list<item: double>, which Evidently's metrics of columns do not read"),
        ("note", "column 'note' holds free text, whose values hardly ever come twice"),
        ("seen", "column 'seen' holds dates, which always move on"),
    ],
)
def test_vectors_text_and_dates_are_left_to_others(column: str, said: str) -> None:
    sample = sample_of(with_odd_columns(600, 1), with_odd_columns(500, 2))
    with pytest.raises(CheckError, match=f"^ValueDrift of {column}: {said}"):
        measured(sample, {"metric": "ValueDrift", "column": column, "method": "psi"})
    found = measured(
        sample, {"metric": "DataDriftPreset", "method": "psi"}, {"metric": "MissingValueCount", "column": "note"}
    )
    assert {measure.column for measure in found if measure.name == "ValueDrift"} == {*NUMERIC, *COUNTED, "plan"}
    assert all(math.isfinite(measure.estimate) for measure in found)


def test_labels_of_another_type_or_too_few_are_said(sample: Sample) -> None:
    few = replaced(sample.rows, "truth", [1.0] * 29 + [None] * 571)
    with pytest.raises(NotEnoughData, match="29 of 600 rows have a label; 30 are needed"):
        measured(sample_of(few), {"metric": "Accuracy"})
    with pytest.raises(CheckError, match="one is text, the other a number"):
        measured(sample_of(replaced(sample.rows, "truth", ["yes", "no"] * 300)), {"metric": "Accuracy"})
    with pytest.raises(CheckError, match="regression need numbers"):
        text = replaced(replaced(sample.rows, "truth", ["a", "b"] * 300), "said", ["a", "b"] * 300)
        measured(sample_of(text), {"metric": "MAE"})


def test_answers_of_several_classes_are_measured_without_probabilities(sample: Sample) -> None:
    columns = Columns("at", row_id="id", prediction="city", label="home")
    rows = sample.rows.append_column("home", sample.rows["city"].combine_chunks())
    several = Sample(WINDOW, rows, columns, version="1", seed=7)
    found = measured(several, {"metric": "Accuracy"}, {"metric": "F1ByLabel"})
    assert [(measure.segment, measure.estimate) for measure in found] == [
        (None, 1.0),
        ("oslo", 1.0),
        ("rome", 1.0),
        ("york", 1.0),
    ]
    with pytest.raises(CheckError, match="class probabilities are needed"):
        measured(several, {"metric": "RocAuc"})


def test_the_positive_class_may_be_said(sample: Sample) -> None:
    rows = sample.rows.drop_columns(["sure"])
    truth, said = rows["truth"].to_numpy(), rows["said"].to_numpy()
    found = only(measured(sample_of(rows, before()), {"metric": "F1Score"}, positive="0"))
    assert found.estimate == pytest.approx(f1_score(truth, said, pos_label=0))
    with pytest.raises(CheckError, match="positive is 'no', which is no class: 0, 1"):
        measured(sample_of(rows, before()), {"metric": "F1Score"}, positive="no")


def test_nothing_is_sent_anywhere(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert measured(sample, {"metric": "DataSummaryPreset"}, {"metric": "DataDriftPreset"})
    assert measured(sample, {"metric": "ClassificationPreset"})


def test_what_numpy_draws_next_is_not_changed_and_the_seed_decides(sample: Sample) -> None:
    state = np.random.get_state()[1].copy()
    entry = {"metric": "ValueDrift", "column": "visits", "method": "empirical_mmd"}
    first, again = (only(measured(sample, entry)).estimate for _ in range(2))
    assert first == again
    assert np.array_equal(np.random.get_state()[1], state)
