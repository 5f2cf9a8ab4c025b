"""A reference is the same whenever and wherever it is built, and loads as what it was."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from controlplane.domain.monitor import Columns
from controlplane.profiles import Reference, build_reference

COLUMNS = Columns("at", row_id="id", prediction="said", label="truth", features=())


def rows(seed: int, n: int = 3000) -> pa.Table:
    rng = np.random.default_rng(seed)
    return pa.table(
        {
            "at": np.arange(n),
            "id": [f"r{i}" for i in range(n)],
            "x": rng.normal(size=n),
            "city": rng.choice(["a", "b"], n),
            "said": rng.integers(0, 2, n),
            "truth": rng.integers(0, 2, n),
        }
    )


def built(table: pa.Table, chunk: int = 1000, cap: int = 20_000, source: str = "") -> Reference:
    return build_reference(lambda: iter(table.to_batches(max_chunksize=chunk)), COLUMNS, "3", cap, source=source)


def test_features_and_predictions_are_profiled_and_the_other_parts_are_known() -> None:
    reference = built(rows(0), cap=200)
    assert list(reference.profile.columns) == ["x", "city", "said"]
    assert reference.profile.bins.ignored == ("at", "id", "truth")
    assert reference.profile.n == 3000 and len(reference.rows) == 200 and reference.rate == 200 / 3000


def test_the_digest_is_of_the_content_alone() -> None:
    reference = built(rows(0))
    assert reference.digest == built(rows(0), chunk=77).digest
    assert reference.digest != built(rows(1)).digest
    assert reference.digest != build_reference(rows(0).to_batches, COLUMNS, "4").digest


def test_a_reference_survives_being_bytes() -> None:
    reference = built(rows(0), cap=500, source="files")
    again = Reference.from_bytes(reference.to_bytes())
    assert again.digest == reference.digest and again.rows.equals(reference.rows)
    assert (again.columns, again.version, again.rate, again.source) == (COLUMNS, "3", 500 / 3000, "files")


def test_the_same_reference_is_the_same_bytes() -> None:
    assert built(rows(0)).to_bytes() == built(rows(0)).to_bytes()


@pytest.mark.parametrize("data", [b"", b"not a reference", built(rows(0)).profile.to_bytes()])
def test_bytes_that_are_no_reference_are_one_sentence(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a reference"):
        Reference.from_bytes(data)


def test_a_reference_without_rows_can_be_built_and_says_so() -> None:
    reference = built(rows(0).slice(0, 0))
    assert reference.profile.n == 0 and Reference.from_bytes(reference.to_bytes()).digest == reference.digest
