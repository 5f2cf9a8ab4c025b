"""Which columns a version listens to: how far its answers move when one column's values change places."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import pyarrow as pa

from controlplane.errors import CheckError
from controlplane.ports import Model

MOST_ANSWERS = 100_000
FEWEST_ROWS = 200
MOST_COLUMNS = MOST_ANSWERS // FEWEST_ROWS

# Below this part of the answers' own size a difference is the rounding of one sum in another order.
_ROUNDING = 1e-9
_DECIMALS = 4


def importance(
    model: Model, rows: pa.Table, features: Sequence[str], seed: int = 0, cap: int = 2000
) -> dict[str, float]:
    """How far the model's answers move when one column's values change places among the rows; the largest is 1.0.

    It weighs a column's shift by whether the model would notice. No label is needed: it is the permutation importance
    of Breiman (Random Forests, 2001) in the difference form of the model reliance of Fisher, Rudin and Dominici (JMLR
    20:177, 2019), with the model's own answers to the rows as they are in the place of labels, so that the loss before
    the exchange is 0. The loss is the absolute change of the class probabilities; for a classifier without them whether
    the label changed; for numbers the absolute change. Constant factors cancel in the ratio to the largest. It tells
    what this model does, not what is true of the world: columns that carry the same information share the importance
    as the model shares it, and values that change places alone make rows that may never occur.

    Every row takes the value of another row, the same one for every column; `seed` chooses the rows and their
    partners, so that equal arguments give equal numbers, rounded to four decimals so that the last bits of a machine's
    arithmetic rarely show. At most `cap` rows are asked, and at most 100,000 answers are wanted for all columns
    together: 2,000 rows for up to 50 columns, then fewer, 200 for 500 columns.

    Empty is a model that cannot be asked, that answers the same whatever it is given, fewer than two rows, and more
    than 500 columns. Left out is a column that the rows lack, and one whose exchange the model fails at (CheckError) or
    answers with no number at all.

    >>> from controlplane.models.inputs import Inputs
    >>> from controlplane.models.tabular import Tabular
    >>> class Weighs:
    ...     def predict(self, frame):
    ...         return (3.0 * frame["a"] - 1.5 * frame["b"]).to_numpy()
    >>> rows = pa.table({"a": range(100), "b": range(100), "c": range(100)})
    >>> importance(Tabular("1", Weighs(), Inputs("1", ("a", "b"))), rows, ["a", "b", "c"])
    {'a': 1.0, 'b': 0.5, 'c': 0.0}
    """
    places = {name: rows.schema.get_field_index(name) for name in features}
    places = {name: at for name, at in places.items() if at >= 0}
    if not 0 < len(places) <= MOST_COLUMNS:
        return {}
    rng = np.random.default_rng(seed)
    chosen = _choose(rows, min(cap, max(FEWEST_ROWS, MOST_ANSWERS // len(places))), rng)
    if chosen.num_rows < 2:
        return {}
    partners = pa.array(_partners(chosen.num_rows, rng))
    try:
        before = _answers(model, chosen)
    except CheckError:
        return {}
    changes = {}
    for name, at in places.items():
        with suppress(CheckError):
            exchanged = chosen.set_column(at, chosen.schema.field(at), chosen.column(at).take(partners))
            changes[name] = _change(before, _answers(model, exchanged), model.classes is not None)
    found = {name: change for name, change in changes.items() if np.isfinite(change)}
    largest = max(found.values(), default=0.0)
    return {name: round(change / largest, _DECIMALS) for name, change in found.items()} if largest else {}


def _choose(rows: pa.Table, n: int, rng: np.random.Generator) -> pa.Table:
    """At most `n` rows, by a mask: taking them by number would first join the chunks of a large table into one."""
    if rows.num_rows <= n:
        return rows
    kept = np.zeros(rows.num_rows, bool)
    kept[rng.choice(rows.num_rows, max(n, 0), replace=False)] = True
    return rows.filter(pa.array(kept))


def _partners(n: int, rng: np.random.Generator) -> np.ndarray:
    """For every row another one, none of them twice: each is followed by the next in a ring of random order."""
    ring = rng.permutation(n)
    partners = np.empty(n, np.int64)
    partners[ring] = np.roll(ring, -1)
    return partners


def _answers(model: Model, rows: pa.Table) -> np.ndarray:
    probabilities = model.probabilities(rows)
    return model.predict(rows) if probabilities is None else probabilities


def _change(before: np.ndarray, after: np.ndarray, classifies: bool) -> float:
    """The mean absolute change of numbers (NaN where no pair is finite), or the share of labels that changed."""
    numbers = before.ndim == 2 or not classifies
    if numbers and before.dtype.kind == after.dtype.kind == "f":
        both = np.isfinite(before) & np.isfinite(after)
        if not both.any():
            return float("nan")
        was, now = before[both].astype(np.float64), after[both].astype(np.float64)
        change = float(np.abs(now - was).mean())
        return change if change > _ROUNDING * float(np.abs(was).mean()) else 0.0
    # As text, so that a label of any type compares, and one that is missing equals itself.
    return float((before.astype(str) != after.astype(str)).mean())
