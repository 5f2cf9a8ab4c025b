"""Serving: a registered version that answers requests, and is swapped when the alias it follows moves.

One process (`fleet`) follows the aliases and tells its workers (`worker`) what to load and what to serve. A worker
answers by MLflow's scoring protocol (`app`, `answers`), and writes what it was asked and answered to the inference log.
"""

from controlplane.serving.plan import Limits, Plan, Share
from controlplane.serving.start import serve
from controlplane.serving.words import Words

__all__ = ["Limits", "Plan", "Share", "Words", "serve"]
