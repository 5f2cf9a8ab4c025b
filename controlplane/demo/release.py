"""What a team does with MLflow before and beside the product: versions are registered, the alias is set.

Everything stays in one folder: the tracking database, and the artifacts of the demo's own experiment.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from controlplane.demo import digits, insurance

ALIAS = "champion"
EXPERIMENT = "demo-training"


def open_registry(folder: Path) -> str:
    """Make MLflow's database in `folder`/home and use it from now on in this process; its URI."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["DO_NOT_TRACK"] = "true"
    import mlflow

    # MLflow tells of every table it makes and every version it registers; the demo's timeline says it better.
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    uri = f"sqlite:///{folder.absolute() / 'home' / 'mlflow.db'}"
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    client = mlflow.MlflowClient(uri, uri)
    client.create_experiment(EXPERIMENT, artifact_location=(folder.absolute() / "artifacts").as_uri())
    return uri


def register_insurance(model: Any) -> str:
    """Log and register a fitted tabular model in MLflow's own default format (skops); the new version's number."""
    import mlflow.sklearn
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    inputs = Schema([ColSpec("double", name) for name in insurance.FEATURES])
    with _training_run():
        logged = mlflow.sklearn.log_model(
            model,
            name=insurance.NAME,
            signature=ModelSignature(inputs, Schema([ColSpec("long")])),
            pip_requirements=["scikit-learn", "skops"],
            skops_trusted_types=insurance.TRUSTED,
        )
    return _register(insurance.NAME, logged)


def register_digits(model: Any) -> str:
    """Log and register a trained network; the new version's number."""
    import mlflow.pytorch
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    floats = np.dtype(np.float32)
    signature = ModelSignature(Schema([TensorSpec(floats, (-1, 64))]), Schema([TensorSpec(floats, (-1, 10))]))
    with _training_run():
        logged = mlflow.pytorch.log_model(
            model,
            name=digits.NAME,
            signature=signature,
            pip_requirements=["torch"],
            serialization_format="pickle",
        )
    return _register(digits.NAME, logged)


def _training_run() -> Any:
    import mlflow

    experiment = mlflow.get_experiment_by_name(EXPERIMENT)
    return mlflow.start_run(experiment_id=experiment.experiment_id)


def _register(name: str, logged: Any) -> str:
    """By the client: `registered_model_name` does the same, and prints to stderr past every logging level."""
    import mlflow

    client = mlflow.MlflowClient()
    if not client.search_registered_models(f"name='{name}'"):
        client.create_registered_model(name)
    made = client.create_model_version(name, logged.model_uri, logged.run_id, model_id=logged.model_id)
    return str(made.version)


def promote(uri: str, name: str, version: str) -> None:
    """Set the alias, as somebody does who releases a version without asking anyone."""
    import mlflow

    mlflow.MlflowClient(uri, uri).set_registered_model_alias(name, ALIAS, version)


def holder(uri: str, name: str) -> str:
    """The version that holds the alias now, read with MLflow's own client."""
    import mlflow

    return str(mlflow.MlflowClient(uri, uri).get_model_version_by_alias(name, ALIAS).version)
