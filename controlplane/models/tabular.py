"""A scikit-learn estimator or pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from controlplane.models.failures import failures_of, no_gradient
from controlplane.models.inputs import Inputs, answers, class_probabilities


@dataclass(frozen=True, slots=True)
class Tabular:
    """A fitted scikit-learn estimator: labels or numbers, probabilities where it has them, no gradient."""

    version: str
    estimator: Any
    takes: Inputs

    @property
    def classes(self) -> tuple[Any, ...] | None:
        """The estimator's classes, in the order of its probability columns."""
        found = getattr(self.estimator, "classes_", None)
        return None if found is None else tuple(np.asarray(found).tolist())

    def predict(self, rows: pa.Table) -> np.ndarray:
        """Labels or numbers, shape (n,)."""
        given = self._given(rows)
        with failures_of(self.version, "predicting"):
            return answers(self.estimator.predict(given), rows.num_rows, self.version)

    def probabilities(self, rows: pa.Table) -> np.ndarray | None:
        """What `predict_proba` says, shape (n, k); None for an estimator without it."""
        if not hasattr(self.estimator, "predict_proba"):
            return None
        given = self._given(rows)
        with failures_of(self.version, "giving probabilities"):
            return class_probabilities(self.estimator.predict_proba(given), rows.num_rows, self.version)

    def inputs(self, rows: pa.Table) -> np.ndarray:
        """Nothing: there is no module to feed; raises CheckError."""
        raise no_gradient(self.version)

    def module(self) -> Any:
        """Nothing differentiable; raises CheckError."""
        raise no_gradient(self.version)

    def _given(self, rows: pa.Table) -> Any:
        return self.takes.array(rows) if self.takes.shape else self.takes.frame(rows)
