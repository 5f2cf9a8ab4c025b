"""Any other flavour, through MLflow's generic `pyfunc`: predictions and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from controlplane.models.failures import failures_of, no_gradient
from controlplane.models.inputs import Inputs, answers


@dataclass(frozen=True, slots=True)
class Generic:
    """A `pyfunc`; `classes` come from the version's metadata, as pyfunc has no word for them."""

    version: str
    pyfunc: Any
    takes: Inputs
    classes: tuple[Any, ...] | None = None

    def predict(self, rows: pa.Table) -> np.ndarray:
        """Labels or numbers, shape (n,); a frame or array of several columns is a CheckError."""
        given = self.takes.array(rows) if self.takes.shape else self.takes.frame(rows)
        with failures_of(self.version, "predicting"):
            return answers(self.pyfunc.predict(given), rows.num_rows, self.version)

    def probabilities(self, rows: pa.Table) -> np.ndarray | None:
        """None: a pyfunc gives one kind of answer."""
        return None

    def inputs(self, rows: pa.Table) -> np.ndarray:
        """Nothing: there is no module to feed; raises CheckError."""
        raise no_gradient(self.version)

    def module(self) -> Any:
        """Nothing differentiable; raises CheckError."""
        raise no_gradient(self.version)
