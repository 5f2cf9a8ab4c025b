"""What a comparison found: one row a column, ranked, as text, HTML, a frame or JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, overload

from controlplane.comparison.text import as_html, as_text
from controlplane.profiles.intervals import Figure

if TYPE_CHECKING:
    import pandas as pd

FORMAT = "controlplane-comparison-1"


class Outcome(StrEnum):
    """What came of a column: only COMPARED says that values were held against values."""

    COMPARED = "compared"
    EMPTY = "no values"
    GONE = "gone"
    NEW = "new"
    RETYPED = "type changed"
    UNREADABLE = "not comparable"


@dataclass(frozen=True, slots=True)
class Change:
    """One column of a comparison.

    `moved` says in words what changed, from where to where. `statistic` names the one the column is ranked by and
    `figure` holds it: `ks` of numbers, `total_variation` of categories, or `missing` where that changed more; both are
    None where nothing could be measured. `statistics` holds all of them. `n_reference` and `n_current` count the rows
    that hold a value, `missing_reference` and `missing_current` are the shares of rows that do not (None where the
    column was not counted).
    """

    column: str
    kind: str
    outcome: Outcome
    moved: str
    statistic: str | None = None
    figure: Figure | None = None
    n_reference: int = 0
    n_current: int = 0
    missing_reference: float | None = None
    missing_current: float | None = None
    statistics: Mapping[str, Figure] = field(default_factory=dict)

    @property
    def sure(self) -> float:
        """How much surely changed: the end of the interval that is nearer to no change, 0 where it holds that."""
        if self.figure is None:
            return 0.0
        return max(0.0, self.figure.low, -self.figure.high)


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """How far a table is from a reference, column by column, the largest change first.

    It measures and does not judge. Columns that are gone or of another type come first, then those that were compared
    by how much surely changed and then by the estimate, then the others. `exact` says that every distinct value
    counted; otherwise numbers were counted in bins, and the exact value of a figure lies in
    [estimate, estimate + hidden]. Prints as a table, in a terminal and in a notebook.
    """

    rows: tuple[Change, ...]
    n_reference: int
    n_current: int
    exact: bool

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Change]:
        return iter(self.rows)

    @overload
    def __getitem__(self, key: int | str) -> Change: ...
    @overload
    def __getitem__(self, key: slice) -> tuple[Change, ...]: ...
    def __getitem__(self, key: int | str | slice) -> Change | tuple[Change, ...]:
        """A row by its rank or by the name of its column, or a slice of rows; raises IndexError or KeyError."""
        if isinstance(key, str):
            for row in self.rows:
                if row.column == key:
                    return row
            raise KeyError(key)
        return self.rows[key]

    def __str__(self) -> str:
        return as_text(self)

    def __repr__(self) -> str:
        return as_text(self)

    def _repr_html_(self) -> str:
        return as_html(self)

    def to_frame(self) -> pd.DataFrame:
        """One row a column: what `Change` holds, and the estimate of each statistic in a column of its own."""
        import pandas as pd

        names = list(dict.fromkeys(name for row in self.rows for name in row.statistics))
        nothing = Figure(math.nan, math.nan, math.nan, 0, math.nan)
        records = []
        for row in self.rows:
            figure = row.figure or nothing
            record: dict[str, Any] = {
                "column": row.column,
                "kind": row.kind,
                "outcome": str(row.outcome),
                "moved": row.moved,
                "statistic": row.statistic,
                "estimate": figure.estimate,
                "low": figure.low,
                "high": figure.high,
                "hidden": figure.hidden,
                "p_value": math.nan if figure.p_value is None else figure.p_value,
                "n_reference": row.n_reference,
                "n_current": row.n_current,
                "missing_reference": row.missing_reference,
                "missing_current": row.missing_current,
            }
            records.append(
                record | {name: row.statistics.get(name, nothing).estimate for name in names if name != "missing"}
            )
        return pd.DataFrame(records)

    def to_json(self, indent: int | None = None) -> str:
        """The whole comparison as a JSON object; what is no number is null."""
        rows = [
            {**asdict(row), "statistics": {name: asdict(figure) for name, figure in row.statistics.items()}}
            for row in self.rows
        ]
        told = {
            "format": FORMAT,
            "exact": self.exact,
            "n_reference": self.n_reference,
            "n_current": self.n_current,
            "columns": rows,
        }
        return json.dumps(_finite(told), indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
