"""Any of Evidently's metrics by name, on the run's sample against the reference's."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from controlplane.checks.evidently_data import Data, answers_of, columns_of
from controlplane.checks.evidently_run import Session, undisturbed
from controlplane.checks.evidently_table import METRICS, NUMBERS, all_measures, called, checked, columns_in, identity
from controlplane.domain.monitor import Limit
from controlplane.domain.verdict import Measure
from controlplane.errors import CheckError, NotEnoughData
from controlplane.ports import MeasureSpec, Need, Sample
from controlplane.profiles.scores import Statistic


class _Entry:
    """Has whoever reads a job file with pydantic check each entry where it stands, without pydantic being needed."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> dict[str, Any]:
        return {
            "type": "function-after",
            "function": {"type": "no-info", "function": checked},
            "schema": handler(source),
        }

    def __get_pydantic_json_schema__(self, core: Any, handler: Callable[[Any], Any]) -> dict[str, Any]:
        metric = {"enum": sorted(METRICS), "description": "the name of the metric or preset in Evidently"}
        return {**handler(core), "properties": {"metric": metric}, "required": ["metric"]}


@dataclass(frozen=True)
class EvidentlyParams:
    """What is measured: each entry names one of Evidently's metrics or presets, with its own options beside it; `by`
    takes a metric of one column in each group of another. Metrics of labels and of columns do not go into one check.

    `positive` is the class that metrics of two classes speak of (default: the greater); `min_labels` labelled rows are
    needed by metrics of labels.
    """

    metrics: tuple[Annotated[Mapping[str, Any], _Entry()], ...] = ({"metric": "DriftedColumnsCount"},)
    positive: str | None = None
    min_labels: int = 30

    def __post_init__(self) -> None:
        if not self.metrics:
            raise ValueError("'metrics' is empty; name at least one of Evidently's metrics")
        seen: list[Mapping[str, Any]] = []
        for entry in map(checked, self.metrics):
            if identity(entry) in seen:
                raise ValueError(f"two entries measure {called(entry)}; give the second a check of its own")
            seen.append(identity(entry))
        tasks = (METRICS[entry["metric"]].task for entry in self.metrics)
        if len({{"": "columns", NUMBERS: "numbers"}.get(task, "classes") for task in tasks}) > 1:
            names = ", ".join(entry["metric"] for entry in self.metrics)
            raise ValueError(f"{names} read different things (columns, classes, numbers); give each a check of its own")

    @property
    def tasks(self) -> set[str]:
        """What the metrics read of labels and answers; nothing where they read columns."""
        return {METRICS[entry["metric"]].task for entry in self.metrics} - {""}


class Evidently:
    """Metrics of Evidently 0.7 with limits.

    A measure is named after the metric: `MeanValue`; `MissingValueCount.count` and `.share`; `MAE.mean` and `.std`;
    `CorrelationMatrix.pearson`. `column` and `segment` say of what; a limit holds for every column and segment.
    `ValueDrift` is a distance where the method gives one, and `ValueDrift.p_value` where it gives a p-value: without
    `method` Evidently chooses by the reference's size, so a limit wants the method said.

    Evidently states no intervals, so the estimate alone decides, and a limit on a small window pages by chance. What
    cannot be measured is no number, which is an ERROR for that measure; the others stand. Labels are compared with
    logged answers; with a probability column Evidently answers by it instead, from `probas_threshold` (0.5) on.
    """

    name: ClassVar[str] = "evidently"
    version: ClassVar[int] = 1
    Params: ClassVar[type] = EvidentlyParams
    needs: ClassVar[frozenset[Need]] = frozenset({Need.ROWS, Need.REFERENCE})
    measures: ClassVar[Mapping[str, MeasureSpec]] = all_measures()
    default_limits: ClassVar[tuple[Limit, ...]] = ()
    budget_limits: ClassVar[tuple[Limit, ...]] = ()
    scored: ClassVar[tuple[str, ...]] = ()
    most_blocks: ClassVar[int | None] = None
    evidence: ClassVar[str] = "drift_check"
    replayable: ClassVar[bool] = False

    def measure(self, sample: Sample, params: EvidentlyParams) -> Sequence[Measure]:
        """Every number of every metric; raises NotEnoughData, or CheckError where there is not one number."""
        os.environ.setdefault("DO_NOT_TRACK", "true")
        if sample.rows.num_rows == 0:
            raise NotEnoughData("no rows")
        with undisturbed(sample.seed):
            session = Session(_data(sample, params), sample.version)
            found = _without_repeats(measure for entry in params.metrics for measure in session.measured(entry))
        if not any(math.isfinite(measure.estimate) for measure in found):
            more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
            raise CheckError(found[0].detail + more)
        return found

    def statistics(self, sample: Sample, params: EvidentlyParams, measures: Sequence[Measure]) -> Sequence[Statistic]:
        """Nothing: its numbers come without intervals and are held against explicit limits."""
        return ()


def _data(sample: Sample, params: EvidentlyParams) -> Data:
    if params.tasks:
        return answers_of(sample.rows, sample.columns, params.tasks, params.positive, params.min_labels)
    if sample.reference is None:
        raise CheckError("Evidently's metrics of columns compare with a reference; the monitor has none")
    before, columns = sample.reference.rows, sample.columns
    if before.num_rows == 0:
        raise NotEnoughData("the reference holds no rows")
    named = [name for entry in params.metrics for name in columns_in(entry)]
    answers = [name for name in (columns.prediction, columns.probability) if name is not None]
    return columns_of(sample.rows, before, dict.fromkeys([*columns.features_of(before.column_names), *answers, *named]))


def _without_repeats(found: Iterable[Measure]) -> list[Measure]:
    """Presets overlap with one another; what was measured twice alike is told once."""
    kept: dict[tuple[str, str | None, str | None], Measure] = {}
    for measure in found:
        first = kept.setdefault((measure.name, measure.column, measure.segment), measure)
        if first.estimate != measure.estimate and math.isfinite(first.estimate) and math.isfinite(measure.estimate):
            what = measure.name + (f" of {measure.column}" if measure.column else "")
            raise CheckError(f"two of the metrics measure {what} differently; give each a check of its own")
    return list(kept.values())
