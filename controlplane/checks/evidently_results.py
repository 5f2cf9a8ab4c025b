"""What Evidently answers, as measures: one number each, under a name that stays the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from controlplane.checks.evidently_table import METRICS, P_VALUES
from controlplane.domain.verdict import Measure
from controlplane.errors import CheckError

MOST_LABELS = 100
_P_VALUES = {*P_VALUES, *P_VALUES.values()}


def measures_of(result: Any, n: int, version: str | None, detail: str) -> Iterator[Measure]:
    """The measures in one of Evidently's results; raises CheckError for one that holds nothing.

    A number stands under the metric's name, a count and its share, a mean and its spread under `Name.count` and so on.
    What is measured for a label, a group or an option's value has it as `segment`; a correlation has both columns'
    names as `column`.
    """
    config = result.metric_value_location.metric.params
    group = []
    if "metric" in config:
        group, config = [str(config["label"])], config["metric"]
    name = config["type"].rpartition(":")[2]
    column = config.get("column", config.get("column_name"))
    words = [*group, *_apart(name, config)]
    if name == "ValueDrift":
        method, threshold = config["method"], config["threshold"]
        detail = "; ".join(filter(None, [detail, f"by {method}, which Evidently holds against {threshold:g}"]))
    found = 0
    for suffix, where, label, value, more in _numbers(name, config, column, result):
        found += 1
        segment = ", ".join([*words, *([] if label is None else [label])]) or None
        told = "; ".join(filter(None, [detail, more]))
        yield Measure(f"{name}{suffix}", value, n, None, None, where, segment, version, told)
    if not found:
        raise CheckError("Evidently found nothing to measure")


def _numbers(
    name: str, config: Mapping[str, Any], column: str | None, result: Any
) -> Iterator[tuple[str, str | None, str | None, float, str]]:
    """Suffix of the name, column, label, number and what more is to be said, of each number in a result."""
    match type(result).__name__:
        case "SingleValue":
            suffix = ".p_value" if name == "ValueDrift" and config["method"] in _P_VALUES else ""
            yield suffix, column, None, float(result.value), ""
        case "CountValue":
            yield ".count", column, None, float(result.count.value), ""
            yield ".share", column, None, float(result.share.value), ""
        case "MeanStdValue":
            yield ".mean", column, None, float(result.mean.value), ""
            yield ".std", column, None, float(result.std.value), ""
        case "ByLabelValue":
            for label in sorted(result.values, key=str):
                yield "", column, str(label), float(result.values[label].value), ""
        case "ByLabelCountValue":
            known = [label for label in result.counts if label is not None and label == label]
            kept = sorted(known, key=lambda label: (-float(result.counts[label].value), str(label)))[:MOST_LABELS]
            more = f"the {MOST_LABELS} most frequent of {len(known)} values" if len(known) > MOST_LABELS else ""
            for label in kept:
                yield ".count", column, str(label), float(result.counts[label].value), more
                yield ".share", column, str(label), float(result.shares[label].value), more
        case "DataframeValue":
            suffix = f".{config.get('kind', 'auto')}"
            for one, other, value in _pairs(result.value, column):
                yield suffix, f"{one} and {other}", None, value, ""
        case other:
            raise CheckError(f"Evidently answered with {other}, which holds no number that is known here")


def _pairs(frame: Any, column: str | None) -> Iterator[tuple[str, str, float]]:
    """Two columns and their correlation: of one column with the others, or of each pair of a square matrix."""
    if column is not None:
        for other, value in zip(frame["column_name"], frame["value"], strict=True):
            yield column, str(other), float(value)
        return
    names = list(frame.columns)
    for place, one in enumerate(names):
        for other in names[place + 1 :]:
            yield one, other, float(frame.loc[one, other])


def _apart(name: str, config: Mapping[str, Any]) -> list[str]:
    """The values of the options that tell two measures of one column apart."""
    given = {option: config[option] for option in METRICS[name].apart if config.get(option) not in (None, [])}
    if "left" in given:
        return [f"{given['left']:g} to {given['right']:g}"]
    if "quantile" in given:
        return [f"quantile {given['quantile']:g}"]
    spelled = [item for value in given.values() for item in (value if isinstance(value, list | tuple) else [value])]
    return [", ".join(str(getattr(item, "value", item)) for item in spelled)] if spelled else []
