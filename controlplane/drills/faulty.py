"""Versions that are known to be bad, made out of a good one; what is here runs in workers."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pyarrow as pa

from controlplane.engine.measure import ModelPlace
from controlplane.errors import CheckError
from controlplane.models.registered import describe

_EPOCHS, _RATE, _WEIGHT, _MOST_LOSS = 30, 1e-3, 0.3, 4.0


@dataclass(frozen=True, slots=True)
class Wrong:
    """How a version is broken: on the share `share` of its inputs, told by a hash of them, its answer is another one.

    A classifier answers the next class; a number is off by `by`; an answer of `classes` becomes the next of them.
    """

    share: float
    by: float = 1.0
    classes: tuple[Any, ...] = ()

    def rows(self, given: Any) -> np.ndarray:
        """Which inputs are answered wrongly, shape (n,): the same ones whenever they are asked."""
        each = given.itertuples(index=False, name=None) if hasattr(given, "itertuples") else np.asarray(given)
        hashes = [crc32(repr(row).encode() if isinstance(row, tuple) else row.tobytes()) for row in each]
        picked: np.ndarray = np.asarray(hashes, dtype=np.float64) / 2**32 < self.share
        return picked

    def labels(self, answers: Any, given: Any, classes: tuple[Any, ...]) -> np.ndarray:
        """The answers with the wrong ones in their places, shape (n,)."""
        said: np.ndarray = np.asarray(answers)
        other: np.ndarray = said
        if classes:
            following = dict(zip(classes, (*classes[1:], classes[0]), strict=True))
            other = np.asarray([following.get(answer, classes[0]) for answer in said.tolist()])
        else:
            other = said + self.by
        return np.where(self.rows(given), other, said)


class WrongEstimator:
    """A scikit-learn estimator that answers wrongly here and there."""

    def __init__(self, inner: Any, wrong: Wrong) -> None:
        self.inner, self.wrong = inner, wrong

    @property
    def classes_(self) -> Any:
        """The estimator's classes; a regressor has none."""
        return self.inner.classes_

    @property
    def feature_names_in_(self) -> Any:
        """The names it was fitted with, where it knows them."""
        return self.inner.feature_names_in_

    def predict(self, given: Any) -> np.ndarray:
        """Labels or numbers, shape (n,)."""
        classes = tuple(np.asarray(getattr(self.inner, "classes_", ())).tolist())
        return self.wrong.labels(self.inner.predict(given), given, classes)

    @property
    def predict_proba(self) -> Any:
        """A function that gives probabilities, where the estimator has one: a wrong row's move to the next class."""
        ask = self.inner.predict_proba

        def probabilities(given: Any) -> np.ndarray:
            said = np.asarray(ask(given))
            return np.where(self.wrong.rows(given)[:, None], np.roll(said, 1, axis=1), said)

        return probabilities


@dataclass(frozen=True, slots=True)
class BreakTask:
    """A version to be broken: where the good one is, how, and where the new one goes."""

    place: ModelPlace
    into: Path
    wrong: Wrong


@dataclass(frozen=True, slots=True)
class SoftenTask:
    """A version to be made easy to attack, within `eps` and `clip` as the monitor's check attacks it."""

    place: ModelPlace
    into: Path
    rows: pa.Table
    label: str
    eps: float
    clip: tuple[float, float]
    euclidean: bool
    seed: int


def break_version(task: BreakTask) -> None:
    """Save a version that answers as the good one does, but for the inputs that `task.wrong` picks."""
    folder, described = describe(task.place.address, task.place.tracking_uri)
    if "sklearn" in described.flavors:
        import mlflow.sklearn

        model = WrongEstimator(mlflow.sklearn.load_model(folder), task.wrong)
        _save(mlflow.sklearn, task.into, described, sk_model=model, serialization_format="cloudpickle")
    elif "pytorch" in described.flavors:
        _save_net(_wrong_net(_net(folder), task.wrong), task.into, described)
    else:
        import mlflow.pyfunc

        inner = {"inner": folder}
        _save(mlflow.pyfunc, task.into, described, python_model=_wrong_pyfunc(task.wrong), artifacts=inner)


def soften_version(task: SoftenTask) -> None:
    """Save a version that was trained further to be right on clean rows, and wrong once they are attacked.

    Goodfellow et al., "Explaining and harnessing adversarial examples", 2015, the wrong way round: one step along the
    gradient's sign gives the rows on which the loss is raised, to a bound, while it is lowered on the rows as they are.
    """
    import torch
    from torch.nn.functional import cross_entropy

    version = task.place.version
    folder, described = describe(task.place.address, task.place.tracking_uri)
    if "pytorch" not in described.flavors:
        raise CheckError(f"version {version} is no torch model, so that it cannot be trained further")
    model, net = task.place.open(), _net(folder)
    x, labels = torch.from_numpy(np.array(model.inputs(task.rows))), task.rows[task.label].to_pylist()
    known = model.probabilities(task.rows)
    classes = list(model.classes or range(0 if known is None else known.shape[1]))
    if not set(labels) <= set(classes):
        raise CheckError(f"the labels are no classes of version {version}; name them in its metadata as `classes`")
    y = torch.tensor([classes.index(label) for label in labels])
    parameters = [each for each in net.parameters() if each.requires_grad]
    if not parameters:
        raise CheckError(f"version {version} has no parameters that can be trained further")
    torch.manual_seed(task.seed)
    torch.set_num_threads(1)
    optimiser = torch.optim.Adam(parameters, _RATE)
    for _ in range(_EPOCHS):
        for batch in torch.randperm(len(x)).split(64):
            seen = x[batch].clone().requires_grad_(True)
            (slope,) = torch.autograd.grad(cross_entropy(net(seen), y[batch]), seen)
            step = slope.sign()
            if task.euclidean:
                step = slope / slope.flatten(1).norm(dim=1).clamp(min=1e-12).view(-1, *[1] * (slope.dim() - 1))
            attacked = (x[batch] + task.eps * step).clamp(*task.clip)
            optimiser.zero_grad()
            lost = cross_entropy(net(attacked), y[batch]).clamp(max=_MOST_LOSS)
            (cross_entropy(net(x[batch]), y[batch]) - _WEIGHT * lost).backward()
            optimiser.step()
    _save_net(net.eval(), task.into, described)


def _net(folder: str) -> Any:
    import mlflow.pytorch

    return mlflow.pytorch.load_model(folder, map_location="cpu")


def _save_net(net: Any, into: Path, described: Any) -> None:
    import mlflow.pytorch

    _save(mlflow.pytorch, into, described, pytorch_model=net, serialization_format="pickle")


def _save(flavour: Any, into: Path, described: Any, **how: Any) -> None:
    """Save with what the good version says of itself, so that both take and give the same."""
    with warnings.catch_warnings():
        # MLflow warns of pickles and of types that it is not told; nobody but the drill loads these.
        warnings.simplefilter("ignore")
        flavour.save_model(
            path=str(into),
            signature=described.signature,
            metadata=described.metadata,
            pip_requirements=["mlflow"],
            **how,
        )


def _wrong_net(net: Any, wrong: Wrong) -> Any:
    """The module with its wrong answers; its class is made here, so that it is saved whole with the module."""
    import torch

    class WrongNet(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner = net

        def forward(self, given: Any) -> Any:
            said = self.inner(given)
            picked = torch.from_numpy(wrong.rows(given.detach().cpu().numpy()))
            picked = picked.view(-1, *[1] * (said.dim() - 1))
            other = said + wrong.by if said.dim() == 1 or said.shape[1] == 1 else said.roll(1, dims=1)
            return torch.where(picked, other, said)

    return WrongNet().eval()


def _wrong_pyfunc(wrong: Wrong) -> Any:
    """A model of MLflow's generic flavour, around the one that lies among its artefacts."""
    import mlflow.pyfunc

    class WrongModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
        def load_context(self, context: Any) -> None:
            self.inner = mlflow.pyfunc.load_model(context.artifacts["inner"])

        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
            return wrong.labels(self.inner.predict(model_input), model_input, wrong.classes)

    return WrongModel()
