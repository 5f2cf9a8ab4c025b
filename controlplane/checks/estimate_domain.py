"""Where a window's rows lie in the reference: how much more common each kind of row is now, and which it never had."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from controlplane.profiles.kinds import Floats, Kind, kind_of, numbers_of, plain, readable

FOLDS = 3
TREES = 40
CUTS = 60
MOST_ROWS = 10_000
"""Of each side, rows that the classifier learns from; all are placed by it."""
MOST_WEIGHT = 20.0
FAR = 50.0
"""A density ratio from which on a row counts as outside: the reference has one for fifty of the window."""
ALIKE = 0.55
RARE = 0.001
"""A reference in which new values are no more common than this has a set of values to leave."""
Flags = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


@dataclass(frozen=True, slots=True)
class Domain:
    """How the window stands to the reference.

    `weights` of the reference's rows turn it into the window, as far as it reaches: density ratios, at most
    `MOST_WEIGHT`; `effective` is how many rows so weighted are worth as much. How well the two can be told apart is a
    ROC AUC (0.5: not at all), `apart` as they are and `left` with the weights. `outside` says of each row of the window
    that the reference has next to none like it, `new` which share of the rows holds a value it never had, by column.
    """

    weights: Floats
    effective: float
    apart: float
    left: float
    outside: Flags
    new: Mapping[str, float]

    @property
    def shifted(self) -> bool:
        """Whether the window looks other than the reference."""
        return self.apart > ALIKE

    @property
    def supported(self) -> bool:
        """Whether the weighted reference looks like the window."""
        return self.left <= ALIKE


@dataclass(frozen=True, slots=True)
class _Column:
    reference: Floats
    window: Floats
    new: Flags


def compare(
    reference: pa.Table, window: pa.Table, features: tuple[str, ...], scores: tuple[Floats, Floats], seed: int
) -> Domain:
    """Both tables by their features and the model's score. Dates are left out, as they always move on.

    The density ratio is the odds of a cross-fitted classifier of the two (Bickel et al. 2009; Sugiyama et al. 2012):
    boosted trees, which need no scaling, meet interactions and stay bounded where there is nothing to learn from.
    """
    columns = {"": _numbers(*scores)}
    for name in features:
        found = None if name not in reference.column_names else _column(reference, window, name)
        if found is not None:
            columns[name] = found
    before = np.column_stack([one.reference for one in columns.values()])
    after = np.column_stack([one.window for one in columns.values()])
    there, here = _ratios(before, after, seed)
    new = np.logical_or.reduce([one.new for one in columns.values()])
    weights = np.minimum(there, MOST_WEIGHT)
    effective = float(weights.sum() ** 2 / np.square(weights).sum())
    shares = {name: float(one.new.mean()) for name, one in columns.items() if name and one.new.any()}
    return Domain(
        weights,
        effective,
        _apart(there, here, np.ones_like(there)),
        _apart(there, here, weights),
        new | (here > FAR),
        shares,
    )


def _column(reference: pa.Table, window: pa.Table, name: str) -> _Column | None:
    """A feature of both as numbers; None for dates, bytes, and what has no kind."""
    before = _whole(reference[name])
    kind = kind_of(before.type)
    raw = pa.types.is_binary(before.type) or pa.types.is_large_binary(before.type)
    if kind is None or kind is Kind.DATETIME or raw or before.null_count == len(before):
        return None
    if kind is Kind.CATEGORICAL and pc.count_distinct(before).as_py() > len(before) / 2:
        kind = Kind.TEXT
    after = _whole(window[name]) if name in window.column_names else pa.nulls(window.num_rows, before.type)
    if not readable(after.type, kind):
        gone = np.full(len(after), np.nan)
        return _Column(np.zeros(len(before)), gone, np.ones(len(after), bool))
    if kind.counted:
        return _names(_whole(reference[name], kind), after.cast(pa.string()))
    return _numbers(_on_line(before, kind), _on_line(after, kind))


def _numbers(before: Floats, after: Floats) -> _Column:
    """Numbers beyond the reference's own, and missing ones where it has none missing, are new to it."""
    known = before[np.isfinite(before)]
    if not len(known):
        return _Column(np.zeros(len(before)), np.zeros(len(after)), np.zeros(len(after), bool))
    low, high = float(known.min()), float(known.max())
    new = (after < low) | (after > high)
    if not np.isnan(before).any():
        new |= np.isnan(after)
    # One step past the range is as far as a tree can see.
    step = max(high - low, abs(high), 1.0) * 0.01
    inside, around = (np.clip(side, low - step, high + step) for side in (before, after))
    return _Column(inside, around, new)


def _names(before: pa.Array, after: pa.Array) -> _Column:
    """Categories by how common they are in the reference, 0 the commonest, and one more for any it never had.

    Where one row in a thousand of the reference holds a category of its own (a code, a customer), another one is
    nothing new; by Good and Turing that share is the chance of the next new one.
    """
    counted = pc.value_counts(before.drop_null())
    order = np.argsort(-counted.field(1).to_numpy(), kind="stable")
    known = counted.field(0).take(pa.array(order))
    codes = [
        pc.fill_null(pc.index_in(side, known), len(known)).to_numpy().astype(np.float64) for side in (before, after)
    ]
    empty = [np.asarray(side.is_null()) for side in (before, after)]
    once = float((counted.field(1).to_numpy() == 1).sum()) / len(before)
    new = (codes[1] == len(known)) & ~empty[1] & (once <= RARE)
    if not empty[0].any():
        new |= empty[1]
    for values, gone in zip(codes, empty, strict=True):
        values[gone] = np.nan
    return _Column(codes[0], codes[1], new)


def _on_line(array: pa.Array, kind: Kind) -> Floats:
    """A number a row, NaN where there is none."""
    line = np.full(len(array), np.nan)
    line[np.asarray(array.is_valid())] = numbers_of(array, kind)[0]
    return line


def _whole(column: pa.ChunkedArray, kind: Kind | None = None) -> pa.Array:
    """One array, its dictionary undone; what is counted by name as text."""
    array = column.combine_chunks()
    array = plain(array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array)
    return array.cast(pa.string()) if kind is not None and kind.counted else array


def _apart(there: Floats, here: Floats, weights: Floats) -> float:
    """The chance that a row of the window has the greater odds of being one than a row of the weighted reference."""
    order = np.argsort(there, kind="stable")
    below = np.concatenate([[0.0], np.cumsum(weights[order])])
    sides = (np.searchsorted(there[order], here, side) for side in ("left", "right"))
    return float(np.mean([below[side].mean() for side in sides]) / below[-1])


def _ranks(before: Floats, after: Floats) -> Floats:
    """Both sides cut at quantiles of each: all that trees ask of a number, and quick to learn from."""
    edges = []
    for side in (before, after):
        known = np.sort(side[~np.isnan(side)])
        edges.append(known[np.linspace(0, len(known) - 1, CUTS).astype(int)] if len(known) else known)
    values = np.concatenate([before, after])
    ranks = np.searchsorted(np.unique(np.concatenate(edges)), values).astype(np.float64)
    return np.asarray(np.where(np.isnan(values), np.nan, ranks))


def _ratios(before: Floats, after: Floats, seed: int) -> tuple[Floats, Floats]:
    """Density of the window over that of the reference, at each row of both, by a classifier that has not seen it."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    rng = np.random.default_rng(seed)
    rows = np.column_stack([_ranks(*sides) for sides in zip(before.T, after.T, strict=True)])
    side = np.repeat([0, 1], [len(before), len(after)])
    fold = np.concatenate([rng.permutation(len(part)) % FOLDS for part in (before, after)])
    turn = np.concatenate([rng.permutation(len(part)) for part in (before, after)])
    odds = np.empty(len(rows))
    for held in range(FOLDS):
        learn = (fold != held) & (turn < MOST_ROWS * FOLDS / (FOLDS - 1))
        share = np.bincount(side[learn], minlength=2)
        trees = HistGradientBoostingClassifier(
            max_iter=TREES,
            max_leaf_nodes=8,
            min_samples_leaf=10,
            l2_regularization=1.0,
            early_stopping=False,
            random_state=0,
        )
        # Both sides weigh as much as the smaller, so that the odds are the ratio itself.
        trees.fit(rows[learn], side[learn], sample_weight=(share.min() / share)[side[learn]])
        odds[fold == held] = np.exp(np.clip(trees.decision_function(rows[fold == held]), -20.0, 20.0))
    return odds[: len(before)], odds[len(before) :]
