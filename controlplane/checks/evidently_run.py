"""Has Evidently measure one entry after the other: one that cannot be measured harms no other."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from controlplane.checks.evidently_data import CATEGORY, DATE, TEXT, Data
from controlplane.checks.evidently_results import MOST_LABELS, measures_of
from controlplane.checks.evidently_table import METRICS, called, columns_in
from controlplane.domain.verdict import Measure
from controlplane.errors import CheckError, ControlPlaneError

_SENTENCE = 300


class Session:
    """Evidently's context for one pair of data sets, which keeps what several metrics are made from."""

    def __init__(self, data: Data, version: str | None) -> None:
        from evidently import Report
        from evidently.core.report import Context

        self._data, self._version = data, version
        self._context = Context(Report([], include_tests=False))
        self._context.init_dataset(data.current, data.reference)

    def measured(self, entry: Mapping[str, Any]) -> Iterator[Measure]:
        """The measures of one entry; what cannot be measured is no number, and its detail says why."""
        unfit = next((why for name in columns_in(entry) if (why := _unfit(name, entry, self._data))), "")
        if unfit:
            yield self._broken(entry, CheckError(unfit))
            return
        if METRICS[entry["metric"]].wide and not entry.get("columns"):
            for name, why in self._data.lost.items():
                yield self._broken({**entry, "column": name}, CheckError(why))
        try:
            leaves = list(self._leaves(_asked(entry)))
            if not leaves:
                raise CheckError("Evidently found nothing to measure")
        except Exception as error:
            yield self._broken(entry, error)
            return
        for leaf in leaves:
            config = leaf.dict()
            config = config.get("metric", config)
            part = {**config, "metric": config["type"].rpartition(":")[2]}
            try:
                result = self._context.calculate_metric(leaf.to_calculation())
                yield from [
                    self._said(one) for one in measures_of(result, self._data.n, self._version, self._data.detail)
                ]
            except Exception as error:
                segment = str(leaf.label) if hasattr(leaf, "label") else None
                yield replace(self._broken(part, error), segment=segment)

    def _leaves(self, item: Any) -> Iterator[Any]:
        """The single metrics that a preset, or a metric in groups, stands for."""
        from evidently.core.container import MetricContainer
        from evidently.metrics import GroupBy

        if not isinstance(item, MetricContainer):
            yield item
            return
        parts = item.metrics(self._context)
        if isinstance(item, GroupBy):
            # Evidently cannot tell apart what numpy's numbers and truth values name; and no value is no group.
            labels = [getattr(part.label, "item", lambda label=part.label: label)() for part in parts]
            parts = [item.label_metric(label) for label in labels if label is not None and label == label]
            if len(parts) > MOST_LABELS:
                raise CheckError(f"{item.column_name!r} has {len(parts)} groups; at most {MOST_LABELS} can be measured")
        for part in parts:
            yield from self._leaves(part)

    def _said(self, measure: Measure) -> Measure:
        if math.isfinite(measure.estimate):
            return measure
        where = f" of {measure.column}" if measure.column else ""
        empty = measure.column in self._data.empty
        why = "the column holds no value in the window" if empty else "Evidently gives no finite number"
        return replace(measure, detail=f"{measure.name}{where}: {why}")

    def _broken(self, entry: Mapping[str, Any], error: Exception) -> Measure:
        """A measure that is no number: what it would have been, and why it is not."""
        why = str(error)
        if not isinstance(error, ControlPlaneError):
            why = f"Evidently could not measure it ({' '.join(why.split()) or type(error).__name__})"
        name = next(iter(METRICS[entry["metric"]].gives))
        column = entry.get("column", entry.get("column_name"))
        said = f"{called(entry)}: {why}"[:_SENTENCE]
        return Measure(name, math.nan, self._data.n, column=column, version=self._version, detail=said)


@contextmanager
def undisturbed(seed: int) -> Iterator[None]:
    """Evidently draws from, and reseeds, numpy's global generator; and it warns of what its numbers show anyway."""
    state = np.random.get_state()
    np.random.seed(seed % 2**32)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    finally:
        np.random.set_state(state)


def _asked(entry: Mapping[str, Any]) -> Any:
    """Evidently's own metric or preset for an entry."""
    from evidently import metrics, presets

    options = {key: value for key, value in entry.items() if key not in ("metric", "by")}
    options = {key: list(value) if isinstance(value, tuple) else value for key, value in options.items()}
    place = presets if hasattr(presets, entry["metric"]) else metrics
    asked = getattr(place, entry["metric"])(**options)
    return metrics.GroupBy(asked, entry["by"]) if "by" in entry else asked


def _unfit(column: str, entry: Mapping[str, Any], data: Data) -> str:
    """Why a metric cannot be taken of a column, or nothing."""
    if why := data.lost.get(column) or data.unread.get(column):
        return why
    kind, metric = data.kinds[column], entry["metric"]
    if column == entry.get("by") and kind != CATEGORY:
        return f"column {column!r} holds {kind}, and groups are categories"
    if kind == TEXT and metric != "MissingValueCount":
        return f"column {column!r} holds {kind}, whose values hardly ever come twice"
    return f"column {column!r} holds {kind}, which always move on" if kind == DATE and metric == "ValueDrift" else ""
