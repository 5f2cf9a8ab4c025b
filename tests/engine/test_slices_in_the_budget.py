"""Slices through the page budget's own path: blocks of a reference, calibration, and the scores of windows after it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from controlplane.checks.slices import Slices, SlicesParams
from controlplane.domain.monitor import Columns, Window
from controlplane.engine.blocks import ScoredCheck, cut
from controlplane.ports import Sample
from controlplane.profiles import Reference, build_reference
from controlplane.profiles.calibration import calibrate

DAY = timedelta(days=1)
FIRST = datetime(2026, 1, 5, tzinfo=UTC)
COLUMNS = Columns("at", prediction="said", label="truth", features=("country", "age"))
OPTIONS = {"segments": ("country",)}


def days(first: int, number: int, seed: int, wrong_in_prt: float = 0.15, wrong: float = 0.15) -> pa.Table:
    rng = np.random.default_rng(seed)
    n = 200 * number
    country = rng.choice(np.array(["ESP", "FRA", "PRT"]), n)
    truth = rng.integers(0, 2, n)
    failed = rng.random(n) < np.where(country == "PRT", wrong_in_prt, wrong)
    return pa.table(
        {
            "at": [FIRST + (first + i // 200) * DAY for i in range(n)],
            "country": country,
            "age": rng.uniform(18, 90, n),
            "said": np.where(failed, 1 - truth, truth),
            "truth": truth,
        }
    )


def scores(reference: Reference, day: int, rows: pa.Table) -> dict[str, float]:
    """The harmful side's score of each statistic."""
    assert reference.blocks is not None
    calibration = calibrate(reference.blocks.of(["slices"]))
    window = Window(FIRST + day * DAY, FIRST + (day + 1) * DAY)
    sample, check, params = Sample(window, rows, COLUMNS, "1", reference=reference), Slices(), SlicesParams(**OPTIONS)
    found = check.statistics(sample, params, check.measure(sample, params))
    sides = np.nanmax(calibration.score_statistics(found, "slices", window.start.timestamp()), axis=0)
    return {key.name: float(value) for key, value in zip(calibration.keys, sides, strict=True)}


def test_a_slice_that_fell_stands_out_and_a_fall_of_all_rows_is_no_slices() -> None:
    rows = days(0, 40, 1)
    reference = build_reference(rows.to_batches, COLUMNS, "1")
    blocks = cut(rows, reference, [ScoredCheck("slices", "slices", OPTIONS, 30)], None, DAY, FIRST)
    assert blocks is not None and len(blocks) == 40
    reference = Reference(reference.profile, reference.rows, COLUMNS, "1", blocks=blocks)

    quiet = np.array([list(scores(reference, 40 + i, days(40 + i, 1, 100 + i)).values()) for i in range(30)])
    assert quiet.mean() < 0 and (quiet > 2.5).mean() < 0.01

    fell = scores(reference, 41, days(41, 1, 7, wrong_in_prt=0.5))
    assert fell["accuracy in country=PRT"] > 3 and fell["slice_gap in country=PRT"] > 3
    assert max(value for name, value in fell.items() if "PRT" not in name) < 2.5

    everywhere = scores(reference, 42, days(42, 1, 8, wrong_in_prt=0.5, wrong=0.5))
    assert everywhere["accuracy in country=PRT"] > 3
    assert max(value for name, value in everywhere.items() if name.startswith("slice_gap")) < 2.5
