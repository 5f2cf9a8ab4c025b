"""How much memory profiling adds while rows stream from Parquet: for a tenth of the rows and for all of them.

    python memory.py [--rows N] [--repeats N] [--json PATH]

Each figure is the peak of the resident memory of a process of its own, less what it held when its bins were fitted and
a first small file was counted. Only Linux says what is measured here.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table
from rows import in_turn, median, write

from controlplane.domain.monitor import Columns
from controlplane.profiles import ProfileBuilder, fit_bins
from controlplane.sources.files import Files

NUMERIC, CATEGORICAL = 16, 4
MOST_MB, MOST_GROWTH = 300.0, 1.1


def files(path: str) -> Files:
    """The file as the product reads it."""
    return Files(Files.Params(path), Columns("there is none"))


def held(what: str) -> float:
    """MB of resident memory of this process: VmRSS now, VmHWM at most."""
    found = re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def stream(small: str, path: str) -> float:
    """MB that counting `path` adds, into bins fitted on `small`."""
    bins = fit_bins(lambda: files(small).fetch(None))
    for batch in files(small).fetch(None):
        ProfileBuilder(bins).add(batch)
    Path("/proc/self/clear_refs").write_text("5")
    before, builder = held("VmRSS"), ProfileBuilder(bins)
    for batch in files(path).fetch(None, [column.name for column in bins.columns if column.kind.counted]):
        builder.add(batch)
    return held("VmHWM") - before


def apart(small: Path, path: Path) -> float:
    """The same in a process of its own."""
    command = [sys.executable, __file__, "--child", str(small), str(path)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Measure, print and, where asked, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="also write every figure here")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        sys.stdout.write(str(stream(*given.child)))
        return
    sizes = (given.rows // 10, given.rows)
    with TemporaryDirectory() as folder:
        small = write(Path(folder) / "small.parquet", 2_000, NUMERIC, CATEGORICAL, 0)
        paths = {rows: write(Path(folder) / f"{rows}.parquet", rows, NUMERIC, CATEGORICAL, 1) for rows in sizes}
        found = in_turn(
            {f"{rows}": lambda path=path: apart(small, path) for rows, path in paths.items()}, given.repeats
        )
    few, many = (median(found[str(rows)]) for rows in sizes)
    shown = Table(title=f"Memory that streaming rows x {NUMERIC + CATEGORICAL} columns from Parquet adds")
    for heading in ("rows", "MB", "min - max", "promised"):
        shown.add_column(heading, justify="right")
    for rows, name, promised in zip(sizes, found, ("", f"at most {MOST_MB:g}"), strict=True):
        low, high = min(found[name]), max(found[name])
        shown.add_row(f"{rows:,}", f"{median(found[name]):.0f}", f"{low:.0f} - {high:.0f}", promised)
    shown.add_row("", f"x {many / few:.2f}", "", f"at most {MOST_GROWTH}")
    Console(file=sys.stdout, width=100).print(shown)
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
