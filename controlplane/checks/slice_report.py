"""The measures of `slices`: its metric by segment, the gaps between groups, and the weak slices that were confirmed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from controlplane.checks.moments import Moments, by_code, moments_of
from controlplane.checks.slice_answers import Answered, errors, losses, of_positive
from controlplane.checks.slice_cuts import Cut, cut_of
from controlplane.checks.slice_gaps import few_rows, gap_between
from controlplane.checks.slice_search import LEAST_ROWS, Confirmed, explored_rows, search
from controlplane.domain.verdict import Measure
from controlplane.errors import CheckError
from controlplane.ports import Sample
from controlplane.profiles.hashing import mix
from controlplane.profiles.intervals import Z
from controlplane.profiles.sampling import hashes_of

if TYPE_CHECKING:
    from controlplane.checks.slices import SlicesParams

QUARTERS = 4
MOST_VALUES, MOST_PAIRED = 50, 12
# The sample was drawn by hashes of the same ids; another seed parts it independently of that.
_OTHER_SEED = 0x51CE5


def segments(now: Answered, before: Answered | None, params: SlicesParams, left_out: list[str]) -> list[Measure]:
    """The metric over all rows, which says what was left out, and in each declared segment with enough rows."""
    metric, share = params.measured_by, now.share
    found, lacking = [], list[str]()
    for segment in dict.fromkeys((*params.segments, *params.groups)):
        cuts = [_cut(name, now, before, MOST_VALUES) for name in _columns(segment, now.rows)]
        if len(cuts) > 1:
            cuts = [replace(cut, values=cut.values[:MOST_PAIRED]) for cut in cuts]
        names = _names(cuts)
        here = by_code(now.contributions, _codes(cuts, now.rows), len(names), share)
        there = None
        if before is not None and all(cut.column in before.rows.column_names for cut in cuts):
            there = by_code(before.contributions, _codes(cuts, before.rows), len(names), before.share)
        few = []
        for place, (name, own) in enumerate(zip(names, here, strict=True)):
            then = None if there is None else there[place]
            if own.n >= LEAST_ROWS:
                found += _measured(metric, name, own, then)
            elif own.n or (then is not None and then.n >= LEAST_ROWS):
                few.append((name, own.n))
        lacking.append(few_rows(few, LEAST_ROWS))
    n = now.rows.num_rows
    said = [f"{now.unlabelled} of {n + now.unlabelled} rows have no label yet"] if now.unlabelled else []
    absent = "; ".join(dict.fromkeys(filter(None, (*lacking, *left_out))))
    said += [f"left out: {absent}"] if absent else []
    level = _level(metric, moments_of(now.contributions, share))
    return [replace(level, detail="; ".join(said)), *found]


def gaps(now: Answered, before: Answered | None, params: SlicesParams) -> tuple[list[Measure], list[str]]:
    """`rate_gap`, `error_gap` and `calibration_gap` of each column of groups that can be compared; and which cannot.

    A rate needs one positive class and a calibration its probability; a regression's is by the numbers answered.
    """
    found: list[Measure] = []
    left_out = []
    least = max(LEAST_ROWS, int(np.ceil(params.min_support * now.rows.num_rows)))
    values = {"error_gap": (errors(now, params.task), params.task == "classification")}
    if params.task == "regression":
        values["calibration_gap"] = now.labels - now.answers.predictions, False
    elif params.groups and (positive := of_positive(now, params.positive)) is not None:
        rated, labelled, sure = positive
        values["rate_gap"] = rated, True
        if sure is not None:
            values["calibration_gap"] = labelled - sure, False
    for column in params.groups:
        cut = _cut(_columns(column, now.rows)[0], now, before, MOST_VALUES)
        codes = cut.codes(now.rows[cut.column])
        for name, (one, share) in values.items():
            measure, few = gap_between(name, cut.column, one, codes, cut.names, least, share)
            if measure is not None:
                found.append(measure)
            else:
                left_out.append(f"gaps of {column}, which has fewer than two groups with {least} rows")
            left_out.append(few)
    return found, left_out


def weak(now: Answered, before: Answered | None, sample: Sample, params: SlicesParams) -> list[Measure]:
    """How many weak slices were confirmed, how many of them are new, and the gap of each."""
    metric = params.measured_by
    lost = losses(now, metric)
    seen = explored(now.rows, sample)
    names = sample.columns.features_of(now.rows.column_names)
    features = now.rows.select([name for name in names if name in now.rows.column_names])
    matters = params.matters if metric == "accuracy" else params.matters * float(np.abs(lost[seen]).mean())
    found, fresh = [], 0
    for one in search(features, lost, seen, params.min_support, matters):
        new, said = _compared(one, before, metric)
        fresh += new
        low, high = one.inside.minus(one.rest)
        detail = f"{metric} {_shown(one.inside, metric):.3g} there, {_shown(one.rest, metric):.3g} in the rest{said}"
        if one.partly:
            detail += "; rows of the slices above are left out"
        gap = one.inside.mean - one.rest.mean
        found.append(Measure("slice_gap", gap, one.inside.n, low, high, segment=str(one.slice), detail=detail))
    n = now.rows.num_rows
    told = "; ".join(str(measure.segment) for measure in found)
    return [
        Measure("weak_slices", float(len(found)), n, detail=told),
        Measure("new_weak_slices", float(fresh), n, detail=told if fresh else ""),
        *found,
    ]


def _compared(one: Confirmed, before: Answered | None, metric: str) -> tuple[bool, str]:
    """Whether the slice is weaker than in the reference, beyond chance, and what its gap was there."""
    if before is None or any(part.cut.column not in before.rows.column_names for part in one.slice.conditions):
        return True, ""
    try:
        members = one.slice.of(before.rows)
    except CheckError:
        return True, ""
    if min(np.count_nonzero(members), np.count_nonzero(~members)) < LEAST_ROWS:
        return True, f"; the reference has {np.count_nonzero(members)} rows there"
    lost = losses(before, metric)
    inside, rest = moments_of(lost[members]), moments_of(lost[~members])
    was, now = inside.mean - rest.mean, one.inside.mean - one.rest.mean
    error = float(np.hypot(inside.error(rest), one.inside.error(one.rest)))
    return now - was > Z * error, f"; the gap was {was:.3g} in the reference (n={inside.n})"


def _shown(one: Moments, metric: str) -> float:
    return 1.0 - one.mean if metric == "accuracy" else one.mean


def _measured(metric: str, name: str, own: Moments, then: Moments | None) -> list[Measure]:
    found = [replace(_level(metric, own), segment=name)]
    if then is not None and then.n >= LEAST_ROWS:
        low, high = own.minus(then)
        detail = f"{metric} was {then.mean:.3g} on the {then.n} labelled reference rows there"
        gap = own.mean - then.mean
        found.append(Measure(f"{metric}_vs_baseline", gap, own.n, low, high, segment=name, detail=detail))
    return found


def _level(metric: str, own: Moments) -> Measure:
    low, high = own.interval()
    return Measure(metric, own.mean, own.n, max(low, 0.0), high)


def _columns(segment: str, rows: pa.Table) -> list[str]:
    """The one or two columns of a segment as a job file names it."""
    parts = [segment] if segment in rows.column_names else segment.split(" x ")
    lacking = [part for part in parts if part not in rows.column_names]
    if lacking or len(parts) > 2:
        what = f"the rows have no column {lacking[0]!r}" if lacking else f"{segment!r} crosses more than two columns"
        raise CheckError(f"{what}; a segment is a column, or two as 'country x channel'")
    return parts


def _cut(name: str, now: Answered, before: Answered | None, most: int) -> Cut:
    """The column as the reference cuts it, so that a segment is the same one in every window; else as the rows do."""
    known = before is not None and name in before.rows.column_names
    column = before.rows[name] if before is not None and known else now.rows[name]
    cut = cut_of(name, column, QUARTERS, most)
    if cut is None:
        raise CheckError(f"column {name!r} holds {column.type}, which cannot be cut into segments")
    return cut


def _codes(cuts: Sequence[Cut], rows: pa.Table) -> np.ndarray:
    codes = [cut.codes(rows[cut.column]) for cut in cuts]
    return codes[0] if len(cuts) == 1 else codes[0] * cuts[1].size + codes[1]


def _names(cuts: Sequence[Cut]) -> list[str]:
    if len(cuts) == 1:
        return list(cuts[0].names)
    return [f"{one} and {two}" for one in cuts[0].names for two in cuts[1].names]


def explored(rows: pa.Table, sample: Sample) -> np.ndarray:
    """Which rows weak slices are found on, shape (n,); the others confirm.

    By a hash of the row's id, so that a row takes the same part whenever it is measured; without ids, of its place.
    """
    row_id, seed = sample.columns.row_id, sample.seed ^ _OTHER_SEED
    if row_id is None or row_id not in rows.column_names:
        return explored_rows(mix(mix(np.arange(1, rows.num_rows + 1, dtype=np.uint64)) + np.uint64(seed % 2**64)))
    parts = [hashes_of(batch, row_id, seed) for batch in rows.select([row_id]).to_batches()]
    return explored_rows(np.concatenate([np.empty(0, np.uint64), *parts]))
