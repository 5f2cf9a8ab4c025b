"""The same rows are kept by everybody who samples, whatever the batches, the types' widths or the process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from datetime import date
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from controlplane.profiles import Sampler, hashes_of, keep
from controlplane.profiles.hashing import hash_rows, hash_values

ROWS = pa.record_batch({"id": [f"row{i}" for i in range(5000)], "x": np.arange(5000) % 7})


def sample(batches: Iterable[pa.RecordBatch], row_id: str | None, cap: int = 300) -> tuple[pa.Table, float]:
    sampler = Sampler(cap, row_id)
    for batch in batches:
        sampler.add(batch)
    return sampler.table()


@pytest.mark.parametrize("row_id", ["id", None])
def test_a_sample_does_not_depend_on_where_batches_end(row_id: str | None) -> None:
    whole, rate = sample([ROWS], row_id)
    assert len(whole) == 300 and rate == 300 / 5000
    for size in (1, 7, 299, 4999):
        cut = sample((ROWS.slice(start, size) for start in range(0, 5000, size)), row_id)
        assert cut[0].equals(whole) and cut[1] == rate


def test_with_row_ids_a_sample_does_not_depend_on_the_order_of_rows() -> None:
    order = pa.array(np.random.default_rng(0).permutation(5000))
    shuffled, _ = sample([ROWS.take(order)], "id")
    assert sorted(shuffled["id"].to_pylist()) == sorted(sample([ROWS], "id")[0]["id"].to_pylist())


def test_a_stream_below_the_cap_is_kept_whole() -> None:
    table, rate = sample([ROWS.slice(0, 100), ROWS.slice(100, 100)], "id")
    assert table.equals(pa.Table.from_batches([ROWS.slice(0, 200)])) and rate == 1.0


def test_an_empty_stream_and_an_empty_batch_give_an_empty_table() -> None:
    assert len(sample([], "id")[0]) == 0
    table, rate = sample([ROWS.slice(0, 0)], "id")
    assert table.schema == ROWS.schema and len(table) == 0 and rate == 1.0


def test_another_seed_keeps_other_rows() -> None:
    one, other = (set(Sampler(300, "id", seed).add(ROWS).table()[0]["id"].to_pylist()) for seed in (0, 1))
    assert len(one & other) < 60


def test_equal_rows_without_an_id_are_sampled_one_by_one() -> None:
    same = pa.record_batch({"x": [1] * 1000})
    assert len(sample([same], None, cap=50)[0]) == 50


def test_a_row_kept_at_a_rate_is_kept_at_every_higher_one() -> None:
    low, high = keep(ROWS, 0.1, "id"), keep(ROWS, 0.3, "id")
    assert (high[low]).all() and abs(high.mean() - 0.3) < 0.03
    assert keep(ROWS, 1.0, "id").all() and not keep(ROWS, 0.0, "id").any()


def test_hashes_are_uniform() -> None:
    from scipy.stats import kstest

    for row_id in ("id", None):
        share = hashes_of(ROWS, row_id) / 2.0**64
        assert kstest(share, "uniform").pvalue > 0.01
    assert len(set(hash_values(pa.array(range(10_000))).tolist())) == 10_000


def test_neighbouring_ids_do_not_hash_alike() -> None:
    bits = hash_values(pa.array([f"01J{i:023d}" for i in range(2000)]))
    flipped = np.bitwise_count(bits[1:] ^ bits[:-1])
    assert abs(flipped.mean() - 32) < 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pa.array([1, 2, None], pa.int8()), pa.array([1, 2, None], pa.int64())),
        (pa.array([1.5, -0.0, None], pa.float32()), pa.array([1.5, 0.0, None], pa.float64())),
        (pa.array(["a", "", None]), pa.array(["a", "", None]).dictionary_encode()),
        (pa.array(["a", "b", None]), pa.array(["x", "a", "b", None])[1:]),
        (pa.array(["a", "b", None]), pa.array(["a", "b", None], pa.large_string())),
        (pa.array([[1.0, 2.0], None], pa.list_(pa.float64(), 2)), pa.array([[1.0, 2.0], None])),
    ],
)
def test_equal_values_hash_alike_in_every_type_that_holds_them(one: pa.Array, other: pa.Array) -> None:
    assert hash_values(one).tolist() == hash_values(other).tolist()


def test_every_type_can_be_hashed() -> None:
    columns = {
        "day": pa.array([date(2026, 1, 1), None]),
        "price": pa.array([Decimal("1.10"), None]),
        "flag": pa.array([True, None]),
        "raw": pa.array([b"\xff", None]),
        "many": pa.array([["a", "b"], []]),
        "struct": pa.array([{"x": 1}, None]),
        "none": pa.nulls(2),
        "bits": pa.array([float("nan"), float("inf")]),
    }
    one, other = hash_rows(pa.record_batch(columns)).tolist()
    assert one != other


def test_parts_that_disagree_about_a_type_are_still_one_table() -> None:
    table, _ = sample([pa.record_batch({"x": [1, 2]}), pa.record_batch({"x": ["a", "b"]})], None)
    assert table["x"].to_pylist() == ["1", "2", "a", "b"]
    table, _ = sample([pa.record_batch({"x": [1, 2]}), pa.record_batch({"x": [1.5], "y": [1]})], None)
    assert table["x"].to_pylist() == [1.0, 2.0, 1.5] and table["y"].to_pylist() == [None, None, 1]


def test_another_process_keeps_the_same_rows() -> None:
    code = "import pyarrow as pa; from controlplane.profiles import keep;"
    code += "print(keep(pa.record_batch({'id': [f'row{i}' for i in range(5000)]}), 0.1, 'id').nonzero()[0].tolist())"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == str(keep(ROWS, 0.1, "id").nonzero()[0].tolist())
