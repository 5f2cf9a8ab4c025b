"""A comparison as people see it: aligned text for a terminal, a table for a notebook."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from controlplane.profiles.intervals import Figure
from controlplane.profiles.words import percents

if TYPE_CHECKING:
    from controlplane.comparison.result import Change, Comparison

_HEADS = ("column", "kind", "what moved", "statistic", "n", "missing")
_WIDTHS = (32, 20, 76, 60, 30, 30)
_SHOWN = {False: 60, True: 200}
_NUMBERS = frozenset({"n"})
_BY = {"text": "text, by length", "vector": "vector, by mean"}
_HIDDEN = 5e-5


def as_text(comparison: Comparison) -> str:
    """Aligned plain text, one line a column; the first 60 columns."""
    table = [_HEADS, *_cells(comparison, html=False)]
    widths = [max(len(row[index]) for row in table) for index in range(len(_HEADS))]
    lines = []
    for row in table:
        parts = [
            cell.rjust(width) if head in _NUMBERS else cell.ljust(width)
            for head, cell, width in zip(_HEADS, row, widths, strict=True)
        ]
        lines.append("  ".join(parts).rstrip())
    return "\n".join([_title(comparison), "", *lines, *_notes(comparison, html=False)])


def as_html(comparison: Comparison) -> str:
    """A table with everything escaped; the first 200 columns."""
    head = "".join(f"<th>{escape(name)}</th>" for name in _HEADS)
    left, right = ' style="text-align: left"', ' style="text-align: right"'
    body = "".join(
        "<tr>"
        + "".join(
            f"<td{right if name in _NUMBERS else left}>{escape(cell)}</td>"
            for name, cell in zip(_HEADS, row, strict=True)
        )
        + "</tr>"
        for row in _cells(comparison, html=True)
    )
    notes = "".join(f"<p>{escape(note)}</p>" for note in _notes(comparison, html=True) if note)
    return (
        f"<div><p>{escape(_title(comparison))}</p>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{notes}</div>"
    )


def _title(comparison: Comparison) -> str:
    rows = f"{comparison.n_current:,} rows against {comparison.n_reference:,} of the reference"
    return f"{rows}, {len(comparison)} column{'s' if len(comparison) != 1 else ''}"


def _notes(comparison: Comparison, html: bool) -> list[str]:
    notes = []
    if len(comparison) > _SHOWN[html]:
        notes.append(f"... and {len(comparison) - _SHOWN[html]:,} columns more; to_frame() holds them all")
    if any(row.figure is not None and row.figure.hidden >= _HIDDEN for row in comparison):
        notes.append("+e: counted in bins, the exact value lies at most e above")
    return ["", *notes] if notes else []


def _cells(comparison: Comparison, html: bool) -> list[tuple[str, ...]]:
    return [_row(row) for row in comparison.rows[: _SHOWN[html]]]


def _row(row: Change) -> tuple[str, ...]:
    cells = [row.column or "''", _BY.get(row.kind, row.kind), row.moved, "", "", ""]
    if row.figure is not None and row.statistic is not None:
        cells[3:5] = _figure(row.statistic, row.figure), f"{row.n_current:,}"
    if row.missing_reference is not None and row.missing_current is not None:
        cells[5] = " -> ".join(percents(row.missing_reference, row.missing_current))
    return tuple(_cut(_printable(cell), width) for cell, width in zip(cells, _WIDTHS, strict=True))


def _figure(name: str, figure: Figure) -> str:
    sign = "+" if name == "missing" and figure.estimate > 0 else ""
    hidden = f" +{figure.hidden:.4f}" if figure.hidden >= _HIDDEN else ""
    return f"{name} {sign}{figure.estimate:.3f}{hidden} [{figure.low:.3f}, {figure.high:.3f}]"


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."
