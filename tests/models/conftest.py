"""A real MLflow registry with one small version of every kind, logged once for the session."""

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from controlplane.models import open_model
from controlplane.ports import Model
from controlplane.registry import Registry

# A model logged from code: it answers by a rule, and misbehaves on request of the rows.
STRANGE = """
import mlflow
import numpy as np
import pandas as pd


class Strange(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input: pd.DataFrame, params=None):
        radius = model_input["mean radius"].to_numpy()
        if (radius < 0).any():
            raise RuntimeError("negative radius at https://me:secret@host/x\\nand a second line")
        if (radius == 0).any():
            return np.array(["benign"])
        return np.where(radius > 15, "malignant", "benign")


mlflow.models.set_model(Strange())
"""


@dataclass(frozen=True)
class Logged:
    """The registry's URI, the frame the models learned from, and its labels."""

    tracking_uri: str
    frame: pd.DataFrame
    labels: np.ndarray
    pixels: np.ndarray
    digits: np.ndarray

    def open(self, name: str, version: str = "1") -> Model:
        return open_model(self.address(name, version), version, self.tracking_uri)

    def address(self, name: str, version: str = "1") -> str:
        return Registry(self.tracking_uri).address(name, version)


@pytest.fixture(scope="session")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Logged:
    import mlflow
    from sklearn.datasets import load_breast_cancer, load_digits

    home = tmp_path_factory.mktemp("registry")
    uri = f"sqlite:///{home}/mlflow.db"
    tumours = load_breast_cancer(as_frame=True)
    digits = load_digits()
    frame = tumours.data.iloc[:, :6]
    labels = np.where(tumours.target == 1, "benign", "malignant")
    made = Logged(uri, frame, labels, (digits.images / 16).astype(np.float32)[:, None], digits.target)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    try:
        experiment = mlflow.create_experiment("models", artifact_location=f"file://{home}/artifacts")
        strange = home / "strange.py"
        strange.write_text(STRANGE)
        _log_all(made, strange, experiment)
    finally:
        mlflow.set_tracking_uri(before)
    return made


def _log_all(made: Logged, strange: Path, experiment: str) -> None:
    import mlflow
    import torch
    from mlflow.models import infer_signature
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    # MLflow advises on how to log a model; these are logged so on purpose.
    warnings.filterwarnings("ignore", ".*(input example|type hint)", UserWarning)
    signature = infer_signature(made.frame, made.labels)
    classifier = make_pipeline(StandardScaler(), LogisticRegression()).fit(made.frame, made.labels)
    regressor = LinearRegression().fit(made.frame.iloc[:, 1:], made.frame.iloc[:, 0])
    matrix = LogisticRegression(max_iter=2000).fit(made.pixels.reshape(-1, 64), made.digits)

    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(144, 10))
    image = infer_signature(made.pixels[:2], np.zeros((2, 10), dtype=np.float32))
    dense = torch.nn.Linear(6, 2)
    numeric = infer_signature(made.frame, np.zeros((2, 2), dtype=np.float32))

    def register(log: Callable[..., Any], name: str, model: Any, **options: Any) -> None:
        with mlflow.start_run(experiment_id=experiment):
            log(model, name="model", registered_model_name=name, pip_requirements=[], **options)

    register(mlflow.sklearn.log_model, "tumours", classifier, signature=signature)
    register(mlflow.sklearn.log_model, "unsigned", classifier)
    register(mlflow.sklearn.log_model, "radius", regressor)
    register(mlflow.sklearn.log_model, "flat", matrix, signature=infer_signature(made.pixels.reshape(-1, 64)[:2]))
    pickled: dict[str, Any] = {"signature": image, "serialization_format": "pickle"}
    register(mlflow.pytorch.log_model, "digits", net, **pickled)
    register(mlflow.pytorch.log_model, "digits", net, signature=image, input_example=made.pixels[:2])
    register(mlflow.pytorch.log_model, "words", net, **pickled, metadata={"classes": list("abcdefghij")})
    register(mlflow.pytorch.log_model, "short", net, **pickled, metadata={"classes": [0, 1]})
    register(mlflow.pytorch.log_model, "dense", dense, signature=numeric, serialization_format="pickle")
    register(
        lambda _, **options: mlflow.pyfunc.log_model(python_model=strange, **options),
        "strange",
        None,
        signature=signature,
        metadata={"classes": ["benign", "malignant"]},
    )
