"""How far two tables are apart: exactly in memory, in bins from files."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from controlplane.comparison.result import Change, Comparison, Outcome
from controlplane.comparison.tables import InMemory, OnDisk, opened
from controlplane.errors import SourceError
from controlplane.profiles.bins import fit_bins
from controlplane.profiles.figures import figures
from controlplane.profiles.intervals import Figure
from controlplane.profiles.kinds import kind_of, readable
from controlplane.profiles.pairs import Pair, binned_pair, exact_pair
from controlplane.profiles.profile import Profile, ProfileBuilder
from controlplane.profiles.shift import describe_shift

_FIRST = {Outcome.GONE: 0, Outcome.RETYPED: 0, Outcome.COMPARED: 1, Outcome.EMPTY: 1}
_ALONG_A_TYPE = 60
# Rows from which sorting, which lets other threads run, costs more than the rest.
_LONG = 1 << 14


def compare(reference: Any, current: Any, columns: Iterable[str] | None = None) -> Comparison:
    """Measure how far `current` is from `reference`, column by column (only `columns` where they are given).

    Either is a pandas or polars DataFrame, an Arrow table, batch, list of batches or reader, or the path of Parquet or
    CSV files (a file, a folder, a glob or a URL). In memory every statistic is exact. Once a path is among them both
    are streamed in bounded memory and counted in bins of the reference, and figures carry what bins hide. The reference
    is read twice, whatever is on disk once more for its types. Intervals and p-values take rows as independent.

    A column that cannot be compared has a row that says so and spoils no other. Raises SourceError, in one sentence,
    for what is no table, cannot be read, has no rows, shares no column, or lacks a column that was asked for.

    >>> import pyarrow as pa
    >>> found = compare(pa.table({"age": range(100)}), pa.table({"age": range(30, 130)}))
    >>> found["age"].moved, found["age"].statistic, round(found["age"].figure.estimate, 3)
    ('mean 49.5 -> 79.5 (+1 sd)', 'ks', 0.3)
    """
    wanted = _asked(columns)
    before, after = opened(reference, "reference", wanted), opened(current, "current", wanted)
    if isinstance(before, InMemory) and isinstance(after, InMemory):
        return _exactly(before, after, wanted)
    return _in_bins(before, after, wanted)


def _asked(columns: Iterable[str] | None) -> tuple[str, ...] | None:
    if columns is None:
        return None
    if isinstance(columns, str):
        return (columns,)
    asked = tuple(dict.fromkeys(str(name) for name in columns))
    if not asked:
        raise SourceError("columns is empty; valid: names of columns, or None for all of them")
    return asked


def _exactly(before: InMemory, after: InMemory, wanted: tuple[str, ...] | None) -> Comparison:
    sides = [[*side.columns, *side.broken] for side in (before, after)]
    _checked(before, before.n, sides[0], wanted)
    _checked(after, after.n, sides[1], wanted)
    _shared(sides[0], sides[1])
    names = [name for name in dict.fromkeys((*sides[0], *sides[1])) if wanted is None or name in wanted]

    def measured(name: str) -> Change:
        for side in (before, after):
            if name in side.broken:
                return Change(name, "-", Outcome.UNREADABLE, f"{side.broken[name]} in {_place(side)}")
        one, two = before.columns.get(name), after.columns.get(name)
        if one is None or two is None:
            return _alone(name, one, two)
        kind = kind_of(one.type)
        if kind is not None and not pa.types.is_null(one.type) and not readable(two.type, kind):
            return _retyped(name, _kind(one.type), str(one.type), str(two.type))
        pair = exact_pair(name, one.chunks, two.chunks)
        if pair is None:
            return _unreadable(name, str(two.type if pa.types.is_null(one.type) else one.type))
        return _change(name, pair)

    if max(before.n, after.n) < _LONG:
        changes = list(map(measured, names))
    else:
        with ThreadPoolExecutor(min(pa.cpu_count(), len(names))) as pool:
            changes = list(pool.map(measured, names))
    return Comparison(_ranked(changes), before.n, after.n, exact=True)


def _in_bins(before: InMemory | OnDisk, after: InMemory | OnDisk, wanted: tuple[str, ...] | None) -> Comparison:
    bins = fit_bins(before.batches, wanted)
    builders = ProfileBuilder(bins), ProfileBuilder(bins)
    held: list[set[str]] = [set(), set()]
    for builder, side, names in zip(builders, (before, after), held, strict=True):
        for batch in side.batches():
            names.update(batch.schema.names)
            builder.add(batch)
    one, two = (builder.build() for builder in builders)
    broken = {
        name: f"{why} in {_place(side)}"
        for side in (before, after)
        if isinstance(side, InMemory)
        for name, why in side.broken.items()
        if wanted is None or name in wanted
    }
    for builder_side, rows, names in ((before, one.n, held[0]), (after, two.n, held[1])):
        _checked(builder_side, rows, names | set(broken), wanted)
    _shared(held[0] | set(broken), held[1] | set(broken))
    changes = [Change(name, "-", Outcome.UNREADABLE, why) for name, why in broken.items()]
    changes += [_unreadable(name, kind) for name, kind in bins.unreadable.items() if name not in broken]
    new = [name for name in two.new_columns if name not in broken]
    changes += [Change(name, "-", Outcome.NEW, "not in the reference") for name in new if wanted is None]
    changes += [_binned(name, one, two, held[1]) for name in one.columns if name not in broken]
    return Comparison(_ranked(changes), one.n, two.n, exact=False)


def _alone(name: str, one: pa.ChunkedArray | None, two: pa.ChunkedArray | None) -> Change:
    if one is not None:
        return Change(name, _kind(one.type), Outcome.GONE, "not in the current rows")
    return Change(name, "-" if two is None else _kind(two.type), Outcome.NEW, "not in the reference")


def _binned(name: str, one: Profile, two: Profile, held: Collection[str]) -> Change:
    bins = one.bins[name]
    if name not in held:
        return Change(name, bins.kind.value, Outcome.GONE, "not in the current rows")
    if name in two.type_changed and bins.type != "null":
        return _retyped(name, bins.kind.value, bins.type, two.type_changed[name])
    return _change(name, binned_pair(one[name], two[name]))


def _change(name: str, pair: Pair) -> Change:
    before, after = pair.before, pair.after
    found = figures(pair)
    values = before.present and after.present
    statistic = _headline(found)
    return Change(
        name,
        before.bins.kind.value,
        Outcome.COMPARED if values else Outcome.EMPTY,
        describe_shift(before, after),
        statistic,
        found[statistic],
        before.present,
        after.present,
        before.missing / before.n,
        after.missing / after.n,
        found,
    )


def _headline(found: dict[str, Figure]) -> str:
    """The distance of the values, or the change of how many are missing where that is larger or all there is."""
    distance = next((name for name in ("ks", "total_variation") if name in found), "missing")
    return "missing" if abs(found["missing"].estimate) > found[distance].estimate else distance


def _retyped(name: str, kind: str, was: str, is_: str) -> Change:
    return Change(name, kind, Outcome.RETYPED, f"type {_cut(was)} -> {_cut(is_)}")


def _unreadable(name: str, type_: str) -> Change:
    return Change(name, "-", Outcome.UNREADABLE, f"values of type {_cut(type_)} cannot be compared")


def _kind(type_: pa.DataType) -> str:
    kind = kind_of(type_)
    return "-" if kind is None else kind.value


def _cut(text: str) -> str:
    return text if len(text) <= _ALONG_A_TYPE else text[:_ALONG_A_TYPE] + "..."


def _ranked(changes: Sequence[Change]) -> tuple[Change, ...]:
    def rank(change: Change) -> tuple[int, float, float]:
        estimate = 0.0 if change.figure is None else abs(change.figure.estimate)
        return _FIRST.get(change.outcome, 2), -change.sure, -estimate

    return tuple(sorted(changes, key=rank))


def _checked(side: InMemory | OnDisk, rows: int, names: Collection[str], wanted: Collection[str] | None) -> None:
    """Raise SourceError where a side has nothing to compare, or not what was asked for."""
    for name in wanted or ():
        if name not in names:
            known = side.names() if isinstance(side, OnDisk) else names
            raise SourceError(f"{side.what} has no column {name!r}; it has {_listed(known)}")
    if not names or not rows:
        raise SourceError(f"{side.what} has no {'rows' if names else 'columns'}; valid: a table with at least one row")


def _shared(before: Collection[str], after: Collection[str]) -> None:
    if set(before).isdisjoint(after):
        told = f"reference has {_listed(before)}, current has {_listed(after)}"
        raise SourceError(f"the tables share no column: {told}")


def _place(side: InMemory | OnDisk) -> str:
    return "the reference" if side.what == "reference" else "the current rows"


def _listed(names: Collection[str], most: int = 10) -> str:
    def spelled() -> Iterator[str]:
        for name in sorted(names)[:most]:
            yield name if name.isprintable() else ascii(name)

    return ", ".join(spelled()) + (f" and {len(names) - most} more" if len(names) > most else "")
