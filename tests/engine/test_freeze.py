"""The frozen sample: whose rows, how many, with which labels, and always the same bytes."""

from __future__ import annotations

import math
import random
import resource
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from controlplane.domain.alias import Span
from controlplane.domain.monitor import Columns
from controlplane.engine.freeze import Frozen, freeze, read_table, write_table
from controlplane.engine.labels import Labels
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

        given = None if labels is None else Labels(lambda: iter(labels), columns, None, T0)
        parts, unknown = freeze(batches, columns, spans, cap, 0, lambda version: None, given, path_of)
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
        pa.array([1] * 40 + [2] * 15 + [None] * 5).dictionary_encode(),
        pa.array([1.0] * 40 + [2.0] * 15 + [None] * 4 + [math.nan]),
        pa.array(["1"] * 20 + ["1 "] * 20 + ["2"] * 15 + [" ", "", "", None, None]),
    ],
    ids=["text", "dictionary", "large text", "number", "dictionary of numbers", "number with NaN", "blanks"],
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


def test_categories_and_nulls_in_other_batches_have_the_same_digest(frozen) -> None:
    generator = random.Random(0)

    def holed(values: list[Any]) -> list[Any]:
        return [None if generator.random() < 0.2 else value for value in values]

    rows = pa.table(
        {
            "id": [f"r{i}" for i in range(60)],
            "at": pa.array([T0 + timedelta(minutes=i) for i in range(60)], pa.timestamp("us", "UTC")),
            "yes": holed([generator.random() < 0.5 for _ in range(60)]),
            "word": holed(generator.choices("abc", k=60)),
            "list": holed([[0.5] * generator.randint(0, 3) for _ in range(60)]),
        }
    )
    found = set()
    for seed in range(20):
        cuts = sorted({0, 60, *random.Random(seed).choices(range(60), k=6)})
        pieces = [rows.slice(start, end - start).to_batches()[0] for start, end in pairwise(cuts)]
        pieces = [
            piece.append_column("category", piece.column("word").dictionary_encode()) for piece in pieces
        ]  # each with a dictionary of its own
        found.update(part.sample_digest for cap in (20, 100) for part in frozen(pieces, cap=cap)[0])
    assert len(found) == 2


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


def test_a_row_without_an_id_gets_nobodys_label(frozen) -> None:
    rows_in = batch(4).set_column(0, "id", pa.array(["r0", None, "", "r3"]))
    labels = [pa.record_batch({"id": ["r0", None, "", "r3"], "y": [1, 2, 3, 4]})]
    _, _, rows = frozen([rows_in], labels=labels)
    assert rows("1").column("y").to_pylist() == [1, None, None, 4]


def test_a_label_that_was_not_yet_known_does_not_hide_the_one_that_came_later(frozen) -> None:
    _, _, rows = frozen([batch(2)], labels=[pa.record_batch({"id": ["r0", "r1", "r0"], "y": [None, 0, 1]})])
    assert rows("1").column("y").to_pylist() == [1, 0]


def test_rows_that_share_an_id_share_its_label(frozen) -> None:
    rows_in = batch(3).set_column(0, "id", pa.array(["a", "a", "b"]))
    _, _, rows = frozen([rows_in], labels=[pa.record_batch({"id": ["a"], "y": [1]})])
    assert rows("1").column("y").to_pylist() == [1, 1, None]


@pytest.mark.parametrize(
    "ids",
    [
        pa.array([1, 10**15]),
        pa.array([1.0, 1e15]),
        pa.array(["1", "1000000000000000"]).dictionary_encode(),
        pa.array(["1", "1000000000000000"], pa.large_string()),
        pa.array([1, 10**15], pa.decimal128(18, 0)),
    ],
    ids=["whole numbers", "floats", "dictionary", "large text", "decimals"],
)
def test_ids_meet_whatever_their_type(frozen, ids: pa.Array) -> None:
    _, _, rows = frozen(
        [batch(2).set_column(0, "id", ids)], labels=[pa.record_batch({"id": ["1000000000000000"], "y": [1]})]
    )
    assert rows("1").column("y").to_pylist() == [None, 1]
    _, _, rows = frozen(
        [batch(2).set_column(0, "id", pa.array(["1000000000000000", "2"]))],
        labels=[pa.record_batch({"id": ids, "y": [0, 1]})],
    )
    assert rows("1").column("y").to_pylist() == [1, None]


def test_labels_replace_a_column_of_the_rows_and_widen_over_batches(frozen) -> None:
    rows_in = batch(3).append_column("y", pa.array([9, 9, 9]))
    labels = [pa.record_batch({"id": ["r0"], "y": [1]}), pa.record_batch({"id": ["r1"], "y": [0.5]})]
    _, _, rows = frozen([rows_in], labels=labels)
    assert rows("1").column("y").to_pylist() == [1.0, 0.5, None]
    with pytest.raises(SourceError, match="the labels in column 'y' are not of one type"):
        frozen([rows_in], labels=[labels[0], pa.record_batch({"id": ["r1"], "y": ["yes"]})])


def test_without_any_label_every_row_waits_for_one(frozen) -> None:
    _, _, rows = frozen([batch(3)], labels=[])
    assert rows("1").column("y").to_pylist() == [None, None, None]


def test_labels_without_the_named_columns_are_one_sentence(frozen) -> None:
    with pytest.raises(SourceError, match="the labels have no column 'y'; they have id, z"):
        frozen([batch(3)], labels=[pa.record_batch({"id": ["r1"], "z": [1]})])


def test_rows_without_the_named_version_column_are_one_sentence(frozen) -> None:
    with pytest.raises(SourceError, match=r"no column 'v', named as columns\.model_version"):
        frozen([batch(3)], BY_ROW)


@pytest.mark.parametrize(
    ("gone", "columns", "labels"),
    [("at", BY_TIME, None), ("id", BY_TIME, [pa.record_batch({"id": ["r1"], "y": [1]})])],
)
def test_rows_without_what_they_are_split_or_joined_by_are_one_sentence(frozen, gone, columns, labels) -> None:
    with pytest.raises(SourceError, match=f"the rows have no column '{gone}', named as columns"):
        frozen([batch(3).drop_columns([gone])], columns, labels=labels)


@pytest.mark.parametrize("values", [pa.array([[1], [2], None]), pa.array([b"1", b"\xff", None])])
def test_a_version_that_cannot_be_a_name_is_one_sentence(frozen, values: pa.Array) -> None:
    with pytest.raises(SourceError, match=r"column 'v' holds .*, where a number or text was expected"):
        frozen([batch(3, values)], BY_ROW)


def test_no_rows_freeze_to_nothing(frozen) -> None:
    assert frozen([])[0] == []
    assert frozen([batch(0)])[0] == []


def test_a_file_is_named_by_its_bytes_and_written_whole(tmp_path: Path) -> None:
    table = pa.table({"x": [1, 2]})
    digests = {write_table(table, lambda digest: tmp_path / digest) for _ in range(2)}
    assert [path.name for path in tmp_path.iterdir()] == list(digests)
    assert read_table(tmp_path / digests.pop()).equals(table)


def test_a_file_that_could_not_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    table = pa.table({"x": list(range(10_000))})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(OSError):
            write_table(table, lambda digest: tmp_path / digest)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_failed_requests_are_kept_apart_and_a_version_with_nothing_else_is_a_part_without_rows(frozen) -> None:
    columns = Columns("at", row_id="id", model_version="v", status="code")
    codes = pa.array([200] * 20 + [503] * 10 + [400] * 30)
    whole = batch(versions=pa.array(["1"] * 30 + ["2"] * 30)).append_column("code", codes)
    (one, two), unknown, rows = frozen([whole], columns)
    assert [(part.n_rows, part.kept, part.failed) for part in (one, two)] == [(20, 20, 10), (0, 0, 30)] and not unknown
    assert rows("1")["x"].to_pylist() == [float(i) for i in range(20)]
    assert rows("2").column_names == whole.schema.names and one.requests_digest and two.requests_digest
    assert frozen([whole.slice(0, 25), whole.slice(25)], columns)[0] == [one, two]
    plain, _, _ = frozen([whole], BY_ROW)
    assert [(part.n_rows, part.failed, part.requests_digest) for part in plain] == [(30, 0, None)] * 2
    with pytest.raises(SourceError, match=r"no column 'code', named as columns\.status"):
        frozen([batch(versions=pa.array(["1"] * 60))], columns)
