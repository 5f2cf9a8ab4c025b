"""The stored form of a monitor, read back: what a run was judged by is told from what was stored with it."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from controlplane.domain.monitor import (
    CheckSpec,
    Columns,
    Guards,
    Limit,
    ModelRef,
    Monitor,
    Reaction,
    RiskTier,
    Schedule,
    SourceSpec,
    Tolerance,
)


def read_monitor(text: str) -> Monitor:
    """The inverse of `Monitor.canonical`.

    >>> from controlplane.domain.monitor import Schedule
    >>> hourly = Schedule("0 * * * *", timedelta(hours=1))
    >>> checks = (CheckSpec("quality", "quality", limits=(Limit("missing", max=0.1),)),)
    >>> one = Monitor("a", ModelRef("m", "prod"), SourceSpec("files"), Columns("at"), hourly, checks)
    >>> read_monitor(one.canonical()) == one
    True
    """
    data = json.loads(text)
    data.pop("schema")
    schedule = data["schedule"]
    starts = schedule["starts"]
    return Monitor(
        **data
        | {
            "model": ModelRef(**data["model"]),
            "source": SourceSpec(**data["source"]),
            "reference": _source(data["reference"]),
            "labels": _source(data["labels"]),
            "columns": Columns(**data["columns"] | {"features": tuple(data["columns"]["features"])}),
            "schedule": Schedule(
                cron=schedule["cron"],
                window=timedelta(seconds=schedule["window"]),
                delay=timedelta(seconds=schedule["delay"]),
                starts=None if starts is None else datetime.fromisoformat(starts),
                catch_up=schedule["catch_up"],
            ),
            "checks": tuple(
                CheckSpec(**check | {"limits": tuple(Limit(**limit) for limit in check["limits"])})
                for check in data["checks"]
            ),
            "tolerance": Tolerance(**data["tolerance"]),
            "guards": Guards(**{name: timedelta(seconds=value) for name, value in data["guards"].items()}),
            "reaction": Reaction(data["reaction"]),
            "risk_tier": RiskTier(data["risk_tier"]),
            "rollback_targets": tuple(data["rollback_targets"]),
            "receivers": tuple(data["receivers"]),
        }
    )


def _source(data: dict[str, Any] | None) -> SourceSpec | None:
    return None if data is None else SourceSpec(**data)
