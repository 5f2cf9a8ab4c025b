"""The stored form of a monitor, read back: what a run was judged by is told from what was stored with it."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from controlplane.domain.monitor import (
    Budget,
    CheckSpec,
    Columns,
    FreezeWindow,
    Guards,
    LateLabels,
    Limit,
    ModelRef,
    Monitor,
    OnFailure,
    Reaction,
    RiskTier,
    Schedule,
    Serving,
    SourceSpec,
    Tolerance,
)


def read_monitor(text: str) -> Monitor:
    """The inverse of `Monitor.canonical`.

    >>> from dataclasses import replace
    >>> from controlplane.domain.monitor import Schedule
    >>> hourly = Schedule("0 * * * *", timedelta(hours=1), late_rows=timedelta(days=1))
    >>> checks = (CheckSpec("quality", "quality", limits=(Limit("missing", max=0.1),)),)
    >>> late, budget = LateLabels(timedelta(days=30)), Budget(1, timedelta(days=90))
    >>> one = Monitor("a", ModelRef("m", "prod"), SourceSpec("files"), Columns("at"), hourly, checks)
    >>> weekend = FreezeWindow("0 18 * * 5", timedelta(hours=60), "nobody is there")
    >>> guards, serving = Guards(on_failure=OnFailure.UNDO, freeze_windows=(weekend,)), Serving("http://localhost")
    >>> one = replace(one, late_labels=late, budget=budget, guards=guards, serving=serving)
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
            "late_labels": _late(data["late_labels"]),
            "budget": _budget(data["budget"]),
            "columns": Columns(**{key: _tupled(value) for key, value in data["columns"].items()}),
            "schedule": Schedule(
                cron=schedule["cron"],
                window=timedelta(seconds=schedule["window"]),
                delay=timedelta(seconds=schedule["delay"]),
                starts=None if starts is None else datetime.fromisoformat(starts),
                catch_up=schedule["catch_up"],
                late_rows=timedelta(seconds=schedule["late_rows"]),
            ),
            "checks": tuple(
                CheckSpec(**check | {"limits": tuple(Limit(**limit) for limit in check["limits"])})
                for check in data["checks"]
            ),
            "tolerance": Tolerance(**data["tolerance"]),
            "guards": _guards(data["guards"]),
            "serving": _serving(data["serving"]),
            "reaction": Reaction(data["reaction"]),
            "risk_tier": RiskTier(data["risk_tier"]),
            "rollback_targets": tuple(data["rollback_targets"]),
            "receivers": tuple(data["receivers"]),
        }
    )


def _late(data: dict[str, Any] | None) -> LateLabels | None:
    return None if data is None else LateLabels(**data | {"wait": timedelta(seconds=data["wait"])})


def _budget(data: dict[str, Any] | None) -> Budget | None:
    return None if data is None else Budget(**data | {"per": timedelta(seconds=data["per"])})


def _guards(data: dict[str, Any]) -> Guards:
    spans = ("cooldown", "approval_expires", "most_moves_per")
    windows = tuple(
        FreezeWindow(**each | {"lasts": timedelta(seconds=each["lasts"])}) for each in data["freeze_windows"]
    )
    read = {name: timedelta(seconds=data[name]) for name in spans}
    return Guards(**data | read | {"on_failure": OnFailure(data["on_failure"]), "freeze_windows": windows})


def _serving(data: dict[str, Any] | None) -> Serving | None:
    return None if data is None else Serving(**data | {"within": timedelta(seconds=data["within"])})


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _source(data: dict[str, Any] | None) -> SourceSpec | None:
    return None if data is None else SourceSpec(**data)
