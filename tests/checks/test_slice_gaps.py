"""Gaps between groups against a table worked out by hand, and their intervals on simulated groups."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product

import numpy as np
import pyarrow as pa
import pytest

from controlplane.checks.slice_gaps import gap_between
from controlplane.checks.slices import Slices, SlicesParams
from controlplane.domain.monitor import Columns, Window
from controlplane.domain.verdict import Measure
from controlplane.errors import CheckError
from controlplane.ports import Sample

START = datetime(2026, 1, 1, tzinfo=UTC)
COLUMNS = Columns("at", prediction="said", probability="sure", label="truth", features=("group",))

# For each group, how many rows were answered and labelled (1, 1), (1, 0), (0, 1), (0, 0).
COUNTS = {"a": (40, 10, 10, 40), "b": (20, 10, 30, 40), "c": (18, 2, 10, 10), "d": (3, 0, 0, 1)}


def rows_of(counts: dict[str, tuple[int, ...]]) -> pa.Table:
    rows = [
        (group, said, truth)
        for group, numbers in counts.items()
        for (said, truth), number in zip(product((1, 0), (1, 0)), numbers, strict=True)
        for _ in range(number)
    ]
    group, said, truth = zip(*rows, strict=True)
    sure = [0.8 if one else 0.3 for one in said]
    return pa.table({"at": [START] * len(rows), "group": group, "said": said, "truth": truth, "sure": sure})


def gaps_of(rows: pa.Table, columns: Columns = COLUMNS, **params: str) -> dict[str, Measure]:
    sample = Sample(Window(START, START + timedelta(days=1)), rows, columns, version="1")
    found = Slices().measure(sample, SlicesParams(groups=("group",), search=False, **params))
    return {one.name: one for one in found if one.segment is None}


def test_gaps_are_what_a_table_says() -> None:
    found = gaps_of(rows_of(COUNTS))
    # Answered positive: a 50/100, b 30/100, c 20/40. Wrong: a 20/100, b 40/100, c 12/40.
    assert found["rate_gap"].estimate == pytest.approx(0.5 - 0.3)
    assert found["error_gap"].estimate == pytest.approx(0.4 - 0.2)
    # Labelled positive less mean probability: a 0.5 - 0.55, b 0.5 - 0.45, c 0.7 - 0.55.
    assert found["calibration_gap"].estimate == pytest.approx(0.15 - (-0.05))
    assert found["error_gap"].detail == (
        "0.4 for group=b (n=100), 0.2 for group=a (n=100); left out: group=d has 4 rows (30 are needed)"
    )
    for one in (found["rate_gap"], found["error_gap"], found["calibration_gap"]):
        assert one.column == "group" and one.n == 240 and one.low <= one.estimate <= one.high


def test_the_positive_class_can_be_the_other_one_and_of_three_it_must_be_named() -> None:
    assert gaps_of(rows_of(COUNTS), positive="0")["rate_gap"].estimate == pytest.approx(0.7 - 0.5)
    rows = rows_of(COUNTS)
    three = rows.set_column(rows.column_names.index("truth"), "truth", pa.array(np.arange(len(rows)) % 3))
    assert "rate_gap" not in gaps_of(three) and "error_gap" in gaps_of(three)
    assert gaps_of(three, positive="1")["rate_gap"].estimate == pytest.approx(0.2)
    with pytest.raises(CheckError, match="positive is '7', which is no class: 0, 1, 2"):
        gaps_of(three, positive="7")


def test_without_a_probability_there_is_no_calibration_to_compare() -> None:
    found = gaps_of(rows_of(COUNTS), Columns("at", prediction="said", label="truth"))
    assert {"rate_gap", "error_gap"} == set(found) - {"accuracy"}


def test_one_group_alone_is_named_and_has_no_gap() -> None:
    found = gaps_of(rows_of({"a": COUNTS["a"], "d": COUNTS["d"]}))
    assert set(found) == {"accuracy"}
    assert found["accuracy"].detail == (
        "left out: group=d has 4 rows (30 are needed); gaps of group, which has fewer than two groups with 30 rows"
    )


@pytest.mark.parametrize("share", [True, False])
def test_the_interval_allows_for_the_extreme_pair_having_been_picked(share: bool) -> None:
    rng = np.random.default_rng(3)
    sizes = np.array([400, 300, 200, 150, 100, 60])
    codes = np.repeat(np.arange(6), sizes)
    names = tuple(f"g={code}" for code in range(6))
    for truth in (np.full(6, 0.2), np.array([0.1, 0.15, 0.2, 0.25, 0.3, 0.4])):
        covered = 0
        for _ in range(400):
            values = (rng.random(len(codes)) < truth[codes]).astype(float)
            if not share:
                values = truth[codes] + rng.normal(size=len(codes))
            measure, _ = gap_between("error_gap", "g", values, codes, names, 30, share)
            assert measure is not None and measure.low is not None and measure.high is not None
            covered += measure.low <= np.ptp(truth) <= measure.high
        assert covered / 400 >= 0.94, truth
