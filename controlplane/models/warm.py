"""What opening a model imports, for worker processes to start with: seconds that each would spend by itself."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module

for name in ("mlflow.pyfunc", "mlflow.sklearn", "skops.io", "mlflow.pytorch"):
    # The flavours of models that this installation cannot open need no warming.
    with suppress(ImportError):
        import_module(name)

with suppress(ImportError):
    from mlflow.utils.requirements_utils import warn_dependency_requirement_mismatches

    # MLflow compares each model's requirements with all that is installed, which it reads once a process, for a second.
    warn_dependency_requirement_mismatches(["mlflow"])
