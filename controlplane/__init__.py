"""Control Plane watches machine-learning models in production and acts when they go wrong.

`compare` is its library: how far two tables are from each other. It is loaded when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from controlplane.comparison import Comparison as Comparison
    from controlplane.comparison import compare as compare

__version__ = "0.1.0"
__all__ = ["Comparison", "__version__", "compare"]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name in __all__:
            return getattr(import_module("controlplane.comparison"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
