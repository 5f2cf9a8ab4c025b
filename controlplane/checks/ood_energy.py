"""How many requests a torch classifier knows nothing about, by the energy of its logits (Liu et al. 2020)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from controlplane.checks import ood_share
from controlplane.checks.ood_share import Ruler
from controlplane.checks.scored import statistics_of
from controlplane.domain.monitor import Limit
from controlplane.domain.verdict import Measure
from controlplane.errors import CheckError, ControlPlaneError
from controlplane.ports import MeasureSpec, Model, Need, Sample
from controlplane.profiles import Reference
from controlplane.profiles.kinds import Floats
from controlplane.profiles.scores import Statistic

_BATCH = 1024


@dataclass(frozen=True, slots=True)
class OodEnergyParams:
    """The `quantile` of the reference's energies past which a row is out; how many `rows` of the window and of the
    reference are asked at most, drawn by the sample's seed; how many are needed."""

    quantile: float = 0.99
    rows: int = 5000
    min_rows: int = 30

    def __post_init__(self) -> None:
        if not 0.5 <= self.quantile < 1:
            raise ValueError(f"quantile must lie between 0.5 and 1, not {self.quantile:g}")
        if not 1 <= self.min_rows <= self.rows:
            raise ValueError(f"min_rows must lie between 1 and rows ({self.rows}), not {self.min_rows}")


class OodEnergy:
    """The share of rows out of the reference's distribution, as the model itself feels it.

    The energy of a row is minus the log of the sum of the exponents of its logits: a classifier that has seen nothing
    like it gives small logits for every class. Nothing is fitted, so that every reference row may set the threshold; as
    they may be rows that the model learnt from, `ood_excess` is what it has more than on those. `ood` needs no model,
    and sees what is strange to the reference though the model be sure of it.
    """

    name: ClassVar[str] = "ood_energy"
    version: ClassVar[int] = 1
    Params: ClassVar[type] = OodEnergyParams
    needs: ClassVar[frozenset[Need]] = frozenset({Need.ROWS, Need.REFERENCE, Need.MODEL})
    measures: ClassVar[Mapping[str, MeasureSpec]] = ood_share.MEASURES
    default_limits: ClassVar[tuple[Limit, ...]] = (Limit("ood_excess", max=0.05),)
    budget_limits: ClassVar[tuple[Limit, ...]] = ()
    scored: ClassVar[tuple[str, ...]] = ("ood_share",)
    most_blocks: ClassVar[int | None] = 30
    evidence: ClassVar[str] = "ood_rate"
    replayable: ClassVar[bool] = False

    def measure(self, sample: Sample, params: OodEnergyParams) -> Sequence[Measure]:
        """As `ood`, of the model's energies; raises NotEnoughData, or CheckError for a model without a module."""
        if sample.reference is None:
            raise CheckError("ood_energy compares with a reference; the monitor has none")
        if sample.model is None:
            raise CheckError("ood_energy asks a model, and none is at hand")
        ood_share.enough(sample.rows.num_rows, params.min_rows, "rows")
        ruler = _ruler(sample.reference, sample.model, params)
        out = ruler.out(_energies(sample.model, _chosen(sample.rows, params.rows, sample.seed)))
        return ood_share.measures(out, ruler, params.quantile, sample.version, "")

    def statistics(self, sample: Sample, params: OodEnergyParams, measures: Sequence[Measure]) -> Sequence[Statistic]:
        """The share of rows that are out."""
        return statistics_of(measures, self.scored, self.measures, sample.version)


def _ruler(reference: Reference, model: Model, params: OodEnergyParams) -> Ruler:
    """The threshold on the reference's rows."""
    ood_share.enough(reference.rows.num_rows, ood_share.least_held_out(params.quantile), "reference rows")
    return Ruler.of(_energies(model, _chosen(reference.rows, params.rows, 0)), params.quantile)


def _energies(model: Model, rows: pa.Table) -> Floats:
    """Minus the log of the sum of the exponents of the logits, shape (n,): large where the model knows little."""
    inputs = model.inputs(rows)
    with _asked(model.version):
        import torch

        net = model.module()
        with torch.inference_mode():
            given = [net(torch.from_numpy(inputs[at : at + _BATCH])) for at in range(0, len(inputs), _BATCH)]
        logits = torch.cat(given).double().numpy()
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise CheckError(f"version {model.version} answers shape {logits.shape}; an energy needs logits of two classes")
    if logits.min(initial=0.0) >= 0 and np.allclose(logits.sum(axis=1), 1.0, atol=1e-4):
        raise CheckError(
            f"version {model.version} answers probabilities, which always add up to the same; "
            "register it without its last softmax"
        )
    most = logits.max(axis=1)
    # What overflows, or is no number at all, is as strange as can be.
    with np.errstate(invalid="ignore", over="ignore"):
        energies = -(most + np.log(np.exp(logits - most[:, None]).sum(axis=1)))
    return np.where(np.isfinite(energies), energies, np.inf)


@contextmanager
def _asked(version: str) -> Iterator[None]:
    """Name what a stranger's module raises."""
    try:
        yield
    except (MemoryError, ControlPlaneError):
        raise
    except Exception as problem:
        first = (str(problem).splitlines() or [""])[0][:300]
        raise CheckError(f"version {version} gave no logits: {type(problem).__name__}: {first}") from problem


def _chosen(rows: pa.Table, most: int, seed: int) -> pa.Table:
    if rows.num_rows <= most:
        return rows
    return rows.take(pa.array(np.sort(np.random.default_rng(seed).choice(rows.num_rows, most, replace=False))))
