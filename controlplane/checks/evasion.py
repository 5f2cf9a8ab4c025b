"""How often a torch classifier survives small, deliberate changes of its inputs (NIST AI 100-2: evasion attacks)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import pyarrow as pa

from controlplane.checks import compared
from controlplane.checks.attack import EvasionParams, survivors
from controlplane.checks.contributions import share
from controlplane.checks.labels import keys, with_labels
from controlplane.checks.scored import statistics_of
from controlplane.domain.monitor import Limit
from controlplane.domain.verdict import Measure
from controlplane.errors import CheckError
from controlplane.ports import MeasureSpec, Need, Sample
from controlplane.profiles.scores import Statistic


def _specs() -> dict[str, MeasureSpec]:
    plain = {
        "clean_accuracy": "the share of rows answered with their label",
        "robust_accuracy": "the share of rows still answered with their label under attack",
    }
    specs = {name: MeasureSpec("share", False, meaning) for name, meaning in plain.items()}
    for name in plain:
        specs[f"{name}_vs_previous"] = MeasureSpec("share", False, f"{name} minus that of the version before, paired")
    return specs


class Evasion:
    """Accuracy before and under attack, with 95 % intervals, and paired with another version on the same rows.

    Each version is attacked by its own gradient. A row counts as robust where its label is answered both before and
    under attack, so robust accuracy is never above clean accuracy.

    The default limit wants half of the rows to survive; it can always be measured, but `eps` decides what it means, so
    set both together for your data.
    """

    name: ClassVar[str] = "evasion"
    version: ClassVar[int] = 1
    Params: ClassVar[type] = EvasionParams
    needs: ClassVar[frozenset[Need]] = frozenset({Need.ROWS, Need.LABELS, Need.MODEL})
    measures: ClassVar[Mapping[str, MeasureSpec]] = _specs()
    default_limits: ClassVar[tuple[Limit, ...]] = (Limit("robust_accuracy", min=0.5),)
    budget_limits: ClassVar[tuple[Limit, ...]] = ()
    scored: ClassVar[tuple[str, ...]] = ("clean_accuracy", "robust_accuracy")
    most_blocks: ClassVar[int | None] = 30
    evidence: ClassVar[str] = "evasion_robustness"
    replayable: ClassVar[bool] = True

    def measure(self, sample: Sample, params: EvasionParams) -> Sequence[Measure]:
        """Clean and robust accuracy; raises NotEnoughData, or CheckError for a model that has no gradient."""
        if sample.model is None:
            raise CheckError("evasion attacks a model, and none is at hand")
        rows = _chosen(with_labels(sample.rows, sample.columns.label, params.min_labels), params.rows, sample.seed)
        labels = keys(rows[sample.columns.label], "labels")
        own = survivors(sample.model, rows, labels, params, sample.seed)
        other, lost = None, ""
        if sample.previous is not None:
            try:
                other = survivors(sample.previous, rows, labels, params, sample.seed)
            except CheckError as problem:
                lost = f"version {sample.previous.version} could not be compared: {problem}"
        attack = f"PGD, {params.norm} norm, eps {params.eps:g}, {params.steps} steps"
        found = []
        for metric, values in own.items():
            mine, said = share(values), "; ".join(filter(None, [attack, lost]))
            found.append(compared.level(metric, mine, sample.version, said))
            if other is not None and sample.previous is not None:
                theirs, version = share(other[metric]), sample.previous.version
                found.append(compared.level(metric, theirs, version, attack))
                found.append(compared.against_previous(metric, mine, theirs, sample.version, version))
        return found

    def statistics(self, sample: Sample, params: EvasionParams, measures: Sequence[Measure]) -> Sequence[Statistic]:
        """The accuracies of this version, each on its harmful side."""
        return statistics_of(measures, self.scored, self.measures, sample.version)


def _chosen(rows: pa.Table, most: int, seed: int) -> pa.Table:
    if rows.num_rows <= most:
        return rows
    return rows.take(np.sort(np.random.default_rng(seed).choice(rows.num_rows, most, replace=False)))
