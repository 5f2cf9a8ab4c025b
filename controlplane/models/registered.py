"""A version in the registry, loaded on first use and kept: what a version is never changes."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from controlplane.models.failures import failures_of
from controlplane.models.inputs import Inputs
from controlplane.ports import Model

_KEPT = 4


def open_model(uri: str, version: str, tracking_uri: str, registry_uri: str | None = None) -> Registered:
    """The version behind `models:/name/3`; nothing is imported or loaded before its first answer.

    Call it in a worker: a model is somebody else's code. `registry_uri` is needed only where it is not `tracking_uri`.
    What cannot be loaded or raises is a CheckError of the first call that needs it.
    """
    return Registered(uri, version, tracking_uri, registry_uri or tracking_uri)


@dataclass(frozen=True, slots=True)
class Registered:
    """A `Model` by its address: small, picklable, and loaded once a process however often it is opened."""

    uri: str
    version: str
    tracking_uri: str = field(repr=False)
    registry_uri: str = field(repr=False)

    @property
    def classes(self) -> tuple[Any, ...] | None:
        """The classes, in the order of the probability columns; None for a regressor or where they are unknown."""
        return _load(self).classes

    def predict(self, rows: pa.Table) -> np.ndarray:
        """Labels or numbers, shape (n,), in the order of the rows."""
        return _load(self).predict(rows)

    def probabilities(self, rows: pa.Table) -> np.ndarray | None:
        """Class probabilities, shape (n, k), or None for a model that has none."""
        return _load(self).probabilities(rows)

    def inputs(self, rows: pa.Table) -> np.ndarray:
        """What `module` takes for these rows; raises CheckError where there is no module."""
        return _load(self).inputs(rows)

    def module(self) -> Any:
        """The differentiable `torch.nn.Module`; raises CheckError where there is none."""
        return _load(self).module()


@lru_cache(maxsize=_KEPT)
def _load(registered: Registered) -> Model:
    os.environ["DO_NOT_TRACK"] = "true"
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    with failures_of(registered.version, f"loading {registered.uri}"):
        from mlflow.models import Model as Description

        folder = _folder(registered)
        described = Description.load(folder)
        if "sklearn" in described.flavors:
            return _sklearn(registered.version, folder, described)
        if "pytorch" in described.flavors:
            return _torch(registered.version, folder, described)
        return _pyfunc(registered.version, folder, described)


def _folder(registered: Registered) -> str:
    """The local folder of the version's artifacts, found without touching MLflow's process-wide URIs."""
    from mlflow import MlflowClient
    from mlflow.artifacts import download_artifacts

    name, _, number = registered.uri.removeprefix("models:/").rpartition("/")
    client = MlflowClient(registered.tracking_uri, registered.registry_uri)
    address = client.get_model_version_download_uri(name, number)
    return str(
        download_artifacts(
            artifact_uri=address, tracking_uri=registered.tracking_uri, registry_uri=registered.registry_uri
        )
    )


def _sklearn(version: str, folder: str, described: Any) -> Model:
    import mlflow.sklearn

    from controlplane.models.tabular import Tabular

    estimator = mlflow.sklearn.load_model(folder)
    names = getattr(estimator, "feature_names_in_", ())
    return Tabular(version, estimator, Inputs.of(version, described.signature, names))


def _torch(version: str, folder: str, described: Any) -> Model:
    import mlflow.pytorch
    import torch

    from controlplane.models.torch import Torch

    torch.set_num_threads(1)
    net = mlflow.pytorch.load_model(folder, map_location="cpu")
    if isinstance(net, torch.fx.GraphModule):
        # An exported program has no training mode and raises when asked for one, which attack libraries do.
        net.train = lambda mode=True: net
    return Torch(version, net, Inputs.of(version, described.signature), _classes(described))


def _pyfunc(version: str, folder: str, described: Any) -> Model:
    import mlflow.pyfunc

    from controlplane.models.generic import Generic

    pyfunc = mlflow.pyfunc.load_model(folder)
    return Generic(version, pyfunc, Inputs.of(version, described.signature), _classes(described))


def _classes(described: Any) -> tuple[Any, ...] | None:
    named = (described.metadata or {}).get("classes")
    return None if named is None else tuple(named)
