"""Requests gathered from rows: one each however many rows and batches it came in, and what cannot be read is said."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from controlplane.domain.monitor import Columns, Window
from controlplane.errors import SourceError
from controlplane.profiles.requests import RequestBuilder, Requests, answered, told_by

T0 = datetime(2026, 1, 1, tzinfo=UTC)
COLUMNS = Columns("at", row_id="id", status="status", latency="ms", request="call")


def rows(calls: list[Any], **changed: Any) -> pa.RecordBatch:
    n = len(calls)
    columns = {
        "id": [f"r{i}" for i in range(n)],
        "at": pa.array([T0 + timedelta(seconds=i) for i in range(n)], pa.timestamp("us", "UTC")),
        "call": pa.array(calls),
        "status": pa.array([200] * n, pa.int16()),
        "ms": [float(i) for i in range(n)],
    }
    return pa.record_batch({**columns, **changed})


def gathered(*batches: pa.RecordBatch, columns: Columns = COLUMNS, cap: int = 1000) -> Requests:
    builder = RequestBuilder(columns, cap)
    for batch in batches:
        builder.add(batch)
    return builder.build()


def test_a_request_counts_once_wherever_its_rows_are_cut() -> None:
    whole = rows(["a", "a", "b", "c", "c", "c"], ms=[5.0, 5.0, 6.0, 7.0, 7.0, 7.0])
    found = gathered(whole)
    assert found.table["rows"].to_pylist() == [2, 1, 3] and found.table["latency"].to_pylist() == [5.0, 6.0, 7.0]
    for cut in range(1, 6):
        assert gathered(whole.slice(0, cut), whole.slice(cut)).table.equals(found.table)


def test_a_request_of_which_a_row_failed_has_failed() -> None:
    found = gathered(rows(["a", "a", "b"], status=pa.array([200, 500, 200])))
    assert found.table["status"].to_pylist() == [500, 200]


def test_rows_without_a_request_id_are_each_one() -> None:
    assert gathered(rows(["a", None, None]), rows([None])).table["rows"].to_pylist() == [1, 1, 1, 1]
    alone = Columns("at", status="status")
    assert len(gathered(rows(["a", "a", "a"]), columns=alone)) == 3


def test_a_capped_sample_keeps_the_same_whole_requests_in_any_order() -> None:
    calls = [f"c{i // 2}" for i in range(2000)]
    batch = rows(calls)
    found = gathered(batch, cap=200)
    assert len(found) == 200 and set(found.table["rows"].to_pylist()) == {2} and found.rate == pytest.approx(0.2)
    turned = batch.take(pa.array(range(1999, -1, -1)))
    assert set(gathered(turned, cap=200).table["at"].to_pylist()) == set(found.table["at"].to_pylist())


@pytest.mark.parametrize(
    "statuses",
    [
        pa.array(["200", "503", None]),
        pa.array(["200", "503", None]).dictionary_encode(),
        pa.array([200.0, 503.0, math.nan]),
        pa.array([200, 503, 0], pa.int64()),
        pa.array([200, 503, 1], pa.uint16()),
        pa.array([200.0, 503.0, 1e308]),
    ],
)
def test_statuses_are_read_from_every_type_and_what_is_none_is_unknown(statuses: pa.Array) -> None:
    batch = rows(["a", "b", "c"], status=statuses)
    assert gathered(batch).table["status"].to_pylist() == [200, 503, None]
    assert answered(batch, COLUMNS)["id"].to_pylist() == ["r0", "r2"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"status": ["ok", "no"]}, "column 'status' holds string that is no whole number, where an HTTP status"),
        ({"status": [200.5, 1.0]}, "column 'status' holds double that is no whole number"),
        ({"status": [True, False]}, "column 'status' holds bool, where an HTTP status such as 200 was expected"),
        ({"ms": ["fast", "slow"]}, "column 'ms' holds string, where milliseconds were expected"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(SourceError) as caught:
        gathered(rows(["a", "b"], **changed))
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(("name", "part"), [("status", "status"), ("ms", "latency"), ("call", "request")])
def test_a_named_column_that_is_not_there_is_said(name: str, part: str) -> None:
    with pytest.raises(SourceError, match=f"the rows have no column '{name}', named as columns.{part}"):
        gathered(rows(["a"]).drop_columns([name]))


def test_latencies_that_are_none_are_unknown() -> None:
    found = gathered(rows(["a", "b", "c", "d"], ms=[1.0, math.inf, -1.0, math.nan]))
    assert found.table["latency"].to_pylist() == [1.0, None, None, None]


def test_a_plain_reference_tells_of_no_requests_and_one_without_times_of_no_window() -> None:
    assert told_by(COLUMNS, ["id", "at", "x"]).status is None
    assert told_by(COLUMNS, ["id", "status"]) == Columns("at", row_id="id", status="status")
    timeless = gathered(rows(["a"]).drop_columns(["at"]))
    assert len(timeless) == 1 and len(timeless.within(Window(T0, T0 + timedelta(days=1)))) == 0


def test_requests_are_kept_with_their_rate() -> None:
    found = gathered(rows([f"c{i}" for i in range(100)]), cap=10)
    again = Requests.from_table(found.to_table())
    assert again.table.equals(found.table) and again.rate == found.rate == 0.1
    assert len(found.within(Window(T0, T0 + timedelta(seconds=100)))) == 10
    assert gathered().rate == 1.0 and len(gathered()) == 0
