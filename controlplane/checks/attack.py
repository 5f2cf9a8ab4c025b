"""One white-box attack: projected gradient descent with a random start, by the gradient of the version attacked.

Madry et al., "Towards deep learning models resistant to adversarial attacks", 2018. What it finds bounds robustness
from above: a stronger attack may find more.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from controlplane.checks.labels import keys, said, same_kind
from controlplane.errors import CheckError, ControlPlaneError
from controlplane.ports import Model

_ORDERS: dict[str, float] = {"inf": np.inf, "l1": 1, "l2": 2}


@dataclass(frozen=True, slots=True)
class EvasionParams:
    """The attack: `steps` of `eps_step` within a ball of radius `eps` in `norm`, never outside `clip` (input units).

    At most `rows` labelled rows are attacked, chosen by the sample's seed; at least `min_labels` are needed.
    """

    eps: float = 0.1
    eps_step: float = 0.02
    steps: int = 20
    norm: Literal["inf", "l1", "l2"] = "inf"
    rows: int = 200
    clip: tuple[float, float] = (0.0, 1.0)
    batch_size: int = 256
    min_labels: int = 30

    def __post_init__(self) -> None:
        if self.norm not in _ORDERS:
            raise ValueError(f"unknown norm {self.norm!r}; valid: {', '.join(_ORDERS)}")
        positive = {"eps": self.eps, "eps_step": self.eps_step, "steps": self.steps, "batch_size": self.batch_size}
        for name, value in positive.items():
            if not value > 0:
                raise ValueError(f"{name} must be above 0, not {value}")
        if len(self.clip) != 2 or not self.clip[0] < self.clip[1]:
            raise ValueError(f"clip is the lowest and the highest input, such as [0, 1]; got {list(self.clip)}")
        if not 2 <= self.min_labels <= self.rows:
            raise ValueError(f"min_labels must be from 2 to rows ({self.rows}), not {self.min_labels}")


def survivors(
    model: Model, rows: pa.Table, labels: np.ndarray, params: EvasionParams, seed: int
) -> dict[str, np.ndarray]:
    """For each row 1.0 where the version answers its label, shape (n,): before and under attack."""
    inputs = _inputs(model, rows, params)
    with _attackable(model.version), _seeded(seed):
        from art.attacks.evasion.projected_gradient_descent import projected_gradient_descent_pytorch as pgd
        from art.estimators.classification.pytorch import PyTorchClassifier
        from torch.nn import CrossEntropyLoss

        module = model.module()
        logits = _logits(module, inputs, model.version)
        classes = _classes(model, logits.shape[1], labels)
        hits = labels[:, None] == classes[None, :]
        target = np.where(hits.any(axis=1), hits.argmax(axis=1), -1)
        clean = logits.argmax(axis=1) == target
        robust = clean.copy()
        if clean.any():
            classifier = PyTorchClassifier(
                model=module,
                loss=CrossEntropyLoss(),
                input_shape=inputs.shape[1:],
                nb_classes=len(classes),
                clip_values=tuple(params.clip),
                device_type="cpu",
            )
            attack = pgd.ProjectedGradientDescentPyTorch(
                classifier,
                norm=_ORDERS[params.norm],
                eps=params.eps,
                eps_step=params.eps_step,
                max_iter=params.steps,
                num_random_init=1,
                batch_size=params.batch_size,
                verbose=False,
            )
            attacked = attack.generate(inputs[clean], np.eye(len(classes), dtype=np.float32)[target[clean]])
            robust[clean] = _logits(module, attacked, model.version).argmax(axis=1) == target[clean]
    return {"clean_accuracy": clean.astype(np.float64), "robust_accuracy": robust.astype(np.float64)}


def _inputs(model: Model, rows: pa.Table, params: EvasionParams) -> np.ndarray:
    inputs = np.asarray(model.inputs(rows))
    if inputs.dtype.kind != "f":
        raise CheckError(f"version {model.version} takes {inputs.dtype}; an attack needs inputs that can move a little")
    low, high = params.clip
    if not (np.isfinite(inputs).all() and inputs.min() >= low - 1e-6 and inputs.max() <= high + 1e-6):
        raise CheckError(
            f"the inputs reach from {inputs.min():g} to {inputs.max():g}, outside of clip {low:g} to {high:g}; "
            "set clip (and eps) to the range of the inputs"
        )
    return np.asarray(np.clip(inputs, low, high))


def _logits(module: Any, inputs: np.ndarray, version: str) -> np.ndarray:
    import torch

    with torch.no_grad():
        logits = np.asarray(module(torch.from_numpy(inputs)).double().numpy())
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise CheckError(
            f"version {version} answers shape {logits.shape}; an attack needs logits of at least 2 classes"
        )
    if not np.isfinite(logits).all():
        raise CheckError(f"version {version} answered logits that are not finite")
    if logits.min() >= 0 and np.allclose(logits.sum(axis=1), 1.0, atol=1e-4):
        raise CheckError(
            f"version {version} answers probabilities; their flat gradient would make it look robust, "
            "so register it without its last softmax"
        )
    return logits


def _classes(model: Model, k: int, labels: np.ndarray) -> np.ndarray:
    named = range(k) if model.classes is None else model.classes
    classes = keys(np.asarray(named), f"classes of version {model.version}")
    same_kind(labels, classes, f"classes of version {model.version}")
    if len(classes) != k:
        raise CheckError(f"version {model.version} names {len(classes)} classes and answers {k} logits")
    if not np.isin(labels, classes).any():
        raise CheckError(
            f"no label is a class of version {model.version}: labels {said(labels)}, classes {said(classes)}"
        )
    return classes


@contextmanager
def _attackable(version: str) -> Iterator[None]:
    """Name what a stranger's module, or the attack on it, raises; a missing library names its extra."""
    try:
        yield
    except (MemoryError, ControlPlaneError):
        raise
    except ImportError as problem:
        raise CheckError(f"evasion needs the extra controlplane[robustness]: {problem}") from problem
    except Exception as problem:
        first = (str(problem).splitlines() or [""])[0]
        raise CheckError(f"version {version} cannot be attacked: {type(problem).__name__}: {first}") from problem


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Both libraries draw from process-wide generators: seed them, and leave them as they were."""
    import torch

    before = np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            np.random.set_state(before)
