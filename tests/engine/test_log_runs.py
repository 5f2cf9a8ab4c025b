"""A monitor over what a server logged, with a job that names no column but the label."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import numpy as np
import pandas as pd
from world import HOUR, T0, World

from controlplane.engine import cycle, register
from controlplane.log import InferenceLog

JOB = """
schema: 1
name: scorer
model: {name: scorer, alias: champion}
source: {kind: log, path: ../data/log, roles: [champion]}
reference: {kind: log, path: ../data/reference}
schedule: {every: 1h, starts: 2026-03-01T00:00:00Z}
checks: [{check: quality}, {check: drift, limits: {drift: {max: 0.3}}}, {check: serving}]
"""


def serve(
    log: InferenceLog, start: datetime, shift: float, seed: int, role: str = "champion", failing: int = 0
) -> None:
    """Two hundred requests over an hour, of which some fail."""
    random = np.random.default_rng(seed)
    for place in range(200):
        frame = pd.DataFrame({"a": random.normal(size=1) + shift, "b": random.normal(size=1)})
        told = {"event_time": start + place / 200 * HOUR, "request_id": f"{seed}-{place}", "role": role}
        if place < failing:
            log.write(version="1", inputs=None, status=500, error="it broke", latency=0.01, **told)
        else:
            answer = (frame["a"] > 0).astype(int).to_numpy()
            log.write(version="1", inputs=frame, outputs=answer, latency=random.lognormal(-4, 0.5), **told)


def test_a_log_is_watched_from_its_first_hour_on(make_world: Callable[..., World]) -> None:
    world = make_world()
    (world.home / "jobs" / "scorer.yaml").write_text(JOB)
    data = world.home / "data"
    with InferenceLog(str(data / "reference")) as log:
        serve(log, T0 - HOUR, 0.0, 1)
    with InferenceLog(str(data / "log")) as log:
        serve(log, T0, 0.0, 2)
        serve(log, T0, 9.0, 3, role="shadow")
        serve(log, T0 + HOUR, 3.0, 4, failing=60)
    assert log.counts.written == 600
    world.clock = T0 + HOUR
    with world.open() as context:
        register.register(context)
        (run,) = cycle.tick(context)
        assert {each.check: each.outcome.value for each in run.verdict.checks if each.outcome.value != "PASS"} == {}
        columns = {each.column for each in run.findings if each.measure == "drift"}
        assert columns <= {"a", "b", "prediction", None}

        world.clock = T0 + 2 * HOUR
        (run,) = cycle.tick(context)
        failed = {each.check: each.why for each in run.verdict.checks if each.outcome.value == "FAIL"}
        assert {"drift", "serving"} <= set(failed)
        source = next(each.why for each in run.verdict.checks if each.check == "source")
        assert source == "140 rows in the window; 60 more of requests that failed"
