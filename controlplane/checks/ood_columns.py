"""One column as coordinates in which distances mean the same for all: ranks of numbers, rarity of categories.

Every column is scaled so that two rows of the reference lie about as far apart in it as two standard normal numbers do
(2 in squared distance on average), whatever its kind, unit or length. What no row of the reference holds is no
coordinate but an extra cost, the same from wherever it is measured.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from controlplane.profiles.kinds import Floats, Kind, kind_of, numbers_of, plain, readable

KNOTS = 257
COMMON = 0.05
MOST_COMMON = 10
COMPONENTS = 32
LONGEST_VECTOR = 1024
_LEARN = 2000
# So far out that nothing outweighs it; what is infinite lies there.
_FARTHEST = 50.0
_TINY, _HUGE = 1e-30, 1e100


@dataclass(frozen=True, slots=True)
class Placed:
    """n rows in one column: coordinates (n, d), the extra cost of what the reference lacks (n,), and who is beyond."""

    coordinates: Floats
    cost: Floats
    beyond: np.ndarray


class Fitted(Protocol):
    """A column as the reference has it."""

    def place(self, column: pa.Array) -> Placed:
        """The rows of another table in this column; a column that cannot be read as this kind holds no value."""


def fit(kind: Kind, column: pa.Array) -> Fitted | None:
    """Learn one column of the reference; None where it holds no value, or where a date always moves on."""
    if kind is Kind.DATETIME or column.null_count == len(column):
        return None
    if kind.counted:
        return _Names.of(kind, column)
    if kind is Kind.VECTOR:
        return _Vectors.of(column)
    return _Numbers.of(kind, column)


@dataclass(frozen=True, slots=True)
class _Missing:
    """How far apart holding a value and holding none lie, by the rarer of the two; `never` was none missing before."""

    apart: float
    never: bool

    @classmethod
    def of(cls, held: np.ndarray) -> _Missing:
        rows, share = len(held), 1 - float(held.mean())
        if share == 0:
            return cls(_rarity(1.0, 0.5 / (rows + 1)), True)
        rarer = min(share, 1 - share)
        return cls(max(_rarity(1 - rarer, rarer), 1.0), False)

    def beside(self, coordinates: Floats, held: np.ndarray, beyond: np.ndarray) -> Placed:
        """The coordinates with those of missing values."""
        if self.never:
            return Placed(coordinates, np.where(held, 0.0, self.apart**2), beyond | ~held)
        return Placed(np.column_stack([coordinates, self.apart * ~held]), np.zeros(len(held)), beyond)


@dataclass(frozen=True)
class _Numbers:
    """A number by its rank in the reference, as a normal score; outside the reference's range it goes on linearly.

    Ranks make cents and shares comparable, and keep a long tail from being all that is strange.
    """

    kind: Kind
    values: Floats
    scores: Floats
    scale: float
    missing: _Missing

    @classmethod
    def of(cls, kind: Kind, column: pa.Array) -> _Numbers | None:
        numbers, held = _numbers(column, kind)
        found = np.sort(numbers[held & np.isfinite(numbers)])
        if not len(found):
            return None
        values, first = np.unique(found, return_index=True)
        ranks = (first + np.append(first[1:], len(found))) / 2 / len(found)
        if len(values) > KNOTS:
            places = np.searchsorted(ranks, np.linspace(ranks[0], ranks[-1], KNOTS)).clip(max=len(ranks) - 1)
            values, ranks = values[np.unique(places)], ranks[np.unique(places)]
        low, high = np.quantile(found, [0.05, 0.95])
        with np.errstate(over="ignore", invalid="ignore"):
            spreads = ((high - low) / 3.29, found.std(), values[-1] - values[0])
        scale = next((float(one) for one in spreads if 0 < one < np.inf), 0.0)
        return cls(kind, values, _normal(ranks), scale, _Missing.of(held))

    def place(self, column: pa.Array) -> Placed:
        numbers, held = _numbers(column, self.kind)
        with np.errstate(over="ignore"):
            past = np.maximum(numbers - self.values[-1], self.values[0] - numbers)
            beyond = held & (past > 0)
            # A constant has no scale to go on by: another value is as strange as can be.
            steps = np.where(beyond, past, 0.0) / self.scale if self.scale else np.where(beyond, _FARTHEST, 0.0)
        scores = np.interp(numbers, self.values, self.scores)
        scores += np.where(numbers < self.values[0], -1.0, 1.0) * np.minimum(steps, _FARTHEST)
        return self.missing.beside(np.where(held, scores, 0.0)[:, None], held, beyond)


@dataclass(frozen=True)
class _Names:
    """A category by which one it is and by how rare it is; a missing value is one more.

    Rarity counts as -2 times the logarithm of the likelihood, as a squared normal number does. How likely a name is
    that the reference never had is told by the names it had once (Good 1953): high where names never end.
    """

    kind: Kind
    known: pa.Array
    coordinates: Floats
    unseen: float
    missing: float

    @classmethod
    def of(cls, kind: Kind, column: pa.Array) -> _Names | None:
        names = _names(column, kind)
        found = pc.value_counts(names.drop_null())
        if not len(found):
            return None
        counts = np.append(found.field(1).to_numpy(zero_copy_only=False), names.null_count).astype(np.float64)
        shares = np.maximum(counts, 0.5) / len(names)
        most = float(shares.max())
        common = np.argsort(-shares, kind="stable")[:MOST_COMMON]
        common = common[(shares[common] >= COMMON) & (shares[common] <= 1 - COMMON)]
        spread = np.sqrt(shares[common] * (1 - shares[common]) * len(common))
        which = (np.arange(len(counts))[:, None] == common) / spread
        rarity = np.array([_rarity(most, share) for share in shares])
        once = (np.count_nonzero(counts[:-1] == 1) + 0.5) / (len(names) + 1)
        missing = 0.0 if names.null_count else float(rarity[-1])
        return cls(kind, found.field(0), np.column_stack([which, rarity]), _rarity(most, min(once, most)), missing)

    def place(self, column: pa.Array) -> Placed:
        names = _names(column, self.kind)
        null = names.is_null().to_numpy(zero_copy_only=False)
        places = pc.fill_null(pc.index_in(names, value_set=self.known), -1).to_numpy(zero_copy_only=False)
        coordinates = self.coordinates[np.where(places < 0, len(self.known), places)]
        unseen = (places < 0) & ~null
        strange = unseen | null if self.missing else unseen
        coordinates[strange] = 0.0
        apart = np.where(unseen, self.unseen, np.where(null, self.missing, 0.0))
        return Placed(coordinates, apart**2, strange)


@dataclass(frozen=True)
class _Vectors:
    """A vector, such as an image, by its principal components, and by how far it lies off what they span."""

    length: int
    mean: Floats
    axes: Floats
    scale: float
    missing: _Missing

    @classmethod
    def of(cls, column: pa.Array) -> _Vectors | None:
        lengths = pc.list_value_length(plain(column).drop_null()).to_numpy(zero_copy_only=False).astype(np.int64)
        length = int(np.bincount(lengths).argmax())
        vectors, held = _vectors(column, length)
        found = vectors[held][:_LEARN]
        if not found.size:
            return None
        mean = found.mean(axis=0)
        scale = math.sqrt(float(np.square(found - mean).sum(axis=1).mean()))
        axes = np.linalg.svd(found - mean, full_matrices=False)[2][:COMPONENTS].T
        return cls(length, mean, axes, scale, _Missing.of(held))

    def place(self, column: pa.Array) -> Placed:
        vectors, held = _vectors(column, self.length)
        if vectors.shape[1] != len(self.mean):
            vectors, held = np.zeros((len(column), len(self.mean))), np.zeros(len(column), dtype=bool)
        apart = np.where(held[:, None], vectors - self.mean, 0.0)
        along = apart @ self.axes
        off = np.sqrt(np.maximum(np.square(apart).sum(axis=1) - np.square(along).sum(axis=1), 0.0))
        # Vectors that were all the same have no scale: any other is as strange as can be.
        placed = np.column_stack([along, off]) / (self.scale or _TINY)
        return self.missing.beside(placed.clip(-_FARTHEST, _FARTHEST), held, np.zeros(len(column), dtype=bool))


def _numbers(column: pa.Array, kind: Kind) -> tuple[Floats, np.ndarray]:
    """Each row's number (0 where there is none), and which rows hold one; infinities are numbers."""
    numbers = np.zeros(len(column))
    if not readable(column.type, kind):
        return numbers, np.zeros(len(column), dtype=bool)
    values = plain(column)
    held = values.is_valid().to_numpy(zero_copy_only=False)
    numbers[held] = numbers_of(values, kind)[0]
    held = held & ~np.isnan(numbers)
    return np.where(held, numbers, 0.0), held


def _names(column: pa.Array, kind: Kind) -> pa.Array:
    """Each row's category as bytes, so that text, dictionaries and flags compare alike."""
    if not readable(column.type, kind):
        return pa.nulls(len(column), pa.large_binary())
    values = plain(column)
    if pa.types.is_fixed_size_binary(values.type):
        values = values.cast(pa.binary())
    if not any(test(values.type) for test in (pa.types.is_null, pa.types.is_binary, pa.types.is_large_binary)):
        values = values.cast(pa.large_string())
    return values.cast(pa.large_binary())


def _vectors(column: pa.Array, length: int) -> tuple[Floats, np.ndarray]:
    """The vectors of that length with finite numbers, shape (n, at most 1024), and which rows hold one.

    Longer ones are averaged over neighbours.
    """
    nothing = np.zeros((len(column), 0)), np.zeros(len(column), dtype=bool)
    if not readable(column.type, Kind.VECTOR) or pa.types.is_null(column.type):
        return nothing
    column = plain(column)
    held = pc.fill_null(pc.equal(pc.list_value_length(column), length), False).to_numpy(zero_copy_only=False)
    inner = column.filter(pa.array(held)).flatten()
    while kind_of(inner.type) is Kind.VECTOR:
        inner = inner.flatten()
    numbers = numbers_of(inner.fill_null(False) if pa.types.is_boolean(inner.type) else inner, Kind.NUMERIC)[0]
    if not held.any() or inner.null_count or len(numbers) % held.sum():
        return nothing
    found = numbers.reshape(int(held.sum()), -1)
    if found.shape[1] > LONGEST_VECTOR:
        edges = np.linspace(0, found.shape[1], LONGEST_VECTOR + 1).astype(np.int64)
        found = np.add.reduceat(found, edges[:-1], axis=1) / np.diff(edges)
    # Past this, squares of differences are no numbers any more.
    fine = (np.abs(found) < _HUGE).all(axis=1)
    held[held] = fine
    vectors = np.zeros((len(column), found.shape[1]))
    vectors[held] = found[fine]
    return vectors, held


def _rarity(most: float, share: float) -> float:
    """How far a share lies below the greatest, as a normal number: the root of -2 times the log of their ratio."""
    return math.sqrt(2 * math.log(most / share))


def _normal(shares: Floats) -> Floats:
    from scipy.special import ndtri

    found: Floats = ndtri(shares)
    return found
