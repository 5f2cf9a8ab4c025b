"""The sandbox's own MLflow registry: a SQLite file beside copies of the versions that a drill needs."""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from controlplane.config import silence_telemetry
from controlplane.domain.monitor import ModelRef


def make_registry(file: Path, model: str) -> str:
    """Make MLflow's database with one model that has no version yet; its URI."""
    uri = f"sqlite:///{file}"
    _client(uri, uri).create_registered_model(model)
    return uri


def add_version(uri: str, model: str, folder: Path, number: str) -> str:
    """Register the artefacts in a folder as the version of that number, which is higher than any before; its number.

    MLflow counts versions itself, and a copy should bear the name that people know it by.
    """
    made = str(_client(uri, uri).create_model_version(model, source=folder.as_uri()).version)
    with closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as database, database:
        named = {"number": int(number), "model": model, "made": int(made)}
        database.execute("UPDATE model_versions SET version = :number WHERE name = :model AND version = :made", named)
    return number


def release(uri: str, model: ModelRef, version: str) -> None:
    """Give a version the alias, past the product, as somebody does who asks nobody."""
    _client(uri, uri).set_registered_model_alias(model.name, model.alias, version)


def largest_file(folder: Path) -> Path:
    """The largest file of a version's artefacts, which are its weights."""
    return max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: (path.stat().st_size, path))


def _client(tracking_uri: str, registry_uri: str) -> Any:
    silence_telemetry()
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # MLflow tells of every table it makes.
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri, registry_uri)
