"""Two checks that belong to these tests, and a folder to write job files in."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import pytest

from controlplane import ports
from controlplane.config import load_jobs
from controlplane.domain.monitor import Limit, Monitor
from controlplane.ports import MeasureSpec, Need

JOB = """\
schema: 1
model: {name: insurance, alias: champion}
owner: risk-team@example.org
source: {kind: files, path: ../data/*.parquet}
columns:
  event_time: at
  row_id: id
  prediction: prediction
  label: visits
reference: {kind: files, path: ../data/reference.parquet}
schedule:
  cron: "0 * * * *"
  window: 1h
checks:
  - check: drift
    params: {columns: [age], bins: 10}
    limits: {drift: {max: 0.2, warn: 0.1}}
"""


BUILT_IN = dict(ports.CHECKS)


class Drift:
    """A check with parameters and a default limit, that needs a reference."""

    @dataclass(frozen=True)
    class Params:
        columns: tuple[str, ...] = ()
        bins: int = 20

        def __post_init__(self) -> None:
            if self.bins < 2:
                raise ValueError(f"bins must be 2 or more, not {self.bins}")

    needs = frozenset({Need.PROFILE, Need.REFERENCE})
    measures: ClassVar = {"drift": MeasureSpec("distance", True, "how far a column moved")}
    default_limits = (Limit("drift", max=0.3),)
    scored = ("location",)


class Performance:
    """A check without limits of its own, that needs labels."""

    @dataclass(frozen=True)
    class Params:
        positive: str | None = None

    needs = frozenset({Need.ROWS, Need.LABELS})
    measures: ClassVar = {
        "accuracy": MeasureSpec("share", False, "the share of right answers"),
        "log_loss": MeasureSpec("nats", True, "how surprising the truth was"),
    }
    default_limits = ()
    scored = ("accuracy",)


@pytest.fixture(autouse=True)
def two_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("checks_of_these_tests")
    module.Drift, module.Performance = Drift, Performance
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for name in list(ports.CHECKS):
        monkeypatch.delitem(ports.CHECKS, name)
    monkeypatch.setitem(ports.CHECKS, "drift", f"{module.__name__}:Drift")
    monkeypatch.setitem(ports.CHECKS, "performance", f"{module.__name__}:Performance")


@pytest.fixture
def built_in_checks(monkeypatch: pytest.MonkeyPatch, two_checks: None) -> None:
    """Puts the product's own checks back."""
    for name, target in BUILT_IN.items():
        monkeypatch.setitem(ports.CHECKS, name, target)


@pytest.fixture
def job() -> str:
    return JOB


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes files into `jobs/` of a fresh working directory and returns that relative folder."""
    monkeypatch.chdir(tmp_path)
    folder = Path("jobs")
    folder.mkdir()

    def _write(**files: str) -> Path:
        for name, text in files.items():
            (folder / f"{name}.yaml").write_text(text)
        return folder

    return _write


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str], Monitor]:
    """Reads one job file from its text."""

    def _load(text: str) -> Monitor:
        (tmp_path / "churn.yaml").write_text(text)
        return load_jobs(tmp_path).monitors[0]

    return _load
