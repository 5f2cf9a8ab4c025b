"""The frozen sample: whose rows, how many, with which labels, and always the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from controlplane.domain.alias import Span
from controlplane.domain.monitor import Columns
from controlplane.engine.freeze import Frozen, freeze, read_table, write_table
from controlplane.errors import SourceError

T0 = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
BY_ROW = Columns("at", row_id="id", model_version="v", label="y")
BY_TIME = Columns("at", row_id="id", label="y")


def batch(count: int = 60, versions: pa.Array | None = None, start: int = 0) -> pa.RecordBatch:
    """One row a minute from T0."""
    columns = {
        "id": pa.array([f"r{start + i}" for i in range(count)]),
        "at": pa.array([T0 + timedelta(minutes=start + i) for i in range(count)], pa.timestamp("us", "UTC")),
        "x": pa.array([float(start + i) for i in range(count)]),
    }
    if versions is not None:
        columns["v"] = versions
    return pa.record_batch(columns)


@pytest.fixture
def frozen(tmp_path: Path) -> Callable[..., tuple[list[Frozen], int, Callable[[str], pa.Table]]]:
    def run(
        batches: list[pa.RecordBatch],
        columns: Columns = BY_TIME,
        spans: tuple[Span, ...] = (Span(T0, T0 + HOUR, "1"),),
        cap: int = 1_000,
        labels: list[pa.RecordBatch] | None = None,
    ) -> tuple[list[Frozen], int, Callable[[str], pa.Table]]:
        def path_of(digest: str) -> Path:
            return tmp_path / f"{digest}.arrow"

        def given() -> Iterator[pa.RecordBatch]:
            return iter(labels or [])

        parts, unknown = freeze(
            batches, columns, spans, cap, 0, lambda version: None, None if labels is None else given, path_of
        )
        by_version = {part.version: part.sample_digest for part in parts}
        return parts, unknown, lambda version: read_table(path_of(by_version[version]))

    return run


@pytest.mark.parametrize(
    "values",
    [
        pa.array(["1"] * 40 + ["2"] * 15 + [None] * 5),
        pa.array(["1"] * 40 + ["2"] * 15 + [None] * 5).dictionary_encode(),
        pa.array(["1"] * 40 + ["2"] * 15 + [None] * 5, pa.large_string()),
        pa.array([1] * 40 + [2] * 15 + [None] * 5),
    ],
    ids=["text", "dictionary", "large text", "number"],
)
def test_rows_go_to_the_version_they_name_and_nameless_ones_to_nobody(frozen, values: pa.Array) -> None:
    parts, unknown, rows = frozen([batch(versions=values)], BY_ROW)
    assert [(part.version, part.n_rows) for part in parts] == [("1", 40), ("2", 15)]
    assert unknown == 5
    assert rows("2").column("x").to_pylist() == [float(i) for i in range(40, 55)]


def test_rows_without_a_version_go_to_the_holder_at_their_time(frozen) -> None:
    spans = (
        Span(T0, T0 + timedelta(minutes=20), "1"),
        Span(T0 + timedelta(minutes=20), T0 + timedelta(minutes=30), None),
        Span(T0 + timedelta(minutes=30), T0 + HOUR, "2"),
    )
    parts, unknown, rows = frozen([batch()], BY_TIME, spans)
    assert [(part.version, part.n_rows) for part in parts] == [("1", 20), ("2", 30)]
    assert unknown == 10
    assert rows("2").column("x").to_pylist()[0] == 30.0


def test_the_same_rows_in_other_batches_have_the_same_digest(frozen) -> None:
    whole, _, _ = frozen([batch(60)], cap=20)
    pieces, _, _ = frozen([batch(7), batch(50, start=7), batch(3, start=57)], cap=20)
    assert whole == pieces
    assert whole[0].n_rows == 60


def test_a_sample_is_capped_and_says_its_rate(frozen) -> None:
    (part,), _, rows = frozen([batch(60)], cap=15)
    assert rows("1").num_rows == 15
    assert part.sample_rate == pytest.approx(15 / 60, abs=0.15)
    (part,), _, rows = frozen([batch(60)], cap=60)
    assert (rows("1").num_rows, part.sample_rate) == (60, 1.0)


def test_labels_join_by_row_id_the_first_one_wins_and_missing_ones_are_null(frozen) -> None:
    labels = [
        pa.record_batch({"id": ["r1", "r0", "other"], "y": [1, 0, 9]}),
        pa.record_batch({"id": ["r1", "r2"], "y": [0, 1]}),
    ]
    _, _, rows = frozen([batch(4)], labels=labels)
    assert rows("1").column("y").to_pylist() == [0, 1, 1, None]


def test_without_any_label_every_row_waits_for_one(frozen) -> None:
    _, _, rows = frozen([batch(3)], labels=[])
    assert rows("1").column("y").to_pylist() == [None, None, None]


def test_labels_without_the_named_columns_are_one_sentence(frozen) -> None:
    with pytest.raises(SourceError, match="the labels have no column 'y'; they have id, z"):
        frozen([batch(3)], labels=[pa.record_batch({"id": ["r1"], "z": [1]})])


def test_rows_without_the_named_version_column_are_one_sentence(frozen) -> None:
    with pytest.raises(SourceError, match=r"no column 'v', named as columns\.model_version"):
        frozen([batch(3)], BY_ROW)


def test_no_rows_freeze_to_nothing(frozen) -> None:
    assert frozen([])[0] == []
    assert frozen([batch(0)])[0] == []


def test_a_file_is_named_by_its_bytes_and_written_whole(tmp_path: Path) -> None:
    table = pa.table({"x": [1, 2]})
    digests = {write_table(table, lambda digest: tmp_path / digest) for _ in range(2)}
    assert [path.name for path in tmp_path.iterdir()] == list(digests)
    assert read_table(tmp_path / digests.pop()).equals(table)
