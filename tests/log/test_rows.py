"""What a request becomes: every shape of input and answer that servers have, read back as files and as a source."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import logging
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from log_reading import files_in, opened, put, rows_in, write

from controlplane.errors import ConfigError
from controlplane.log import Counts, InferenceLog
from controlplane.log.layout import COLUMNS
from controlplane.log.rows import request_of

AT = dt.datetime(2026, 3, 1, 12, 30, tzinfo=dt.UTC)


def logged(folder: Path, *requests: tuple[Any, Any], **options: Any) -> pa.Table:
    """The rows that requests of these inputs and answers became."""
    asked = [
        request_of("7", inputs, outputs, f"r{place}", "champion", AT, None, 200, "")
        for place, (inputs, outputs) in enumerate(requests)
    ]
    assert put(folder, asked, **options) == []
    return rows_in(folder).sort_by("row_id")


def test_inputs_that_were_refused_change_nobodys_column(tmp_path: Path) -> None:
    with opened(tmp_path, drop=["city"]) as log:
        log.write(version="3", inputs=[{"age": 41, "city": "Bonn"}], outputs=[0], request_id="a")
        log.write(version="3", inputs=[{"age": "none", "city": "Bonn"}], request_id="b", status=400, error="no number")
    rows = rows_in(tmp_path).sort_by("row_id")
    assert rows["age"].type == pa.int64()
    assert rows["age"].to_pylist() == [41, None]
    assert rows["failed_inputs"].to_pylist() == [None, '{"age": "none"}']


def test_a_row_says_all_of_its_request(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        log.write(
            version="3",
            inputs=pd.DataFrame({"age": [41, 35], "city": ["Bonn", "Zürich 🙂"]}),
            outputs=np.array([0.25, 0.75]),
            request_id="abc",
            role="canary",
            event_time=AT,
            latency=0.0125,
        )
    rows = rows_in(tmp_path)
    assert rows.schema.names == [*COLUMNS.names, "age", "city", "prediction"]
    assert rows.schema.field("event_time").type == pa.timestamp("us", "UTC")
    assert rows.to_pylist()[1] == {
        "row_id": "abc-1",
        "request_id": "abc",
        "event_time": AT,
        "model_version": "3",
        "role": "canary",
        "status": 200,
        "error": "",
        "latency_ms": 12.5,
        "request_rows": 2,
        "failed_inputs": None,
        "age": 35,
        "city": "Zürich 🙂",
        "prediction": 0.75,
    }
    [file] = files_in(tmp_path)
    assert file.parent == tmp_path / "date=2026-03-01" / "hour=12"


def test_pandas_reads_the_folder(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        write(log, *range(50))
    frame = pd.read_parquet(tmp_path)
    assert sorted(frame["x"]) == list(range(50))
    assert (frame["prediction"] * 2 == frame["x"]).all()


def test_duckdb_reads_the_folder(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        write(log, *range(50))
    assert duckdb.sql(f"SELECT count(*), sum(x) FROM '{tmp_path}/**/*.parquet'").fetchall() == [(50, 1225)]


@pytest.mark.parametrize(
    "inputs",
    [
        pd.DataFrame({"a": [1.5, 2.5], "b": ["x", None]}),
        {"a": [1.5, 2.5], "b": ["x", None]},
        {"a": np.array([1.5, 2.5]), "b": np.array(["x", None], object)},
        [{"a": 1.5, "b": "x"}, {"a": 2.5}],
    ],
    ids=["frame", "lists", "arrays", "rows"],
)
def test_tables_come_in_any_shape(tmp_path: Path, inputs: Any) -> None:
    rows = logged(tmp_path, (inputs, [1, 0]), (inputs, [0, 0]))
    assert rows.select(["a", "b"]).to_pylist() == 2 * [{"a": 1.5, "b": "x"}, {"a": 2.5, "b": None}]
    assert rows["prediction"].to_pylist() == [1, 0, 0, 0]


def test_one_row_may_be_a_mapping_of_values(tmp_path: Path) -> None:
    rows = logged(tmp_path, ({"a": 1, "text": "hello"}, "yes"), ({"a": 2, "text": "bye"}, "no"))
    assert rows.select(["a", "text", "prediction"]).to_pylist() == [
        {"a": 1, "text": "hello", "prediction": "yes"},
        {"a": 2, "text": "bye", "prediction": "no"},
    ]


def test_tensors_become_lists(tmp_path: Path) -> None:
    images = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    rows = logged(tmp_path, (images, np.array([[0.5, 0.5], [0.25, 0.75]])), (images[:1], np.array([[1.0]])))
    assert rows["inputs"].to_pylist() == [*images.tolist(), images[0].tolist()]
    assert rows.schema.field("inputs").type == pa.list_(pa.list_(pa.float32()))
    assert rows["row_id"].to_pylist() == ["r0-0", "r0-1", "r1"]


def test_an_answer_of_one_column_is_the_prediction(tmp_path: Path) -> None:
    one, many = pd.DataFrame({"score": [0.5]}), pd.DataFrame({"label": ["cat"], "score": [0.5]})
    rows = logged(tmp_path, ({"x": [1]}, one), ({"x": [2]}, many), ({"x": [3]}, np.array([[7.0]])))
    assert rows["prediction"].to_pylist() == [0.5, None, 7.0]
    assert rows["prediction_label"].to_pylist() == [None, "cat", None]
    assert rows["prediction_score"].to_pylist() == [None, 0.5, None]


def test_images_in_the_cells_of_a_frame_are_kept(tmp_path: Path) -> None:
    frame = pd.DataFrame({"image": [np.ones((2, 2)), np.zeros((2, 2))], "tags": [["a"], []]})
    rows = logged(tmp_path, (frame, [1, 2]))
    assert rows["image"].to_pylist() == [[[1.0, 1.0], [1.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]]]
    assert rows["tags"].to_pylist() == [["a"], []]


def test_what_was_not_parsed_is_one_row(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        log.write(version="3", inputs=None, request_id="bad", status=400, error="no JSON: '\ud800'")
        log.write(version="3", inputs=[], outputs=[], request_id="empty")
    rows = {row["request_id"]: row for row in rows_in(tmp_path).to_pylist()}
    assert (rows["bad"]["status"], rows["bad"]["error"], rows["bad"]["latency_ms"]) == (400, "no JSON: '?'", None)
    assert (rows["bad"]["request_rows"], rows["empty"]["request_rows"]) == (1, 0)


def test_an_input_gives_way_to_a_name_of_the_log(tmp_path: Path) -> None:
    given = {"status": [1], "prediction": [2], "prediction_x": [3], "input_status": [4], "hour": [5]}
    rows = logged(tmp_path, (given, [9]))
    assert rows["status"].to_pylist() == [200]
    names = ["input_status", "input_prediction", "input_prediction_x", "input_input_status", "hour", "prediction"]
    assert [rows[name].to_pylist() for name in names] == [[1], [2], [3], [4], [5], [9]]


def test_names_that_are_no_text_or_stand_twice_are_kept_apart(tmp_path: Path) -> None:
    rows = logged(tmp_path, (pd.DataFrame([[1, 2, 3]], columns=[0, "a", "a"]), [0]))
    assert [rows[name].to_pylist() for name in ("0", "a", "a_2")] == [[1], [2], [3]]


def test_ten_thousand_rows_of_one_request_are_kept(tmp_path: Path) -> None:
    n = 10_000
    frame = pd.DataFrame({"x": np.arange(n), "c": pd.Categorical(["a", "b"] * (n // 2)), "s": ["é"] * n})
    rows = logged(tmp_path, (frame, np.arange(n)))
    assert rows["x"].to_pylist() == rows["prediction"].to_pylist()
    assert sorted(rows["x"].to_pylist()) == list(range(n))
    assert (rows.schema.field("c").type, set(rows["request_rows"].to_pylist())) == (pa.string(), {n})


def test_a_column_that_changes_its_type_costs_no_row(tmp_path: Path) -> None:
    values: list[Any] = [1, 2.5, None, "three", True, [4], {"five": 5}, 2**70, float("nan"), b"six", 1 + 2j, AT, {}]
    rows = logged(tmp_path, *(({"x": [value]}, [value]) for value in values))
    assert len(rows) == len(values)
    assert rows.schema.field("x").type == pa.string()
    assert {"1", "2.5", "three", "[4]", '{"five": 5}', str(2**70)} <= {text for text in rows["x"].to_pylist()}


def test_a_column_that_changes_its_type_between_files_is_read_whole(tmp_path: Path) -> None:
    for values in ([1, 2], [2.5], ["three"], [[4]]):
        logged(tmp_path, *(({"x": [value]}, None) for value in values))
    assert sorted(rows_in(tmp_path)["x"].to_pylist()) == ["1", "2", "2.5", "[4]", "three"]


def test_numbers_keep_their_width_and_whole_ones_may_turn_fractional(tmp_path: Path) -> None:
    narrow = pd.DataFrame({"f": np.array([0.5], np.float32), "i": np.array([3], np.int8), "u": np.array([2**63])})
    rows = logged(tmp_path, (narrow, [1]), ({"f": [0.25], "i": [2.5], "u": [1]}, [0.5]))
    assert rows["f"].to_pylist() == [0.5, 0.25]
    assert rows["i"].to_pylist() == [3.0, 2.5]
    assert rows["prediction"].to_pylist() == [1.0, 0.5]
    assert [str(value) for value in rows["u"].to_pylist()] == [str(2**63), "1"]


def test_a_request_that_is_no_rows_is_dropped_and_its_neighbours_are_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), opened(tmp_path) as log:
        for place in range(20):
            bad = place % 4 == 0
            log.write(version="1", inputs={"x": [1], "y": [1, 2] if bad else [1]}, request_id=f"r{place}")
    assert log.counts == Counts(taken=20, written=15, dropped=5)
    assert len(rows_in(tmp_path)) == 15
    assert len([line for line in caplog.messages if "cannot be put as rows" in line]) == 1


def test_an_answer_that_does_not_fit_its_rows_is_left_out(tmp_path: Path) -> None:
    asked = [
        request_of("7", {"x": [1, 2]}, answer, name, "champion", AT, None, 200, "")
        for name, answer in (("a", [0]), ("b", [3, 4]))
    ]
    assert put(tmp_path, asked) == ["an answer that has not one value for each row is left out of the inference log"]
    assert rows_in(tmp_path).sort_by("row_id")["prediction"].to_pylist() == [None, None, 3, 4]


def test_columns_are_left_out_or_kept_as_digests(tmp_path: Path) -> None:
    given = pd.DataFrame({"name": ["Ann", None], "iban": ["DE1", "DE2"], "x": [1, 2]})
    rows = logged(tmp_path, (given, ["Ann", "Bob"]), drop=["iban"], hash=["name", "prediction"], key=b"k")
    digest = hmac.new(b"k", b"Ann", hashlib.sha256).hexdigest()
    assert "iban" not in rows.column_names
    assert rows["name"].to_pylist() == [digest, None]
    assert rows["prediction"].to_pylist()[0] == digest
    assert b"Ann" not in b"".join(file.read_bytes() for file in files_in(tmp_path))


def test_the_same_requests_are_kept_by_everybody(tmp_path: Path) -> None:
    asked = [request_of("7", {"x": [n]}, [n], f"r{n}", "champion", AT, None, 200, "") for n in range(2000)]
    for name, part in (("a", asked), ("b", asked[::-1]), ("more", asked)):
        assert put(tmp_path / name, part, rate=0.4 if name == "more" else 0.3) == []
    ids = [set(rows_in(tmp_path / name)["request_id"].to_pylist()) for name in ("a", "b", "more")]
    assert ids[0] == ids[1] < ids[2]
    assert 500 < len(ids[0]) < 700
    with opened(tmp_path / "counted", rate=0.3) as log:
        write(log, *range(2000))
    assert set(rows_in(tmp_path / "counted")["request_id"].to_pylist()) == ids[0]
    assert log.counts == Counts(taken=2000, sampled_out=2000 - len(ids[0]), written=len(ids[0]))


def test_an_hour_is_one_of_event_time_in_utc(tmp_path: Path) -> None:
    east = dt.timezone(dt.timedelta(hours=5, minutes=30))
    moments = [AT, AT.astimezone(east), AT.replace(tzinfo=None), AT - dt.timedelta(days=40), AT + dt.timedelta(hours=1)]
    asked = [
        request_of("1", {"x": [1]}, None, str(place), "champion", moment, None, 200, "")
        for place, moment in enumerate([*moments, dt.datetime(5, 1, 1, tzinfo=dt.UTC)])
    ]
    assert put(tmp_path, asked) == []
    found = {path.parent.relative_to(tmp_path).as_posix().replace("/hour=", "T") for path in files_in(tmp_path)}
    assert found == {"date=2026-03-01T12", "date=2026-01-20T12", "date=2026-03-01T13", "date=0005-01-01T00"}
    rows = rows_in(tmp_path).sort_by("row_id")
    assert rows["event_time"].to_pylist()[:3] == [AT] * 3
    assert len(rows) == 6


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rate": 1.5}, "rate is 1.5"),
        ({"hash": ["x"]}, "hash needs a hash_key"),
        ({"drop": ["request_id"]}, "'request_id' belongs to every row"),
        ({"drop": ["x"], "hash": ["x"], "hash_key": "k"}, "'x' is in drop and in hash"),
        ({"memory": 0}, "memory is 0"),
        ({"retain": dt.timedelta(0)}, "retain is 0:00:00"),
        ({"storage_options": {"key": object()}}, "storage_options must be plain values"),
    ],
)
def test_settings_that_cannot_be_are_one_sentence(tmp_path: Path, options: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        InferenceLog(str(tmp_path), **options)


def test_a_url_nobody_can_write_to_is_one_sentence() -> None:
    with pytest.raises(ConfigError, match="at a URL of gopher"):
        InferenceLog("gopher://log")
