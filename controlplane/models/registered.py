"""A version in the registry, loaded once a process and kept: what a version is never changes."""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from typing import Any

from controlplane.errors import CheckError
from controlplane.models.failures import failures_of
from controlplane.models.inputs import Inputs
from controlplane.ports import Model

_KEPT = 4


def open_model(address: str, version: str, tracking_uri: str) -> Model:
    """The version whose artefacts lie at an address, loaded once a process however often; raises CheckError.

    Call it in a worker: a model is somebody else's code, and loading one imports MLflow and what the model needs. The
    address is what `Registry.address` says, so that no worker asks the registry.
    """
    # Artefacts that lie on this machine are loaded where they are, and are not ours to write beside.
    sys.dont_write_bytecode = True
    os.environ["DO_NOT_TRACK"] = "true"
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    with failures_of(version, "loading its artefacts"):
        return _load(address, version, tracking_uri)


@lru_cache(maxsize=_KEPT)
def _load(address: str, version: str, tracking_uri: str) -> Model:
    folder, described = describe(address, tracking_uri)
    if "sklearn" in described.flavors:
        return _sklearn(version, folder, described)
    if "pytorch" in described.flavors:
        return _torch(version, folder, described)
    return _pyfunc(version, folder, described)


def describe(address: str, tracking_uri: str) -> tuple[str, Any]:
    """The local folder of a version's artefacts and its description, without touching MLflow's process-wide URIs."""
    from mlflow.artifacts import download_artifacts
    from mlflow.models import Model as Description

    folder = str(download_artifacts(artifact_uri=address, tracking_uri=tracking_uri))
    return folder, Description.load(folder)


def _sklearn(version: str, folder: str, described: Any) -> Model:
    import mlflow.sklearn

    from controlplane.models.tabular import Tabular

    estimator = mlflow.sklearn.load_model(folder)
    names = getattr(estimator, "feature_names_in_", ())
    return Tabular(version, estimator, Inputs.of(version, described.signature, names))


def _torch(version: str, folder: str, described: Any) -> Model:
    try:
        import torch
    except ImportError as problem:
        raise CheckError(f"version {version} is a torch model; install the extra controlplane[robustness]") from problem
    import mlflow.pytorch

    from controlplane.models.torch import Torch

    # Workers run side by side: a pool of threads in each would fight over the same cores.
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
