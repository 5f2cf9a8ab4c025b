"""The inference log: what was asked and answered, as Parquet partitions that monitors read from the first minute.

`InferenceLog` is for any Python server. It is loaded when it is first asked for, because the process that writes the
files lives in this package too and has to start quickly.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from controlplane.log.inference import Counts as Counts
    from controlplane.log.inference import InferenceLog as InferenceLog

__all__ = ["Counts", "InferenceLog"]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name in __all__:
            return getattr(import_module("controlplane.log.inference"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
