"""How long it takes to profile a window and compare it with a ready reference, beside Evidently, NannyML and a bare
read.

    python speed.py [--rows N] [--repeats N] [--without PEER] [--json PATH]

Ours and a peer are timed in turn on the same rows; every figure is a median but Evidently's, which is run once. A file
is read in a fresh process each time, as a worker does, with its pages in the cache; and again and again in this one,
where memory that was read into before costs nothing to have. Peers run in an environment of their own:
CONTROLPLANE_PEERS_PYTHON, or .venv-peers in the repository, made by `make bench-drift`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table
from rows import GROUP, in_turn, median, seconds, table, write

from controlplane.domain.monitor import Columns
from controlplane.profiles import Profile, ProfileBuilder, fit_bins
from controlplane.profiles.figures import figures
from controlplane.profiles.intervals import Figure
from controlplane.profiles.pairs import binned_pair
from controlplane.sources.files import Files

NUMERIC, CATEGORICAL = 40, 10
PROMISED = {"evidently": 200.0, "nannyml": 10.0}
MOST_OF_A_READ = 1.5
EVENT_TIME = "there is none"


def reference_of(rows: pa.Table) -> Profile:
    """The ready reference: bins fitted and its own rows counted."""
    bins = fit_bins(lambda: iter(rows.to_batches(GROUP)))
    builder = ProfileBuilder(bins)
    for batch in rows.to_batches(GROUP):
        builder.add(batch)
    return builder.build()


def compare(before: Profile, batches: Iterator[pa.RecordBatch]) -> dict[str, dict[str, Figure]]:
    """What is timed as ours: count every batch, then every statistic of every column, with intervals and p-values."""
    builder = ProfileBuilder(before.bins)
    for batch in batches:
        builder.add(batch)
    after = builder.build()
    return {name: figures(binned_pair(column, after[name])) for name, column in before.columns.items()}


def from_memory(before: Profile, rows: pa.Table) -> Callable[[], float]:
    """Time the comparison of a table in memory."""
    return lambda: seconds(lambda: compare(before, iter(rows.to_batches(GROUP))))


def from_file(before: Profile, path: Path) -> Callable[[], float]:
    """Time the comparison of a Parquet file, read as the product reads it."""
    names = [column.name for column in before.bins.columns if column.kind.counted]
    files = Files(Files.Params(str(path)), Columns(EVENT_TIME))
    return lambda: seconds(lambda: compare(before, files.fetch(None, names)))


ONCE = """
import sys, time
from pathlib import Path
import pyarrow.parquet as pq
import speed
from controlplane.profiles import Profile
what, reference = sys.argv[1], Profile.from_bytes(Path(sys.argv[2]).read_bytes())
for path in map(Path, sys.argv[3:]):
    took = (speed.bare(path) if what == "read" else speed.from_file(reference, path))()
print(took)
"""


def bare(path: Path) -> Callable[[], float]:
    """Time `read_table` of a file."""
    return lambda: seconds(lambda: pq.read_table(path))


def once(what: str, reference: Path, few: Path, path: Path) -> Callable[[], float]:
    """Time one `read` or one comparison from a `file` in a process of its own, after one of `few` rows that pays for
    imports and threads."""
    command = [sys.executable, "-c", ONCE, what, str(reference), str(few), str(path)]
    here = Path(__file__).parent
    return lambda: float(subprocess.run(command, cwd=here, check=True, capture_output=True, text=True).stdout)


def peers_python() -> Path:
    """The interpreter that has the peers."""
    return Path(os.environ.get("CONTROLPLANE_PEERS_PYTHON", Path(__file__).parents[3] / ".venv-peers/bin/python"))


@contextmanager
def peers(reference: Path, current: Path) -> Iterator[Callable[[str], dict[str, float]]]:
    """Something that runs a peer by name on the two files, in one process of theirs."""
    command = [str(peers_python()), "-W", "ignore", str(Path(__file__).with_name("peers_speed.py"))]
    child = subprocess.Popen(
        [*command, str(reference), str(current)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin is not None and child.stdout is not None
    asked, answers = child.stdin, child.stdout

    def run(name: str) -> dict[str, float]:
        asked.write(name + "\n")
        asked.flush()
        answer: dict[str, float] = json.loads(answers.readline())
        return answer

    try:
        yield run
    finally:
        asked.close()
        child.wait()


def beside_peers(folder: Path, rows: int, repeats: int, without: list[str], say: Console) -> dict[str, Any]:
    """Ours in memory and from a file, and each peer, in turn."""
    paths = [write(folder / f"{name}.parquet", rows, NUMERIC, CATEGORICAL, seed) for seed, name in enumerate("rc")]
    before = reference_of(pq.read_table(paths[0]))
    current = pq.read_table(paths[1])
    reference = folder / "reference.profile"
    reference.write_bytes(before.to_bytes())
    reads = {"read": bare(paths[1]), "file": from_file(before, paths[1])}
    in_turn(reads, 1)
    few = write(folder / "few.parquet", 1_000, NUMERIC, CATEGORICAL, 1)
    fresh = {f"fresh {what}": once(what, reference, few, paths[1]) for what in reads}
    found: dict[str, Any] = {"rows": rows, **in_turn(fresh, repeats), **in_turn(reads, repeats)}
    ours = from_memory(before, current)
    ours()
    names = [name for name in PROMISED if name not in without] if peers_python().exists() else []
    with peers(*paths) if names else nobody() as run:
        if "nannyml" in names:
            run("nannyml")
            timed = in_turn({"ours": ours, "nannyml": lambda: run("nannyml")["seconds"]}, repeats)
        else:
            timed = in_turn({"ours": ours}, repeats)
        found |= timed
        if "evidently" in names:
            answer = run("evidently")
            found |= {"evidently": [answer["seconds"]], "evidently_peak_mb": answer["peak_mb"]}
    shown = Table(title=f"{rows:,} rows x {NUMERIC + CATEGORICAL} columns against a ready reference")
    for heading in ("", "seconds", "min - max", "ratio", "promised"):
        shown.add_column(heading, justify="right" if heading else "left")
    shown.add_row("Control Plane, in memory", *spread(found["ours"]), "", "")
    for name in names:
        ratio = median(found[name]) / median(found["ours"])
        shown.add_row(name, *spread(found[name]), f"{ratio:.1f} x ours", f"at least {PROMISED[name]:g}")
    for kind, where, promised in (
        ("fresh ", "in a fresh process", f"at most {MOST_OF_A_READ}"),
        ("", "again in one process", ""),
    ):
        ratio = median(found[f"{kind}file"]) / median(found[f"{kind}read"])
        shown.add_row(f"pyarrow.parquet.read_table, {where}", *spread(found[f"{kind}read"]), "", "")
        shown.add_row(
            f"Control Plane, from Parquet, {where}", *spread(found[f"{kind}file"]), f"{ratio:.2f} x the read", promised
        )
    say.print(shown)
    if names != list(PROMISED):
        say.print(f"left out: {', '.join(name for name in PROMISED if name not in names)} (make bench-drift runs all)")
    return found


@contextmanager
def nobody() -> Iterator[Callable[[str], dict[str, float]]]:
    """No peers."""
    yield lambda name: {}


def spread(values: list[float]) -> tuple[str, str]:
    """Median and range, for a table."""
    return f"{median(values):.3g}", f"{min(values):.3g} - {max(values):.3g}" if len(values) > 1 else "one run"


def growth(rows: int, repeats: int, say: Console) -> dict[str, Any]:
    """Ours at three numbers of rows, of columns, and of the reference's rows."""
    columns = NUMERIC + CATEGORICAL
    small = table(rows // 4, NUMERIC, CATEGORICAL, 1)
    large = table(rows, NUMERIC, CATEGORICAL, 1)
    references = {size: reference_of(table(size, NUMERIC, CATEGORICAL, 0)) for size in (rows // 4, rows // 2, rows)}
    before = references[rows // 4]
    works = {f"{size:,} rows": from_memory(before, large.slice(0, size)) for size in references}
    for part in (4, 2, 1):
        kept = [*large.column_names[: NUMERIC // part], *large.column_names[NUMERIC:][: CATEGORICAL // part]]
        narrow = small.select(kept)
        works[f"{len(kept)} of {columns} columns"] = from_memory(reference_of(narrow), narrow)
    works |= {f"reference of {size:,} rows": from_memory(found, small) for size, found in references.items()}
    in_turn(works, 1)
    found = in_turn(works, repeats)
    shown = Table(title="Ours as rows, columns and the reference grow")
    for heading in ("", "seconds", "min - max"):
        shown.add_column(heading, justify="right" if heading else "left")
    for name, values in found.items():
        shown.add_row(name, *spread(values))
    say.print(shown)
    return found


def main() -> None:
    """Measure, print and, where asked, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--without", action="append", default=[], choices=list(PROMISED), help="a peer to leave out")
    parser.add_argument("--json", type=Path, help="also write every time here")
    given = parser.parse_args()
    say = Console(file=sys.stdout, width=100)
    with TemporaryDirectory() as folder:
        found = beside_peers(Path(folder), given.rows, given.repeats, given.without, say)
    found["growth"] = growth(given.rows, given.repeats, say)
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps({**found, "cores": os.cpu_count()}, indent=2) + "\n")


if __name__ == "__main__":
    main()
