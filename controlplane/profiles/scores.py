"""What is watched of a window against its reference over time: a few plain averages a column, each with its n."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from controlplane.profiles.column import ColumnProfile
from controlplane.profiles.compare import on_line
from controlplane.profiles.distances import shares
from controlplane.profiles.kinds import Floats, Kind
from controlplane.profiles.profile import Profile

COMMON_SHARE = 0.05
MOST_CATEGORIES = 10
LONGEST_NAME = 60
# The variance of a share that is next to nothing cannot be learnt from a reference; below this it is not believed.
LEAST_VARIANCE = 0.001
MOMENTS = ("location", "spread", "skew", "tails")


@dataclass(frozen=True, slots=True)
class Statistic:
    """A number of one window that may move over time: its value, over how many rows, and the variance of one row.

    `side` is +1 where only a rise is harmful, -1 where only a fall is, 0 for both; `measure` names the measure that
    shows it to people. Without dependence between rows its standard error is `sqrt(variance / n)`.
    """

    name: str
    value: float
    n: int
    variance: float
    column: str | None = None
    side: int = 0
    measure: str = ""


def statistics(reference: Profile, window: Profile, columns: tuple[str, ...], measure: str) -> list[Statistic]:
    """The statistics of every named column that both profiles hold values of; dates are left out, they always move.

    Numbers are replaced by their rank in the reference, u in [0, 1], and averaged in the first four Legendre
    polynomials of u, which are uncorrelated with variance 1 for an unmoved continuous column (the components of
    Neyman's smooth test, 1937): `location`, `spread`, `skew` and `tails`. Categories are watched by the share of each
    common one (5 % and more, at most ten) and of the others together, unseen ones among them. All columns: `missing`,
    the share of rows without a value.

    >>> import pyarrow as pa
    >>> from controlplane.profiles import ProfileBuilder, fit_bins
    >>> batch = pa.record_batch({"age": [20.0, 30.0, 40.0, 50.0]})
    >>> bins = fit_bins(lambda: iter([batch]))
    >>> before = ProfileBuilder(bins).add(batch).build()
    >>> after = ProfileBuilder(bins).add(pa.record_batch({"age": [40.0, 50.0]})).build()
    >>> [(found.name, round(found.value, 2)) for found in statistics(before, after, ("age",), "drift")][:3]
    [('missing', 0.0), ('location', 0.87), ('spread', -0.07)]
    """
    found: list[Statistic] = []
    for name in columns:
        before, after = reference[name], window[name]
        if after.n == 0 or before.n == 0 or before.bins.kind is Kind.DATETIME:
            continue
        share, rise = before.missing / before.n, int(before.missing == 0)
        found.append(Statistic("missing", after.missing / after.n, after.n, _variance(share), name, rise, measure))
        if after.present and before.present:
            parts = _shares(before, after) if before.bins.kind.counted else _moments(before, after)
            found += [Statistic(part, value, after.present, spread, name, 0, measure) for part, value, spread in parts]
    return found


def _moments(before: ColumnProfile, after: ColumnProfile) -> Iterator[tuple[str, float, float]]:
    was, is_ = shares(on_line(before)), shares(on_line(after))
    # A column of few values, told apart by Simpson's index, has no more ways to move than those less one.
    ways = min(max(math.ceil(1 / float(was @ was)) - 1, 1), len(MOMENTS))
    polynomials = _legendre(np.cumsum(was) - was / 2)[:ways]
    means, values = polynomials @ was, polynomials @ is_
    variances = np.square(polynomials) @ was - np.square(means)
    for name, value, spread in zip(MOMENTS[:ways], values, variances, strict=True):
        yield name, float(value), max(float(spread), LEAST_VARIANCE)


def _legendre(ranks: Floats) -> Floats:
    """The first four shifted Legendre polynomials, orthonormal on [0, 1]; shape (4, len(ranks))."""
    x = 2 * ranks - 1
    square = x * x
    return np.stack(
        (
            np.sqrt(3.0) * x,
            np.sqrt(5.0) * (3 * square - 1) / 2,
            np.sqrt(7.0) * (5 * square - 3) * x / 2,
            3 * ((35 * square - 30) * square + 3) / 8,
        )
    )


def _shares(before: ColumnProfile, after: ColumnProfile) -> Iterator[tuple[str, float, float]]:
    was, is_ = before.slots / before.present, after.slots / after.present
    common = [index for index in np.argsort(-was, kind="stable")[:MOST_CATEGORIES] if was[index] >= COMMON_SHARE]
    # Of two categories the second share says nothing that the first does not.
    for index in common[:1] if len(was) == 2 else common:
        yield f"share of {_quoted(before.bins.categories[index])}", float(is_[index]), _variance(float(was[index]))
    if before.bins.kind is not Kind.BOOLEAN:
        rest = 1 - float(is_[common].sum())
        yield "share of other categories", max(rest, 0.0), _variance(1 - float(was[common].sum()))


def _quoted(category: str) -> str:
    """A category's name, and one that tells long ones apart."""
    if len(category) <= LONGEST_NAME:
        return repr(category)
    return f"{category[:LONGEST_NAME]!r}... ({zlib.crc32(category.encode('utf-8', 'replace')):08x})"


def _variance(share: float) -> float:
    return max(share * (1 - share), LEAST_VARIANCE)
