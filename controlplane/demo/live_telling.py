"""What a live rollback came to, for people: the figures as a table, and the picture and the page beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from controlplane.demo import picture
from controlplane.demo.figures import MOST_SECONDS, Answer, Moments, broken, cut
from controlplane.demo.picture import Mark
from controlplane.demo.telling import near

if TYPE_CHECKING:
    from rich.console import Console

PICTURE, PAGE = "demo-rollback.png", "demo-rollback.html"
LIMIT = 0.65
BIN, METRIC_BIN = 1.0, 5.0


def table_of(found: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The figures as lines of three: what, how much, and out of how many."""
    requests, last = f"of {found['requests']:,} requests", f"promised: at most {MOST_SECONDS:g} s"
    arrived = "the bad window's arrival"
    lines = [
        (f"from {arrived} to the alias moved", f"{found['seconds_to_alias_moved']:.1f} s", "as recorded, n = 1"),
        (f"from {arrived} to all traffic on the good version", f"{found['seconds_to_all_traffic_good']:.1f} s", last),
        ("from the bad window's end to the same", f"{found['seconds_from_window_end']:.1f} s", "n = 1"),
        ("failed requests", f"{found['failed']:,}", requests),
        ("requests answered twice", f"{found['answered_twice']:,}", requests),
        ("requests missing in the inference log", f"{found['not_logged']:,}", requests),
    ]
    for version, count in found["by_version"].items():
        right = found["accuracy"][version]
        spread = f"{right['low']:.3f} to {right['high']:.3f}, n = {right['n']:,}"
        lines.append((f"answered by version {version}", f"{count / found['requests']:.1%}", f"{count:,} {requests}"))
        lines.append((f"accuracy of version {version}", f"{right['share']:.3f}", spread))
    judged = f"of {found['bad_window']['answered']:,} that version {found['bad_window']['version']} answered in it"
    lines.append(("rows of the bad window that were judged", f"{found['bad_window']['judged']:,}", judged))
    latency = found["latency_ms"]
    took = f"{latency['p50']:.0f} ms, {latency['p99']:.0f} ms, {latency['max']:.0f} ms"
    lines.append(("latency: median, 99th percentile, longest", took, f"n = {found['requests']:,}"))
    return lines


def marks_of(when: Moments, begun: float, good_from: float, closed: float | None) -> list[Mark]:
    """What the picture names, in seconds since the first request."""
    took = good_from - when.arrived
    marks = [
        Mark(when.released - begun, "version 2 takes the alias"),
        Mark(
            when.arrived - begun,
            f"its first window is in: all on version 1 after {took:.1f} s",
            good_from - begun,
            1,
        ),
    ]
    return marks if closed is None else [*marks, Mark(closed - begun, "next window good: incident closed")]


def tell(
    folder: Path,
    console: Console,
    answers: Sequence[Answer],
    found: Mapping[str, Any],
    when: Moments,
    story: Sequence[Mapping[str, Any]],
    closed: float | None,
) -> None:
    """Draw the picture, write the page, and print the figures and where these lie."""
    begun, ends = answers[0].due, max(answer.at for answer in answers)
    title = f"A worse version takes over at {len(answers) / (ends - begun):.0f} requests a second, and is rolled back"
    marks = marks_of(when, begun, found["good_from"], closed)
    narrow, wide = (cut(answers, begun, ends, width) for width in (BIN, METRIC_BIN))
    png, svg = picture.draw(title, narrow, wide, marks, LIMIT, (found["failed"], found["requests"]))
    lines = table_of(found)
    happened = sorted((each["seconds"], each["what"], each["why"]) for each in story)
    (folder / PICTURE).write_bytes(png)
    (folder / PAGE).write_text(picture.page(title, svg, lines, happened), "utf-8")
    _print(console, lines)
    for sentence in broken(found):
        console.print(sentence, style="red", markup=False)
    for what, name in (("Picture", PICTURE), ("Page   ", PAGE)):
        console.print(f"{what}: {near(folder / name)}", markup=False, soft_wrap=True)


def _print(console: Console, lines: Sequence[tuple[str, str, str]]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title="Measured", title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, show_header=False)
    for line in lines:
        table.add_row(*map(Text, line))
    console.print(table)
