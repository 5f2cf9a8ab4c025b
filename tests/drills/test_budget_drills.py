"""Drills of a monitor with a page budget: evidence adds up over windows, and seasons are where they are expected.

A version is measured against its own answers on the reference, so that one which was bad from its first row on is held
against the version before by a limit.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from drill_jobs import prepared_of
from world import HOUR, T0, World, signal_rows

from controlplane.drills.drill import drill, faults
from controlplane.drills.report import Report
from controlplane.drills.stock import Stock

HOURS, EACH = 96, 120


def seasonal() -> pa.Table:
    """Four days of labelled rows; `b` is two higher in the afternoon, which the model does not listen to."""
    x, y = signal_rows(HOURS * EACH, 7)
    at = [T0 - HOUR * HOURS + i * HOUR / EACH for i in range(HOURS * EACH)]
    b = x[:, 1] + 2.0 * np.asarray([moment.hour >= 12 for moment in at])
    times = pa.array(at, pa.timestamp("us", "UTC"))
    return pa.table({"id": [f"r{i}" for i in range(len(at))], "at": times, "a": x[:, 0], "b": b, "label": y})


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory, registry_template: Path) -> Stock:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BELL_URL", "http://127.0.0.1:9/nobody-listens")
        world = World(tmp_path_factory.mktemp("budget") / "installation", registry_template, checks=("drift",))
        job = world.settings.jobs / "scorer.yaml"
        text = job.read_text().replace("    limits: {drift: {max: 0.3}}\n", "")
        text = text.replace("limits: {accuracy: {min: 0.8}}", "limits: {accuracy_vs_previous: {min: -0.1}}")
        job.write_text(text + "budget: {false_pages: 1, per: 90h}\n")
        pq.write_table(seasonal(), world.home / "data" / "reference.parquet")
        return prepared_of(world.settings, tmp_path_factory.mktemp("stock"))


def run(stock: Stock, kind: str, folder: Path) -> Report:
    (fault,) = faults(kind)
    return drill(stock, fault, folder / "sandbox", healthy=8)


def test_a_window_holds_as_many_rows_as_a_window_of_the_reference(stock: Stock) -> None:
    assert stock.supply.usual == EACH
    assert stock.importance == {"a": 1.0, "b": 0.0}


@pytest.mark.parametrize("kind", ["drift", "regression"])
def test_evidence_pages_within_some_windows_and_the_season_pages_nobody(
    kind: str, stock: Stock, tmp_path: Path
) -> None:
    report = run(stock, kind, tmp_path)
    assert (report.unmet, report.false_actions) == ((), ())
    assert report.detection is not None and report.detection.windows <= 6
