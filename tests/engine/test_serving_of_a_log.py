"""From a server's log to a verdict: what was asked and answered is judged, what failed is counted and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pyarrow.parquet as pq
from test_late_labels import recorded
from world import HOUR, T0, World, signal_rows

from controlplane.engine import cycle, register
from controlplane.log import InferenceLog

COLUMNS = "columns: {event_time: at, row_id: id, model_version: model_version, prediction: prediction, label: label}\n"


def log_hour(log: InferenceLog, hour: int, answered: int, failed: int) -> None:
    """Requests of five rows that were answered, and others that failed, on inputs far off or none at all."""
    for number in range(answered + failed):
        at, name = T0 + hour * HOUR + number * HOUR / 1000, f"{hour}-{number}"
        if number < answered:
            x, _ = signal_rows(5, 10_000 * hour + number)
            asked = pd.DataFrame(x, columns=["a", "b"])
            log.write(
                version="1",
                inputs=asked,
                outputs=(asked["a"] > 0).astype(int),
                request_id=name,
                event_time=at,
                latency=0.01 + number / 10_000,
            )
        else:
            asked = [{"a": 1e9, "b": -1e9}] if number % 2 else None
            log.write(version="1", inputs=asked, request_id=name, event_time=at, latency=0.001, status=400)


def test_a_log_is_judged_by_its_answers_and_by_its_failures(make_world: Callable[..., World]) -> None:
    world = make_world(checks=("quality", "drift"), reaction="observe")
    job = world.home / "jobs" / "scorer.yaml"
    text = job.read_text().replace("{kind: files, path: ../data/rows-*.parquet}", "{kind: log, path: ../log}")
    head, checks = text.replace(COLUMNS, "").split("checks:\n")
    rest = checks.split("  - check: quality")[1]
    job.write_text(f"{head}checks:\n  - check: serving\n  - check: quality{rest}")
    path = world.home / "data" / "reference.parquet"
    reference = pq.read_table(path).drop_columns(["label"])
    pq.write_table(reference.rename_columns(["row_id", "event_time", "a", "b"]), path)
    with InferenceLog(str(world.home / "log")) as log:
        log_hour(log, 0, answered=100, failed=2)
        log_hour(log, 1, answered=0, failed=40)
    assert (log.counts.written, log.counts.lost) == (542, 0)
    with world.open() as context:
        register.register(context)
        world.clock = T0 + 2 * HOUR
        first, second = cycle.tick(context)
        outcomes = [{one.check: one.outcome.value for one in run.verdict.checks} for run in (first, second)]
        assert outcomes[0] == dict.fromkeys(("registry", "source", "serving", "quality", "drift"), "PASS")
        assert outcomes[1] == {
            **dict.fromkeys(("registry", "source"), "PASS"),
            **dict.fromkeys(("quality", "drift"), "INCONCLUSIVE"),
            "serving": "FAIL",
        }
        told = {one.measure: one for one in first.findings if one.check == "serving"}
        assert (told["error_rate"].n, told["error_rate"].estimate) == (102, 2 / 102)
        assert told["request_rows"].estimate == 5 and 10 < (told["latency_p50"].estimate or 0) < 20
        assert [(run.n_rows, run.n_read) for hour in (0, 1) for run in recorded(context, hour)] == [(500, 502), (0, 40)]
