"""A torch module: predictions and probabilities by batches, and the module itself for attacks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from controlplane.errors import CheckError
from controlplane.models.failures import failures_of
from controlplane.models.inputs import Inputs

_BATCH = 1024


@dataclass(frozen=True, slots=True)
class Torch:
    """A classifier whose module answers logits of shape (n, k), or a regressor that answers (n,) or (n, 1).

    `classes` come from the version's metadata (`classes`, in the order of the logits); without it a prediction is the
    index of the greatest logit.
    """

    version: str
    net: Any
    takes: Inputs
    classes: tuple[Any, ...] | None = None

    def predict(self, rows: pa.Table) -> np.ndarray:
        """The class of the greatest logit, or the one number of a regressor, shape (n,)."""
        outputs = self._outputs(rows)
        if outputs.shape[1] == 1:
            return np.asarray(outputs[:, 0], dtype=np.float64)
        self._finite(outputs)
        best = outputs.argmax(axis=1)
        return np.asarray(best if self.classes is None else np.asarray(self.classes)[best])

    def probabilities(self, rows: pa.Table) -> np.ndarray | None:
        """The softmax of the logits, shape (n, k); None for a regressor."""
        outputs = self._outputs(rows).astype(np.float64)
        if outputs.shape[1] == 1:
            return None
        self._finite(outputs)
        exponents = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        return np.asarray(exponents / exponents.sum(axis=1, keepdims=True))

    def inputs(self, rows: pa.Table) -> np.ndarray:
        """What the module takes for these rows, shape (n, ...) as the signature says."""
        return self.takes.array(rows)

    def module(self) -> Any:
        """The module, in evaluation mode."""
        return self.net

    def _outputs(self, rows: pa.Table) -> np.ndarray:
        given = self.inputs(rows)
        with failures_of(self.version, "predicting"):
            import torch

            with torch.inference_mode():
                parts = [self.net(torch.from_numpy(given[at : at + _BATCH])) for at in range(0, len(given), _BATCH)]
            if not all(isinstance(part, torch.Tensor) for part in parts):
                raise CheckError(f"version {self.version} answers a {type(parts[0]).__name__}; needs one tensor")
            outputs = torch.cat(parts).numpy() if parts else np.empty((0, 1), dtype=np.float32)
        outputs = outputs[:, None] if outputs.ndim == 1 else outputs
        if outputs.ndim != 2 or len(outputs) != rows.num_rows:
            raise CheckError(f"version {self.version} answered shape {outputs.shape} for {rows.num_rows} rows")
        if self.classes is not None and outputs.shape[1] != len(self.classes):
            raise CheckError(
                f"version {self.version} answers {outputs.shape[1]} numbers a row, its metadata names "
                f"{len(self.classes)} classes"
            )
        return np.asarray(outputs)

    def _finite(self, outputs: np.ndarray) -> None:
        broken = int((~np.isfinite(outputs).all(axis=1)).sum())
        if broken:
            raise CheckError(f"version {self.version} answered numbers that are not finite for {broken} rows")
